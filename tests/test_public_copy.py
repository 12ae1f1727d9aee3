"""A copy of a run to attach to an issue: nothing personal is in it, and all figures are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from checked import HOST, record, run_folder

from reports import load_run
from scaleprof.cli.app import main

PERSONAL = ("joe", "hunter2", "abacus.example", "nvapi", "File ")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose every text names somebody."""
    monkeypatch.chdir(tmp_path)
    failed = record(
        agents=32,
        status="error",
        reason="no file /home/joe/data/x.npz (token=hunter2)",
        stderr_tail="File '/home/joe/code/a.py'",
        settings="model.path=/home/joe/w",
    )
    measured = record(files="0000-sable")
    host = {**HOST, "hostname": "abacus.example", "variables": {"together": {"XLA_FLAGS": "--xla_a=/home/joe/x"}}}
    run_folder(tmp_path / "run", [measured, failed], host, {"0000-sable": "update,update_seconds\n0,1.5\n"})
    options = {"preset": "/home/joe/other.toml", "agents": "16,32", "set": ["model.path=/home/joe/w"], "seed": 3}
    manifest = {"schema": 1, "points": 2, "command": "nvapi", "options": options}
    Path("run/manifest.json").write_text(json.dumps(manifest))
    Path("run/logs").mkdir()
    Path("run/logs/0000.log").write_text("joe was here")
    return tmp_path / "run"


def test_nothing_personal_is_in_the_copy_and_every_figure_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "run", "--public", "copy"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "Written to copy\n")
    files = {path for path in Path("copy").rglob("*") if path.is_file()}
    assert {path.name for path in files} == {
        *("manifest.json", "host.json", "records.jsonl", "results.csv", "0000-sable.csv")
    }
    for path in files:
        text = path.read_text()
        assert not [word for word in PERSONAL if word in text], path
    before, after = load_run("run"), load_run("copy")
    assert after.records[0] == before.records[0]
    assert after.samples(after.records[0]) == [{"update": "0", "update_seconds": "1.5"}]
    assert dataclasses.replace(after.records[1], reason="", settings="", stderr_tail="") == dataclasses.replace(
        before.records[1], reason="", settings="", stderr_tail=""
    )
    assert after.records[1].reason.startswith("no file x.npz")
    assert after.hosts[0]["cpu"] == "Abacus 3"
    assert main(["check", "run", "copy"]) == 0
    assert main(["report", "copy"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "run", "--public", "run"], "--public: run is not empty: name a new folder"),
        (
            ["export", "run", "--public", "x", "--csv", "-"],
            "--public: it copies the whole run: omit --csv and --format",
        ),
        (["export", "run/host.json", "--public", "x"], "run/host.json"),
        (["export", "table.csv", "--public", "x"], "--public: table.csv is a file: name the folder of a run"),
    ],
)
def test_what_cannot_be_copied(run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(["export", "run", "--csv", "table.csv"]) == 0
    capsys.readouterr()
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
    assert not Path("x").exists()
