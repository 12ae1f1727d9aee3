"""`scaleprof explain`: what makes the peak of a point's learning step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scaleprof.cli.arguments import GroupedCommand, command_of
from scaleprof.cli.formats import choose_format
from scaleprof.cli.output import tell, tolerate_broken_pipe, write
from scaleprof.cli.targets import check_target
from scaleprof.errors import UserError, user_errors
from scaleprof.points.axes import RESULTS, option, rows
from scaleprof.points.plan_request import PlanRequest

if TYPE_CHECKING:
    from reports.report.live_buffers import Explanation

HELP = """Say what makes the peak memory of one point's learning step, by compiling it for a device.

The largest buffers that are live at the peak, by part of the model, with the source line of each; then what needs less,
found by compiling that too. Nothing runs; the figures are an estimate.
"""


@dataclass(frozen=True, kw_only=True)
class ExplainCommand:
    """The options besides those of a plan."""

    no_advice: bool = option(False, "Do not compile variants that may need less", panel=RESULTS)
    format: str | None = option(None, "table or json", metavar="FORMAT", shown="table", panel=RESULTS)
    html: Path | None = option(None, "Also write a page with a treemap: FILE.html", metavar="FILE", panel=RESULTS)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    def run(values: Mapping[str, Any]) -> int:
        from scaleprof.points.options import make_request

        given = {name: value for name, value in values.items() if value is not None}
        command = ExplainCommand(**{name: given[name] for name in rows(ExplainCommand) if name in given})
        own = {name: given[name] for name in rows(PlanRequest) if name in given}
        request = make_request(own, None, PlanRequest, [])
        assert isinstance(request, PlanRequest)
        return explain_command(request, command)

    command = command_of(run, PlanRequest, ExplainCommand, name="explain", help=HELP)
    app.command(cls=GroupedCommand, short_help="Say what makes the peak memory of learning.")(command)


def explain_command(request: PlanRequest, command: ExplainCommand) -> int:
    """Explain the point of a request; returns the exit code."""
    from scaleprof.planning.explaining import explain

    chosen = choose_format("explain", None if command.format is None else [command.format])
    if command.html is not None:
        if command.html.suffix.lower() != ".html":
            raise UserError(f"--html: '{command.html}' does not end in .html: rename the file")
        check_target("--html", command.html)
    found = explain(request, lambda line: tell(line, stderr=True), advice=not command.no_advice)
    if command.html is not None:
        from reports.render.explanation_page import write_explanation_page

        with user_errors("--html"):
            write_explanation_page(found, command.html)
        tell(f"Written to {command.html}", stderr=True)
    with tolerate_broken_pipe():
        show(found, chosen)
    return 0


def show(found: Explanation, format_: str) -> None:
    """Print an explanation."""
    if format_ == "json":
        from reports.report.live_buffers import as_mapping

        write(json.dumps(as_mapping(found), indent=2) + "\n")
        return
    from reports.render.console import open_console
    from reports.render.terminal import print_document
    from reports.report.explanation import explanation_document

    print_document(open_console(), explanation_document(found))
