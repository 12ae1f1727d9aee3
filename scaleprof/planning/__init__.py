"""Planning for devices that are not there: what they are, what fits on them, and where the memory goes."""
