"""The commands that decide: compare, check, noise, and baseline with save and list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaleprof.cli.output import tolerate_broken_pipe, write
from scaleprof.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.checks.findings import Comparison
    from reports.checks.policy import CheckPolicy

CHECK_FORMATS = ("table", "markdown", "json", "github", "junit")
COMPARE_FORMATS = ("table", "markdown", "json")

Runs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN",
        help="BASE and NEW, each a run directory or its results.csv; or one run of live pairs.",
        show_default=False,
    ),
]
Thresholds = Annotated[
    list[str] | None,
    typer.Option("--threshold", metavar="METRIC=PERCENT", help="The change that is let pass: throughput=5%."),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        "--alpha", metavar="RATE", help="False discovery rate of sampled metrics. [default: 0.05]", show_default=False
    ),
]
CrossMachine = Annotated[
    bool, typer.Option("--cross-machine", help="Compare although machine, versions or flags differ.")
]
Metrics = Annotated[
    str | None,
    typer.Option("--metrics", metavar="LIST", help="Judge only these: xla_peak,throughput.", show_default="all"),
]
BaselineName = Annotated[
    str | None, typer.Option("--baseline", metavar="NAME", help="Take this saved baseline as BASE.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(short_help="Show two runs side by side, with ratios and intervals.")(compare)
    app.command(short_help="Say what got worse from one run to another; exit with 1 if anything did.")(check)
    app.command(short_help="Recommend thresholds from two runs of the same code.")(noise)
    baseline = typer.Typer(
        help="Keep runs to check later ones against.", rich_markup_mode=None, pretty_exceptions_enable=False
    )
    baseline.command("save", short_help="Keep a run under a name.")(baseline_save)
    baseline.command("list", short_help="List what is kept.")(baseline_list)
    app.add_typer(baseline, name="baseline", short_help="Keep runs to check later ones against.")


def compare(
    runs: Runs = None,
    baseline: BaselineName = None,
    cross_machine: CrossMachine = False,
    metrics: Metrics = None,
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="table, markdown or json.")] = "table",
) -> int:
    """Show every point that two runs have in common side by side, with ratios and exact intervals. Nothing is judged.

    One run of live pairs is compared with itself, side by side. --baseline NAME stands in for BASE; NEW is then the
    newest run under runs/ unless named.
    """
    _check_format(format_, COMPARE_FORMATS)
    policy = _policy(None, None, metrics, cross_machine=cross_machine, threshold_only=False)
    found = _compared(runs, baseline, policy)
    if format_ == "table":
        from rich.console import Console

        from reports.render.check_table import render_comparison

        render_comparison(found, Console(highlight=False))
    else:
        from reports.render import check_exports as verdicts

        write(verdicts.comparison_markdown(found) if format_ == "markdown" else verdicts.as_json(found))
    return 0


def check(
    runs: Runs = None,
    baseline: BaselineName = None,
    threshold: Thresholds = None,
    alpha: Alpha = None,
    threshold_only: Annotated[
        bool, typer.Option("--threshold-only", help="Take every change past its threshold for real, untested.")
    ] = False,
    cross_machine: CrossMachine = False,
    metrics: Metrics = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="table, markdown, json, github or junit.")
    ] = "table",
    everything: Annotated[bool, typer.Option("--all", help="Also show what did not change, in the table.")] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit with 0 whatever was found.")] = False,
) -> int:
    """Say what got worse from BASE to NEW, and exit with 1 if anything did, with 4 if it could not be compared.

    A sampled metric got worse if it is past its threshold and significant over repeats. Thresholds also stand in the
    table [tool.scaleprof.check] of a pyproject.toml. One run of live pairs is checked alone. --baseline NAME stands in
    for BASE; NEW is then the newest run under runs/ unless named.
    """
    _check_format(format_, CHECK_FORMATS)
    policy = _policy(threshold, alpha, metrics, cross_machine=cross_machine, threshold_only=threshold_only)
    found = _compared(runs, baseline, policy)
    with tolerate_broken_pipe():
        _show_check(found, format_, everything=everything)
    return 0 if exit_zero else found.exit_code


def _show_check(found: Comparison, format_: str, *, everything: bool) -> None:
    if format_ == "table":
        from rich.console import Console

        from reports.render.check_table import render_check

        render_check(found, Console(highlight=False), everything=everything)
    else:
        from reports.render import check_exports as verdicts

        writers = {
            "markdown": verdicts.as_markdown,
            "json": verdicts.as_json,
            "github": verdicts.as_github,
            "junit": verdicts.as_junit,
        }
        write(writers[format_](found))


def noise(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory or its results.csv.")],
    second: Annotated[
        Path | None, typer.Argument(metavar="[RUN2]", help="Another run of the same code.", show_default=False)
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Measure RUN once more with its own options, as RUN2, under runs/.")
    ] = False,
) -> int:
    """Recommend thresholds for this machine from what differs where nothing was changed.

    Give two runs of the same code, or one and --again; a run of live pairs of the same code; or one run with at least
    two repeats, which is split in two.
    """
    from rich.console import Console

    from reports.checks.findings import NOTHING_COMPARED, NothingToCompareError
    from reports.checks.noise import measure_noise
    from reports.render.check_table import render_noise
    from scaleprof.runs.baselines import load_any

    first = load_any(run)
    if again:
        from scaleprof.cli.run_sweep import measure_again

        if second is not None:
            raise UserError(f"--again: there is a second run already, {second}: leave one of them out")
        measured = measure_again(run, "--again")
        if isinstance(measured, int):
            return measured
        second = measured
    try:
        found = measure_noise(first, None if second is None else load_any(second))
    except NothingToCompareError as error:
        raise UserError(str(error), NOTHING_COMPARED) from None
    except ValueError as error:
        raise UserError(str(error)) from None
    render_noise(found, Console(highlight=False))
    return 0


def baseline_save(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="A run directory or its results.csv.", show_default="the newest in runs/"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a baseline of that name.")] = False,
) -> int:
    """Keep what a check needs of a run in .scaleprof/baselines/NAME of the project, small enough to commit."""
    from reports.text.units import format_bytes
    from scaleprof.runs import baselines

    here = Path.cwd()
    chosen = baselines.newest_run(here) if run is None else run
    path = baselines.save(name, baselines.load_any(chosen), here, force=force)
    size = sum(file.stat().st_size for file in path.iterdir())
    typer.echo(f"Saved {chosen} as {path} ({format_bytes(size)})")
    return 0


def baseline_list() -> int:
    """List the baselines of the project, with what they hold."""
    from reports.text.units import format_bytes
    from scaleprof.runs import baselines

    found = baselines.saved(Path.cwd())
    for one in found:
        typer.echo(f"{one.name}: {one.points} points, {one.records} records, {format_bytes(one.bytes)}")
    if not found:
        typer.echo("No baselines. Save one: scaleprof baseline save NAME [RUN]")
    return 0


def _check_format(name: str, known: Sequence[str]) -> None:
    from scaleprof.points.parsing import nearest

    if name not in known:
        raise UserError(f"--format: there is no format '{name}': {nearest(name, known)}")


def _policy(
    thresholds: Sequence[str] | None,
    alpha: float | None,
    metrics: str | None,
    *,
    cross_machine: bool,
    threshold_only: bool,
) -> CheckPolicy:
    """The defaults, what the project's pyproject.toml says, and on top what was given on the command line."""
    import dataclasses

    from reports.checks import policy as policies

    option = ""
    try:
        found = policies.find_policy(Path.cwd())
        policy = policies.CheckPolicy() if found is None else found[1]
        option = "--threshold: "
        policy = policy.with_thresholds(dict(map(policies.parse_threshold, thresholds or ())))
        option = "--alpha: "
        if alpha is not None:
            policy = dataclasses.replace(policy, alpha=policies.check_alpha(alpha))
        option = "--metrics: "
        if metrics is not None:
            names = tuple(name.strip() for name in metrics.split(","))
            for name in names:
                policies.check_metric(name)
            policy = dataclasses.replace(policy, metrics=names)
    except ValueError as error:
        raise UserError(f"{option}{error}") from None
    return dataclasses.replace(policy, cross_machine=cross_machine, threshold_only=threshold_only)


