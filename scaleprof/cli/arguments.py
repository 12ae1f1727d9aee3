"""Command-line options from dataclasses of rows, and help that groups them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from scaleprof.errors import UserError
from scaleprof.points.axes import Option, option_name, rows

OTHER = "Other options"
"""The group of `--help`."""


def _format_options(command: TyperCommand | TyperGroup, ctx: Any, formatter: Any) -> None:
    """Write arguments, then each group of options under its heading, in the order of first mention."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            default = "Arguments" if param.param_type_name == "argument" else OTHER
            groups.setdefault(getattr(param, "rich_help_panel", None) or default, []).append(record)
    groups[OTHER] = groups.pop(OTHER, [])
    for heading, records in groups.items():
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)


class GroupedCommand(TyperCommand):
    """A command whose help groups its options by `rich_help_panel`, as plain text: rich would double the time."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options in groups."""
        _format_options(self, ctx, formatter)


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
    is_flag = bool in (hint, *typing.get_args(hint))
    default = f" [default: {row.shown}]" if row.shown else ""
    return Annotated[
        plain | None,
        typer.Option(
            row.flag,
            help=row.help + default,
            metavar=None if is_flag else row.metavar,
            show_default=False,
            rich_help_panel=row.panel,
        ),
    ]
