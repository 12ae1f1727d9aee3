"""Run a checked plan: files, progress, a summary and an exit code."""

from __future__ import annotations

import errno
import itertools
import os
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from rich.console import Console

from reports.records.record import BETWEEN, PLAN, has_result, is_between, point_key
from reports.records.run import run_so_far
from reports.render.console import open_console
from reports.render.terminal import print_lines, render_grid, render_summary
from reports.report.missing import missing_of
from reports.report.summary import point_count
from reports.text.plain import one_line
from reports.text.units import counted, format_bytes, format_seconds
from scaleprof.cli.output import check_csv, tell, tolerate_broken_pipe, write_csv
from scaleprof.errors import INTERRUPTED, UserError, user_errors
from scaleprof.launch.host_description import this_machine
from scaleprof.launch.launcher import Launcher
from scaleprof.launch.preflight import changed_fields, preflight
from scaleprof.launch.spoilers import spoilers
from scaleprof.points.plan import SweepPlan
from scaleprof.points.point import Point
from scaleprof.runs.baselines import RUNS
from scaleprof.runs.store import RunDirectory, check_free, csv_text, records_so_far
from scaleprof.sweep.foresight import foresee, newest_runs
from scaleprof.sweep.loop import SweepInterruptedError, TimeIsUpError, sweep
from scaleprof.sweep.progress import Progress
from scaleprof.sweep.resuming import RETRYABLE, check_platform, plan_again, points_to_measure
from scaleprof.sweep.time_left import Estimate
from scaleprof.sweep.trust import named_code, trusting

FAILED = 3
"""The exit code when every point failed; under `--strict`, when any did."""


def show_grid(plan: SweepPlan, from_files: str) -> int:
    """`--dry-run`: print the points and the options that files set, and write nothing."""
    if from_files:
        tell(f"Options {from_files}")
    _show_points(plan, plan.all_points, newest_runs(RUNS))
    return 0


def run(plan: SweepPlan, from_files: str, *, out: Path | None, csv: str | None, strict: bool) -> int:
    """Measure all points of the plan in a new folder, by default `claimed_folder`; returns the exit code."""
    check_csv(csv)
    if out is not None:
        check_free(out)
        with user_errors("--out", writing=out):
            _check_writable(out)
    with nullcontext(out) if out is not None else claimed_folder(plan.scenario) as folder:
        announce(plan, plan.all_points, folder, from_files)
        launcher, described = preflight(plan)
        run_directory = RunDirectory.create(folder, plan.manifest, described)
    with closing(run_directory):
        return measure_and_show(plan, list(enumerate(plan.all_points)), run_directory, launcher, csv=csv, strict=strict)


def resume(
    plan: SweepPlan,
    folder: Path,
    *,
    retry: Collection[str],
    csv: str | None,
    strict: bool,
    code: Sequence[str] = (),
    trust: bool = False,
) -> int:
    """Measure the missing points of the run in `folder`, and those with a status in `retry`; returns the exit code.

    `code` is what only the run's manifest names (`named_code`): it is started only with `trust`.
    """
    check_csv(csv)
    with closing(RunDirectory.open(folder)) as run_directory:
        work = points_to_measure(plan, folder, run_directory.records, retry)
        launcher = None
        if work:
            trusted = trusting(folder, "--resume", code, trust=trust)
            announce(plan, [point for _, point in work], folder, also=trusted)
            launcher, described = preflight(plan)
            check_platform(folder, run_directory.records, described["platform"])
            changed = changed_fields(run_directory.host(), described)
            if changed:
                say(f"scaleprof: changed since the run began: {', '.join(changed)}")
            run_directory.add_host(described)
        return measure_and_show(plan, work, run_directory, launcher, csv=csv, strict=strict)


def announce(plan: SweepPlan, points: Sequence[Point], folder: Path, from_files: str = "", *, also: str = "") -> None:
    """Say at once, before the first process starts, what begins: these points of the plan, and `also` that."""
    count, options = _counted(plan, points), plan.options
    limits = [] if options.timeout_grows else [format_seconds(options.timeout_seconds)]
    limits.append(format_bytes(options.memory_limit_bytes))
    if plan.options.measure == (PLAN,):
        say(f"{count} to plan, to fit into {limits[-1]}; run folder {folder}")
    else:
        say(f"{count}, up to {' and '.join(limits)}{' each' if len(points) > 1 else ''}; run folder {folder}")
    if from_files:
        say(f"Options {from_files}")
    if plan.options.measure == (PLAN,):
        return
    for found in spoilers(os.environ, plan.options.pin):
        say(f"scaleprof: may spoil the measurement: {found}")
    if also:
        say(also)


def _counted(plan: SweepPlan, points: Sequence[Point]) -> str:
    """`18 points`, `6 points, 18 repeats in all`, or `18 points and 24 planned`."""
    between = set(plan.between).intersection(points)
    measured = [point for point in points if point not in between]
    count = point_count(len({point.without_repeat for point in measured}), len(measured))
    return f"{count} and {len(between)} planned" if between else count


def say(line: str) -> None:
    """Print a line to stderr."""
    open_console(stderr=True).print(one_line(line), soft_wrap=True, markup=False)


def show_missing(plan: SweepPlan, folder: Path, *, retry: Collection[str]) -> int:
    """`--resume --dry-run`: print the missing points and write nothing."""
    records = records_so_far(folder)
    _show_points(plan, [point for _, point in points_to_measure(plan, folder, records, retry)], [folder])
    return 0


