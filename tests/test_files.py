"""Files that reports write: the old one or the new one, and nothing beside it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from checked import record, run_folder

from reports.records.files import file_errors, replaceable, write_whole
from scaleprof.cli.app import main


def test_a_new_file_and_one_in_place_of_another(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    for content in (b"first\r\n", b"x"):
        write_whole(file, content)
        assert file.read_bytes() == content
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_was_there_stays(failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"old")

    def fsync(descriptor: int) -> None:
        assert Path(os.readlink(f"/proc/self/fd/{descriptor}")).read_bytes() == b"new"
        raise failure

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(type(failure)):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_links_and_permissions_stay(tmp_path: Path) -> None:
    file, link = tmp_path / "kept" / "a.csv", tmp_path / "latest.csv"
    file.parent.mkdir()
    file.write_bytes(b"old")
    file.chmod(0o604)
    link.symlink_to("kept/a.csv")
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o604)
    assert [path.name for path in file.parent.iterdir()] == ["a.csv"]


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_whole(pipe, b"through")
    reader.join(10)
    assert found == [b"through"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
def test_standard_output_is_written_through(name: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    code = f"from reports.records.files import write_whole; write_whole({name!r}, b'through')"
    with (tmp_path / "out").open("wb") as out:
        inode = os.fstat(out.fileno()).st_ino
        subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, stdout=out)
    assert (tmp_path / "out").read_bytes() == b"through"
    assert (tmp_path / "out").stat().st_ino == inode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


def test_links_in_a_circle(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).symlink_to(other)
    assert replaceable(tmp_path / "b") is not None
    assert replaceable(tmp_path) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [(PermissionError(errno.EACCES, "Permission denied"), "Permission denied"), (OSError("odd"), "odd")],
)
def test_an_error_of_the_file_system_is_one_line(error: OSError, reason: str) -> None:
    with (
        pytest.raises(ValueError, match=rf"^a\.csv: cannot be read \({reason}\); check the path$"),
        file_errors("a.csv", "read"),
    ):
        raise error


def test_a_reader_that_has_left_is_no_error_of_the_file() -> None:
    with pytest.raises(BrokenPipeError), file_errors("a.csv", "written"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


READERS = [
    *("check {} other", "check other {}", "compare {} other", "history {} other", "report {}", "export {}"),
    *("noise {}", "noise {} --again", "baseline save main {}", "sweep --resume {}"),
]
PIPES = [
    *((command, place) for command in READERS for place in ("itself", "records.jsonl", "results.csv")),
    *(("sweep --resume {}", "manifest.json"), ("noise {} --again", "manifest.json")),
]


@pytest.mark.parametrize(("command", "place"), PIPES)
def test_no_reader_waits_at_a_pipe(folder: Path, capsys: pytest.CaptureFixture[str], command: str, place: str) -> None:
    for name in ("run", "other"):
        run_folder(folder / name, [record()])
        (folder / name / "manifest.json").write_text('{"schema": 1, "points": 1, "options": {}}')
    pipe = folder / "pipe" if place == "itself" else folder / "run" / place
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    if place == "results.csv":
        (folder / "run" / "records.jsonl").unlink()
    code = main(command.format(pipe if place == "itself" else pipe.parent).split())
    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith("scaleprof: ")
    assert said.count("\n") == 1
