"""`--format`: one option with the same names for every command that prints results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from scaleprof.cli.arguments import option
from scaleprof.errors import UserError

CHECK_FORMATS = ("table", "markdown", "json", "github", "junit")
COMPARE_FORMATS = ("table", "markdown", "json")
HISTORY_FORMATS = ("table", "markdown", "json")
REPORT_FORMATS = ("table", "markdown", "json", "plot")
EXPORT_FORMATS = ("csv", "json", "bencher", "github-action-benchmark")
EXPLAIN_FORMATS = ("table", "json")
FORMATS = {
    "check": CHECK_FORMATS,
    "compare": COMPARE_FORMATS,
    "history": HISTORY_FORMATS,
    "report": REPORT_FORMATS,
    "export": EXPORT_FORMATS,
    "explain": EXPLAIN_FORMATS,
}
"""What each command can print; the first is its default."""

Formats = list[str] | None


def _option(command: str) -> object:
    default, *others = FORMATS[command]
    names = f"{', '.join([default, *others[:-1]])} or {others[-1]}"
    return option("--format", names, panel="Output", metavar="FORMAT", shown=default)


CheckFormat = Annotated[Formats, _option("check")]
CompareFormat = Annotated[Formats, _option("compare")]
HistoryFormat = Annotated[Formats, _option("history")]
ReportFormat = Annotated[Formats, _option("report")]
ExportFormat = Annotated[Formats, _option("export")]


def choose_format(command: str, given: Sequence[str] | None, aliases: Mapping[str, bool] | None = None) -> str:
    """The one format that is asked for, the default without any.

    Args:
        command: one of `FORMATS`.
        given: the values of `--format`.
        aliases: whether each older flag of a format, such as `--markdown`, was given.

    Raises:
        UserError: the command has no such format, or two different ones were given.
    """
    known = FORMATS[command]
    for name in given or ():
        if name not in known:
            from reports.text.hints import nearest

            raise UserError(f"--format: {command} has no format '{name}': {nearest(name, known)}")
    asked = {f"--format {name}": name for name in given or ()}
    asked |= {flag: flag.removeprefix("--") for flag, is_given in (aliases or {}).items() if is_given}
    if len(set(asked.values())) > 1:
        raise UserError(f"{', '.join(asked)}: give only one of these")
    return next(iter(asked.values()), known[0])
