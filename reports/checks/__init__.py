"""Comparing two runs: metrics, exact tests, findings, verdicts, and the documents that present them."""
