"""Two versions of the code that are measured in turns, as live processes."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import children
import pytest

from scaleprof.cli import main
from scaleprof.launch.pairs import MIN_BURSTS, find_version
from scaleprof.runs.store import load_records

ROOT = Path(__file__).parent.parent
SMALL = ["--agents", "2", "--model", "ippo", "--envs", "2", "--seq-len", "2", "--embed-dim", "8", "--heads", "2"]


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*children.COMMAND, "sweep", *SMALL, "--min-seconds", "0", "--device", "cpu", *arguments]
    return subprocess.run(command, cwd=folder, env=children.variables(), capture_output=True, text=True, check=False)


def test_both_sides_of_a_pair(tmp_path: Path) -> None:
    """This code against its own checkout: two records, and bursts that alternate."""
    done = sweep(tmp_path, "--against", str(ROOT), "--out", "run")
    assert done.returncode == 0, done.stderr
    new, base = load_records(tmp_path / "run")
    assert (new.side, base.side) == ("new", "base")
    assert new.pair_id == base.pair_id == "run/0000-ippo-n2-t2-r0"
    assert (new.status, base.status) == ("ok", "ok"), (new.reason, base.reason)
    assert new.flops_per_update == base.flops_per_update
    for record in (new, base):
        with (tmp_path / "run" / "samples" / f"0000-ippo-n2-t2-r0-{record.side}.csv").open(newline="") as stream:
            samples = [row for row in csv.DictReader(stream) if row["phase"] == "measure"]
        assert len(samples) == record.measured_updates
        assert [int(burst) for burst in dict.fromkeys(row["burst"] for row in samples)] == list(range(MIN_BURSTS))
    assert "new" in done.stdout
    assert "base" in done.stdout
    resumed = sweep(tmp_path, "--against", str(ROOT), "--resume", "run")
    assert "Nothing to do: the only point has ended." in resumed.stderr


def test_what_can_be_measured_against(tmp_path: Path) -> None:
    assert find_version(str(ROOT)).variables == (("PYTHONPATH", str(ROOT)),)
    assert find_version(sys.executable).command[0] == sys.executable


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"against": "nowhere"}, "--against: nowhere is neither a Python interpreter nor a checkout"),
        ({"against": "tests"}, "--against: tests is not a checkout of scaleprof: it has no scaleprof package"),
        ({"against": "README.md"}, "--against: README.md is neither a Python interpreter nor a checkout"),
        ({"against": str(ROOT), "measure": "memory,speed"}, "--against: each version is measured in one process"),
    ],
)
def test_what_cannot(
    options: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    given = [text for name, value in options.items() for text in (f"--{name}", value)]
    assert main(["sweep", "--dry-run", *given]) == 2
    assert capsys.readouterr().err.startswith(f"scaleprof: {said}")


def test_a_python_without_scaleprof(tmp_path: Path) -> None:
    """One line, before any point runs."""
    other = tmp_path / "python"
    other.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('no scaleprof here')\n")
    other.chmod(0o755)
    done = sweep(tmp_path, "--against", "python", "--out", "run")
    assert done.returncode == 2
    assert f"scaleprof: --against: {other}: a child process could not start: " in done.stderr
    assert "no scaleprof here" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_that_only_looks_like_a_checkout(tmp_path: Path) -> None:
    """Python passes over a folder without `__init__.py`, and would measure this very code."""
    (tmp_path / "other" / "scaleprof").mkdir(parents=True)
    (tmp_path / "other" / "scaleprof" / "worker.py").touch()
    done = sweep(tmp_path, "--against", "other", "--out", "run")
    assert done.returncode == 2
    assert (
        f"scaleprof: --against: {tmp_path / 'other'} is not a complete checkout: its processes run the code in "
        in done.stderr
    )
    assert not (tmp_path / "run").exists()
