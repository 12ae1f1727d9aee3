"""The loop over points, resuming, progress and the remaining time."""
