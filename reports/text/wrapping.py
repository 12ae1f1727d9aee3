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


def broken(line: str, width: int) -> list[str]:
    """A line that may be aligned by spaces, in parts of at most `width` characters; a line that fits stays as it is."""
    if len(line) <= width:
        return [line]
    start = len(line) - len(line.lstrip())
    place = line.rfind(" ", start, width + 1)
    place = place if place > 0 else line.find(" ", start)  # a longer word is not cut
    rest = line[place:].strip() if place > 0 else ""
    return [line[:place].rstrip(), *broken(f"    {rest}", width)] if rest else [line]
