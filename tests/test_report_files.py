"""The files that `report` writes besides its text, and what it says where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sweeps import MODELS, failed, sweep

from reports import write_records
from scaleprof.cli import main


@pytest.fixture
def table(tmp_path: Path) -> Path:
    with (tmp_path / "results.csv").open("w", encoding="utf-8", newline="") as stream:
        write_records(sweep(MODELS[:2], agents=(4, 16), repeats=1).records, stream)
    return tmp_path / "results.csv"


def test_pictures_and_page(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {kind: table.with_suffix(f".{kind}") for kind in ("png", "svg", "html")}
    options = [text for kind, path in files.items() for text in (f"--{kind}", str(path))]
    assert main(["report", str(table), *options, "--json", "--where", "mode=chunkwise"]) == 0
    out, err = capsys.readouterr()
    json.loads(out)
    assert err.splitlines() == [f"Written to {path}" for path in files.values()]
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    svg = files["svg"].read_text(encoding="utf-8")
    assert "sable:chunkwise" in svg
    assert "sable:recurrent" not in svg
    assert files["html"].read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--png", "a.svg"], "--png: 'a.svg' does not end in .png: name the file so"),
        (["--svg", "ok.svg", "--html", "page"], "--html: 'page' does not end in .html: name the file so"),
        (
            ["--html", "none/a.html"],
            "--html: none/a.html: cannot be written (No such file or directory); check the path",
        ),
    ],
)
def test_what_cannot_be_written(
    options: list[str], message: str, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(table.parent)
    assert main(["report", str(table), *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"scaleprof: {message}\n")
    assert [path.name for path in table.parent.iterdir()] == ["results.csv"]


def test_a_sweep_of_which_nothing_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "results.csv").open("w", encoding="utf-8", newline="") as stream:
        write_records([failed("mat", "dense", 4, 8, 0, "oom")], stream)
    table, picture = str(tmp_path / "results.csv"), tmp_path / "a.png"
    assert main(["report", table, "--png", str(picture)]) == 2
    assert capsys.readouterr().err.endswith("no point was measured, so there is nothing to draw; the table says why\n")
    assert not picture.exists()
