"""A copy of a run to attach to an issue: nothing personal is in it, and all figures are."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from checked import HOST, record, run_folder

from reports import load_run
from scaleprof.cli.app import main
from scaleprof.runs.public_copy import impersonal

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
    assert after.records[1].reason == ""
    assert after.hosts[0]["cpu"] == "Abacus 3"
    assert main(["check", "run", "copy"]) == 0
    assert main(["report", "copy"]) == 0


KILLED = "killed by the kernel, which ran out of memory"
REASONS = [
    ("exception", "FileNotFoundError: no such file /home/alice/data.npz on host vm [learn]", "FileNotFoundError"),
    ("exception", "my.pkg.Oops: C:\\Users\\bob\\x sk-abcdefghijkl", "my.pkg.Oops"),
    ("exception", "KeyError [compile]", "KeyError"),
    ("exception", "alice said so: vm", ""),
    ("limit", "ran out of memory: alice at vm", "ran out of memory"),
    (
        "limit",
        "killed by the kernel, which ran out of memory; stderr ends: vm",
        "killed by the kernel, which ran out of memory",
    ),
    ("limit", "XlaRuntimeError: RESOURCE_EXHAUSTED: vm", "XlaRuntimeError"),
    ("signal", "killed by SIGKILL (by hand); stderr ends: vm", "killed by SIGKILL"),
    ("exit", "ended with exit code 3; stderr ends: vm", "ended with exit code 3"),
    ("start", "/home/alice/python cannot be started: No such file", ""),
    ("protocol", "not JSON: 'alice on vm'", ""),
    ("timeout", "not finished after 5 s (--timeout) [learn]", "not finished after 5 s (--timeout) [learn]"),
    ("predicted", "the learn program needs 2 GiB [compile]", "the learn program needs 2 GiB [compile]"),
]


@pytest.mark.parametrize(("code", "reason", "kept"), REASONS)
def test_what_a_process_said_is_dropped(code: str, reason: str, kept: str) -> None:
    failed = record(status="error", reason_code=code, reason=reason, stderr_tail="alice")
    assert (impersonal(failed).reason, impersonal(failed).stderr_tail) == (kept, "")


def test_custom_code_keeps_the_name_of_its_function(run: Path) -> None:
    names = ("/home/alice/m:f", "alice.models:f", "alice.models:g", "sable")
    records = [record(model=name, scenario="alice.world:make", files=f"000{i}-alice") for i, name in enumerate(names)]
    shutil.rmtree(run)
    samples = {one.files: "update,update_seconds\n0,1.5\n" for one in records}
    host = {**HOST, "git": {"commit": "0123456789abcdef", "dirty": True, "branch": "alice/x"}}
    run_folder(run, records, host, samples)
    options = {"model": ",".join(names), "scenario": "alice.world:make", "against": "/home/alice/old", "against_": None}
    Path("run/manifest.json").write_text(json.dumps({"schema": 1, "points": 4, "options": options}))
    assert main(["export", "run", "--public", "copy"]) == 0
    copy = load_run("copy")
    assert [one.model for one in copy.records] == ["f", "f-2", "g", "sable"]
    assert {one.scenario for one in copy.records} == {"make"}
    assert all(copy.samples(one) for one in copy.records)
    assert copy.hosts[0]["git"] == {"commit": "0123456789abcdef", "dirty": True}
    written = json.loads(Path("copy/manifest.json").read_text())["options"]
    assert (written["model"], written["scenario"], written["against"]) == ("f,f,g,sable", "make", "(removed)")
    assert not [path for path in Path("copy").rglob("*") if "alice" in path.name]
    assert not [path for path in Path("copy").rglob("*") if path.is_file() and "alice" in path.read_text()]
    assert copy.incomplete == load_run("run").incomplete
    assert main(["report", "copy"]) == 0


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("w=C:\\Users\\bob\\x.npz", "w=x.npz"),
        ("w=\\\\vm\\share\\x.npz", "w=x.npz"),
        ("k=sk-abcdefghijkl", "k=(removed)"),
        ("k=ghp_abcdefghijkl;ppo.clip=0.1", "k=(removed);ppo.clip=0.1"),
        ("model.window=4;ppo.learning_rate=1e-05", "model.window=4;ppo.learning_rate=1e-05"),
    ],
)
def test_settings_hold_no_path_and_no_key(text: str, kept: str) -> None:
    assert impersonal(record(settings=text)).settings == kept


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