def _show_points(plan: SweepPlan, points: Sequence[Point], earlier: Sequence[Path]) -> None:
    """Print points, and how long they take where an earlier run tells."""
    console, only_planned = open_console(), set(plan.between)
    found = foresee(plan, points, earlier, this_machine())
    records = [point.record(measure=BETWEEN if point in only_planned else "") for point in points]
    plans = found.plans if found is not None else {}
    render_grid([replace(record, xla_peak_bytes=plans.get(point_key(record))) for record in records], console)
    if found is not None:
        minutes = round(found.seconds / 60)
        about = f"About {counted(minutes, 'minute')}" if minutes else "Less than a minute"
        print_lines(console, one_line(f"{about}, judging by {found.run}"))


def measure_again(folder: Path, option: str, *, trust: bool) -> Path | int:
    """Measure all points of the run in `folder` again, in a new folder; returns it, or the exit code if interrupted.

    All output goes to stderr. Raises `UserError`, naming `option`, if there is no run, it cannot be measured here, or
    it names code and `trust` is not given.
    """
    plan = plan_again(folder, option)
    trusted = trusting(folder, option, named_code(plan), trust=trust)
    with claimed_folder(plan.scenario) as new:
        announce(plan, plan.all_points, new, also=trusted)
        launcher, described = preflight(plan)
        run_directory = RunDirectory.create(new, plan.manifest, described)
    with closing(run_directory):
        work = list(enumerate(plan.all_points))
        code = measure_and_show(plan, work, run_directory, launcher, csv=None, strict=False, aside=True)
    return code or new


def measure_and_show(
    plan: SweepPlan,
    work: Sequence[tuple[int, Point]],
    run_directory: RunDirectory,
    launcher: Launcher | None,
    *,
    csv: str | None,
    strict: bool,
    aside: bool = False,
) -> int:
    """Measure the points in `work` and summarise the whole run; returns the exit code.

    `launcher` is None if there are none. Progress goes to stderr. The summary goes to stdout, or to stderr if stdout
    carries the CSV or with `aside`.
    """
    folder = run_directory.path
    progress = open_console(stderr=True)
    ended_by: Exception | None = None
    try:
        _measure(plan, work, run_directory, launcher, progress)
    except (SweepInterruptedError, TimeIsUpError, UserError) as error:  # a UserError: the disk is full
        ended_by = error  # first show the results so far
    records = run_directory.records
    with tolerate_broken_pipe():
        console = progress if aside or csv == "-" else open_console()
        missing = missing_of([run_so_far(folder, records, plan.manifest)])
        render_summary(records, console, title=f"Run {folder}", missing=missing)
    if not isinstance(ended_by, UserError):
        progress.print(one_line(f"Written to {folder}"), soft_wrap=True, markup=False)
    write_csv(csv, csv_text(records))
    if isinstance(ended_by, UserError):
        raise ended_by
    if ended_by is not None:
        ended = len(plan.all_points) - len(points_to_measure(plan, folder, records, ()))
        command = f"scaleprof sweep --resume {shlex.quote(str(folder))}{' --trust' if named_code(plan) else ''}"
        why = "Interrupted" if isinstance(ended_by, SweepInterruptedError) else "Time is up (--max-hours)"
        what = "repeats" if any(point.repeat for point in plan.all_points) else "points"
        message = f"{why} after {ended} of {len(plan.all_points)} {what}; resume with: {command}"
        progress.print(one_line(message), soft_wrap=True, markup=False)
    if isinstance(ended_by, SweepInterruptedError):
        return INTERRUPTED
    failed = [not has_result(record) for record in records if not is_between(record)]
    return FAILED if failed and (all(failed) or (strict and any(failed))) else 0


def _measure(
    plan: SweepPlan,
    work: Sequence[tuple[int, Point]],
    run_directory: RunDirectory,
    launcher: Launcher | None,
    console: Console,
) -> None:
    """Measure the points in `work` and show the progress; without any, say that there is nothing to do."""
    done, points = len(plan.all_points) - len(work), [point for _, point in work]
    if launcher is not None:
        estimate = Estimate(points, plan.options, plan.between)
        estimate.learn(run_directory.records)
        with Progress(points, plan.options, console, done=done, grid=plan.all_points, estimate=estimate) as observer:
            sweep(work, plan.options, run_directory, launcher, observer, plan.planned, estimate)
    else:
        failed = [status for status in RETRYABLE if any(r.status == status for r in run_directory.records)]
        hint = f" To retry those that failed: --retry {','.join(failed)}" if failed else ""
        cells = len({point.without_repeat for point in plan.all_points})
        ended = "the only point has" if cells == 1 else f"all {cells} points have"
        console.print(f"Nothing to do: {ended} ended.{hint}", soft_wrap=True)


@contextmanager
def claimed_folder(scenario: str) -> Iterator[Path]:
    """A new folder `runs/<time>-<scenario>` without special characters, numbered if another sweep has that name.

    It is made when its name is chosen, so that two sweeps that start in the same second have two. It is removed again
    if the block fails before anything is in it.
    """
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in scenario)
    first = f"{datetime.now().strftime('%Y%m%d-%H%M%S')}-{name}"
    names = itertools.chain([first], (f"{first}-{number}" for number in itertools.count(2)))
    is_new = not RUNS.exists()
    with user_errors("--out", writing=RUNS):
        path = next(path for path in (RUNS / name for name in names) if _made(path))
    try:
        yield path
    except BaseException:
        with suppress(OSError):  # something is in it
            path.rmdir()
            if is_new:
                RUNS.rmdir()
        raise


def _check_writable(folder: Path) -> None:
    """Raise `OSError` unless a folder and files in it can be made, as far as can be told without making any."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _made(path: Path) -> bool:
    """Whether this call made the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True
