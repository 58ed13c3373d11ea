"""mien reads the expression on faces."""

__version__ = "0.1.0"
