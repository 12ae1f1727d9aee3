"""`--format`: the same names for every command, the older flags as aliases, and one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checked import record, table

from scaleprof.cli.app import main
from scaleprof.cli.formats import FORMATS

pytestmark = pytest.mark.usefixtures("folder")
OF_RESULTS = [name for name in FORMATS if name != "explain"]
"""The commands that read results; `explain` compiles (tests/test_explain.py)."""
ALL = list(dict.fromkeys(name for names in FORMATS.values() for name in names))


def command(name: str, folder: Path) -> list[str]:
    """A command line without a format."""
    run = table(folder / "run.csv", record(), record(agents=32), record(agents=64, policy_loss=float("nan")))
    if name == "history":
        return [name, run, table(folder / "later.csv", record(xla_peak_bytes=2_000_000), record(agents=32))]
    return [name, run, run] if name in ("check", "compare") else [name, run]


@pytest.mark.parametrize("name", OF_RESULTS)
@pytest.mark.parametrize("form", ALL)
def test_a_name_means_the_same_or_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, form: str
) -> None:
    code = main([*command(name, folder), "--format", form])
    captured = capsys.readouterr()
    if form not in FORMATS[name]:
        known = ", ".join(FORMATS[name])
        assert (code, captured.out) == (2, "")
        assert captured.err.startswith(f"scaleprof: --format: {name} has no format '{form}': ")
        assert captured.err.endswith(f"choose from: {known}\n")
        assert captured.err.count("\n") == 1
        return
    assert (code, captured.err) == (0, "")
    if form == "json":
        json.loads(captured.out)
    elif form == "markdown":
        assert "| --- |" in captured.out or "---:" in captured.out
    main(command(name, folder))
    default = capsys.readouterr().out
    assert (default == captured.out) == (form == FORMATS[name][0])
    if form == "plot":
        assert captured.out.startswith(default)


@pytest.mark.parametrize("form", ["markdown", "json", "plot"])
def test_the_older_flags_of_report(folder: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    line = command("report", folder)
    printed = []
    for options in (["--format", form], [f"--{form}"], [f"--{form}", "--format", form], ["--format", form] * 2):
        assert main([*line, *options]) == 0
        printed.append(capsys.readouterr().out)
    assert len(set(printed)) == 1


TWO = [
    ("report", "--format json --markdown", "--format json, --markdown"),
    ("report", "--format table --plot", "--format table, --plot"),
    ("report", "--plot --json", "--plot, --json"),
    ("report", "--format json --format markdown", "--format json, --format markdown"),
    ("check", "--format json --format junit", "--format json, --format junit"),
    ("export", "--format json --csv x.csv", "--format json, --csv"),
]


@pytest.mark.parametrize(("name", "options", "said"), TWO)
def test_two_formats_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, options: str, said: str
) -> None:
    assert main([*command(name, folder), *options.split()]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"scaleprof: {said}: give only one of these\n")
    assert not (folder / "x.csv").exists()


def test_export_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object per repeat, strict JSON also where a figure is not finite."""
    assert main([*command("export", folder), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [row["agents"] for row in rows] == [16, 32, 64]
    assert rows[2]["policy_loss"] is None
    assert main([*command("export", folder), "--csv", "out.csv", "--format", "csv"]) == 0
    assert Path("out.csv").read_bytes() == Path("run.csv").read_bytes()
