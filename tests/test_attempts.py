"""Contended points are measured again: within bounds, and the least contended attempt counts."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from points import point
from rich.console import Console

from scaleprof.cli.app import main
from scaleprof.launch import local
from scaleprof.launch.launcher import EventHandler, Outcome
from scaleprof.launch.local_launcher import LocalLauncher
from scaleprof.launch.machine import Machine
from scaleprof.launch.process import run_child
from scaleprof.launch.stopping import Stop
from scaleprof.points.plan import SweepOptions, SweepPlan
from scaleprof.points.point import Point
from scaleprof.probes.nvml import Nvml
from scaleprof.probes.roofline import Rates
from scaleprof.runs.store import RunDirectory, load_records
from scaleprof.sweep.loop import SweepInterruptedError, sweep
from scaleprof.sweep.progress import Progress

OPTIONS = SweepOptions(
    min_updates=1, min_seconds=0.0, warmup_updates=0, timeout_seconds=30.0, memory_limit_bytes=2**30, retry_contended=2
)
POINTS = [point(agents=2)]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", {}, {})


class Busy:
    """A launcher whose attempts end as they are listed: a share of others, or how an attempt fails."""

    rates = Rates()

    def __init__(self, *attempts: Any) -> None:
        self.attempts = list(attempts)
        self.began: list[tuple[str, bool]] = []

    def measure(
        self, point: Point, name: str, options: SweepOptions, run: RunDirectory, on_event: EventHandler, stop: Stop
    ) -> list[Outcome]:
        self.began.append((name, options.reuse_compiled))
        attempt = self.attempts[len(self.began) - 1]
        if callable(attempt):
            attempt = attempt()
        if isinstance(attempt, Outcome):
            return [attempt]
        shares = attempt if isinstance(attempt, tuple) else (attempt,)
        return [outcome(share) for share in shares]


def outcome(share: float, **facts: Any) -> Outcome:
    known = {"others_cpu_share": share, "contended": int(share > 0.15), "update_seconds": 1 + share} | facts
    return Outcome(status="ok", facts=known, samples=[{"update": 0, "phase": "measure", "update_seconds": 1 + share}])


class Quiet:
    """An observer that notes nothing."""

    def point_begins(self, index: int, point: Point) -> None: ...

    def event(self, event: dict[str, Any]) -> None: ...

    def point_ended(self, index: int, record: Any) -> None: ...


def measured(run: RunDirectory, launcher: Busy, **changes: Any) -> Any:
    (record,) = sweep(list(enumerate(POINTS)), dataclasses.replace(OPTIONS, **changes), run, launcher, Quiet())
    assert load_records(run.path) == [record]
    return record


@pytest.mark.parametrize(
    ("shares", "further", "count", "kept"),
    [
        ([0.5], 0, 1, 0.5),
        ([0.1], 2, 1, 0.1),
        ([0.5, 0.1], 2, 2, 0.1),
        ([0.5, 0.3, 0.4], 2, 3, 0.3),
        ([0.3, 0.4, 0.5], 2, 3, 0.3),
        ([0.5, 0.4, 0.3, 0.0], 3, 4, 0.0),
    ],
)
def test_the_least_contended_attempt_counts(
    run: RunDirectory, shares: list[float], further: int, count: int, kept: float
) -> None:
    launcher = Busy(*shares)
    record = measured(run, launcher, retry_contended=further)
    assert (record.attempts, record.others_cpu_share, len(launcher.began)) == (count, kept, count)
    number = shares.index(kept) + 1
    assert record.files == "0000-mat-dense-n2-t2-r0" + (f"-attempt{number}" if number > 1 else "")
    assert [path.stem for path in (run.path / "samples").iterdir()] == [record.files]
    assert len({name for name, _ in launcher.began}) == count


def test_a_pair_is_as_contended_as_its_worse_side(run: RunDirectory) -> None:
    options = dataclasses.replace(OPTIONS, sides=("new", "base"))
    records = sweep([(0, POINTS[0])], options, run, Busy((0.1, 0.6), (0.5, 0.4), (0.7, 0.0)), Quiet())
    assert [(record.others_cpu_share, record.attempts) for record in records] == [(0.5, 3), (0.4, 3)]
    assert {record.pair_id for record in records} == {"run/0000-mat-dense-n2-t2-r0-attempt2"}


@pytest.mark.parametrize("status", ["crashed", "timeout", "oom"])
def test_a_further_attempt_that_fails_is_the_last_and_is_told(run: RunDirectory, status: str) -> None:
    record = measured(run, Busy(0.5, Outcome(status=status, reason="it broke")))
    assert (record.status, record.others_cpu_share, record.attempts) == ("ok", 0.5, 2)
    assert record.reason == f"attempt 2: {status}: it broke"


def test_all_updates_count_more_than_quiet(run: RunDirectory) -> None:
    few = dataclasses.replace(outcome(0.0), reason_code="few_updates", reason="1 of 2 updates")
    record = measured(run, Busy(0.5, few), retry_contended=1)
    assert (record.others_cpu_share, record.attempts, record.reason_code) == (0.5, 2, "")


def test_what_failed_or_is_not_known_to_be_contended_is_not_measured_again(run: RunDirectory) -> None:
    assert measured(run, Busy(Outcome(status="timeout", facts={"contended": 1}))).attempts == 1
    launcher = Busy(Outcome(status="ok", facts={"contended": None, "others_cpu_share": None}))
    (record, *_) = sweep([(1, point(agents=3))], OPTIONS, run, launcher, Quiet())[1:]
    assert record.attempts == 1


def test_no_attempt_begins_that_would_pass_the_end(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("scaleprof.sweep.attempts.time.monotonic", lambda: now)

    def slow() -> float:
        nonlocal now
        now += 60.0
        return 0.5

    assert measured(run, Busy(slow, slow, slow, slow), retry_contended=9, max_seconds=130.0).attempts == 2


def test_a_sweep_that_is_stopped_measures_nothing_again(run: RunDirectory) -> None:
    def stopped() -> Outcome:
        os.kill(os.getpid(), 2)
        return outcome(0.5)

    with pytest.raises(SweepInterruptedError):
        sweep(list(enumerate(POINTS)), OPTIONS, run, Busy(stopped), Quiet())
    assert [(record.status, record.attempts) for record in load_records(run.path)] == [("ok", 1)]


@pytest.mark.parametrize(("cache", "reuses"), [("written", [True, False, False]), ("read", [True, True, True])])
def test_a_further_attempt_compiles_what_the_first_did(run: RunDirectory, cache: str, reuses: list[bool]) -> None:
    """So that its compile times are known too."""
    second = "read" if cache == "read" else "off"
    launcher = Busy(outcome(0.5, compile_cache=cache), outcome(0.4, compile_cache=second), 0.1)
    measured(run, launcher, reuse_compiled=True)
    assert [reused for _, reused in launcher.began] == reuses


def test_attempts_in_processes(run: RunDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each has a log of its own."""

    def run_script(*args: Any, **kwargs: Any) -> Outcome:
        return run_child(*args, command=(sys.executable, "-S", "-c", BUSY_AT_FIRST), **kwargs)

    monkeypatch.setattr(local, "run_child", run_script)
    launcher = LocalLauncher(
        Machine(variables={**os.environ, "SEEN": str(tmp_path / "seen")}, nvml=Nvml(None), rates=Rates())
    )
    (record,) = sweep(list(enumerate(POINTS)), OPTIONS, run, launcher, Quiet())
    assert (record.status, record.contended, record.attempts) == ("ok", 0, 2), record.reason
    logs = {path.stem: path.read_text() for path in (run.path / "logs").iterdir()}
    name = "0000-mat-dense-n2-t2-r0"
    assert logs == {name: "attempt 1\n", f"{name}-attempt2": "attempt 2\n"}


