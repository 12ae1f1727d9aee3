"""What goes to stdout: to terminals and files of any encoding, and to readers that leave before the end."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reports.records.files import write_whole
from scaleprof.cli.targets import check_target
from scaleprof.errors import UserError


def replace_unencodable() -> None:
    """An output that is not UTF-8 shows `?` where there is a letter that it does not know."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def write(text: str) -> None:
    """Write all of `text` to stdout."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_data(text: str) -> None:
    """Write all of `text` to stdout as a file would hold it: in UTF-8, whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.flush()


@contextmanager
def tolerate_broken_pipe() -> Iterator[None]:
    """Within, a reader of stdout may have had enough (`| head`): the rest is not written, and what follows is done."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains about it at its end
    except SystemExit as end:  # so rich says the same, having done that
        if end.code != 1:
            raise


def check_csv(csv: str | None) -> None:
    """Raise `UserError` before anything runs if the CSV could not be written at the end."""
    if csv is not None and csv != "-":
        check_target("--csv", Path(csv), instead="name a file, or - for stdout")


def write_csv(csv: str | None, text: str) -> None:
    """Copy the results to where `--csv` says; raises `UserError` where that fails, and what was there stays."""
    try:
        if csv == "-":
            write_data(text)
        elif csv is not None:
            write_whole(csv, text.encode())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"--csv: cannot write {csv}: {error.strerror or error}") from None
