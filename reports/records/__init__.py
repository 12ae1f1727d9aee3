"""The schema of results, and reading and writing them."""
