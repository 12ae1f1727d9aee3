"""The files that `report` writes besides its text, and what it says where it cannot."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sweeps import MODELS, failed, sweep

from reports import write_records
from scaleprof.cli.app import main


@pytest.fixture
def table(tmp_path: Path) -> Path:
    with (tmp_path / "results.csv").open("w", encoding="utf-8", newline="") as stream:
        write_records(sweep(MODELS[:2], agents=(4, 16), repeats=1).records, stream)
    return tmp_path / "results.csv"


def test_pictures_and_page(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {kind: table.with_suffix(f".{kind}") for kind in ("png", "svg", "pdf", "html")}
    options = [text for kind, path in files.items() for text in (f"--{kind}", str(path))]
    assert main(["report", str(table), *options, "--json", "--where", "mode=chunkwise"]) == 0
    out, err = capsys.readouterr()
    json.loads(out)
    assert err.splitlines() == [f"Written to {path}" for path in files.values()]
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert files["pdf"].read_bytes().startswith(b"%PDF")
    svg = files["svg"].read_text(encoding="utf-8")
    assert "sable chunkwise" in svg
    assert "sable recurrent" not in svg
    assert files["html"].read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--png", "a.svg"], "--png: 'a.svg' does not end in .png: rename the file"),
        (["--svg", "ok.svg", "--html", "page"], "--html: 'page' does not end in .html: rename the file"),
        (
            ["--png", "ok.png", "--html", "none/a.html"],
            "--html: there is no folder none: create it, or name another file",
        ),
        (["--svg", "ok.svg", "--png", "folder.png"], "--png: folder.png is a folder: name a file"),
    ],
)
def test_what_cannot_be_written(
    options: list[str], message: str, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(table.parent)
    Path("folder.png").mkdir()
    assert main(["report", str(table), *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"scaleprof: {message}\n")
    assert sorted(path.name for path in table.parent.iterdir()) == ["folder.png", "results.csv"]


def test_the_size_of_a_picture(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = table.with_suffix(".pdf")
    assert main(["report", str(table), "--pdf", str(picture), "--size", "6.5X4"]) == 0
    assert b"/MediaBox [ 0 0 468 288 ]" in picture.read_bytes()
    assert capsys.readouterr().err == f"Written to {picture}\n"


@pytest.mark.parametrize("size", ["", "7", "7x", "7x4x3", "7 by 4", "-7x4", "0.5x4", "7x41", "nanx4", "1e1x4"])
def test_what_is_no_size(size: str, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = table.with_suffix(".png")
    assert main(["report", str(table), "--png", str(picture), "--size", size]) == 2
    expected = f"scaleprof: --size: '{size}' is no size: write WxH with 1 to 40 inches each, as in 7x4\n"
    assert capsys.readouterr() == ("", expected)
    assert not picture.exists()


@pytest.mark.parametrize("others", [[], ["--html", "a.html"]])
def test_a_size_without_a_picture(
    others: list[str], table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(table.parent)
    assert main(["report", str(table), *others, "--size", "7x4"]) == 2
    expected = "scaleprof: --size: there is no figure to draw: add --png, --pdf or --svg\n"
    assert capsys.readouterr() == ("", expected)
    assert not Path("a.html").exists()


def test_a_size_that_is_too_small(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = table.with_suffix(".png")
    assert main(["report", str(table), "--png", str(picture), "--size", "2x1.5"]) == 2
    expected = "2x1.5 inches leave no room for the panels beside their labels: give a larger --size"
    assert capsys.readouterr() == ("", f"scaleprof: --png: {expected}\n")
    assert not picture.exists()


def test_a_read_only_folder(table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != table.parent)
    assert main(["report", str(table), "--png", str(table.with_suffix(".png"))]) == 2
    expected = f"scaleprof: --png: the folder {table.parent} is not writable: name another file\n"
    assert capsys.readouterr() == ("", expected)


@contextmanager
def small_files() -> Iterator[None]:
    """No file grows beyond 2 kB, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("report {table} --png a.png", "--png: a.png: cannot be written (File too large); check the path"),
        ("report {table} --svg a.svg", "--svg: a.svg: cannot be written (File too large); check the path"),
        ("report {table} --html a.html", "--html: a.html: cannot be written (File too large); check the path"),
        ("export {table} --csv a.csv", "--csv: cannot write to a.csv: File too large"),
    ],
)
def test_a_full_disk_leaves_the_old_file(
    command: str, message: str, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(table.parent)
    words = command.format(table=table).split()
    Path(words[-1]).write_text("old")
    with small_files():
        assert main(words) == 2
    assert capsys.readouterr() == ("", f"scaleprof: {message}\n")
    assert Path(words[-1]).read_text() == "old"
    assert sorted(path.name for path in table.parent.iterdir()) == sorted([words[-1], "results.csv"])


def test_a_sweep_without_a_measured_point(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "results.csv").open("w", encoding="utf-8", newline="") as stream:
        write_records([failed("mat", "dense", 4, 8, 0, "oom")], stream)
    table, picture = str(tmp_path / "results.csv"), tmp_path / "a.png"
    assert main(["report", table, "--png", str(picture)]) == 2
    assert capsys.readouterr().err.endswith(
        "no measured point, so there is nothing to draw; scaleprof report lists the reasons\n"
    )
    assert not picture.exists()
