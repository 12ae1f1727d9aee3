"""The loop over points, resuming, progress and the time left."""
