"""Reading large results: what is read is said on stderr while it takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reports.records.run import Run, load_run
from reports.text.plain import one_line

PATIENCE_SECONDS = 1.0
"""What takes less is not worth a line."""
_REDRAW_SECONDS = 0.2
_CLEAR = "\r\x1b[K"


class WaitingLine:
    """One line on stderr, from a second on: redrawn and finally cleared on a terminal, elsewhere printed once."""

    def __init__(self) -> None:
        self._due = time.monotonic() + PATIENCE_SECONDS
        self._is_shown = False
        self._is_live = False

    def say(self, text: str) -> None:
        """Show what is being done, if it is time to."""
        now = time.monotonic()
        if now < self._due or (self._is_shown and not self._is_live):
            return
        if not self._is_shown:
            from reports.render.console import is_live

            self._is_shown, self._is_live = True, is_live(sys.stderr)
        self._due = now + _REDRAW_SECONDS
        line = one_line(f"scaleprof: {text}")
        sys.stderr.write(f"{_CLEAR}{line}" if self._is_live else f"{line}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self._is_live:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._is_shown = self._is_live = False


@contextmanager
def waiting_line() -> Iterator[WaitingLine]:
    """A line for the time of a block."""
    line = WaitingLine()
    try:
        yield line
    finally:
        line.clear()


def read_patiently(path: Path, line: WaitingLine) -> Run:
    """A run as `load_run` reads it, with the number of records so far on `line`."""
    count = 0

    def read(records: int) -> None:
        nonlocal count
        count += records
        line.say(f"reading {path}: {count} records so far")

    return load_run(path, read)
