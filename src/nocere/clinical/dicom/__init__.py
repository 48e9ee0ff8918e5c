"""DICOM's display pipeline: look-up tables, windows, colour, and how visible a change of what is shown is."""
