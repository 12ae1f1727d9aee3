"""How many minutes `--dry-run` foresees, and when it says nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from reports.records.mapping import record_to_mapping
from scaleprof.cli.app import main
from scaleprof.launch.host_description import this_machine
from scaleprof.points.options import make_request, plan_sweep
from scaleprof.runs.store import RunDirectory

GIVEN = {"agents": "16,64", "model": "ippo,mappo", "envs": "2"}
DRY = ["sweep", "--dry-run", "--model", "ippo,mappo", "--envs", "2"]

pytestmark = pytest.mark.usefixtures("folder")


def measured(name: str = "runs/before", *, host: dict[str, Any] | None = None, **fields: Any) -> None:
    """A run whose points took a minute each, of which updates took next to nothing."""
    plan = plan_sweep(make_request(GIVEN))
    run = RunDirectory.create(Path(name), plan.manifest, this_machine() | (host or {}))
    for point in plan.points:
        record = point.record(run_id="before", status="ok", update_seconds=1e-3, point_seconds=60.0)
        run.append(dataclasses.replace(record, **fields))
    run.close()


def foreseen(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line below the number of points; empty if there is none."""
    assert main([*DRY, *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    last = captured.out.splitlines()[-1]
    return "" if last.endswith((" points", " point", " repeats in all")) else last


@pytest.mark.parametrize(
    ("arguments", "minutes"),
    [
        (["--agents", "16,64"], "About 4 minutes"),
        (["--agents", "16"], "About 2 minutes"),
        (["--agents", "16", "--model", "ippo"], "About 1 minute"),
        (["--agents", "4,32,256"], "About 6 minutes"),
        (["--agents", "16", "--timeout", "5"], "Less than a minute"),
        (["--agents", "16,64", "--seed", "1,2"], "About 8 minutes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_earlier_run_tells(capsys: pytest.CaptureFixture[str], arguments: list[str], minutes: str) -> None:
    measured()
    assert foreseen(capsys, *arguments) == f"{minutes}, judging by runs/before"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--agents", "2"],
        ["--agents", "16,1024"],
        ["--agents", "16", "--model", "ippo,mat"],
        ["--agents", "16", "--envs", "4"],
        ["--agents", "16", "--seq-len", "8"],
        ["--agents", "16", "--min-updates", "99"],
        ["--agents", "16", "--set", "ppo.clip=0.1"],
        ["--agents", "16", "--device", "cpu"],
    ],
    ids=" ".join,
)
def test_a_run_of_something_else_tells_nothing(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    measured()
    assert foreseen(capsys, *arguments) == ""


@pytest.mark.parametrize("host", [{"cpu": "another"}, {"affinity": [0, 977]}])
def test_another_machine_tells_nothing(capsys: pytest.CaptureFixture[str], host: dict[str, Any]) -> None:
    measured(host=host)
    assert foreseen(capsys, "--agents", "16") == ""


def test_points_that_failed_tell_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    measured(status="crashed", update_seconds=None, point_seconds=1.0)
    assert foreseen(capsys, "--agents", "16") == ""


def test_a_point_that_did_not_fit_tells_of_itself_only(capsys: pytest.CaptureFixture[str]) -> None:
    measured()
    records = Path("runs/before/records.jsonl")
    given = make_request({"agents": "512", "model": "ippo,mappo", "envs": "2"})
    for point in plan_sweep(given).points:
        record = point.record(run_id="before", status="oom", point_seconds=60.0)
        records.write_text(records.read_text() + json.dumps(record_to_mapping(record)) + "\n")
    assert foreseen(capsys, "--agents", "16,512") == "About 4 minutes, judging by runs/before"
    assert foreseen(capsys, "--agents", "16,4096") == ""


def test_what_xla_planned_then_is_shown_now(capsys: pytest.CaptureFixture[str]) -> None:
    temporaries: dict[str, Any] = {f"xla_{program}_temp_bytes": 1 for program in ("act", "rollout", "learn")}
    measured(xla_peak_bytes=3 * 2**20, **temporaries)
    assert main([*DRY, "--agents", "16,32"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "ppo" in line]
    assert rows == [
        ["1", "ippo", "-", "16", "3.00", "MiB"],
        ["2", "mappo", "-", "16", "3.00", "MiB"],
        ["3", "ippo", "-", "32", "-"],
        ["4", "mappo", "-", "32", "-"],
    ]
    measured("runs/later", xla_peak_bytes=3 * 2**20)  # of some programs only
    assert main([*DRY, "--agents", "16"]) == 0
    assert "MiB" not in capsys.readouterr().out


def test_damaged_runs_are_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    measured()
    for name, file in (("newer", "manifest.json"), ("newest", "records.jsonl"), ("last", "host.json")):
        measured(f"runs/{name}")
        Path("runs", name, file).write_text("damaged\n")
    assert foreseen(capsys, "--agents", "16") == "About 2 minutes, judging by runs/before"


def test_without_runs_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert foreseen(capsys, "--agents", "16") == ""
