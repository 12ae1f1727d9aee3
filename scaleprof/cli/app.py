"""The program: one command line in, an exit code out. Heavy modules are imported where they are used."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from scaleprof import __version__
from scaleprof.cli import check, doctor, explain, fits, frontier, history, lists, plan_memory, report, sweep
from scaleprof.cli.output import open_closed_streams, replace_unencodable, tell
from scaleprof.errors import INTERRUPTED, UserError

app = typer.Typer(
    name="scaleprof",
    help="Which sequence model fits my memory, and how fast does it learn at 16, 128, 1024, 4096 agents?",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

_USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]
"""Typer's own class for a command line that it cannot parse."""
_NO_HOME = "Could not determine home directory."
"""What Python says of a user without HOME and without an entry in the password file."""


def run() -> None:
    """The console script."""
    sys.exit(main())


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit code (the README has a table of them)."""
    given = sys.argv[1:] if arguments is None else arguments
    open_closed_streams()
    replace_unencodable()
    if os.environ.get("COLUMNS") == "0":  # rich would print nothing at all
        del os.environ["COLUMNS"]
    try:
        result = app(given or ["--help"], prog_name="scaleprof", standalone_mode=False)
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except _USAGE_ERROR as error:
        command = error.ctx.command_path if error.ctx else _command_of(given)
        message = error.format_message().rstrip(".")
        return _fail(f"{message}{' See' if message.endswith('?') else '; see'} {command} --help", 2)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as end:
        if end.code != 1:
            raise
        return 0  # Typer and rich exit so when the reader of our output has left (`| head`)
    except OSError as error:
        what = "cannot write the output" if error.filename is None else f"cannot read or write {error.filename}"
        return _fail(f"{what}: {error.strerror or error}", 2)
    except Exception as error:  # exit code 1 would say that a regression was found
        if str(error) == _NO_HOME:
            return _fail("no home folder is known: set HOME", 2)
        if os.environ.get("SCALEPROF_TRACEBACK"):
            raise
        return _fail(f"this is a bug in scaleprof: {_described(error)}; SCALEPROF_TRACEBACK=1 shows the traceback", 2)
    return result if isinstance(result, int) else 0


def _command_of(given: list[str]) -> str:
    """The command whose option misses its value, which Typer does not tell."""
    known = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    return f"scaleprof {given[0]}" if given and given[0] in known else "scaleprof"


def _described(error: Exception) -> str:
    """An exception and where it was raised, in one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"


def _fail(message: str, code: int) -> int:
    tell(f"scaleprof: {message}", stderr=True)
    return code


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


for _commands in (sweep, plan_memory, fits, frontier, explain, report, lists, doctor, check, history):
    _commands.register(app)
