"""Measures: numbers with n, denominator and interval, computed from outcomes alone."""
