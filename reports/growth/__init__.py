"""Fits how cost grows with a size."""
