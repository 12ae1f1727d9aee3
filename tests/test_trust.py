"""What a run may show, read, write and start: secrets, links, code named in a manifest, and quoted text."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jax
import pytest
from rich.console import Console

from reports.records.record import Record
from reports.records.redaction import HARMLESS, is_secret, redacted, redacted_values
from reports.records.run import load_run
from reports.records.within import read_within
from reports.render.console import open_console
from reports.render.terminal import render_grid, render_summary
from reports.text.plain import one_line, plain_lines
from scaleprof.cli.app import main
from scaleprof.launch import host_description, local, preflight
from scaleprof.launch.host_description import relevant
from scaleprof.launch.kept_variables import VARIABLES
from scaleprof.launch.launcher import Outcome
from scaleprof.launch.protocol import Task
from scaleprof.points.options import make_request, plan_sweep
from scaleprof.probes.watch import Sample
from scaleprof.sweep.progress import Progress

ROOT = Path(__file__).parents[1]
RECORDED = Path(__file__).parent / "golden" / "run_0_1"


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA_API_KEY",
        "JAX_AUTH_TOKEN",
        "XLA_REMOTE_CACHE_CREDENTIALS",
        "CUDA_REPO_PASSWORD",
        "PYTHON_KEYRING_BACKEND",
        "MALLOC_SECRET",
        "OMP_SOMETHING_NEW",
        "PYTHONSTARTUP",
        "JAX_COORDINATOR_ADDRESS",
    ],
)
def test_a_variable_is_not_kept_for_its_beginning(name: str) -> None:
    assert relevant({name: "hidden", "XLA_FLAGS": "--xla_a=1"}) == {"XLA_FLAGS": "--xla_a=1"}


def test_what_changes_a_program_is_kept() -> None:
    names = {
        *("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "JAX_DEBUG_NANS", "JAX_DEFAULT_MATMUL_PRECISION"),
        *("JAX_DEFAULT_PRNG_IMPL", "JAX_DISABLE_JIT", "JAX_ENABLE_X64", "JAX_NUMPY_DTYPE_PROMOTION", "JAX_PLATFORMS"),
        *("JAX_THREEFRY_PARTITIONABLE", "MALLOC_ARENA_MAX", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS"),
        *("PYTHONPATH", "TF_GPU_ALLOCATOR", "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE"),
    }
    assert set(relevant(dict.fromkeys(names, "1"))) == names


def test_every_name_on_the_list_is_kept_and_shown() -> None:
    """Also one that looks like a secret: an exact name goes before the pattern."""
    assert [name for name in VARIABLES if is_secret(name)] == []
    everything = dict.fromkeys(VARIABLES, "1")
    assert relevant(everything) == redacted_values(everything) == everything
    assert set(everything) >= HARMLESS
    assert all(is_secret(f"{name}_2") and is_secret(name.removeprefix("JAX_")) for name in HARMLESS)


def test_every_switch_of_jax_that_looks_like_a_secret_was_decided_on() -> None:
    """Those of no consequence for programs, which name the key of a cache, are not kept."""
    of_caches = {"COMPILATION_CACHE_INCLUDE_METADATA_IN_KEY", "REMOVE_CUSTOM_PARTITIONING_PTR_FROM_CACHE_KEY"}
    known = {name.upper() for name in jax.config.values}
    pattern = {name for name in known if is_secret(name) or name in HARMLESS}
    assert pattern <= HARMLESS | {f"JAX_{name}" for name in of_caches}
    assert "JAX_COMPILER_ENABLE_REMAT_PASS" in pattern


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--xla_dump_to=/home/joe/dump", "--xla_dump_to=~/dump"),
        ("/home/joe/a:/Users/jane/b:/root", "~/a:~/b:~"),
        ("/homeless/joe and /data/home/x", "/homeless/joe and /data/home/x"),
        ("https://joe:hunter2@host/x.git", "https://(removed)@host/x.git"),
        ("git+ssh://ghp_1@host", "git+ssh://(removed)@host"),
        ("https://host/x?token=abc&b=1", "https://host/x?token=(removed)&b=1"),
        ("--proxy_api_key=abc,other=1", "--proxy_api_key=(removed),other=1"),
        ("--xla_disable_hlo_passes=fusion", "--xla_disable_hlo_passes=fusion"),
    ],
)
def test_values_show_no_secret_and_no_home(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted_values({"variables": [{"A": text, "A_TOKEN": "x"}]}) == {"variables": [{"A": shown}]}


def test_the_users_own_home_wherever_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/export/people/joe")
    assert redacted("/export/people/joe/run /export/people/joey") == "~/run /export/people/joey"


def test_the_kept_command_line_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/joe/bin/scaleprof", "sweep", "--out", "/home/joe/r", "--csv", "s3://a:b@c"])
    assert host_description.command_line() == ["scaleprof", "sweep", "--out", "~/r", "--csv", "s3://(removed)@c"]


def test_a_description_of_the_host_shows_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_description, "git_state", lambda folder: {"commit": "https://joe:x@host"})
    devices = {"source": "/home/joe/code/scaleprof", "platform": "cpu"}
    variables = {"together": {"NVIDIA_API_KEY": "hidden", "PYTHONPATH": "/home/joe/code"}}
    described = host_description.describe(["scaleprof"], variables, devices, [])
    assert described["variables"] == {"together": {"PYTHONPATH": "~/code"}}
    assert described["source"] == "~/code/scaleprof"
    assert "joe" not in json.dumps(described)


def test_a_secret_in_the_file_of_an_earlier_version_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").touch()
    host = {"variables": {"together": {"NVIDIA_API_KEY": "nvapi-x", "XLA_FLAGS": "--a=/home/joe"}}}
    (tmp_path / "environment.json").write_text(json.dumps(host))
    assert load_run(tmp_path).hosts == ({"variables": {"together": {"XLA_FLAGS": "--a=~"}}},)


def recorded(folder: Path) -> Path:
    """A copy of a run that was recorded earlier."""
    return Path(shutil.copytree(RECORDED, folder))


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A private file, of the kind that an attacker would like to read or overwrite."""
    path = tmp_path / "private"
    path.write_text("update,update_seconds\nhidden,1\n")
    return path


