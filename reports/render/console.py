"""Consoles for stdout and stderr: what rich may assume about the stream is asked of the stream itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from reports.text.plain import plain_lines

CANNOT_REDRAW = ("", "dumb", "unknown")
"""Values of TERM of terminals that cannot move the cursor."""


def is_live(stream: IO[str] | None) -> bool:
    """Whether the stream is a terminal on which lines can be redrawn.

    Variables that force colours, FORCE_COLOR or TTY_COMPATIBLE, say nothing about that: CI logs set them too.
    """
    return stream is not None and not stream.closed and stream.isatty() and _term() not in CANNOT_REDRAW


def open_console(*, stderr: bool = False) -> Console:
    """A console that writes to stdout or stderr.

    Colours: on a terminal, or where FORCE_COLOR asks for them, except in a terminal that has none. A reader that
    leaves early ends the output and not the program. Whatever is printed, no character of it steers the terminal.
    """
    forced = bool(os.environ.get("FORCE_COLOR")) and _term() not in ("dumb", "unknown")
    live = is_live(sys.stderr if stderr else sys.stdout)
    return _PatientConsole(stderr=stderr, highlight=False, emoji=False, force_terminal=live or forced)


class _PatientConsole(Console):
    """A console that shows text as text only, and falls silent when the reader of its stream has left."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain_lines(segment.text))

    def on_broken_pipe(self) -> None:
        self.quiet = True
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.file.fileno())  # or Python complains at exit
        os.close(devnull)


def _term() -> str:
    return os.environ.get("TERM", "").strip().lower()
