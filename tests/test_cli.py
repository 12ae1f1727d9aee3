"""The command line: what it says, how it ends, and that bad input costs one line and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from sable.models import MODELS
from scaleprof import __version__
from scaleprof.cli.app import app, main
from scaleprof.launch.launcher import Outcome
from scaleprof.points.axes import defaults, option_name
from scenarios import SCENARIOS

pytestmark = pytest.mark.usefixtures("folder")

SWEEP_OPTIONS = [
    *(option_name(name) for name in defaults()),
    *("--preset", "--config", "--resume", "--retry", "--out", "--csv", "--strict", "--dry-run", "--yes"),
]
REPORT_OPTIONS = ["--reference", "--where", "--full", "--columns", "--sort", "--plot", "--markdown", "--json"]


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "scaleprof", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "contents"),
    [
        (
            [],
            [
                "sweep",
                "report",
                "export",
                "list",
                "doctor",
                "--version",
                "--install-completion",
                "--show-completion",
                "--help",
            ],
        ),
        (["sweep"], [*SWEEP_OPTIONS, "16:4096:x2", "the end included"]),
        (["report"], ["RUN", "Run directories or CSV files;", *REPORT_OPTIONS]),
        (["export"], ["RUN", "Run directory or CSV file", "--csv"]),
        (["list"], ["models", "scenarios", "presets"]),
        (["doctor"], ["--device", "--scenario", "--agents"]),
    ],
    ids=lambda value: " ".join(value) or "scaleprof" if isinstance(value, list) else str(value),
)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(capsys: pytest.CaptureFixture[str], command: list[str], contents: list[str], flag: str) -> None:
    assert main([*command, flag]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[0].startswith(" ".join(["Usage: scaleprof", *command]) + " ")
    assert max(map(len, lines)) <= 80
    words = set(re.split(r"[\s,]+", captured.out))
    for content in contents:
        assert content in words or content in " ".join(captured.out.split())


@pytest.mark.parametrize("name", [name for name, value in defaults().items() if value])
def test_help_names_the_defaults_that_hold(capsys: pytest.CaptureFixture[str], name: str) -> None:
    main(["sweep", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    value = defaults()[name]
    default = f"{value:g}" if isinstance(value, float) else value
    assert re.search(rf"{option_name(name)} [A-Z]+ [^\[]*\[default: {default}\]", text)


GROUPS = {
    "sweep": ["What to sweep", "How to train", "How to measure", "Limits", "Where results go"],
    "report": ["Arguments", "What to show", "Details", "Output"],
    "export": ["Arguments", "Output"],
    "list": ["Arguments"],
    "doctor": ["Host", "Check a scenario instead"],
    "plan": ["What to sweep", "How to train", "How to measure", "Limits", "Where results go"],
    "fits": ["What to sweep", "How to train", "How to measure", "Limits"],
    "frontier": ["What to sweep", "How to train", "How to measure", "Limits", "Where results go"],
    "explain": ["What to sweep", "How to train", "How to measure", "Limits", "Where results go"],
    "compare": ["Arguments", "What to compare", "Output"],
    "check": ["Arguments", "What to compare", "How to judge", "Output"],
    "noise": ["Arguments", "What to compare"],
    "history": ["Arguments", "What to compare", "How to judge", "Output"],
    "baseline save": ["Arguments", "Output"],
    "baseline list": [],
}


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("command", GROUPS)
def test_help_is_grouped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= int(columns)
    assert re.findall(r"^(\S.*):$", shown, re.MULTILINE) == [*GROUPS[command], "Other options"]


def options_of(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every option of every command, with the command's name."""
    for child_name, child in getattr(command, "commands", {}).items():
        yield from options_of(child, f"{name} {child_name}".strip())
    if name and not hasattr(command, "commands"):
        yield from ((name, option) for option in command.params)


def test_every_option_has_a_group_and_a_short_text() -> None:
    found = list(options_of(typer.main.get_command(app)))
    assert {name for name, _ in found} | {"baseline list"} == set(GROUPS)
    for name, option in found:
        text = option.help.partition(" [default: ")[0]
        assert 0 < len(text) < 70, (name, option.name)
        assert not text.endswith("."), (name, option.name)
        if option.param_type_name == "option":
            assert option.rich_help_panel in GROUPS[name], (name, option.name)


@pytest.mark.parametrize(
    ("command", "see"),
    [
        ("sweep --epochs many", "; see scaleprof sweep"),
        ("sweep 16", "; see scaleprof sweep"),
        ("swep", "? See scaleprof"),
        ("report", "; see scaleprof report"),
        ("baseline save", "; see scaleprof baseline save"),
        ("check --al 1", "; see scaleprof check"),
    ],
)
def test_a_usage_error_names_the_commands_own_help(capsys: pytest.CaptureFixture[str], command: str, see: str) -> None:
    assert main(command.split()) == 2
    assert capsys.readouterr().err.endswith(f"{see} --help\n")


