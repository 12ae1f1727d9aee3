"""A run folder written by scaleprof 0.1 still reads, checks and resumes.

`tests/golden/run_0_1` is the folder of a real sweep of four points, interrupted at the third. Its host description is
called `environment.json`, as that version named it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import children
import pytest

from reports import load_run
from scaleprof.cli import main

RUN = Path(__file__).parent / "golden" / "run_0_1"


@pytest.fixture
def run(folder: Path) -> Path:
    """A copy of the run in an empty folder, which is the current one."""
    return Path(shutil.copytree(RUN, folder / "run"))


def test_it_reads(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_run(run)
    assert [record.status for record in loaded.records] == ["ok", "ok", "interrupted"]
    assert [host["python"] for host in loaded.hosts] == ["3.11.7"]
    assert main(["report", "run"]) == 0
    assert "ippo" in capsys.readouterr().out


def test_it_checks(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run, "again")
    assert main(["check", "run", "again"]) == 4, "it is incomplete"
    assert main(["check", "run", "again", "--allow-incomplete"]) == 0
    assert main(["baseline", "save", "earlier", "run"]) == 2
    assert main(["baseline", "save", "earlier", "run", "--allow-incomplete"]) == 0
    assert main(["check", "--baseline", "earlier", "again"]) == 4, "the baseline remembers it"
    assert main(["check", "--baseline", "earlier", "again", "--allow-incomplete"]) == 0


def test_the_rest_of_it_is_planned(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["sweep", "--resume", "run", "--dry-run"]) == 0
    assert "2 points" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_it_resumes(run: Path) -> None:
    done = subprocess.run(
        [*children.COMMAND, "sweep", "--resume", "run"],
        env=children.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = load_run(run)
    assert [(record.model, record.agents, record.status) for record in loaded.records] == [
        ("mat", 2, "ok"),
        ("ippo", 2, "ok"),
        ("mat", 3, "ok"),
        ("ippo", 3, "ok"),
    ]
    assert (run / "environment.json").read_bytes() == (RUN / "environment.json").read_bytes()
    assert (run / "host.json").exists()
    assert len(loaded.hosts) == 2
