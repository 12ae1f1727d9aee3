"""Sequence mixers: every file is one idea, all obey the protocol in `base`."""