def test_no_command_is_a_question_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("Usage: scaleprof ")
    assert captured.err == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_the_module_is_the_command() -> None:
    done = shell("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")
    script = shutil.which("scaleprof", path=Path(sys.executable).parent)
    assert script is not None
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_completion_is_offered() -> None:
    script = shutil.which("scaleprof", path=Path(sys.executable).parent)
    assert script is not None
    environment = {
        **os.environ,
        "_SCALEPROF_COMPLETE": "complete_bash",
        "COMP_WORDS": "scaleprof sw",
        "COMP_CWORD": "1",
    }
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["sweep"]


def test_models(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    assert main(["list", "models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == list(MODELS)
    assert lines[1] == "    modes: chunkwise, recurrent, parallel, factored"
    assert lines[2] == "    parameters on neom with --embed-dim 64, 4 heads, 1 block: 97,045"
    assert lines[3] == "    factored: act O(N), learn O(T N), memory O(T N)"
    assert "    modes: none" in lines


@pytest.mark.parametrize("columns", [None, 50])
def test_models_fit_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int | None
) -> None:
    """None is no terminal: 80 columns."""
    monkeypatch.setattr(sys, "__stdout__", None)
    monkeypatch.setenv("COLUMNS", str(columns or ""))
    assert main(["list", "models"]) == 0
    listed = capsys.readouterr().out
    assert (columns or 80) - 8 < max(map(len, listed.splitlines())) <= (columns or 80)
    for model in MODELS.values():
        assert model.summary in " ".join(listed.split())


def test_scenarios(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    assert main(["list", "scenarios"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == list(SCENARIOS)
    name, tasks, agents = lines[:3]
    assert name.startswith("neom: ")
    assert "our reconstruction" in name
    assert tasks == "    tasks: simple-sine, half-1-half-(-1), quick-flip"
    assert agents == "    agents: 1 to 1048576, sensible up to 16384"
    details = [line.partition(":")[0].strip() for line in lines[3:6]]
    assert details == ["scaling rule", "observation", "actions"]
    assert any("scaled, con-5x5x3a (3 agents), " in line for line in lines)


def test_doctor(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert main(["doctor", "--device", "cpu"]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    text = captured.out
    assert text.startswith(f"scaleprof {__version__}\n")
    for line in (
        r"  jax \d+\.\d+\.\d+",
        r"host: .+, .+iB",
        r"devices: cpu: cpu",
        r"a process starts in .+s with .+ MiB",
        r"default memory limit: .+ GiB per point",
        r"XLA's static memory analysis: yes",
        r"host peak memory \(VmHWM\): .+",
        r"device allocator peak: no: cpu keeps no statistics",
        r"GPU figures by the driver \(NVML\): no: the package nvidia-ml-py is not installed",
    ):
        assert re.search(f"^{line}$", text, re.MULTILINE), line


def test_a_dry_run_shows_the_grid_and_writes_nothing(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    arguments = ["--agents", "2:8:x2", "--model", "sable:chunkwise,mat", "--chunk", "1,4", "--repeats", "2"]
    assert main(["sweep", *arguments, "--out", "run", "--csv", "results.csv", "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    rows = [line.split() for line in captured.out.splitlines() if re.match(r"\s*\d+\s", line)]
    assert rows[:-1] == [
        [str(number), *cells]
        for number, cells in enumerate(
            (
                cells
                for agents in ("2", "4", "8")
                for cells in (
                    ["sable", "chunkwise", agents, "1"],
                    ["sable", "chunkwise", agents, "4"],
                    ["mat", "dense", agents, "-"],
                )
            ),
            start=1,
        )
    ]
    assert captured.out.splitlines()[-1] == "9 points, 18 repeats in all"
    assert list(folder.iterdir()) == []


BAD_INPUT = [
    ("sweep --model sabel", "--model: unknown model 'sabel': did you mean 'sable'?"),
    ("sweep --model sable:chunkwize", "--model: sable has no mode 'chunkwize': did you mean 'chunkwise'?"),
    ("sweep --model sable:dense", "--model: sable has no mode 'dense' (mat, mat-rms"),
    ("sweep --mode paralel", "--mode: unknown mode 'paralel': did you mean 'parallel'?"),
    ("sweep --scenario noem", "--scenario: unknown scenario 'noem': did you mean 'neom'?"),
    ("sweep --scenario neom:sine", "--scenario: neom has no task 'sine': did you mean 'simple-sine'?"),
    (
        "sweep --accumulate 3",
        "--accumulate: accumulate is 3: it must be a divisor of the environments of a minibatch (2)",
    ),
    ("sweep --accumulate 0", "--accumulate: 0 is too small: give whole numbers of at least 1"),
    ("sweep --accumulate all", "--accumulate: unknown value 'all'"),
    ("sweep --accumulate 1,,2", "--accumulate: '1,,2' has an empty entry"),
    ("sweep --segment 32", "--segment: segment is 32: it must be at most the sequence's 16 timesteps, all or auto"),
    ("sweep --segment 8 --seq-len 4,16", "--segment: segment is 8: it must be at most the sequence's 4 timesteps"),
    (
        "sweep --segment autu",
        "--segment: unknown value 'autu': did you mean 'auto'? Choose from: a whole number, all, auto",
    ),
    ("sweep --segment -1", "--segment: -1 is too small"),
    ("sweep --agents 0", "--agents: 0 is too small: give whole numbers of at least 1"),
    ("sweep --agents abc", "--agents: 'abc' is not a whole number: give a list or a range such as 16"),
    ("sweep --agents 1:2", "--agents: range '1:2' needs a step: write first:last:step (1:10:3)"),
    ("sweep --agents 1:99999:1", "the grid has 599994 points: give fewer values, or --yes to allow more than 10000"),
    ("sweep --agents 1:1000000000000:1", "--agents: range '1:1000000000000:1' has more than 100000 values"),
    ("sweep --agents 1:99999:1 --seed 0:99999:1 --repeats 1000000000", "the grid has 59999400000000000000 points"),
    ("sweep --envs 3", "--envs: envs is 3: it must be divisible by the number of minibatches (2)"),
    ("sweep --embed-dim 10", "--embed-dim: embed_dim is 10: it must be divisible by the number of heads (4)"),
    ("sweep --set ppo.clap=1", "--set: ppo has no field 'clap': did you mean 'clip'?"),
    ("sweep --set ppo.clip=-1", "--set: clip is -1.0: it must be a number above 0"),
    ("sweep --set clip", "--set: 'clip' does not have the form group.field=value, such as ppo.clip=0.1"),
    ("sweep --preset papr", "--preset: unknown preset 'papr': did you mean 'paper-lbf'?"),
    ("sweep --device tpu", "--device: 'tpu' is not a device: give cpu, gpu or gpu:0 (the index of a card)"),
    ("sweep --timeout 0", "--timeout: 0 is not a duration: give more than 0 seconds"),
    ("sweep --max-hours 0", "--max-hours: 0 is not a duration: give more than 0 hours"),
    ("sweep --max-hours nan", "--max-hours: nan is not a duration: give more than 0 hours"),
    ("sweep --memory-limit 8", "--memory-limit: '8' is not a memory size: give a number and a unit"),
    ("sweep --memory-limit 999999999GiB", "--memory-limit: 999999999GiB is more than the"),
    ("sweep --resume nowhere", "--resume: nowhere does not exist: name the folder of a run"),
    ("sweep --resume .", "--resume: . is not a run: it has no manifest.json"),
    ("sweep --resume . --out run", "--out: a resumed run stays in its folder, .: omit --out"),
    ("sweep --retry oom", "--retry: only a run that is resumed can retry points: add --resume RUN"),
    ("sweep --retry ok", "--retry: 'ok' cannot be retried: choose from: oom, timeout, error, crashed, skipped"),
    ("sweep --csv missing/results.csv", "--csv: there is no folder missing: create it, or name another file"),
    ("sweep --against=", "--against: must not be empty: give a value or omit it"),
    ("sweep --preset=", "--preset: must not be empty: give a value or omit it"),
    ("sweep --agents 1_000", "--agents: '1_000' is not a whole number"),
    ("sweep --agents ١٦", "--agents: '١٦' is not a whole number"),
    ("sweep --set scenario.horizon=99999999999", "--set: horizon is 99999999999: it must be at most 2147483647"),
    (
        "sweep --scenario connector:con-5x5x3a --set scenario.horizon=50",
        "--set: horizon is 50: task con-5x5x3a is cut off after 25",
    ),
    ("sweep --csv .", "--csv: . is a folder: name a file, or - for stdout"),
    ("sweep --epochs many", "Invalid value for '--epochs'"),
    ("sweep --agens 3", "No such option: --agens (Possible options: --against, --agents"),
    ("sweep 16", "Got unexpected extra argument"),
    ("swep", "No such command 'swep'. Did you mean 'sweep'?"),
    ("list", "Missing argument 'models|scenarios|presets'"),
    ("list tasks", "list: cannot list 'tasks': choose from: models, scenarios, presets"),
    ("report", "Missing argument 'RUN'"),
    ("report nowhere", "nowhere does not exist: name a run directory or its results.csv"),
    ("report .", ". is not a run: it has no records.jsonl"),
    ("report . --json --plot", ". is not a run: it has no records.jsonl"),
    ("export nowhere", "nowhere does not exist: name a run directory or its results.csv"),
    ("export . --csv missing/x.csv", "--csv: there is no folder missing: create it, or name another file"),
    ("doctor --device cpu:1", "--device: 'cpu:1' is not a device"),
    ("doctor --agents 3", "--agents: needs a scenario to check: add --scenario NAME"),
    ("doctor --scenario noem", "--scenario: unknown scenario 'noem': did you mean 'neom'?"),
    ("doctor --scenario turn-taking --agents 1", "--agents: agents is 1: scenario turn-taking takes 2 to"),
    ("sweep --scenario missing:make", "--scenario: there is no scenario and no module 'missing'"),
    ("sweep --scenario os:path.join", "--scenario: 'os:path.join' names no function: write os:function"),
    (
        "sweep --scenario json:nothing --dry-run",
        "--scenario: module 'json' has no function 'nothing': choose from: dump, dumps",
    ),
    (
        "sweep --model json.decoder:scan",
        "--model: module 'json.decoder' has no function 'scan': choose from: JSONDecodeError",
    ),
    (
        "sweep --scenario os:getcwd --reward shared",
        "--reward: scenario os:getcwd has no choice of reward: omit it",
    ),
]


@pytest.mark.parametrize(("command", "said"), BAD_INPUT, ids=[command for command, _ in BAD_INPUT])
def test_bad_input(capfd: pytest.CaptureFixture[str], folder: Path, command: str, said: str) -> None:
    assert main(command.split()) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"scaleprof: {said}")
    assert captured.err.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_a_terminal_of_no_columns_is_one_of_unknown_width(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert main(["sweep", "--dry-run"]) == 0
    assert "18 points" in capfd.readouterr().out


def test_a_folder_that_no_table_can_name(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["sweep", "--out", "bad\udcff"]) == 2
    assert capfd.readouterr().err == "scaleprof: --out: the name b'bad\\xff' is not UTF-8: give another one\n"
    assert list(folder.iterdir()) == []


def test_the_exit_code_reaches_the_shell(folder: Path) -> None:
    done = shell("sweep", "--agents", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "scaleprof: --agents: 0 is too small: give whole numbers of at least 1\n"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", ["manifest.json", "records.jsonl", "notes.txt"])
def test_a_folder_that_is_in_use(capsys: pytest.CaptureFixture[str], folder: Path, content: str) -> None:
    (folder / "run").mkdir()
    (folder / "run" / content).write_text("before")
    assert main(["sweep", "--agents", "2", "--out", "run"]) == 2
    what = "is not empty: name a new or an empty folder" if content == "notes.txt" else "already holds a run"
    captured = capsys.readouterr()
    assert captured.err.startswith(f"scaleprof: --out: run {what}")
    assert captured.err.count("\n") == 1
    assert [path.name for path in (folder / "run").iterdir()] == [content]
    assert (folder / "run" / content).read_text() == "before"


def test_a_memory_limit_that_nothing_starts_under(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["sweep", "--memory-limit", "32MiB", "--device", "cpu"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    message = r"scaleprof: --memory-limit: 32\.0 MiB is less than a process needs at start-up \(\d+ MiB\)"
    first, error = captured.err.splitlines()  # the first line comes before the process that finds this out
    assert first.startswith("18 points, up to 32.0 MiB each; run folder runs/")
    assert re.fullmatch(rf"{message}: give more", error)
    assert list(folder.iterdir()) == []


def test_an_output_folder_that_cannot_be_made(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "file").write_text("before")
    assert main(["sweep", "--agents", "2", "--out", "file/run", "--device", "cpu"]) == 2
    (error,) = capfd.readouterr().err.splitlines()  # not even what begins
    assert error == "scaleprof: --out: cannot write to file/run: Not a directory"
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_reader_that_has_seen_enough() -> None:
    command = f"{sys.executable} -m scaleprof sweep --agents 1:500:1 --dry-run | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("All points:")


def test_an_interrupt_before_the_first_point(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr("scaleprof.launch.process.run_child", lambda *args, **kwargs: Outcome(status="interrupted"))
    assert main(["sweep"]) == 130
    first, error = capsys.readouterr().err.splitlines()
    assert first.startswith("18 points, up to ")
    assert error == "scaleprof: interrupted before the first point"
    assert list(folder.iterdir()) == []
