"""The command line: text in, frozen options out, an exit code back. Everything heavy is imported where it is used."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from scaleprof import __version__
from scaleprof.cli import check, doctor, lists, report, sweep
from scaleprof.cli.output import replace_unencodable
from scaleprof.errors import INTERRUPTED, UserError

app = typer.Typer(
    name="scaleprof",
    help="Which sequence model fits my memory, and how fast does it learn at 16, 128, 1024, 4096 agents?",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


def run() -> None:
    """The console script."""
    sys.exit(main())


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command line; returns the exit code (see the README's table)."""
    given = sys.argv[1:] if arguments is None else arguments
    replace_unencodable()
    if os.environ.get("COLUMNS") == "0":  # rich would print nothing at all
        del os.environ["COLUMNS"]
    try:
        result = app(given or ["--help"], prog_name="scaleprof", standalone_mode=False)
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except _USAGE_ERROR as error:
        return _fail(f"{error.format_message()} ('scaleprof --help' lists what there is)", 2)  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as end:
        if end.code != 1:
            raise
        return 0  # so Typer and rich end when whoever read our output has gone (`| head`): they had enough
    except OSError as error:
        return _fail(f"cannot write the output: {error.strerror or error}", 2)
    except Exception as error:  # not 1, which says that a regression was found
        if os.environ.get("SCALEPROF_TRACEBACK"):
            raise
        return _fail(f"this is a bug in scaleprof: {_described(error)}; SCALEPROF_TRACEBACK=1 shows all of it", 2)
    return result if isinstance(result, int) else 0


def _described(error: Exception) -> str:
    """Which exception it is and where it was raised, on one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"


def _fail(message: str, code: int) -> int:
    typer.echo(f"scaleprof: {' '.join(message.split())}", err=True)
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


for _commands in (sweep, report, lists, doctor, check):
    _commands.register(app)
