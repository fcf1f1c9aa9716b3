"""Probability models, in bits."""
