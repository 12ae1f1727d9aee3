"""Files that a command is asked to write: what is wrong with one is said before anything runs."""

from __future__ import annotations

import os
from pathlib import Path

from reports.records.files import replaceable
from scaleprof.errors import UserError


def check_target(option: str, path: Path, *, instead: str = "name a file") -> None:
    """Raise `UserError`, under the name of `option`, if a file could not be put at `path`."""
    if path.is_dir():
        raise UserError(f"{option}: {path} is a folder: {instead}")
    if not path.parent.is_dir():
        raise UserError(f"{option}: there is no folder {path.parent}: make it first, or name another file")
    file = replaceable(path)
    if file is not None and not os.access(file.parent, os.W_OK | os.X_OK):
        raise UserError(f"{option}: nothing can be written to the folder {file.parent}: name another file")
