"""Writing to stdout: for terminals and files of any encoding, and for readers that leave early."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from reports.records.files import write_whole
from reports.text.plain import one_line
from scaleprof.cli.targets import check_target
from scaleprof.errors import user_errors


def replace_unencodable() -> None:
    """Let an output that is not UTF-8 show `?` for characters that it cannot encode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def tell(line: str, *, stderr: bool = False) -> None:
    """Print a line that may quote anything: it stays one line, and no character of it steers the terminal."""
    typer.echo(one_line(line), err=stderr)


def write(text: str) -> None:
    """Write all of `text` to stdout."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_data(text: str) -> None:
    """Write all of `text` to stdout as UTF-8, whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.flush()


def open_closed_streams() -> None:
    """Connect stdin, stdout and stderr to nothing where the shell has closed them (`>&-`).

    Otherwise Python has no such stream, and the next file that is opened takes its number.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            devnull = os.open(os.devnull, os.O_RDWR)
            os.dup2(devnull, descriptor)
            if devnull != descriptor:
                os.close(devnull)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


@contextmanager
def tolerate_broken_pipe() -> Iterator[None]:
    """Drop the rest of the output if the reader of stdout has left (`| head`), and go on after the block."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at exit
    except SystemExit as end:  # rich's own way of saying so, after the same cleanup
        if end.code != 1:
            raise


def check_csv(csv: str | None) -> None:
    """Raise `UserError` before anything runs if `--csv` cannot be written."""
    if csv is not None and csv != "-":
        check_target("--csv", Path(csv), instead="name a file, or - for stdout")


def write_csv(csv: str | None, text: str) -> None:
    """Write the results to `--csv`; raises `UserError` if that fails, and an existing file then stays."""
    with user_errors("--csv", writing=csv):
        if csv == "-":
            write_data(text)
        elif csv is not None:
            write_whole(csv, text.encode())
