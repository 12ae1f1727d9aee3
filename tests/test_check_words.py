"""The output of a check: every format and encoding, with hostile text in the data."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from checked import HOST, record, repeats, run_folder, saved, several, table

from scaleprof.cli import check as check_commands
from scaleprof.cli.app import main
from scaleprof.cli.formats import CHECK_FORMATS, COMPARE_FORMATS

pytestmark = pytest.mark.usefixtures("folder")
HOSTILE = "a|b <img src=x> [red]*_`@joe,\n::error::100%\x07\x1b[2J http://x.y"


def hostile_check(folder: Path, capsys: pytest.CaptureFixture[str], form: str) -> str:
    """Check a point with a hostile name that ran out of memory, one that needs more memory, and an inconclusive one."""
    base = [record(model=HOSTILE), record(agents=32), *repeats(1, agents=64)]
    new = [record(model=HOSTILE, status="oom", reason=HOSTILE), record(agents=32, xla_peak_bytes=2_000_000)]
    names = saved(folder / "base", *base), saved(folder / "new", *new, *repeats(1, agents=64, slower=3))
    assert main(["check", *names, "--format", form]) == 1
    return capsys.readouterr().out


@pytest.mark.parametrize("form", CHECK_FORMATS)
def test_nothing_in_data_steers_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    printed = hostile_check(folder, capsys, form)
    assert all(character.isprintable() or character == "\n" for character in printed)
    if form in COMPARE_FORMATS:
        assert main(["compare", "base", "new", "--format", form]) == 0
        printed = capsys.readouterr().out
        assert all(character.isprintable() or character == "\n" for character in printed)


def test_github_annotations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = hostile_check(folder, capsys, "github").splitlines()
    commands = [re.fullmatch(r"::(error|warning|notice) title=([^:,]*)::(.*)", line) for line in lines]
    assert all(commands)
    assert [command[1] for command in commands if command] == ["error", "error", "error", "warning"]
    assert lines[0].startswith("::error title=scaleprof check::Regressed: 1 of 4 figures got worse")
    assert "%0A" in lines[0]
    assert "100%25" in lines[1]
    assert "status regressed" in lines[1]
    assert "32 agents: +100 %25 (threshold 1 %25)" in lines[2]
    assert "needs 4 repeats" in lines[3]


def test_junit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = ElementTree.fromstring(hostile_check(folder, capsys, "junit"))[0]
    cases = suite.findall("testcase")
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped", "errors")} == {
        "tests": str(len(cases)),
        "failures": str(len(suite.findall("testcase/failure"))),
        "skipped": str(len(suite.findall("testcase/skipped"))),
        "errors": "0",
    }
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    failures = {(case.get("name"), case[0].get("message")) for case in cases if case.find("failure") is not None}
    assert ("xla_peak", "regressed: +100 % (threshold 1 %)") in failures
    assert any("<img src=x>" in str(case.get("classname")) for case in cases)


def test_markdown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = hostile_check(folder, capsys, "markdown")
    said = "1 of 4 figures got worse by more than its threshold; 1 point gives fewer results than before"
    assert text.startswith(f"## Regressed: {said}\n\nbase -&#62; new, 3 matched points: 2 regressed, 1 inconclusive")
    assert text.index("**2 regressed**") < text.index("**1 inconclusive**") < text.index("<details><summary>")
    assert text.count("<details>") == text.count("</details>") == 1
    for markup in ("<img", "@joe", "a|b", "http://", "\x07"):
        assert markup not in text
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    borders = [{row.count("|") for row in table.splitlines()} for table in tables]
    assert borders == [{8}, {8}, {7}]  # unchanged findings have no reason


@pytest.mark.parametrize("width", [80, 120])
def test_the_table(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = hostile_check(folder, capsys, "table")
    assert max(map(len, text.splitlines())) <= width
    assert "[red]" in text
    assert "2 unchanged; --all shows them" in text
    names = saved(folder / "base", *several(5)), saved(folder / "new", *several(5, slower=1.3))
    assert main(["check", *names]) == 1
    shown = capsys.readouterr().out
    assert "p 0.004, corrected 0.004" in " ".join(shown.split())
    assert main(["check", *names, "--all"]) == 1
    assert len(capsys.readouterr().out.splitlines()) > len(shown.splitlines())


def test_compare_shows_and_does_not_judge(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = saved(folder / "base", *several(5)), saved(folder / "new", *several(5, slower=1.3))
    assert main(["compare", *names]) == 0
    captured = capsys.readouterr()
    for judgement in ("regress", "Benjamini", "too few repeats"):
        assert judgement not in captured.out
    assert "Intervals are exact 95 % confidence intervals." in captured.out
    assert re.search(
        r"sable chunkwise, 16 agents +3\.20k +2\.46k +0\.769 +0\.\d+ to 0\.\d+ +5 and 5 repeats", captured.out
    )
    assert max(map(len, captured.out.splitlines())) <= 80
    assert main(["compare", *names, "--format", "markdown"]) == 0
    markdown = capsys.readouterr().out
    assert "**throughput: agent-steps per second of process CPU time**" in markdown
    assert "| sable chunkwise, 16 agents | 3.20k | 2.46k | 0.769 |" in markdown
    assert "Benjamini" not in markdown
    assert main(["compare", *names, "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["findings"]) == 8


def test_findings_that_are_not_comparable_have_no_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason comes first and the rows are folded; --all shows the figures, without a change or an interval."""
    other = {**HOST, "cpu": "Abacus 4"}
    names = run_folder(folder / "here", several(5)), run_folder(folder / "there", several(5, slower=2), other)
    assert main(["check", *names, "--metrics", "throughput"]) == 4
    text = capsys.readouterr().out
    why = "CPU: Abacus 3 in BASE, Abacus 4 in NEW"
    said = f"Not comparable: {why} (--cross-machine compares anyway) here -> there, 4 matched points: 4 not comparable"
    assert " ".join(text.split()).startswith(said)
    assert "4 not comparable; --all shows them" in text
    assert "16 agents" not in text
    assert text.count(why) == 1
    assert main(["check", *names, "--metrics", "throughput", "--all"]) == 4
    table_row = next(line for line in capsys.readouterr().out.splitlines() if "16 agents" in line)
    assert table_row.split()[-5:] == ["throughput", "3.20k", "1.60k", "-", "-"]
    assert main(["check", *names, "--format", "markdown"]) == 4
    text = capsys.readouterr().out
    assert "from 0" not in text
    assert text.index(why) < text.index("<details><summary>4 not comparable") < text.index("16 agents")
    assert main(["compare", *names]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.index(why) < text.index("16 agents")


def test_the_family_of_the_correction(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two repeats per run can never be significant, so they are not part of the family."""
    base = [*several(5), *repeats(2, agents=160), *repeats(2, agents=320)]
    new = [*several(5, slower=1.3), *repeats(2, agents=160), *repeats(2, agents=320)]
    names = saved(folder / "base", *base), saved(folder / "new", *new)
    assert main(["check", *names]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "Benjamini-Hochberg at 0.05 over 4 comparisons (2 more have too few repeats to be tested)" in text
    assert main(["check", *names, "--format", "json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert (content["sampled_comparisons"], content["tested_comparisons"]) == (6, 4)
    few = table(folder / "few.csv", *repeats(2))
    assert main(["check", few, few]) == 0
    text = capsys.readouterr().out
    assert "Benjamini" not in text
    assert "too few repeats" in text


def test_runs_of_equal_name_are_distinguished(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("before", "after"):
        (folder / name).mkdir()
        table(folder / name / "results.csv", record())
    assert main(["check", "before/results.csv", "after/results.csv"]) == 0
    assert "before/results.csv -> after/results.csv, 1 matched point: 2 unchanged" in capsys.readouterr().out


def shell(*arguments: str, **variables: str) -> list[str]:
    """The command line of scaleprof with some variables set."""
    settings = [f"{name}={value}" for name, value in variables.items()]
    return ["env", *settings, sys.executable, "-m", "scaleprof", *arguments]


def test_a_closed_pipe_does_not_change_the_verdict(folder: Path) -> None:
    """With more output than the buffer of a pipe."""
    names = (
        saved(folder / "base", *several(1, points=400)),
        saved(folder / "new", *several(1, points=400, xla_peak_bytes=2_000_000)),
    )
    for form in CHECK_FORMATS:
        process = subprocess.Popen(
            shell("check", *names, "--all", "--format", form), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        assert (process.wait(), said) == (1, ""), form


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_encoding_works(folder: Path, encoding: str) -> None:
    names = [table(folder / f"{name}.csv", record(model="größe→")) for name in ("base", "new")]
    commands = [["check", *names, "--format", form] for form in CHECK_FORMATS]
    commands += [["compare", *names, "--format", form] for form in COMPARE_FORMATS]
    for command in commands:
        done = subprocess.run(
            shell(*command, PYTHONIOENCODING=encoding), capture_output=True, check=False, env=dict(os.environ)
        )
        assert (done.returncode, done.stderr) == (0, b""), command
        assert done.stdout.decode(encoding)
    done = subprocess.run(shell("export", "base.csv", PYTHONIOENCODING=encoding), capture_output=True, check=True)
    assert done.stdout == Path("base.csv").read_bytes()


def test_a_bug_is_no_regression(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 means a regression and nothing else."""

    def broken(*_: object, **__: object) -> None:
        raise TypeError("no such\nluck")

    monkeypatch.setattr(check_commands, "_compare", broken)
    assert main(["check", "a", "b"]) == 2
    captured = capsys.readouterr()
    said = "scaleprof: this is a bug in scaleprof: TypeError: no such luck (test_check_words.py, line "
    assert captured.err.startswith(said)
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    monkeypatch.setenv("SCALEPROF_TRACEBACK", "1")
    with pytest.raises(TypeError, match="luck"):
        main(["check", "a", "b"])


def test_one_agent_is_named_in_the_singular(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = saved(folder / "base", *repeats(agents=1)), saved(folder / "new", *repeats(agents=1))
    assert main(["check", *names, "--all"]) == 0
    said = capsys.readouterr().out
    assert "sable chunkwise, 1 agent " in said
    assert "1 agents" not in said


def test_an_empty_setting_is_called_empty(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = saved(folder / "base", *repeats()), saved(folder / "new", *repeats(settings="ppo.learning_rate=1e30"))
    assert main(["check", *names]) == 4
    said = "settings is empty in the first and ppo.learning_rate=1e30 in the second"
    assert said in capsys.readouterr().err
    assert main(["check", *reversed(names)]) == 4
    assert "settings is ppo.learning_rate=1e30 in the first and empty in the second" in capsys.readouterr().err
