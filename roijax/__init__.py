"""roijax: learned image compression that knows where to look."""

__version__ = "0.1.0"
