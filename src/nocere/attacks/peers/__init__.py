"""Attacks of other libraries inside of a cell: their search, our meter, our referee."""
