"""Comparing two runs: metrics, exact tests, findings, decisions."""
