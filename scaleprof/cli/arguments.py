"""Command-line options from dataclasses of rows, and help that groups them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from scaleprof.errors import UserError
from scaleprof.points.axes import Option, option_name, rows
from scaleprof.points.completions import Completer

ARGUMENTS, OTHER = "Arguments", "Other options"
"""The groups of arguments and of `--help`."""
NO_BREAK = "\N{NO-BREAK SPACE}"


class GroupedCommand(TyperCommand):
    """A command whose help groups its options by `rich_help_panel`.

    It is plain text, for terminals and pipes alike: rich would double the time that help takes.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then each group of options under its heading; `--help` comes last."""
        groups: dict[str, list[tuple[str, str]]] = {ARGUMENTS: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and param.param_type_name == "argument":
                groups[ARGUMENTS].append((record[0].partition(" <")[0], record[1]))  # without Python's type
            elif record is not None:
                groups.setdefault(getattr(param, "rich_help_panel", None) or OTHER, []).append(record)
        groups[OTHER] = groups.pop(OTHER, [])
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl([(names, _keep_default_whole(text)) for names, text in records])
        formatter.buffer[:] = [text.replace(NO_BREAK, " ") for text in formatter.buffer]


def _keep_default_whole(text: str) -> str:
    """A help text whose `[default: …]` is not broken over two lines."""
    before, bracket, default = text.partition("[default: ")
    return before + (bracket + default).replace(" ", NO_BREAK)


def option(
    flag: str,
    help: str,  # noqa: A002
    *,
    panel: str,
    metavar: str | None = None,
    shown: str = "",
    complete: Completer | None = None,
) -> Any:
    """An option of a command written by hand, in a group; `shown` is its default in words."""
    default = f" [default: {shown}]" if shown else ""
    return typer.Option(
        flag,
        help=help + default,
        metavar=metavar,
        show_default=False,
        rich_help_panel=panel,
        autocompletion=complete,
    )


def command_of(
    run: Callable[[Mapping[str, Any]], int],
    *kinds: type[Any],
    name: str,
    help: str,  # noqa: A002
) -> Callable[..., int]:
    """A function for Typer with an option for each row of the dataclasses `kinds`; it hands `run` all values."""

    def command(**values: Any) -> int:
        for option, value in values.items():
            if value == "":  # such as an unset shell variable
                raise UserError(f"{option_name(option)}: must not be empty: give a value or omit it")
        return run(values)

    parameters = [parameter for kind in kinds for parameter in _parameters(kind)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__name__, command.__doc__ = name, help
    return command


def _parameters(kind: type[Any]) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(kind)
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(row, hints[name]))
        for name, row in rows(kind).items()
    ]


def _annotation(row: Option, hint: Any) -> Any:
    """The type of an option that may be left out, with what Typer needs to know of it."""
    plain = list[str] if typing.get_origin(hint) is tuple else hint
    metavar = None if bool in (hint, *typing.get_args(hint)) else row.metavar
    made = option(row.flag, row.help, panel=row.panel, metavar=metavar, shown=row.shown, complete=row.complete)
    return Annotated[plain | None, made]
