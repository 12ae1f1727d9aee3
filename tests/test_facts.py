"""Facts of a worker become columns of a record: from the right process, and none is lost unnoticed."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from points import point

from reports.records.columns import COLUMNS
from scaleprof.launch import facts as routing
from scaleprof.launch.facts import WRITERS, columns_of
from scaleprof.launch.launcher import Outcome
from scaleprof.launch.local import make_task, merged
from scaleprof.launch.process import inspect_device, run_child
from scaleprof.launch.protocol import OTHER_FACTS
from scaleprof.points.plan import MEMORY, SPEED, TOGETHER, SweepOptions
from scaleprof.probes.gpu_phase import GpuPhase
from scaleprof.probes.nvml import Nvml
from scaleprof.probes.roofline import Rates
from scaleprof.sweep.loop import make_record

OPTIONS = SweepOptions(
    min_updates=1, min_seconds=0.0, warmup_updates=1, timeout_seconds=120.0, memory_limit_bytes=4 * 2**30, pin=()
)


@pytest.fixture(autouse=True)
def nothing_was_reported_before() -> None:
    routing._reported.clear()


def told(kind: str) -> dict[str, Any]:
    """A fact for every column that a worker can fill, of a value that says which process it came from."""
    return {name: kind for name, column in COLUMNS.items() if column.writer in WRITERS[TOGETHER]}


def test_one_process_fills_every_column_that_a_worker_can_fill() -> None:
    assert columns_of(told(TOGETHER), TOGETHER) == told(TOGETHER)


def test_two_processes_share_the_columns() -> None:
    outcomes = {kind: Outcome(status="ok", facts=told(kind) | {"worked_seconds": 1.0}) for kind in (MEMORY, SPEED)}
    facts = merged((MEMORY, SPEED), outcomes).facts
    assert {name: facts.pop(name) for name in ("measure", "memory_status", "speed_status")} == {
        "measure": "memory,speed",
        "memory_status": "ok",
        "speed_status": "ok",
    }
    assert set(facts) == set(told(SPEED))
    memory = {name for name, kind in facts.items() if kind == MEMORY}
    assert memory == {
        *(name for name in facts if name.startswith(("host_", "device_"))),
        "nvml_process_bytes",
        "nvml_device_bytes",
    }


def test_a_process_that_failed_leaves_the_columns_of_the_other() -> None:
    outcomes = {MEMORY: Outcome(status="ok", facts=told(MEMORY)), SPEED: Outcome(status="crashed")}
    facts = merged((MEMORY, SPEED), outcomes).facts
    assert facts["xla_peak_bytes"] == facts["host_rss_peak_bytes"] == facts["compile_cache"] == MEMORY
    assert not [name for name in facts if name.endswith("_seconds")]
    assert facts["speed_status"] == "crashed"


@pytest.mark.parametrize("kind", [TOGETHER, MEMORY, SPEED])
def test_an_unknown_fact_is_logged_once(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        assert columns_of({"gpu_colour": "red", "xla_peak_bytes": 3}, kind) == {"xla_peak_bytes": 3}
    assert [record.getMessage() for record in caplog.records] == [
        "scaleprof: the worker reports 'gpu_colour' = 'red', which is not a column of a record"
    ]


def test_a_column_of_the_sweep_is_not_taken_from_a_worker(caplog: pytest.LogCaptureFixture) -> None:
    assert columns_of({"run_id": "mine"}, TOGETHER) == {}
    assert "the worker reports 'run_id' = 'mine', which only the sweep fills" in caplog.text


def test_an_unknown_fact_is_shown_to_the_user(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any handler, as in the command line, where logging's last resort is stderr."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    make_record(point(), Outcome(status="ok", facts={"gpu_colour": "red"}), "run", OPTIONS, Rates())
    assert capsys.readouterr().err.count("'gpu_colour'") == 1


def test_other_facts_are_no_columns() -> None:
    assert not OTHER_FACTS & set(COLUMNS)


def test_every_fact_of_the_driver_is_a_column(caplog: pytest.LogCaptureFixture) -> None:
    fields = GpuPhase().fields()
    assert columns_of(fields, TOGETHER) == fields
    assert not caplog.records


@pytest.mark.parametrize("kind", [TOGETHER, MEMORY])
def test_every_fact_of_a_worker_is_known(kind: str, tmp_path: Path) -> None:
    """A whole child: all that it reports of a point is a column, but for what the protocol lists."""
    tiny = point(model="ippo", mode="", minibatches=1)
    outcome = run_child(
        make_task(tiny, kind, OPTIONS, batching="vmap"),
        {**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0", "JAX_PLATFORMS": "cpu"},
        tmp_path / "log",
        timeout_seconds=120.0,
        nvml=Nvml(None),
        on_event=lambda event: None,
    )
    assert outcome.status == "ok", outcome.reason
    assert set(outcome.facts) - set(COLUMNS) == {"worked_seconds", "allocator_fixed"}
    expected = {name for name, column in COLUMNS.items() if column.writer in WRITERS[kind]}
    assert {name for name in expected - set(outcome.facts) if not name.startswith("nvml_")} == set()
    assert all(COLUMNS[name].writer != "parent" for name in outcome.facts if name in COLUMNS)


def test_every_fact_of_a_device_is_known(tmp_path: Path) -> None:
    facts = inspect_device({**os.environ, "JAX_PLATFORMS": "cpu"}, tmp_path / "log", 120.0)
    assert set(facts) - set(COLUMNS) <= OTHER_FACTS
    assert (
        not OTHER_FACTS
        - set(facts)
        - {"worked_seconds", "allocator_fixed", "defects", "live_buffers"}
        - {
            "matmul_flops_per_second",
            "copy_bytes_per_second",
        }
    )
