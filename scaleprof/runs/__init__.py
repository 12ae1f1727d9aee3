"""A run's folder, baselines, and reading both."""
