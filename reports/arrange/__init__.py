"""Arranges records as tables and curves."""
