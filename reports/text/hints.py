"""Hints at the end of a message about a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The closest known name, if any is close, and all known names."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.52)
    hint = f"did you mean '{close[0]}'? Choose" if close else "choose"
    return f"{hint} from: {', '.join(known)}"
