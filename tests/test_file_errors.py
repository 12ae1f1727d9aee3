"""What cannot be read or written is said in one line: reading or writing, which file, and why."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import obey_modes
import pytest
from checked import record, repeats, run_folder, table

from reports.records.files import culprit, file_errors, named
from scaleprof.cli.app import main
from scaleprof.errors import UserError, user_errors

DENIED = "Permission denied"
FULL = "No space left on device"
SAMPLES = "phase,update_seconds\nmeasure,0.1\n"
LONG = "x" * 300


@pytest.fixture
def run(folder: Path) -> Iterator[Path]:
    """A run, its table as results.csv, and a baseline of it; all modes are restored afterwards."""
    records = [record(files="0000", repeat=number) for number in range(2)]
    run_folder(folder / "run", records, samples={"0000": SAMPLES})
    (folder / "run" / "manifest.json").write_text('{"schema": 1, "points": 2, "options": {}}')
    table(folder / "results.csv", *records)
    assert main(["baseline", "save", "main", "run"]) == 0
    yield folder
    for path in [path for path in folder.rglob("*") if path.name in CLOSED]:
        path.chmod(path.stat().st_mode | stat.S_IRWXU)


CLOSED = ("run", "samples", "records.jsonl", "host.json", "manifest.json", "results.csv", "baselines", "main", "out")


@pytest.mark.parametrize(
    ("closed", "mode", "command", "said"),
    [
        ("run/samples", 0, "report run --html a.html", "--html: run/samples/0000.csv: cannot be read ({})"),
        ("run/samples", 0, "export run --public copy", "--public: run/samples/0000.csv: cannot be read ({})"),
        ("run/records.jsonl", 0, "report run", "run/records.jsonl: cannot be read ({})"),
        ("run/records.jsonl", 0, "baseline save other run", "run/records.jsonl: cannot be read ({})"),
        ("run/host.json", 0, "check run run", "run/host.json: cannot be read ({})"),
        ("run/manifest.json", 0, "sweep --resume run", "--resume: run/manifest.json: cannot be read ({})"),
        ("run/manifest.json", 0, "noise run", "run/manifest.json: cannot be read ({})"),
        ("run", 0, "compare run results.csv", "Invalid value for 'RUN': path 'run' is not readable"),
        ("results.csv", 0, "export results.csv", "Invalid value for 'RUN': path 'results.csv' is not readable"),
        (
            ".scaleprof/baselines/main/results.csv",
            0,
            "baseline list",
            "{folder}/.scaleprof/baselines/main/results.csv: cannot be read ({})",
        ),
        (
            ".scaleprof/baselines",
            0o500,
            "baseline save other run",
            "cannot write to {folder}/.scaleprof/baselines/other: {}",
        ),
        ("out", 0o500, "sweep --agents 2 --out out/run", "--out: cannot write to out/run: {}"),
        ("out", 0, "report run --png out/a.png", "--png: cannot write to out/a.png: {}"),
    ],
)
def test_without_permission(run: Path, closed: str, mode: int, command: str, said: str) -> None:
    (run / "out").mkdir()
    (run / closed).chmod(mode)
    done = obey_modes.run(*command.split())
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()[-1:]
    assert line.startswith(f"scaleprof: {said.format(DENIED, folder=run)}")
    assert "read or write" not in done.stderr


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("export run --csv /dev/full", f"--csv: cannot write to /dev/full: {FULL}"),
        (f"export run --csv {LONG}", f"--csv: cannot write to {LONG}: File name too long"),
        (f"report run --html {LONG}.html", f"--html: cannot write to {LONG}.html: File name too long"),
        (f"export run --public {LONG}", f"--public: cannot write to {LONG}: File name too long"),
        ("export run --public results.csv/copy", "--public: cannot write to results.csv/copy/samples: Not a directory"),
        (f"sweep --agents 2 --out {LONG}", f"--out: cannot write to {LONG}: File name too long"),
        ("report results.csv/run", "results.csv/run: cannot be read (Not a directory); check the path"),
        (f"report {LONG}", f"{LONG}: cannot be read (File name too long); check the path"),
        (f"baseline save other {LONG}", f"{LONG}: cannot be read (File name too long); check the path"),
        ("report run --html none/a.html", "--html: there is no folder none: create it, or name another file"),
    ],
)
def test_what_fails_for_everybody(command: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(command.split()) == 2
    assert capsys.readouterr() == ("", f"scaleprof: {said}\n")


@pytest.mark.usefixtures("run")
def test_a_folder_in_place_of_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run" / "host.json").unlink()
    (folder / "run" / "results.csv").mkdir()
    (folder / "run" / "manifest.json").unlink()
    (folder / "run" / "manifest.json").mkdir()
    capsys.readouterr()
    assert main(["sweep", "--resume", "run"]) == 2
    assert "--resume: run/manifest.json: cannot be read (Is a directory)" in capsys.readouterr().err


def test_a_job_summary_on_a_full_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        run_folder(folder / name, repeats())
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/full")
    assert main(["check", "a", "b", "--format", "github"]) == 2
    assert capsys.readouterr().err == f"scaleprof: GITHUB_STEP_SUMMARY: cannot write to /dev/full: {FULL}\n"


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("command", ["report run", "export run", "check run run", "list models"])
def test_standard_output_on_a_full_disk(command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "scaleprof", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert f"cannot write the output: {FULL}" in done.stderr or f"cannot write to -: {FULL}" in done.stderr


def test_the_file_is_named_that_the_error_is_of() -> None:
    of_a_file, of_none = OSError(errno.EACCES, DENIED, "run/a.csv"), OSError(errno.ENOSPC, FULL)
    assert (culprit(of_a_file, "run"), culprit(of_none, Path("run"))) == ("run/a.csv", "run")
    assert culprit(OSError(errno.EACCES, DENIED, b"a\xff"), "run") == os.fsdecode(b"a\xff")
    assert culprit(OSError(errno.EBADF, "Bad file descriptor", 3), "run") == "run"
    with pytest.raises(ValueError, match=rf"^run/a\.csv: cannot be read \({DENIED}\)"), file_errors("run", "read"):
        raise of_a_file
    said = rf"^--out: cannot write to run/b: {FULL}$"
    with pytest.raises(UserError, match=said), user_errors("--out", writing="run"), named("run/b"):
        raise of_none


def test_what_is_read_within_a_block_that_writes_says_so() -> None:
    said = r"^--out: a\.json: cannot be read"
    with pytest.raises(UserError, match=said), user_errors("--out", writing="run"), file_errors("a.json", "read"):
        raise OSError(errno.EACCES, DENIED)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("name", ["pipe", "run/records.jsonl", "/dev/zero"])
def test_what_never_ends_is_not_read(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / name
    if not path.is_char_device():
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    capsys.readouterr()
    assert main(["report", "run" if name.startswith("run") else name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name.partition("/")[0] in line
    assert "cannot be read" in line or "is neither a file nor a folder" in line or "has no records.jsonl" in line


@pytest.mark.usefixtures("run")
def test_a_table_through_a_pipe_is_read() -> None:
    command = [sys.executable, "-m", "scaleprof", "export", "/dev/stdin"]
    content = Path("results.csv").read_bytes()
    done = subprocess.run(command, input=content, capture_output=True, check=True)
    assert done.stdout == content
