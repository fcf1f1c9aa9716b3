"""Weights that files are coded with, and how they are kept."""
