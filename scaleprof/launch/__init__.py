"""From a point to the processes that measure it."""
