"""The log of one child: what it and its libraries write to stderr, capped."""

from __future__ import annotations

import os
from pathlib import Path

from reports.records.redaction import redacted
from reports.text.units import format_bytes

HEAD_BYTES = TAIL_BYTES = 2**20
"""What is kept of a long log: its start and its end."""
CUT_BYTES = 4 * HEAD_BYTES
"""A log that is being written is cut once it is longer than this; when it ends, to its head and tail."""
_TRIES = 10


class CappedLog:
    """A log file that a child writes to directly, and whose middle its parent takes out.

    The child never waits for the parent: it appends to the file, and `look` shortens that in place. What it appends
    between two looks stands in the file for that long.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left_out = 0
        self._head = HEAD_BYTES
        """Bytes before the tail: the head, and once the log is cut a line that says so."""

    def open(self) -> int:
        """Empty the file; returns a descriptor that appends to it."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)

    def look(self) -> None:
        """Cut the log if it has become long."""
        if self.path.stat().st_size > CUT_BYTES:
            self._cut()

    def close(self) -> None:
        """Cut the log of a child that has ended to its head and tail, if it is longer."""
        if self.path.stat().st_size > self._head + TAIL_BYTES:
            self._cut()

    def last_lines(self, most_bytes: int) -> list[str]:
        """The last lines, without empty ones and without secrets."""
        with self.path.open("rb") as stream:
            stream.seek(max(0, self.path.stat().st_size - most_bytes))
            tail = stream.read(most_bytes).decode(errors="replace")
        return [redacted(line.strip()) for line in tail.splitlines() if line.strip()]

    def _cut(self) -> None:
        with self.path.open("r+b") as stream:
            for _ in range(_TRIES):  # until nothing is appended meanwhile
                size = os.fstat(stream.fileno()).st_size
                stream.seek(size - TAIL_BYTES)
                tail = stream.read(TAIL_BYTES)
                left_out = self._left_out + size - TAIL_BYTES - self._head
                note = f"\n[scaleprof: {format_bytes(left_out)} of this log are left out here]\n".encode()
                stream.seek(HEAD_BYTES)
                stream.write(note + tail)
                stream.flush()
                if os.fstat(stream.fileno()).st_size == size:
                    break
            stream.truncate()
        self._left_out, self._head = left_out, HEAD_BYTES + len(note)
