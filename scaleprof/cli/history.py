"""The command that looks back: history, the figures of several runs with the steps in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaleprof.cli.arguments import GroupedCommand, option
from scaleprof.cli.check import (
    OUTPUT,
    WHAT,
    Alpha,
    CrossMachine,
    Metrics,
    Thresholds,
    Where,
    policy_of,
    show_document,
)
from scaleprof.cli.formats import HistoryFormat, choose_format
from scaleprof.cli.output import tell, tolerate_broken_pipe, write
from scaleprof.cli.targets import check_target
from scaleprof.errors import UserError, user_errors
from scaleprof.points import completions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.records.run import Run

PICTURES = (".png", ".svg", ".pdf")
Baselines = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="BASELINE",
        help="Saved baselines, run directories or CSV files [default: all saved baselines]",
        show_default=False,
        autocompletion=completions.baselines,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=GroupedCommand, short_help="Show figures over several runs, and where they step.")(history)


def history(
    baselines: Baselines = None,
    as_given: Annotated[
        bool, option("--as-given", "Keep the given order, not that of when runs were made", panel=WHAT)
    ] = False,
    cross_machine: CrossMachine = False,
    metrics: Metrics = None,
    where: Where = None,
    allow_incomplete: Annotated[
        bool, option("--allow-incomplete", "Take runs that lack some of their records", panel=WHAT)
    ] = False,
    threshold: Thresholds = None,
    alpha: Alpha = None,
    format_: HistoryFormat = None,
    everything: Annotated[
        bool, option("--all", "Also list the figures of points that did not change", panel=OUTPUT)
    ] = False,
    plot: Annotated[
        Path | None, option("--plot", "Also draw a picture: FILE.png, .svg or .pdf", panel=OUTPUT, metavar="FILE")
    ] = None,
    html: Annotated[Path | None, option("--html", "Also write a page: FILE.html", panel=OUTPUT, metavar="FILE")] = None,
) -> int:
    """Show the figures of several runs over time, and name each step: a change past the metric's threshold that lasts.

    Steps are judged as in check, over all repeats before and after. A change of one run alone is a spike, one without
    a single cause a drift. Runs that are not comparable (another host, other versions) are named, and no step is
    looked for across them. The exit code is 0 whatever is found, and 4 if nothing could be compared.
    """
    from reports.history.history_documents import history_document
    from reports.history.steps import history_of

    chosen = choose_format("history", format_)
    _check_files(plot, html)
    policy = policy_of(threshold, alpha, metrics, cross_machine=cross_machine, threshold_only=False)
    runs = _read(baselines or [], where or [])
    with user_errors():
        found = history_of(runs, replace(policy, allow_incomplete=allow_incomplete), as_given=as_given)
    if plot is not None:
        from reports.render.history_figure import write_history_figure

        with user_errors("--plot"):
            write_history_figure(found, plot)
        tell(f"Written to {plot}", stderr=True)
    if html is not None:
        from reports.render.history_page import write_history_page

        with user_errors("--html"):
            write_history_page(found, html)
        tell(f"Written to {html}", stderr=True)
    with tolerate_broken_pipe():
        if chosen == "json":
            from reports.render.history_exports import history_json

            write(history_json(found))
        else:
            show_document(history_document(found, everything=everything), chosen)
    return 0


def _check_files(plot: Path | None, html: Path | None) -> None:
    """Raise `UserError` before anything is read if a file cannot be written."""
    for flag, path, endings in (("--plot", plot, PICTURES), ("--html", html, (".html",))):
        if path is not None:
            if path.suffix.lower() not in endings:
                raise UserError(f"{flag}: '{path}' does not end in {' or '.join(endings)}: rename the file")
            check_target(flag, path)


def _read(names: Sequence[str], where: Sequence[str]) -> list[tuple[str, Run]]:
    """The runs that the command line names, each with the name that it has in the history."""
    from reports.arrange import selection
    from scaleprof.runs import baselines

    found = {run.path.resolve(): (name, run) for name in names or baselines.names(Path.cwd()) for run in [_one(name)]}
    if len(found) < 2:
        what = "one run is no history" if found else "there is no saved baseline"
        raise UserError(f"{what}: give two or more baselines, run directories or CSV files")
    given, runs = [name for name, _ in found.values()], [run for _, run in found.values()]
    with user_errors("--where"):
        kept = {id(record) for record in selection.where_points([one for run in runs for one in run.records], where)}
    runs = [replace(run, records=tuple(one for one in run.records if id(one) in kept)) for run in runs]
    return list(zip(_labels(given, runs), runs, strict=True))


def _one(name: str) -> Run:
    """A saved baseline of that name, else the run at that path."""
    from scaleprof.runs import baselines
    from scaleprof.runs.store import read_run

    known = baselines.names(Path.cwd())
    if name in known:
        return baselines.load(name, Path.cwd())
    if not Path(name).exists():
        saved = f"saved baselines are {', '.join(known)}" if known else "no baseline is saved"
        raise UserError(f"{name} is no saved baseline, and there is no such run directory or file: {saved}")
    return read_run(Path(name))


def _labels(given: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """The name of each run, or what the command line calls it if names clash."""
    own = [run.name.removeprefix("baseline ") for run in runs]
    return [text if own.count(name) > 1 else name for text, name in zip(given, own, strict=True)]
