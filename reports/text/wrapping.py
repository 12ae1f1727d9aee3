"""Line wrapping for terminals and logs."""

from __future__ import annotations

import textwrap

NARROWEST = 20
"""The least width that text is wrapped to, in characters."""


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> str:
    """`text` wrapped between words, never at hyphens, to at most `width` characters a line.

    Args:
        text: one paragraph.
        width: values below `NARROWEST` count as that.
        first: what the first line starts with.
        rest: what all further lines start with.
    """
    lines = textwrap.wrap(
        text, max(width, NARROWEST), initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
    return "\n".join(lines)
