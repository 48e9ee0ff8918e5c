"""`python -m nocere`."""

from nocere.cli.main import entry

entry()
