"""Case types, and how each is read and written as a real file."""
