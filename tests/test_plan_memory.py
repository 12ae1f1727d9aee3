"""`scaleprof plan`: points that are only compiled, and the reports that read them like measured ones."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import children
import pytest

from reports.records.record import PLAN, XLA_PLAN
from scaleprof.cli import main
from scaleprof.planning.point_plans import needed_bytes
from scaleprof.runs.store import load_records

TINY = "plan --agents 2,4 --seq-len 4 --envs 2 --model ippo,sable:factored"


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan") / "run"
    with pytest.MonkeyPatch.context() as patch:
        children.install(patch)
        assert main([*TINY.split(), "--memory", "1MiB", "--out", str(folder)]) == 0
    return folder


def test_a_plan_is_a_result_and_nothing_ran(planned: Path) -> None:
    records = load_records(planned)
    assert [(record.model, record.agents) for record in records] == [
        ("ippo", 2),
        ("sable", 2),
        ("ippo", 4),
        ("sable", 4),
    ]
    for record in records:
        assert (record.status, record.measure, record.memory_source) == ("planned", PLAN, XLA_PLAN)
        assert record.memory_bytes == record.xla_peak_bytes == record.xla_wanted_bytes
        assert record.memory_limit_bytes == 2**20
        assert (record.target, record.platform, record.update_seconds, record.first_update_seconds) == (
            "",
            "cpu",
            None,
            None,
        )
        parts = (
            record.state_parameters_bytes,
            record.state_optimiser_bytes,
            record.state_environment_bytes,
            record.trajectory_bytes,
        )
        assert all(part is not None and part > 0 for part in parts)
        assert record.state_parameters_bytes == 4 * (record.parameters or 0)
        assert record.xla_learn_argument_bytes is not None
        assert sum(part or 0 for part in parts) == pytest.approx(record.xla_learn_argument_bytes, rel=0.05)
        assert record.compile_seconds is not None
        assert record.compile_learn_seconds is not None


def test_reports_read_it_like_a_measured_one(planned: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["report", str(planned), "--png", str(tmp_path / "plan.png"), "--html", str(tmp_path / "p.html")]) == 0
    shown = capsys.readouterr().out
    assert "XLA's plan; * = lowest" in shown
    assert "% of 1.00 MiB" in shown
    assert "too large" in shown
    assert "Parts of learning's memory" in shown
    assert "Agent-steps" not in shown
    assert "4 points: 4 planned, 0 failed" in shown
    assert (tmp_path / "plan.png").stat().st_size > 10_000
    assert "Parts of learning" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_check_compares_plans(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(planned), str(planned), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == 0 or "No regression" in json.dumps(found)


def test_a_csv_on_stdout(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    children.install(monkeypatch)
    command = "plan --agents 2 --seq-len 4 --envs 2 --model ippo --csv - --out"
    assert main([*command.split(), str(tmp_path / "r")]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["status"], row["memory_source"]) for row in rows] == [("planned", XLA_PLAN)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--target h1000", "--target: unknown target 'h1000': did you mean 'h100'"),
        ("--target none.txtpb", "--target: none.txtpb is no file"),
        ("--memory many", "--memory:"),
        ("--memory 0GB", "--memory: '0GB' is too small"),
        ("--timeout 0", "--timeout:"),
        ("--min-updates 2", "No such option: --min-updates"),
        ("--agents 0", "--agents:"),
        ("--config none.toml", "--config: none.toml"),
        ("--config none", "--config: none"),
        ("--preset quack", "--preset: unknown preset 'quack'"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *options.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_presets_of_sweeps_can_be_planned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--preset", "quick", "--dry-run"]) == 0
    assert "6 points" in capsys.readouterr().out


def test_a_plan_is_not_resumed(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["sweep", "--resume", str(planned)], ["noise", str(planned), "--again"]):
        assert main(command) == 2
        assert "is a plan and holds no measurements" in capsys.readouterr().err


def test_the_plan_of_some_programs_is_no_answer(planned: Path) -> None:
    whole = load_records(planned)[0]
    assert needed_bytes(whole) == whole.xla_peak_bytes
    late = dataclasses.replace(whole, status="timeout", xla_learn_temp_bytes=None)
    assert late.xla_peak_bytes is not None
    assert needed_bytes(late) is None
    refused = dataclasses.replace(late, status="oom", reason_code="predicted")
    assert needed_bytes(refused) == whole.xla_peak_bytes


@pytest.mark.parametrize(("memory", "code", "said"), [("24GiB", 0, "yes: "), ("1KiB", 3, "no: ")])
def test_whether_a_point_fits(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    memory: str,
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    children.install(monkeypatch)
    command = "fits --agents 2 --seq-len 4 --envs 2 --model ippo --memory"
    assert main([*command.split(), memory]) == code
    shown = capsys.readouterr().out
    assert shown.startswith(said)
    assert shown.count("\n") == 1
    assert ("to spare" in shown) == (code == 0)
    assert list(tmp_path.iterdir()) == []


def test_the_largest_team_on_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Three sizes are fitted, and the neighbours of the answer compiled, here of a model linear in agents."""
    children.install(monkeypatch)
    run = tmp_path / "run"
    command = "frontier --seq-len 4 --envs 2 --model ippo --memory 2MiB --out"
    assert main([*command.split(), str(run)]) == 0
    shown = capsys.readouterr()
    needs = {record.agents: record.xla_peak_bytes or 0 for record in load_records(run)}
    assert 3 < len(needs) <= 6
    last = max(agents for agents, need in needs.items() if need <= 2 * 2**20)
    assert re.search(rf"^ippo +- +{last} +2\.00 MiB \(", shown.out, re.MULTILINE)
    assert needs[last + 1] > 2 * 2**20
    assert shown.err.count("\n") == len(needs)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("fits --agents 2,4 --model ippo,mat", "these options make 4: give one of --agents and of --model"),
        ("frontier --agents 16", "--agents: frontier finds the largest value itself: omit it"),
        ("frontier --axis agent", "--axis: unknown axis 'agent': did you mean 'agents'"),
        ("frontier --axis seq-len --seq-len 4", "--seq-len: frontier finds the largest value itself"),
        ("frontier --max 0", "--max: 0 is below the smallest size"),
        ("frontier --model nothing", "--model: unknown model 'nothing'"),
    ],
)
def test_bad_questions(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


NEEDS = {"h100": "jax_plugins.xla_cuda12", "tpu-v5e": "libtpu"}


@pytest.mark.slow
@pytest.mark.parametrize("target", NEEDS)
def test_a_device_that_is_not_there(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compiled for real by the target's compiler, if it is installed."""
    pytest.importorskip(NEEDS[target].partition(".")[0], reason=f"needs the extra for {target}")
    run = tmp_path / "run"
    command = "plan --agents 4,8 --seq-len 4 --envs 2 --model sable:factored --target"
    assert main([*command.split(), target, "--out", str(run)]) == 0
    small, large = load_records(run)
    assert (small.target, small.platform) == (target, "gpu" if target == "h100" else "tpu")
    assert 0 < (small.xla_learn_temp_bytes or 0) < (large.xla_learn_temp_bytes or 0)
    assert "An estimate by" in capsys.readouterr().out
