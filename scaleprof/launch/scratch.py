"""Files that are gone after use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scaleprof.errors import UserError


@contextmanager
def scratch_log() -> Iterator[Path]:
    """The path of a log that is removed after the block; raises `UserError` where no temporary file can be written."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="scaleprof-", ignore_cleanup_errors=True)
    except OSError:
        raise UserError("no folder for temporary files can be written to: set TMPDIR to one that can") from None
    with folder as path:
        yield Path(path) / "log"