def _compared(paths: list[Path] | None, baseline: str | None, policy: CheckPolicy) -> Comparison:
    """What was named on the command line, compared: two runs, a baseline and a run, or the sides of one."""
    from reports.checks.compare import compare_runs, compare_sides
    from reports.checks.findings import NOTHING_COMPARED, NothingToCompareError
    from scaleprof.runs import baselines

    given = paths or []
    if len(given) > (2 if baseline is None else 1):
        named = "BASE and NEW" if baseline is None else "--baseline and NEW"
        raise UserError(f"{len(given)} runs were named: give {named}")
    if not given and baseline is None:
        raise UserError("there is nothing to compare: name BASE and NEW, one run of live pairs, or --baseline NAME")
    try:
        if baseline is not None:
            base = baselines.load(baseline, Path.cwd())
            new = baselines.load_any(given[0] if given else baselines.newest_run(Path.cwd()))
            return compare_runs(base, new, policy)
        if len(given) == 1:
            return compare_sides(baselines.load_any(given[0]), policy)
        return compare_runs(baselines.load_any(given[0]), baselines.load_any(given[1]), policy)
    except NothingToCompareError as error:
        raise UserError(str(error), NOTHING_COMPARED) from None
    except ValueError as error:
        raise UserError(str(error)) from None
