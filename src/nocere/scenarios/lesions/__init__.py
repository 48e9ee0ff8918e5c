"""Where on a picture an attack works: on what a reader marked, on the rest of the anatomy, or beside it."""
