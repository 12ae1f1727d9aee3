"""Exports for Bencher and github-action-benchmark, through the command line."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import pytest
from checked import record, repeats, table

from scaleprof.cli.app import main

pytestmark = pytest.mark.usefixtures("folder")
NAME = "neom sable:chunkwise agents=16 seq_len=10 envs=2"


def exported(capsys: pytest.CaptureFixture[str], form: str, run: str = "run.csv") -> Any:
    """What the command writes, as strict JSON."""
    assert main(["export", run, "--format", form]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_bencher(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(folder / "run.csv", *repeats(3), record(agents=32, update_cpu_seconds=None))
    content = exported(capsys, "bencher")
    assert list(content) == [NAME, NAME.replace("16", "32")]
    assert set(content[NAME]) == {"xla-peak", "throughput"}
    assert content[NAME]["xla-peak"] == {"value": 1_000_000, "lower_value": 1_000_000, "upper_value": 1_000_000}
    rate = content[NAME]["throughput"]
    assert rate["lower_value"] == pytest.approx(320 / 0.101)
    assert rate["value"] == pytest.approx(320 / 0.1)
    assert rate["upper_value"] == pytest.approx(320 / 0.099)
    assert content[NAME.replace("16", "32")] == {"xla-peak": {"value": 1_000_000}}


def test_github_action_benchmark_holds_only_what_is_better_when_smaller(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = [
        record(repeat=i, update_cpu_seconds=0.1 + i / 100, update_seconds=0.2, host_peak_rise_bytes=5000)
        for i in range(3)
    ]
    gpu = record(agents=32, platform="gpu", device="gpu", update_cpu_seconds=None, agent_steps_per_second=1280.0)
    table(folder / "run.csv", *measured, gpu)
    entries = exported(capsys, "github-action-benchmark")
    assert {entry["unit"] for entry in entries} == {"s", "bytes"}
    by_name = {entry["name"]: entry for entry in entries}
    assert len(by_name) == len(entries)
    assert by_name[f"{NAME} update_cpu_time"] == {
        "name": f"{NAME} update_cpu_time",
        "unit": "s",
        "value": pytest.approx(0.11),
        "range": "± 0.01",
        "extra": "median of 3 repeats",
    }
    assert by_name[f"{NAME} wall_time"]["value"] == 0.2
    assert by_name[f"{NAME} memory"]["value"] == 5000
    assert by_name[f"{NAME.replace('16', '32')} update_time"] == {
        "name": f"{NAME.replace('16', '32')} update_time",
        "unit": "s",
        "value": 0.5,
        "extra": "median of 1 repeat",
    }
    assert not [name for name in by_name if "throughput" in name]


@pytest.mark.parametrize("form", ["bencher", "github-action-benchmark"])
def test_points_without_figures_are_left_out_and_counted(
    folder: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    bare: dict[str, Any] = {"xla_peak_bytes": None, "update_cpu_seconds": None}
    records = [
        record(),
        record(agents=32, status="oom", **bare),
        record(agents=64, status="timeout", **bare),
        record(agents=128, status="oom", **bare),
        record(agents=256, status="pending", **bare),
        record(agents=512, update_cpu_seconds=math.nan, xla_peak_bytes=None),
    ]
    table(folder / "run.csv", *records)
    assert main(["export", "run.csv", "--format", form]) == 0
    captured = capsys.readouterr()
    assert captured.err == "run.csv: left out 4 points without figures: 2 oom, 1 timeout, 1 ok\n"
    assert "NaN" not in captured.out
    assert "agents=32" not in captured.out
    table(folder / "none.csv", *records[1:])
    assert main(["export", "none.csv", "--format", form]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "scaleprof: none.csv: no point has figures, so there is nothing to export\n"


def test_a_name_does_not_depend_on_the_rest_of_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor on how text is written: one line, however hostile."""
    table(folder / "one.csv", record(), record(agents=32, side="base"), record(agents=64, side="new"))
    table(folder / "many.csv", record(), record(heads=8), record(seed=3, dtype="bfloat16"), record(model="a\x1b[2J\nb"))
    few, many = (exported(capsys, "bencher", f"{name}.csv") for name in ("one", "many"))
    assert list(few) == [NAME, NAME.replace("16", "64")]
    assert list(many) == [
        NAME,
        f"{NAME} heads=8",
        f"{NAME} dtype=bfloat16 seed=3",
        "neom a [2J b:chunkwise agents=16 seq_len=10 envs=2",
    ]


@pytest.mark.parametrize("more", ["--csv x.csv", "--format json", "--public x"])
def test_one_format_at_a_time(folder: Path, capsys: pytest.CaptureFixture[str], more: str) -> None:
    table(folder / "run.csv", record())
    assert main(["export", "run.csv", "--format", "bencher", *shlex.split(more)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert not Path("x.csv").exists()
    assert not Path("x").exists()
