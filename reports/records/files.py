"""Files: atomic writes, of which readers see the old file or the new one and never a part; and errors as one line."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".part"
"""Suffix of a file that is still being written."""
_MOST_LINKS = 40
_OPEN_FILES = "/proc"


@contextmanager
def file_errors(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Within this block an OSError becomes a ValueError: `PATH: cannot be read (Permission denied); check the path`.

    It names the file that the error is of, if the system says which. A broken pipe passes: the reader has left.

    Args:
        path: the file or the folder that the block uses.
        what: what the block does with it, `read` or `written`.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ValueError(
            f"{culprit(error, path)}: cannot be {what} ({error.strerror or error}); check the path"
        ) from error


def culprit(error: OSError, path: str | os.PathLike[str]) -> str:
    """The file that an error is of: as the system says, which it does not of a full disk, else `path`."""
    name = error.filename if isinstance(error.filename, (str, bytes)) else path
    return os.fsdecode(name)


@contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within this block an OSError is of the file `path`, whatever the system says: a full disk, or a part of it."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The content of the file that `path` leads to. A pipe or a device, which may never end, is not opened.

    What a shell has opened for this process, `/dev/stdin` or `<(…)`, is read to its end, whatever it is.

    Raises:
        OSError: reading failed, or it is no file.
    """
    if is_open_file(Path(path)):
        return Path(path).read_bytes()
    _check_is_file(os.stat(path).st_mode)
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
        _check_is_file(os.fstat(stream.fileno()).st_mode)  # it may have been replaced
        return stream.read()


def _check_is_file(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path` through `path`.part; it is on the disk when this returns.

    Symbolic links are followed and a replaced file keeps its permissions. Devices, pipes and `/dev/stdout` are written
    to directly.

    Raises:
        OSError: writing failed. An existing file is unchanged.
    """
    with named(path):
        _write_whole(path, content)


def _write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    target = replaceable(path)
    if target is None:
        with Path(path).open("wb") as stream:
            stream.write(content)
        return
    part = target.with_name(target.name + PART)
    part.unlink(missing_ok=True)  # it may be a link
    try:
        with part.open("xb") as stream:
            if target.exists():
                os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def is_open_file(path: str | os.PathLike[str]) -> bool:
    """Whether `path` leads to an open file of a process, such as `/dev/stdin` in a pipe."""
    return Path(os.path.realpath(path)).is_relative_to(_OPEN_FILES)


def replaceable(path: str | os.PathLike[str]) -> Path | None:
    """The regular file that `path` leads to, whether or not it exists yet.

    None for anything else: a folder, a device, a pipe, or an open file of a process such as `/dev/stdout`.
    """
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
