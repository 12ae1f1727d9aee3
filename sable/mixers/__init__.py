"""Sequence mixers: one idea per file, all with the protocol in `base`."""
