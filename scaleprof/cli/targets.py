"""Check the files that a command is to write before anything runs."""

from __future__ import annotations

import os
from pathlib import Path

from reports.records.files import replaceable
from scaleprof.errors import UserError, user_errors


def check_target(option: str, path: Path, *, instead: str = "name a file") -> None:
    """Raise `UserError`, naming `option`, if a file cannot be written at `path`."""
    with user_errors(option, writing=path):
        if path.is_dir():
            raise UserError(f"{option}: {path} is a folder: {instead}")
        if not path.parent.is_dir():
            raise UserError(f"{option}: there is no folder {path.parent}: create it, or name another file")
        file = replaceable(path)
    if file is not None and not os.access(file.parent, os.W_OK | os.X_OK):
        raise UserError(f"{option}: the folder {file.parent} is not writable: name another file")
