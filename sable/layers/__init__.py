"""Layers without a mixer: products, norms, feed-forward blocks."""
