"""The one flow, and the systems that fill it."""
