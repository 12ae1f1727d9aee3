"""The commands that decide: compare, check, noise, and baseline with save and list."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaleprof.cli.arguments import GroupedCommand, option
from scaleprof.cli.formats import CheckFormat, CompareFormat, choose_format
from scaleprof.cli.output import tell, tolerate_broken_pipe, write
from scaleprof.errors import UserError, user_errors
from scaleprof.points import completions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.checks.findings import Comparison
    from reports.checks.policy import CheckPolicy
    from reports.text.section import Document

WHAT, JUDGING, OUTPUT = "What to compare", "How to judge", "Output"

JOB_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable with the path of GitHub's job summary (docs.github.com, "Workflow commands for GitHub Actions")."""
Runs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN",
        help="BASE and NEW: run directories or CSV files; or one run of live pairs",
        show_default=False,
    ),
]
Thresholds = Annotated[
    list[str] | None,
    option("--threshold", "Allowed change: throughput=5% (repeatable)", panel=JUDGING, metavar="METRIC=PERCENT"),
]
Alpha = Annotated[
    float | None,
    option("--alpha", "False discovery rate of sampled metrics", panel=JUDGING, metavar="RATE", shown="0.05"),
]
CrossMachine = Annotated[bool, option("--cross-machine", "Compare even if host, versions or flags differ", panel=WHAT)]
Metrics = Annotated[
    str | None, option("--metrics", "Only these metrics: xla_peak,throughput", panel=WHAT, metavar="LIST", shown="all")
]
Where = Annotated[
    list[str] | None,
    option(
        "--where",
        "Only these points: model=sable, 'agents>=128' (repeatable)",
        panel=WHAT,
        metavar="CONDITION",
    ),
]
AllowIncomplete = Annotated[
    bool, option("--allow-incomplete", "Accept a run that lacks some of its records as BASE", panel=WHAT)
]
BaselineName = Annotated[
    str | None,
    option("--baseline", "Saved baseline to use as BASE", panel=WHAT, metavar="NAME", complete=completions.baselines),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(cls=GroupedCommand, short_help="Show two runs side by side, with ratios and intervals.")(compare)
    app.command(cls=GroupedCommand, short_help="Show what got worse between two runs; exit with 1 if anything did.")(
        check
    )
    app.command(cls=GroupedCommand, short_help="Recommend thresholds from two runs of the same code.")(noise)
    baseline = typer.Typer(
        help="Save runs as baselines for later checks.", rich_markup_mode=None, pretty_exceptions_enable=False
    )
    baseline.command("save", cls=GroupedCommand, short_help="Save a run as a baseline.")(baseline_save)
    baseline.command("list", cls=GroupedCommand, short_help="List the saved baselines.")(baseline_list)
    app.add_typer(baseline, name="baseline", short_help="Save runs as baselines for later checks.")


def compare(
    runs: Runs = None,
    baseline: BaselineName = None,
    cross_machine: CrossMachine = False,
    metrics: Metrics = None,
    where: Where = None,
    format_: CompareFormat = None,
) -> int:
    """Show the points that two runs share side by side, with ratios and exact intervals, without judging them.

    One run of live pairs is compared side by side. With --baseline NAME as BASE, NEW defaults to the newest run in
    runs/.
    """
    chosen = choose_format("compare", format_)
    policy = policy_of(None, None, metrics, cross_machine=cross_machine, threshold_only=False)
    found = _compare(runs, baseline, replace(policy, allow_incomplete=True), where or ())
    if chosen == "json":
        from reports.render.check_exports import as_json

        write(as_json(found))
    else:
        from reports.checks.documents import comparison_document

        show_document(comparison_document(found), chosen)
    return 0


def check(
    runs: Runs = None,
    baseline: BaselineName = None,
    threshold: Thresholds = None,
    alpha: Alpha = None,
    threshold_only: Annotated[bool, option("--threshold-only", "Skip significance tests", panel=JUDGING)] = False,
    cross_machine: CrossMachine = False,
    metrics: Metrics = None,
    format_: CheckFormat = None,
    everything: Annotated[
        bool, option("--all", "Also list what is unchanged or not comparable in the table", panel=OUTPUT)
    ] = False,
    where: Where = None,
    allow_missing: Annotated[
        bool, option("--allow-missing", "Points of BASE that NEW lacks are no regression", panel=WHAT)
    ] = False,
    allow_incomplete: AllowIncomplete = False,
    fail_inconclusive: Annotated[
        bool, option("--fail-inconclusive", "Exit with 5 if a change could not be judged", panel=OUTPUT)
    ] = False,
    exit_zero: Annotated[bool, option("--exit-zero", "Exit with 0 even if something got worse", panel=OUTPUT)] = False,
) -> int:
    """Show what got worse from BASE to NEW; exit with 1 if anything did, with 4 if nothing could be compared.

    A check is inconclusive if a change past its threshold could not be judged (too few repeats, CPU contention, figures
    missing or not comparable): it exits with 0, or with 5 under --fail-inconclusive.

    A sampled metric got worse if its change exceeds the threshold and is significant over repeats. Thresholds can also
    be set in pyproject.toml, in the table [tool.scaleprof.check]. A single run of live pairs is checked on its
    own. With --baseline NAME as BASE, NEW defaults to the newest run in runs/.
    """
    chosen = choose_format("check", format_)
    policy = replace(
        policy_of(threshold, alpha, metrics, cross_machine=cross_machine, threshold_only=threshold_only),
        fail_inconclusive=fail_inconclusive,
        allow_missing=allow_missing,
        allow_incomplete=allow_incomplete,
    )
    found = _compare(runs, baseline, policy, where or ())
    with tolerate_broken_pipe():
        _show_check(found, chosen, everything=everything)
    return 0 if exit_zero else found.exit_code


def _show_check(found: Comparison, format_: str, *, everything: bool) -> None:
    if format_ in ("table", "markdown"):
        from reports.checks.documents import check_document

        show_document(check_document(found, everything=everything or format_ == "markdown"), format_)
    else:
        from reports.render import check_exports

        writers = {"json": check_exports.as_json, "github": check_exports.as_github, "junit": check_exports.as_junit}
        write(writers[format_](found))
    if format_ == "github":
        _add_to_job_summary(found)


def _add_to_job_summary(found: Comparison) -> None:
    """Append the whole check as Markdown to the file that GitHub shows as the job's summary, if there is one."""
    path = os.environ.get(JOB_SUMMARY)
    if path:
        from reports.checks.documents import check_document
        from reports.render.markdown import markdown

        with user_errors(JOB_SUMMARY, writing=path), Path(path).open("a", encoding="utf-8") as stream:
            stream.write(markdown(check_document(found, everything=True)))


def show_document(document: Document, format_: str) -> None:
    """Print a document as a table or as Markdown."""
    if format_ == "markdown":
        from reports.render.markdown import markdown

        write(markdown(document))
    else:
        from reports.render.console import open_console
        from reports.render.terminal import print_document

        print_document(open_console(), document)


def noise(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory or CSV file")],
    second: Annotated[
        Path | None, typer.Argument(metavar="RUN2", help="Another run of the same code", show_default=False)
    ] = None,
    again: Annotated[
        bool, option("--again", "Measure RUN again with its own options, and use that as RUN2", panel=WHAT)
    ] = False,
    trust: Annotated[
        bool,
        option("--trust", "With --again, allow code that only RUN names", panel=WHAT),
    ] = False,
) -> int:
    """Recommend thresholds for this host from differences between measurements of the same code.

    Give two runs of the same code, one run and --again, one run of live pairs of the same code, or one run with at
    least two repeats, which is split in two.
    """
    from reports.checks.documents import noise_document
    from reports.checks.noise import measure_noise
    from scaleprof.runs.store import read_run

    if trust and not again:
        raise UserError("--trust: only a run that is measured again starts code: add --again")
    first = read_run(run)
    if again:
        from scaleprof.cli.run_sweep import measure_again

        if second is not None:
            raise UserError(f"--again: RUN2 is already given, {second}: omit one of them")
        measured = measure_again(run, "--again", trust=trust)
        if isinstance(measured, int):
            return measured
        second = measured
    with user_errors():
        found = measure_noise(first, None if second is None else read_run(second))
    show_document(noise_document(found), "table")
    return 0


def baseline_save(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the baseline")],
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN", help="Run directory or CSV file [default: the newest in runs/]", show_default=False
        ),
    ] = None,
    force: Annotated[bool, option("--force", "Replace an existing baseline", panel=OUTPUT)] = False,
    allow_incomplete: Annotated[
        bool, option("--allow-incomplete", "Save a run that lacks some of its records", panel=OUTPUT)
    ] = False,
) -> int:
    """Save the part of a run that checks need in .scaleprof/baselines/NAME, small enough to commit."""
    from reports.text.units import format_bytes
    from scaleprof.runs import baselines
    from scaleprof.runs.store import read_run

    here = Path.cwd()
    chosen = baselines.newest_run(here) if run is None else run
    path = baselines.save(name, read_run(chosen), here, force=force, allow_incomplete=allow_incomplete)
    size = baselines.size_of(path)
    tell(f"Saved {chosen} as {path} ({format_bytes(size)})")
    return 0


