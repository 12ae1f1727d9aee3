"""The lock of a run directory: one process at a time may write.

It is the kernel's lock (flock) on the file `lock`, so a dead process never holds it. The file stays and contains the
number of the last process that took it. Some file systems (Lustre without `-o flock`, FUSE) have no locks: there a
sweep says so and goes on.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import typer

from reports.records.files import named
from reports.text.plain import one_line
from scaleprof.errors import UserError

LOCK = "lock"
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)
"""What the kernel answers where a file system has no locks."""


def take_lock(folder: Path) -> int:
    """Lock a run directory; returns the descriptor that holds the lock until it is closed.

    Children do not inherit it. Raises `UserError` if another process holds it, `OSError` if the file is not writable.
    """
    with named(folder / LOCK):
        return _take_lock(folder)


def _take_lock(folder: Path) -> int:
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        _lock(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            line = f"scaleprof: {folder} is on a file system without locks: start no second sweep into it"
            typer.echo(one_line(line), err=True)
            return
        if not isinstance(error, BlockingIOError):
            raise
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        who = f" (process {holder})" if holder.isdigit() else ""
        raise UserError(f"{folder} is in use by another sweep{who}: wait for it, or name another folder") from None
