"""Figures over several runs: which are comparable, and where they change for good."""
