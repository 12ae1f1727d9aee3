"""The schema of a result, and reading and writing it."""