def baseline_list() -> int:
    """List the project's baselines with their points, records and size."""
    from reports.text.units import counted, format_bytes
    from scaleprof.runs import baselines

    found, damaged = baselines.saved(Path.cwd())
    for one in found:
        counts = f"{counted(one.points, 'point')}, {counted(one.records, 'record')}"
        tell(f"{one.name}: {counts}, {format_bytes(one.bytes)}")
    if damaged:
        raise UserError("; ".join(damaged))
    if not found:
        typer.echo("No baselines. Save one: scaleprof baseline save NAME [RUN]")
    return 0


def policy_of(
    thresholds: Sequence[str] | None,
    alpha: float | None,
    metrics: str | None,
    *,
    cross_machine: bool,
    threshold_only: bool,
) -> CheckPolicy:
    """The command line's policy over that of the project's pyproject.toml over the defaults."""
    import dataclasses

    from reports.checks import policy as policies

    with user_errors():
        found = policies.find_policy(Path.cwd())
    policy = policies.CheckPolicy() if found is None else found[1]
    with user_errors("--threshold"):
        policy = policy.with_thresholds(dict(map(policies.parse_threshold, thresholds or ())))
    with user_errors("--alpha"):
        if alpha is not None:
            policy = dataclasses.replace(policy, alpha=policies.check_alpha(alpha))
    with user_errors("--metrics"):
        if metrics is not None:
            names = tuple(name.strip() for name in metrics.split(","))
            for name in names:
                policies.check_metric(name)
            policy = dataclasses.replace(policy, metrics=names)
    return dataclasses.replace(policy, cross_machine=cross_machine, threshold_only=threshold_only)


def _compare(paths: list[Path] | None, baseline: str | None, policy: CheckPolicy, where: Sequence[str]) -> Comparison:
    """Compare what the command line names: two runs, a baseline and a run, or the sides of one run."""
    from reports.arrange import selection
    from reports.checks.compare import compare_runs, compare_sides
    from scaleprof.runs import baselines
    from scaleprof.runs.store import read_run

    given = paths or []
    if len(given) > (2 if baseline is None else 1):
        named = "BASE and NEW" if baseline is None else "--baseline and NEW"
        raise UserError(f"{len(given)} runs are too many: give {named}")
    if not given and baseline is None:
        raise UserError("nothing to compare: give BASE and NEW, one run of live pairs, or --baseline NAME")
    if baseline is not None:
        runs = [baselines.load(baseline, Path.cwd()), read_run(given[0] if given else baselines.newest_run(Path.cwd()))]
    else:
        runs = [read_run(path) for path in given]
    with user_errors("--where"):
        runs = [replace(run, records=tuple(selection.where_points(run.records, where))) for run in runs]
    with user_errors():
        return compare_sides(runs[0], policy) if len(runs) == 1 else compare_runs(runs[0], runs[1], policy)
