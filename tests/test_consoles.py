"""Terminals, pipes and closed streams: what a sweep, a report and a check show on them."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.render.console import is_live, open_console
from scaleprof.cli.app import main
from scaleprof.launch import host_description
from scaleprof.launch import local as launching
from scaleprof.launch import preflight as machine
from scaleprof.launch.launcher import Outcome
from scaleprof.runs.store import load_records

GOLDEN = Path(__file__).parent / "golden" / "run_0_1"
SWEEP = ["sweep", "--agents", "2,3", "--model", "ippo,mappo", "--device", "cpu", "--out", "run"]
FIRST = "4 points, up to 8.00 GiB each; run folder run"
VARIABLES = ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "TERM")


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[int, str]:
    """Sweeps in an empty folder without processes of their own: how points end, by their agents; all else is ok."""
    endings: dict[int, str] = {}

    def inspect_device(*args: Any, **options: Any) -> dict[str, Any]:
        source = str(Path(launching.__file__).parent)
        return {"platform": "cpu", "devices": ["test"], "start_rss_bytes": 1, "source": source}

    def run_child(task: Any, *args: Any, **options: Any) -> Outcome:
        return Outcome(status=endings.get(task.point.agents, "ok"), facts={"platform": "cpu"})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "inspect_device", inspect_device)
    monkeypatch.setattr(launching, "run_child", run_child)
    monkeypatch.setattr(host_description, "git_state", lambda folder: None)
    monkeypatch.setattr("scaleprof.probes.host.total_memory_bytes", lambda: 24 * 2**30)
    monkeypatch.setattr("scaleprof.probes.cgroup.memory_limit_bytes", lambda: None)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return endings


@pytest.fixture
def terminal() -> Iterator[Callable[[], tuple[Any, Callable[[], str]]]]:
    """Makes terminals of 100 columns: what to write to, and what came out."""
    opened: list[Any] = []

    def make() -> tuple[Any, Callable[[], str]]:
        outer, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        stream = os.fdopen(inner, "w", encoding="utf-8")
        parts: list[bytes] = []

        def keep() -> None:
            try:
                while part := os.read(outer, 65536):
                    parts.append(part)
            except OSError:  # nobody writes any more
                os.close(outer)

        reader = threading.Thread(target=keep)
        reader.start()
        opened.append((stream, reader))

        def read() -> str:
            stream.close()
            reader.join(timeout=10)
            return b"".join(parts).decode()

        return stream, read

    yield make
    for stream, reader in opened:
        stream.close()
        reader.join(timeout=10)


def finished_lines(text: str) -> list[str]:
    return [line.partition(":")[0] for line in text.splitlines() if line.startswith("[")]


LINES = [f"[{number}/4] {model} · {agents} agents · T 16" for number, (agents, model) in enumerate(
    ((agents, model) for agents in (2, 3) for model in ("ippo", "mappo")), start=1
)]  # fmt: skip


@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"TERM": "dumb"},
        {"TERM": "xterm-256color"},
        {"FORCE_COLOR": "1", "TERM": "dumb"},
        {"FORCE_COLOR": "1", "TERM": "xterm-256color"},
        {"FORCE_COLOR": "3", "NO_COLOR": "1"},
        {"TTY_COMPATIBLE": "1", "TERM": "xterm"},
        {"TTY_INTERACTIVE": "1", "TTY_COMPATIBLE": "1"},
    ],
    ids=lambda variables: " ".join(f"{name}={value}" for name, value in variables.items()) or "nothing",
)
def test_a_pipe_gets_a_line_per_point(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(SWEEP) == 0
    errors = capsys.readouterr().err
    assert errors.splitlines()[0] == FIRST
    assert finished_lines(errors) == LINES
    assert "\x1b" not in errors


@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"TERM": "unknown"}, {}, {"TERM": "dumb", "FORCE_COLOR": "1"}])
def test_a_terminal_that_cannot_redraw_gets_a_line_per_point(
    monkeypatch: pytest.MonkeyPatch, terminal: Any, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (errors, seen), (output, shown) = terminal(), terminal()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(sys, "stdout", output)
    assert main(SWEEP) == 0
    text = seen()
    assert (text.splitlines()[0], finished_lines(text)) == (FIRST, LINES)
    assert "\x1b" not in text
    assert "\x1b" not in shown()


@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TTY_COMPATIBLE": "0"}, {"FORCE_COLOR": ""}])
def test_a_terminal_gets_a_live_display(
    monkeypatch: pytest.MonkeyPatch, terminal: Any, variables: dict[str, str]
) -> None:
    for name, value in {"TERM": "xterm-256color", **variables}.items():
        monkeypatch.setenv(name, value)
    errors, seen = terminal()
    monkeypatch.setattr(sys, "stderr", errors)
    assert main(SWEEP) == 0
    text = seen()
    assert text.splitlines()[0] == FIRST
    assert "\x1b[?25l" in text  # the cursor is hidden while the display is drawn
    assert "elapsed" in text
    assert finished_lines(text) == []


@pytest.mark.usefixtures("ending")
def test_colours_and_width_follow_what_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(**variables: str) -> str:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            assert main(["report", str(GOLDEN), "--full"]) == 0
        return capsys.readouterr().out

    plain = report(COLUMNS="100")
    assert "\x1b" not in plain
    assert "\x1b[1m" in report(COLUMNS="100", FORCE_COLOR="1", TERM="xterm")
    assert report(COLUMNS="100", FORCE_COLOR="1", TERM="dumb") == plain
    assert report(COLUMNS="100", TTY_COMPATIBLE="1", TERM="xterm") == plain
    assert report(COLUMNS="60", FORCE_COLOR="1", TERM="dumb") == report(COLUMNS="60")


def test_only_a_terminal_is_live(monkeypatch: pytest.MonkeyPatch, terminal: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream, _ = terminal()
    assert is_live(stream)
    monkeypatch.setenv("TERM", "Dumb ")
    assert not is_live(stream)
    monkeypatch.setenv("TERM", "xterm")
    with (tmp_path / "file").open("w") as file:
        assert not is_live(file)
    assert not is_live(file)  # closed
    assert not is_live(None)
    assert not is_live(io.StringIO())


def test_every_console_is_made_in_one_place() -> None:
    root = Path(__file__).parent.parent
    found = [path for package in ("scaleprof", "reports") for path in (root / package).rglob("*.py")]
    assert [path.name for path in found if "Console(" in path.read_text() and path.name != "console.py"] == []


@pytest.mark.usefixtures("ending")
def test_a_reader_of_stderr_that_leaves_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert main(SWEEP) == 0
        assert open_console(stderr=True).file is stream
    assert [record.status for record in load_records(Path("run"))] == ["ok"] * 4


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["report", str(GOLDEN)], 0),
        (["report", str(GOLDEN), "--json"], 0),
        (["report", str(GOLDEN), "--markdown"], 0),
        (["export", str(GOLDEN), "--csv", "-"], 0),
        (["check", str(GOLDEN), str(GOLDEN)], None),
        (["check", str(GOLDEN), str(GOLDEN), "--format", "json"], None),
        (["compare", str(GOLDEN), str(GOLDEN)], None),
        (["sweep", "--dry-run"], 0),
        (["sweep", "--agents", "none"], 2),
        (["list", "presets"], 0),
        (["--help"], 0),
        (["--version"], 0),
    ],
    ids=lambda value: " ".join(value[:1] + value[2:]) if isinstance(value, list) else "",
)
def test_streams_that_are_closed(tmp_path: Path, command: list[str], code: int | None) -> None:
    """The exit code is that of the same command with streams; None is whatever that is."""

    def run(closed: str) -> subprocess.CompletedProcess[bytes]:
        line = ["bash", "-c", f'"$@" {closed}', "-", sys.executable, "-m", "scaleprof", *command]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, check=False)

    whole = run("")
    assert code in (None, whole.returncode)
    none = run("<&- >&- 2>&-")
    assert (none.returncode, none.stdout, none.stderr) == (whole.returncode, b"", b"")
    silent = run(">&-")
    assert (silent.returncode, silent.stderr) == (whole.returncode, whole.stderr)
    assert run("2>&-").stdout == whole.stdout


@pytest.mark.parametrize(("endings", "code"), [({}, 0), ({2: "error"}, 0), ({2: "timeout", 3: "crashed"}, 3)])
def test_the_exit_code_without_strict(ending: dict[int, str], endings: dict[int, str], code: int) -> None:
    ending.update(endings)
    assert main(SWEEP) == code
    assert main(["sweep", "--resume", "run"]) == code
    assert main(["sweep", "--resume", "run", "--strict"]) == (3 if endings else 0)
