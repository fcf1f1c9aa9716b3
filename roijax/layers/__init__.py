"""Linen blocks, one idea a file."""
