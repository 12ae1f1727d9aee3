"""Run directories and baselines: writing and reading them."""
