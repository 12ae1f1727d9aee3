"""Files that are written whole: at every instant there is the old one or the new one, never a part."""

from __future__ import annotations

import os
import stat
from pathlib import Path

PART = ".part"
"""What the name of a file ends in that is still being written."""
_MOST_LINKS = 40
_OPEN_FILES = "/proc"


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Put a file of `content` at `path`, by way of `path`.part and on the disk when this returns.

    A link keeps pointing where it points, and a file that is replaced keeps its permissions. Devices, pipes and
    `/dev/stdout` are written to as they are.

    Raises:
        OSError: it cannot be written. What was there is as before.
    """
    target = replaceable(path)
    if target is None:
        with Path(path).open("wb") as stream:
            stream.write(content)
        return
    part = target.with_name(target.name + PART)
    try:
        with part.open("wb") as stream:
            if target.exists():
                os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def replaceable(path: str | os.PathLike[str]) -> Path | None:
    """The plain file that `path` leads to, there or not; None where something else is there: a folder, a device, a
    pipe, or a file that a process has open and that is named by its number, as by `/dev/stdout`."""
    path = Path(path)
    if path.exists() and not path.is_file():
        return None
    link = path
    for _ in range(_MOST_LINKS):
        if not link.is_symlink():
            break
        folder = Path(os.path.realpath(link.parent))
        if folder.is_relative_to(_OPEN_FILES):
            return None
        link = folder / link.readlink()
    return Path(os.path.realpath(path))
