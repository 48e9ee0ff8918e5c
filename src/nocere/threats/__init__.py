"""Threat models and perturbation sets: what an attacker may change, by how much, in stored units."""