BUSY_AT_FIRST = """
import json, os, sys
seen = os.environ["SEEN"]
again = os.path.exists(seen)
open(seen, "w").close()
print("attempt", 2 if again else 1, file=sys.stderr)
share = 0.1 if again else 0.4
facts = {"platform": "cpu", "host_peak_rise_bytes": 1, "update_seconds": 0.5, "agent_steps_per_second": 8.0}
facts |= {"others_cpu_share": share, "contended": int(share > 0.15)}
for event in ({"event": "facts", **facts}, {"event": "done"}):
    print(json.dumps(event), flush=True)
"""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"throttled": 1}, "update 500 ms, throttled by heat ("),
        ({"attempts": 1, "contended": 1}, "update 500 ms ("),
        ({"attempts": 2, "contended": 0}, "update 500 ms, 2 attempts ("),
        ({"attempts": 3, "contended": 1}, "update 500 ms, 3 attempts, all contended ("),
    ],
)
def test_progress_says_how_many_attempts_there_were(fields: dict[str, Any], said: str) -> None:
    stream = io.StringIO()
    with Progress(POINTS, OPTIONS, Console(file=stream, width=200)) as progress:
        progress.point_begins(0, POINTS[0])
        progress.point_ended(0, POINTS[0].record(status="ok", update_seconds=0.5, **fields))
    assert said in stream.getvalue()


def planned_retries(monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]) -> int:
    """The further attempts that a command line asks for."""
    found: list[int] = []

    def note(plan: SweepPlan, *_: Any, **__: Any) -> int:
        found.append(plan.options.retry_contended)
        return 0

    monkeypatch.setattr("scaleprof.cli.run_sweep.run", note)
    assert main(["sweep", "--agents", "2", *arguments]) == 0
    return found[0]


@pytest.mark.usefixtures("folder")
def test_the_option_and_its_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned_retries(monkeypatch, []) == 0
    assert planned_retries(monkeypatch, ["--retry-contended", "3"]) == 3
    Path("options.toml").write_text("[sweep]\nretry-contended = 2\n")
    assert planned_retries(monkeypatch, ["--config", "options.toml"]) == 2
    assert main(["sweep", "--agents", "2", "--retry-contended", "-1"]) == 2
    assert "--retry-contended: -1 is too small: give a whole number of at least 0" in capsys.readouterr().err


def test_records_of_earlier_schemas_have_no_attempts() -> None:
    earlier = Path(__file__).parent / "golden" / "run_0_1"
    assert {record.attempts for record in load_records(earlier)} == {None}
    assert "attempts" not in json.loads((earlier / "records.jsonl").read_text().splitlines()[0])
