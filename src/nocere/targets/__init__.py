"""Targets: the shipped model with its own preprocessing, from stored values to scores."""
