"""Text from elsewhere as text and nothing else: no escape sequence, control character or direction mark stays."""

from __future__ import annotations

import re

LINE_END = "\n"
_COMMAND = re.compile(r"(?<!\w):(?=:)|##(?=\[)")
"""How a line begins that the runner of GitHub Actions takes for a command, in any output of a step."""


def one_line(text: str) -> str:
    """`text` with each run of invisible characters (line ends, escapes, direction marks) replaced by one space."""
    return " ".join(_visible(text).split())


def plain_lines(text: str) -> str:
    """`text` of several lines, with each invisible character but the line ends replaced by a space."""
    return LINE_END.join(map(_visible, text.split(LINE_END)))


def _visible(text: str) -> str:
    """`text` with invisible characters as spaces, and with a gap in what a runner takes for a command."""
    seen = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    return _COMMAND.sub(r"\g<0> ", seen) if "::" in seen or "##[" in seen else seen
