"""Scenarios that allocate too much, hang, raise, abort or will not end, through the real command line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import children
import faulty_scenarios
import psutil
import pytest

from reports.records.record import Record
from scaleprof.runs.store import load_records

SIZES = ["--agents", "2", "--model", "ippo", "--envs", "2", "--seq-len", "2", "--embed-dim", "8", "--heads", "2"]
LIMITS = ["--memory-limit", "2GiB", "--device", "cpu", "--min-seconds", "0"]
slow = pytest.mark.slow


def sweep(folder: Path, fault: str, *options: str) -> Record:
    """The one record of a sweep over a scenario with this fault; nothing it started is alive afterwards."""
    faulty_scenarios.install_from(folder / "injected")
    command = [*children.COMMAND, "sweep", "--scenario", fault, *SIZES, *LIMITS, *options]
    done = subprocess.run(
        [*command, "--out", "run"],
        cwd=folder,
        env=children.variables(folder / "injected"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    left = [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(folder)]
    assert left == []
    (record,) = load_records(folder / "run")
    assert done.returncode == (0 if record.status == "ok" else 3), done.stderr
    return record


@pytest.mark.parametrize(
    ("fault", "status", "reason_code", "reason"),
    [
        ("allocates", "oom", "predicted", "the rollout program needs 74.5 GiB by XLA's analysis"),
        ("raises-in-reset", "error", "exception", "ValueError: no board today [start]"),
        pytest.param("raises-in-step", "error", "exception", "ValueError: the board broke [memory]", marks=slow),
        (
            "nan-in-passing",
            "error",
            "exception",
            "ValueError: the scenario: the reward of agent 0 is not finite in environment",
        ),
        ("aborts", "crashed", "signal", "killed by SIGABRT; stderr is empty"),
        pytest.param("allocates-on-host", "oom", "limit", "MemoryError, under the limit of 2.00 GiB", marks=slow),
    ],
)
def test_how_it_ended(tmp_path: Path, fault: str, status: str, reason_code: str, reason: str) -> None:
    record = sweep(tmp_path, fault)
    assert (record.status, record.reason_code) == (status, reason_code), record.reason
    assert record.reason.startswith(reason)
    assert record.phase in record.reason
    assert record.update_seconds is None
    if fault.startswith("raises"):
        assert "board" in record.stderr_tail or "JAX" in record.stderr_tail


@pytest.mark.parametrize("fault", [pytest.param("hangs", marks=slow), "ignores-sigterm"])
def test_what_does_not_end_is_ended(tmp_path: Path, fault: str) -> None:
    record = sweep(tmp_path, fault, "--timeout", "8")
    assert (record.status, record.reason_code) == ("timeout", "timeout")
    assert record.reason.startswith("not finished after 8 s (--timeout) [")
