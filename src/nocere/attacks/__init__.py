"""Attacks: searches that ask and propose, and the engine that runs them over many cases at once."""