SAMPLES = "samples/0001-ippo-n2-t2-r0.csv"


@pytest.mark.parametrize(
    "name", ["records.jsonl", "environment.json", "environment-2.json", "host.json", SAMPLES, "samples"]
)
def test_no_reader_follows_a_link(name: str, private: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = recorded(tmp_path / "run")
    target = private
    if (run / name).is_dir():
        target = run.rename(tmp_path / "other") / name
        recorded(run)
        shutil.rmtree(run / name)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(target)
    assert main(["report", str(run), "--html", str(tmp_path / "page.html")]) == 2
    assert f"{run / name} is a link, which is neither read nor written" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_a_baselines_table_is_no_link(private: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "results.csv").symlink_to(private)
    assert main(["report", str(tmp_path / "base")]) == 2
    assert "is a link" in capsys.readouterr().err


def test_a_run_that_is_reached_by_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(recorded(tmp_path / "run"))
    assert len(load_run(tmp_path / "latest").records) == len(load_run(RECORDED).records)


@pytest.mark.parametrize("name", ["manifest.json", "records.jsonl", "host.json"])
def test_a_pipe_in_place_of_a_file_stops_nobody(name: str, tmp_path: Path) -> None:
    run = recorded(tmp_path / "run")
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    with pytest.raises(ValueError, match="is neither a file nor a folder: delete it"):
        read_within(run, run / name)


class World:
    """Sweeps in this process: what was started, and no process at all."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def inspect_device(self, *args: Any, **options: Any) -> dict[str, Any]:
        self.started.append("inspection")
        return {"platform": "cpu", "devices": ["test"], "start_rss_bytes": 1, "source": str(ROOT / "scaleprof")}

    def run_child(self, task: Task, *args: Any, **options: Any) -> Outcome:
        assert task.point is not None
        self.started.append(task.point.model)
        return Outcome(
            status="ok", facts={"platform": "cpu"}, samples=[{"update": 0}], timeline=[Sample(0.0, "start", 1)]
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    world = World()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preflight, "inspect_device", world.inspect_device)
    monkeypatch.setattr(local, "run_child", world.run_child)
    monkeypatch.setattr(host_description, "git_state", lambda folder: None)
    return world


@pytest.fixture
def unfinished(world: World, capsys: pytest.CaptureFixture[str]) -> World:
    """The run `run` in the current folder, of whose two points the second is still to be measured."""
    assert main(["sweep", "--agents", "2,3", "--model", "ippo", "--device", "cpu", "--out", "run"]) == 0
    path = Path("run/records.jsonl")
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    capsys.readouterr()
    world.started.clear()
    return world


WRITTEN = [
    *("lock", "manifest.json", "records.jsonl", "results.csv", "host-2.json", "compiled", "logs"),
    *("samples", "timelines", "logs/0001-ippo-n3-t2-r0.log", "samples/0001-ippo-n3-t2-r0.csv"),
    "timelines/0001-ippo-n3-t2-r0.csv",
]


@pytest.mark.parametrize("dangling", [False, True])
@pytest.mark.parametrize("name", WRITTEN)
def test_no_writer_follows_a_link(
    name: str, dangling: bool, unfinished: World, private: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = private.read_text()
    name = name.replace("-t2-", f"-t{load_run('run').records[0].seq_len}-")
    link = Path("run", name)
    link.parent.mkdir(exist_ok=True)
    shutil.rmtree(link) if link.is_dir() else link.unlink(missing_ok=True)
    target = private.with_name("new") if dangling else private
    link.symlink_to(target)
    code = main(["sweep", "--resume", "run"])
    assert code == 2
    said = capsys.readouterr().err
    assert f"run/{name} is a link" in said or f"run/{name.partition('/')[0]} is a link" in said or dangling
    assert private.read_text() == before
    assert not private.with_name("new").exists()
    assert link.is_symlink()


def test_a_file_in_the_making_is_not_written_through_a_link(unfinished: World, private: Path) -> None:
    before = private.read_text()
    Path("run/results.csv.part").symlink_to(private)
    assert main(["sweep", "--resume", "run"]) == 0
    assert private.read_text() == before
    assert len(load_run("run").records) == 2
    assert not Path("run/results.csv").is_symlink()


def test_a_log_with_another_name_elsewhere_is_not_emptied(unfinished: World, private: Path) -> None:
    before = private.read_text()
    (log,) = Path("run/logs").glob("0001-*.log")
    log.unlink()
    log.hardlink_to(private)
    assert main(["sweep", "--resume", "run"]) == 0
    assert private.read_text() == before


def test_programs_that_lie_in_a_run_are_not_loaded(unfinished: World, private: Path) -> None:
    folder = Path("run/compiled/0123456789abcdef")
    folder.mkdir(parents=True)
    (folder / "program-cache").write_bytes(b"code")
    (folder / "program-atime").symlink_to(private)
    assert main(["sweep", "--resume", "run"]) == 0
    assert not folder.exists()
    assert private.exists()


def test_a_new_run_is_not_locked_through_a_link(world: World, private: Path) -> None:
    Path("new").mkdir()
    Path("new/lock").symlink_to(private)
    assert main(["sweep", "--agents", "2", "--model", "ippo", "--device", "cpu", "--out", "new"]) == 2
    assert private.read_text().startswith("update")


def test_baselines_are_not_saved_behind_a_link(unfinished: World, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Path(".scaleprof").mkdir()
    Path(".scaleprof/baselines").symlink_to(tmp_path / "elsewhere")
    assert main(["baseline", "save", "main", "run"]) == 2
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.fixture
def received(unfinished: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The run `run` of elsewhere, whose manifest names a model and a scenario that can be imported here."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "examples"))
    path = Path("run/manifest.json")
    manifest = json.loads(path.read_text())
    manifest["options"] |= {"model": "custom_model:linear", "scenario": "custom_scenario:make"}
    path.write_text(json.dumps(manifest))
    Path("run/records.jsonl").write_text("")
    return unfinished


NAMED = "the scenario custom_scenario:make, the model custom_model:linear"


@pytest.mark.parametrize("command", [["sweep", "--resume", "run"], ["noise", "run", "--again"]])
def test_code_that_a_manifest_names_runs_only_if_trusted(
    command: list[str], received: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    *lacking, said = capsys.readouterr().err.splitlines()
    option = command[1] if command[0] == "sweep" else "--again"
    assert said == f"scaleprof: {option}: run names code of its own, {NAMED}: check it; --trust then runs it"
    assert lacking in ([], ["scaleprof: run: 0 of 2 records"])
    assert received.started == []
    main([*command, "--trust"])
    first, second, *_ = (line for line in capsys.readouterr().err.splitlines() if line not in lacking)
    assert first.startswith("2 points")
    assert second == f"Running code that run names: {NAMED}"
    assert received.started == ["inspection", "custom_model:linear", "custom_model:linear"]


def test_code_that_the_user_names_too_is_trusted(received: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--resume", "run", "--model", "custom_model:linear"]) == 2
    assert "names code of its own, the scenario custom_scenario:make: check" in capsys.readouterr().err
    named = ["--model", "custom_model:linear", "--scenario", "custom_scenario:make"]
    assert main(["sweep", "--resume", "run", *named]) == 0
    assert "Running code" not in capsys.readouterr().err
    assert main(["sweep", "--resume", "run"]) == 0  # there is nothing left to run


def test_what_would_run_is_shown_without_trust(received: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--resume", "run", "--dry-run"]) == 0
    assert "custom_model:linear" in capsys.readouterr().out
    assert received.started == []


@pytest.fixture
def program(unfinished: World, tmp_path: Path) -> Path:
    """A program that the manifest of `run` names as another version: it leaves a trace where it runs."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    path.chmod(0o755)
    manifest = json.loads(Path("run/manifest.json").read_text())
    manifest["options"]["against"] = str(path)
    Path("run/manifest.json").write_text(json.dumps(manifest))
    Path("run/records.jsonl").write_text("")
    return path


@pytest.mark.parametrize(
    "command",
    [["sweep", "--resume", "run"], ["noise", "run", "--again"]],
)
def test_a_program_that_a_manifest_names_runs_only_if_trusted(
    command: list[str], program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "inspect_version", lambda against, *_: subprocess.run([against], check=False) and {})
    assert main(command) == 2
    assert f"the version {program}: check it; --trust then runs it" in capsys.readouterr().err
    assert not program.with_name("ran").exists()
    main([*command, "--trust"])
    assert f"Running code that run names: the version {program}" in capsys.readouterr().err
    assert program.with_name("ran").exists()


@pytest.mark.parametrize("command", ["sweep --trust", "noise run --trust"])
def test_trust_in_nothing_is_an_error(command: str, unfinished: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    assert capsys.readouterr().err.startswith("scaleprof: --trust: only a run that is ")


def test_trust_is_not_given_by_a_file(unfinished: World, capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text("[tool.scaleprof.sweep]\ntrust = true\n")
    assert main(["sweep", "--dry-run"]) == 2
    assert "trust" in capsys.readouterr().err


HOSTILE = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202e\u2066\x00\r\n::error::\u200f\u2028x"


def hostile_run(folder: Path, status: str = "error") -> Path:
    """A run whose every text is hostile."""
    run = recorded(folder)
    lines = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    for line in lines:
        line |= {name: f"{line[name]}{HOSTILE}" for name in ("scenario", "device", "settings", "run_id")}
    lines[0] |= {"model": f"sable{HOSTILE}", "mode": HOSTILE}
    lines.append(lines[1] | {"status": status, "reason": HOSTILE, "stderr_tail": HOSTILE, "agents": 8})
    (run / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    host = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(host | {"cpu": HOSTILE, HOSTILE: HOSTILE}))
    return run


def is_plain(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize(
    "command",
    [
        ["report", "RUN"],
        ["report", "RUN", "--full", "--format", "plot"],
        ["report", "RUN", "--format", "markdown"],
        ["report", "RUN", "--format", "json"],
        ["report", "RUN", "--html", f"{HOSTILE.replace('/', '')}.html".replace("\x00", "")],
        ["report", "RUN", "RUN"],
        ["compare", "RUN", "OTHER"],
        *(["check", "RUN", "OTHER", "--all", "--format", kind] for kind in ("table", "markdown", "github", "junit")),
        ["check", "RUN", "OTHER", "--format", "json"],
        ["noise", "RUN", "OTHER"],
        ["noise", "RUN", "--again"],
        ["baseline", "save", "main", "RUN"],
        ["baseline", "save", HOSTILE, "RUN"],
        ["check", "RUN", "--baseline", HOSTILE],
        ["sweep", "--resume", "RUN"],
        ["sweep", "--scenario", HOSTILE],
        ["sweep", "--model", f"os:{HOSTILE}"],
        ["sweep", "--preset", HOSTILE],
        ["report", HOSTILE],
        ["report", "RUN", "--where", HOSTILE],
        ["report", "RUN", "--columns", HOSTILE],
        ["check", "RUN", "OTHER", "--metrics", HOSTILE],
        [HOSTILE],
        ["report", f"--{HOSTILE}"],
        ["doctor", "--scenario", HOSTILE],
    ],
    ids=lambda command: " ".join(command).replace(HOSTILE, "HOSTILE").encode("unicode_escape").decode()[:60],
)
@pytest.mark.parametrize(("colours", "status"), [(False, "error"), (True, "error"), (False, HOSTILE)])
def test_nothing_quoted_steers_a_terminal(
    command: list[str],
    colours: bool,
    status: str,
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "run" + HOSTILE.replace("\x00", "").replace("/", "")
    hostile_run(Path(name), status)
    recorded(Path("other"))
    if colours:
        monkeypatch.setenv("FORCE_COLOR", "1")
    code = main([word.replace("RUN", name).replace("OTHER", "other") for word in command])
    said = capsys.readouterr()
    assert code in (0, 1, 2, 4)
    assert said.out or said.err
    for text in (said.out, said.err):
        assert is_plain(re.sub(r"\x1b\[[0-9;]*m", "", text) if colours else text)
        assert "\x1b[31m\x9b" not in text
        assert not [line for line in text.splitlines() if line.startswith("::error::")]


def test_the_page_and_files_hold_no_hostile_character(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    run = hostile_run(Path("run"))
    assert main(["report", str(run), "--html", "page.html", "--svg", "figure.svg"]) == 0
    for name in ("page.html", "figure.svg"):
        text = Path(name).read_text()
        assert not set(text) & set("\x1b\x9b\u202e\u2066\u200f\u2028\x07\x00")
        shown = text.partition('"csv":')[0]  # the results file, to be saved as it is
        assert "\\u202e" not in shown
        assert "\\u001b" not in shown


def test_progress_of_a_hostile_point_is_one_plain_line() -> None:
    stream = io.StringIO()
    plan = plan_sweep(make_request({"agents": "2", "model": "ippo"}))
    point = dataclasses.replace(plan.points[0], model=f"m{HOSTILE}:make")
    with Progress([point], plan.options, Console(file=stream, width=200)) as progress:
        progress.point_begins(0, point)
        progress.point_ended(0, point.record(status="error", reason=HOSTILE))
    assert is_plain(stream.getvalue())
    assert stream.getvalue().count("\n") == 1


def test_only_visible_characters_stay() -> None:
    assert one_line("caf\udce9 \x1b[0m a\tb\n") == "caf [0m a b"
    assert plain_lines("a\x1b\n\tb\n") == "a \n b\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::hi", ": :error::hi"),
        ("\n ::add-mask::x", ": :add-mask::x"),
        ("##[group]x", "## [group]x"),
        ("xla::HloModule a:b", "xla::HloModule a:b"),
    ],
)
def test_no_quoted_line_is_a_command_of_a_runner(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize("width", [20, 33, 40, 59])
@pytest.mark.parametrize("name", ["a::error::owned", "a" * 30 + "::error::owned", "a" * 9 + "::error::" * 20])
def test_no_folded_line_is_a_command_of_a_runner(
    name: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever a table, a list or a paragraph is cut."""
    monkeypatch.setenv("COLUMNS", str(width))
    models = [name[:cut] + name for cut in range(10)]
    records = [Record(model=model, agents=2, status="error", reason=model) for model in models]
    render_summary(records, open_console(), title=name)
    render_grid(records, open_console())
    said = capsys.readouterr().out
    assert ":err" in said
    assert [line for line in said.splitlines() if line.strip().startswith("::")] == []
