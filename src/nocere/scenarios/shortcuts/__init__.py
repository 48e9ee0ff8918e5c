"""Shortcuts: how well the label can be read off a data set without looking at what a clinician would look at."""
