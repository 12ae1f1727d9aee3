"""The sweep loop: every ending is a record, records are on the disk before anybody is told, stopping is orderly."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from points import point

from reports import Record
from scaleprof.errors import UserError
from scaleprof.launch import local as launching
from scaleprof.launch import process as child
from scaleprof.launch.launcher import EventHandler, Outcome
from scaleprof.launch.local import child_variables
from scaleprof.launch.local_launcher import LocalLauncher
from scaleprof.launch.machine import Machine
from scaleprof.launch.process import inspect_device, run_child
from scaleprof.launch.protocol import Task
from scaleprof.launch.stopping import Stop, StopSignals
from scaleprof.points.plan import SweepOptions
from scaleprof.points.point import Point
from scaleprof.probes.nvml import Nvml
from scaleprof.probes.roofline import Rates
from scaleprof.runs.store import RunDirectory, load_records
from scaleprof.sweep.loop import SweepInterruptedError, make_record, sweep

OPTIONS = SweepOptions(
    min_updates=2, min_seconds=0.5, warmup_updates=1, timeout_seconds=30.0, memory_limit_bytes=2**30, pin=(0,)
)
LAUNCHER = LocalLauncher(Machine(variables=dict(os.environ), nvml=Nvml(None), rates=Rates()))
POINTS = [point(agents=agents) for agents in (2, 3, 4)]
WORK = list(enumerate(POINTS))
SPEAKS = 'import sys; sys.stdin.readline(); print(\'{"event": "phase", "name": "measure"}\', flush=True); '
FIGURES = {"event": "facts", "update_seconds": 0.5, "agent_steps_per_second": 8.0, "host_peak_rise_bytes": 1}
DONE = f"import json; print(json.dumps({FIGURES})); print(json.dumps({{'event': 'done'}}), flush=True)"
"""The end of a child that has measured."""
STOPS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", {}, {})


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """What a signal does is as before when a test ends."""
    before = [signal.getsignal(number) for number in STOPS]
    yield
    assert [signal.getsignal(number) for number in STOPS] == before


def test_record_of_a_point_that_went_well() -> None:
    facts = {"platform": "cpu", "parameters": 7, "update_seconds": 0.5, "start_rss_bytes": 9, "xla_peak_bytes": 3}
    outcome = Outcome(status="ok", phase="measure", facts=facts | {"nvml_process_bytes": 11})
    record = make_record(POINTS[0], outcome, "run-1", OPTIONS, Rates())
    assert dataclasses.replace(record, timestamp="") == POINTS[0].record(
        run_id="run-1",
        status="ok",
        platform="cpu",
        parameters=7,
        update_seconds=0.5,
        xla_peak_bytes=3,
        nvml_process_bytes=11,
        memory_limit_bytes=2**30,
    )
    age = datetime.now(UTC) - datetime.fromisoformat(record.timestamp)
    assert -2 < age.total_seconds() < 60


def test_record_of_a_point_that_failed() -> None:
    outcome = Outcome(status="", phase="compile learn", facts={"compile_act_seconds": 1.5})
    outcome.fail("timeout", "timeout", "not finished")
    outcome.fail("crashed", "signal", "killed afterwards")
    record = make_record(POINTS[0], outcome, "run-1", OPTIONS, Rates())
    assert (record.status, record.reason_code) == ("timeout", "timeout")
    assert record.reason == "not finished [compile learn]"
    assert record.phase == "compile learn"
    assert record.compile_act_seconds == 1.5
    assert record.update_seconds is None


class Watcher:
    """Notes what it is told, and how many records were on the disk then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: list[tuple[str, int, int]] = []

    def point_begins(self, index: int, point: Point) -> None:
        self.told.append(("begins", index, len(load_records(self.path))))

    def event(self, event: dict[str, Any]) -> None:
        self.told.append((event["event"], -1, len(load_records(self.path))))

    def point_ended(self, index: int, record: Record) -> None:
        self.told.append((record.status, index, len(load_records(self.path))))


def replace_worker(monkeypatch: pytest.MonkeyPatch, code: str) -> list[Task]:
    """Let `sweep` follow a script in place of the worker; returns the tasks, as they come."""
    tasks: list[Task] = []

    def run_script(task: Task, *args: Any, **kwargs: Any) -> Outcome:
        tasks.append(task)
        return run_child(task, *args, command=(sys.executable, "-c", SPEAKS + code), **kwargs)

    monkeypatch.setattr(launching, "run_child", run_script)
    return tasks


def test_every_point_becomes_a_record(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = {"event": "samples", "samples": [{"update": 0, "phase": "measure", "update_seconds": 0.5}]}
    tasks = replace_worker(monkeypatch, f"import json; print(json.dumps({sample})); {DONE}")
    watcher = Watcher(run.path)
    records = sweep(WORK, OPTIONS, run, LAUNCHER, watcher)
    assert [(record.agents, record.status) for record in records] == [(2, "ok"), (3, "ok"), (4, "ok")]
    assert {record.run_id for record in records} == {"run"}
    assert load_records(run.path) == records
    assert watcher.told == [
        told
        for index in range(3)
        for told in (
            ("begins", index, index),
            ("phase", -1, index),
            ("samples", -1, index),
            ("facts", -1, index),
            ("done", -1, index),
            ("ok", index, index + 1),
        )
    ]
    assert [task.point for task in tasks] == POINTS
    assert set(tasks) == {
        Task(
            point=point,
            min_updates=2,
            min_seconds=0.5,
            warmup_updates=1,
            memory_limit_bytes=2**30,
            pin=(0,),
        )
        for point in POINTS
    }
    names = [f"000{index}-mat-dense-n{agents}-t2-r0" for index, agents in enumerate((2, 3, 4))]
    assert sorted(path.name for path in (run.path / "logs").iterdir()) == [f"{name}.log" for name in names]
    assert sorted(path.name for path in (run.path / "samples").iterdir()) == [f"{name}.csv" for name in names]
    assert (run.path / "samples" / f"{names[0]}.csv").read_text() == "update,phase,update_seconds\n0,measure,0.5\n"


class Elsewhere:
    """A launcher that starts no process: large teams do not fit."""

    rates = Rates()

    def measure(
        self, point: Point, name: str, options: SweepOptions, run: RunDirectory, on_event: EventHandler, stop: Stop
    ) -> list[Outcome]:
        on_event({"event": "phase", "name": name})
        return [
            Outcome(status="oom" if point.agents > 2 else "ok", facts={"platform": "moon", "device": side})
            for side in options.sides
        ]


@pytest.mark.parametrize("sides", [("",), ("new", "base")])
def test_any_launcher_will_do(run: RunDirectory, sides: tuple[str, ...]) -> None:
    watcher = Watcher(run.path)
    records = sweep(WORK, dataclasses.replace(OPTIONS, sides=sides), run, Elsewhere(), watcher)
    assert [(record.agents, record.side, record.status) for record in records] == [
        (agents, side, status) for agents, status in ((2, "ok"), (3, "oom"), (4, "skipped")) for side in sides
    ]
    assert {record.platform for record in records if record.status != "skipped"} == {"moon"}
    assert [told for told, *_ in watcher.told] == [
        "begins",
        "phase",
        "ok",
        "begins",
        "phase",
        "oom",
        "begins",
        "skipped",
    ]
    assert load_records(run.path) == records


def test_the_sweep_goes_on_after_a_failure(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_worker(monkeypatch, "import os; os.kill(os.getpid(), 9)")
    records = sweep(WORK, OPTIONS, run, LAUNCHER, Watcher(run.path))
    assert [record.status for record in records] == ["crashed"] * 3
    assert list((run.path / "samples").iterdir()) == []


class Stopper(Watcher):
    """Sends a signal to this process at one of the things it is told."""

    def __init__(self, path: Path, number: signal.Signals, at: tuple[str, int]) -> None:
        super().__init__(path)
        self.number, self.at = number, at

    def point_begins(self, index: int, point: Point) -> None:
        super().point_begins(index, point)
        self.stop("begins", index)

    def event(self, event: dict[str, Any]) -> None:
        super().event(event)
        self.stop(event["event"], len(self.told))

    def point_ended(self, index: int, record: Record) -> None:
        super().point_ended(index, record)
        self.stop("ended", index)

    def stop(self, *at: object) -> None:
        if at == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize(
    ("at", "statuses"),
    [
        (("begins", 0), ["interrupted"]),
        (("phase", 2), ["interrupted"]),
        (("ended", 0), ["ok"]),
        (("begins", 1), ["ok", "interrupted"]),
    ],
    ids=lambda value: "-".join(map(str, value)),
)
def test_stopping(
    run: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    at: tuple[str, int],
    statuses: list[str],
) -> None:
    replace_worker(monkeypatch, f"import time; time.sleep(0.3); {DONE}")
    stopper = Stopper(run.path, number, at)
    with pytest.raises(SweepInterruptedError):
        sweep(WORK, OPTIONS, run, LAUNCHER, stopper)
    assert [record.status for record in load_records(run.path)] == statuses
    if statuses[-1] == "interrupted":
        record = load_records(run.path)[-1]
        assert record.reason_code == "signal"
        assert record.reason.startswith("the sweep was stopped [")


def test_a_second_signal_does_not_break_out(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C again and again: while the child is being killed, and while its record is written."""
    replace_worker(monkeypatch, "import time; time.sleep(600)")
    kill, fsync = os.killpg, os.fsync
    signals = []

    def and_again(call: Callable[..., None]) -> Callable[..., None]:
        def both(*args: Any) -> None:
            signals.append(args)
            os.kill(os.getpid(), signal.SIGINT)
            call(*args)

        return both

    monkeypatch.setattr("scaleprof.launch.process.os.killpg", and_again(kill))
    monkeypatch.setattr("scaleprof.runs.store.os.fsync", and_again(fsync))
    with pytest.raises(SweepInterruptedError):
        sweep(WORK, OPTIONS, run, LAUNCHER, Stopper(run.path, signal.SIGINT, ("phase", 2)))
    assert len(signals) >= 3  # killpg, records.jsonl, results.csv, and a timeline if there was time for one
    assert [record.status for record in load_records(run.path)] == ["interrupted"]
    assert load_records(run.path) == load_records(run.path / "results.csv")


def test_a_signal_when_all_is_measured_changes_no_result(tmp_path: Path) -> None:
    def stop_at_the_end(event: dict[str, Any]) -> None:
        if event["event"] == "done":
            os.kill(os.getpid(), signal.SIGINT)

    with StopSignals() as stop:
        outcome = run_child(
            Task(point=POINTS[0]),
            dict(os.environ),
            tmp_path / "log",
            timeout_seconds=30.0,
            nvml=Nvml(None),
            on_event=stop_at_the_end,
            stop=stop,
            command=(sys.executable, "-c", SPEAKS + 'print(\'{"event": "done"}\', flush=True)'),
        )
        assert outcome.status == "ok"
        assert stop.requested


def test_signals_are_noted_and_raised_where_it_is_safe() -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), stop.raising():
            pytest.fail("a signal that came before must be heard")
        os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_while_the_device_is_inspected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "run_child", lambda *args, **kwargs: Outcome(status="interrupted"))
    with pytest.raises(UserError, match=r"^interrupted before the first point$") as raised:
        inspect_device({}, tmp_path / "log", 60.0)
    assert raised.value.exit_code == 130


@pytest.mark.parametrize(
    ("device", "variables"),
    [
        (None, {}),
        ("cpu", {"JAX_PLATFORMS": "cpu"}),
        ("gpu", {"JAX_PLATFORMS": "cuda"}),
        ("gpu:1", {"JAX_PLATFORMS": "cuda", "CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
    ],
)
def test_variables_of_children(monkeypatch: pytest.MonkeyPatch, device: str | None, variables: dict[str, str]) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": "somewhere", "JAX_ENABLE_COMPILATION_CACHE": "true"})
    assert child_variables(device) == {
        "HOME": "somewhere",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        **variables,
    }


@pytest.mark.parametrize("task_point", [None, point(settings=(("ppo.clip", "0.1"),))])
def test_a_task_survives_its_journey(task_point: Point | None) -> None:
    task = Task(point=task_point, min_updates=3, warmup_updates=1, memory_limit_bytes=2**40, pin=(0, 2))
    assert "\n" not in task.to_json()
    assert Task.from_json(task.to_json()) == task
