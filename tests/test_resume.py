"""Nothing lost: a sweep that ended early, however it ended, goes on where it was."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import obey_modes
import psutil
import pytest
from points import plan

from reports import Record, read_records
from reports.records.run import record_key
from scaleprof.cli.app import main
from scaleprof.launch import host_description
from scaleprof.launch import local as launching
from scaleprof.launch import preflight as machine
from scaleprof.launch.launcher import Outcome
from scaleprof.launch.protocol import Task
from scaleprof.points.axes import defaults, option_name
from scaleprof.runs.store import RunDirectory, load_records
from scaleprof.sweep.resuming import MAY_DIFFER, RETRYABLE

SIZES = ["--seq-len", "2", "--envs", "2", "--embed-dim", "8", "--heads", "2"]
GRID = ["--agents", "2,3,4", "--model", "sable:chunkwise,mat", *SIZES]
NAMES = [
    f"000{2 * i + j}-{name}-n{i + 2}-t2-r0" for i in range(3) for j, name in enumerate(("sable-chunkwise", "mat-dense"))
]
POINTS = [(model, agents) for agents in (2, 3, 4) for model in ("sable", "mat")]


class World:
    """Stands for all child processes: how each point ends, and which were started."""

    def __init__(self) -> None:
        self.endings: dict[tuple[str, int], str] = {}
        self.tasks: list[Task] = []
        self.timeouts: list[float] = []
        self.platform = "cpu"
        self.before_point: Callable[[tuple[str, int]], None] = lambda point: None

    @property
    def ran(self) -> list[tuple[str, int]]:
        """The points that got a process since this was asked last."""
        points = [(task.point.model, task.point.agents) for task in self.tasks if task.point]
        self.tasks.clear()
        return points

    def inspect_device(self, *args: Any, **options: Any) -> dict[str, Any]:
        source = str(Path(launching.__file__).parent)
        return {"platform": self.platform, "devices": ["test"], "start_rss_bytes": 1, "source": source}

    def run_child(self, task: Task, environment: dict[str, str], log: Path, **rest: Any) -> Outcome:
        assert task.point is not None
        point = (task.point.model, task.point.agents)
        self.tasks.append(task)
        self.timeouts.append(rest["timeout_seconds"])
        self.before_point(point)
        status = self.endings.get(point, "ok")
        if status == "interrupted":
            os.kill(os.getpid(), signal.SIGINT)
        return Outcome(
            status=status, facts={"platform": self.platform}, samples=[{"update": 0}] if status == "ok" else []
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """Sweeps in this process, in an empty folder, that start none of their own."""
    world = World()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "inspect_device", world.inspect_device)
    monkeypatch.setattr(launching, "run_child", world.run_child)
    monkeypatch.setattr(host_description, "git_state", lambda folder: None)
    return world


@pytest.fixture
def stopped(world: World, capsys: pytest.CaptureFixture[str]) -> World:
    """The run `run`, interrupted at the fourth of its six points."""
    world.endings = {("mat", 3): "interrupted"}
    assert main(["sweep", *GRID, "--out", "run"]) == 130
    assert world.ran == POINTS[:4]
    world.endings = {}
    capsys.readouterr()
    return world


def lines() -> list[tuple[str, int, str]]:
    """Model, agents and status of every line of records.jsonl."""
    found = [json.loads(line) for line in Path("run/records.jsonl").read_text().splitlines()]
    return [(record["model"], record["agents"], record["status"]) for record in found]


def statuses() -> dict[tuple[str, int], str]:
    """How every point of the run counts as ended; the table says the same."""
    records = load_records(Path("run"))
    assert read_records(Path("run/results.csv")) == records
    found = {(record.model, record.agents): record.status for record in records}
    assert len(found) == len(records)
    return found


def edit_manifest(**changes: Any) -> None:
    """Change what a run says of itself; `options` are merged."""
    path = Path("run/manifest.json")
    manifest = json.loads(path.read_text())
    manifest["options"] |= changes.pop("options", {})
    path.write_text(json.dumps(manifest | changes))


def test_only_what_is_missing_is_measured(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Path("run/records.jsonl").read_bytes()
    first_host = Path("run/host.json").read_bytes()
    assert main(["sweep", "--resume", "run"]) == 0
    assert stopped.ran == POINTS[3:]
    assert Path("run/records.jsonl").read_bytes().startswith(kept)
    assert statuses() == dict.fromkeys(POINTS, "ok")
    assert list(statuses()) == POINTS
    assert lines() == [
        *((model, agents, "ok") for model, agents in POINTS[:3]),
        ("mat", 3, "interrupted"),
        *((model, agents, "ok") for model, agents in POINTS[3:]),
    ]
    for folder, ending in (("logs", "log"), ("samples", "csv")):
        assert sorted(path.name for path in Path("run", folder).iterdir()) == [f"{name}.{ending}" for name in NAMES]
    said = capsys.readouterr()
    first, *others = said.err.splitlines()
    assert first.startswith("3 points, up to ")
    assert [line.split(":")[0] for line in others[:3]] == ["[4/6] mat", "[5/6] sable", "[6/6] mat"]
    assert "6 points: 6 ok, 0 failed" in said.out
    assert Path("run/host.json").read_bytes() == first_host


def test_every_resume_notes_where_it_ran(stopped: World) -> None:
    stopped.endings = {("sable", 4): "interrupted"}
    assert main(["sweep", "--resume", "run"]) == 130
    stopped.endings = {}
    assert main(["sweep", "--resume", "run"]) == 0
    found = [json.loads(Path("run", f"host{number}.json").read_text()) for number in ("", "-2", "-3")]
    assert [described["devices"] for described in found] == [["test"]] * 3


def test_an_interrupted_sweep_says_how_to_go_on(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.endings = {("mat", 2): "interrupted"}
    assert main(["sweep", *GRID, "--out", "my run"]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "Interrupted after 1 of 6 points; resume with: scaleprof sweep --resume 'my run'"


def test_the_whole_command_line_again(stopped: World) -> None:
    again = [*GRID, "--agents", "2:4:1", "--model", "sable:chunkwise,mat:dense", "--seed", "0", "--device", "cpu"]
    assert main(["sweep", *again[:-2], "--resume", "run", "--csv", "copy.csv", "--strict", "--yes"]) == 0
    assert stopped.ran == POINTS[3:]
    assert Path("copy.csv").read_bytes() == Path("run/results.csv").read_bytes()


def test_a_preset_again(world: World) -> None:
    began = [
        "sweep",
        "--preset",
        "paper-neom",
        "--agents",
        "2,3",
        "--model",
        "mat",
        "--timeout",
        "9",
        "--set",
        "ppo.clip=0.1",
    ]
    world.endings = {("mat", 3): "interrupted"}
    assert main([*began, "--out", "run"]) == 130
    world.endings = {}
    assert main(["sweep", "--preset", "paper-neom", "--resume", "run", "--dry-run"]) == 0
    assert main([*began, "--resume", "run"]) == 0
    assert {record.settings for record in load_records(Path("run"))} == {
        "ppo.clip=0.1;ppo.learning_rate=0.0005;ppo.max_grad_norm=5.0"  # the preset asks for published settings
    }
    assert world.timeouts == [9.0] * 3  # one process a point, of which one was interrupted
    assert {(record.epochs, record.seq_len) for record in load_records(Path("run"))} == {(5, 128)}


def test_no_point_starts_when_time_is_up(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("scaleprof.sweep.loop.time.monotonic", lambda: clock[0])

    def an_hour_passes(point: tuple[str, int]) -> None:
        clock[0] += 3600

    world.before_point = an_hour_passes
    assert main(["sweep", *GRID, "--out", "run", "--max-hours", "1.5"]) == 0
    assert world.ran == POINTS[:2]
    captured = capsys.readouterr()
    said = "Time is up (--max-hours) after 2 of 6 points; resume with: scaleprof sweep --resume run"
    assert captured.err.splitlines()[-2:] == ["Written to run", said]
    assert "2 points: 2 ok, 0 failed" in captured.out
    assert main(["sweep", "--resume", "run"]) == 0  # its own limit, counted anew
    assert world.ran == POINTS[2:4]
    assert main(["sweep", "--resume", "run", "--max-hours", "0"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("scaleprof: --max-hours: 0 is not a duration")
    world.endings = {("sable", 4): "error"}
    assert main(["sweep", "--resume", "run", "--max-hours", "0.5", "--strict"]) == 3
    assert world.ran == POINTS[4:5]
    assert main(["sweep", "--resume", "run", "--max-hours", "9"]) == 0
    assert "Time is up" not in capsys.readouterr().err.splitlines()[-1]
    assert world.ran == POINTS[5:]


def test_files_of_options_are_not_read_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.toml").write_text('[sweep]\nagents = "2,3"\nmodel = "mat"\nenvs = 2\n')
    project = Path("pyproject.toml")
    project.write_text("[tool.scaleprof.sweep]\nheads = 2\n")
    world.endings = {("mat", 3): "interrupted"}
    assert main(["sweep", "--preset", "mine.toml", "--out", "run"]) == 130
    world.endings = {}
    assert "Options from pyproject.toml: heads 2; from preset mine.toml: agents 2,3, " in capsys.readouterr().err
    project.write_text("[tool.scaleprof.sweep]\nheads = 8\nstrict = 3\n")
    assert main(["sweep", "--preset", "mine.toml", "--resume", "run", "--dry-run"]) == 0
    assert main(["sweep", "--resume", "run", "--config", "mine.toml"]) == 2
    said = "--config: a resumed run keeps its own options, those of run: omit --config"
    assert capsys.readouterr().err == f"scaleprof: {said}\n"
    Path("mine.toml").write_text('[sweep]\nagents = "2,4"\n')
    assert main(["sweep", "--preset", "mine.toml", "--resume", "run"]) == 2
    assert capsys.readouterr().err.startswith("scaleprof: --agents: the run has 2,3, given 2,4: omit it")
    assert main(["sweep", "--resume", "run"]) == 0
    assert {(record.agents, record.heads) for record in load_records(Path("run"))} == {(2, 2), (3, 2)}


def test_what_was_measured_before_tells_how_long_the_rest_takes(stopped: World) -> None:
    """The time limit of a point grows with what smaller ones took, also if those are of an earlier command."""
    path = Path("run/records.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        del record["crc"]
    slow = {"update_seconds": 60.0, "point_seconds": 500.0}
    path.write_text("".join(json.dumps(record | slow) + "\n" for record in records if record["status"] == "ok"))
    stopped.timeouts.clear()
    assert main(["sweep", "--resume", "run"]) == 0
    assert stopped.timeouts[0] > 500.0


def test_when_to_give_up_may_differ(stopped: World) -> None:
    assert main(["sweep", "--resume", "run", "--memory-limit", "3GiB", "--timeout", "7", "--keep-going"]) == 0
    assert {task.memory_limit_bytes for task in stopped.tasks} == {3 * 2**30}
    assert stopped.timeouts == [120.0] * 4 + [7.0] * 3


def test_limits_of_a_preset_hold_on_resume(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    """As those on the command line, which override them."""
    Path("mine.toml").write_text('[sweep]\ntimeout = 9\nmemory-limit = "3GiB"\n')
    assert main(["sweep", "--resume", "run", "--preset", "mine.toml", "--memory-limit", "2GiB"]) == 0
    assert {task.memory_limit_bytes for task in stopped.tasks} == {2 * 2**30}
    assert stopped.timeouts == [120.0] * 4 + [9.0] * 3
    Path("mine.toml").write_text("[sweep]\ntimeout = 0\n")
    assert main(["sweep", "--resume", "run", "--preset", "mine.toml"]) == 2
    assert "--timeout: 0 is not a duration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--agents", "2,3,16"], "--agents: the run has 2,3,4, given 2,3,16: omit it to resume run"),
        (["--agents", "4,3,2"], "--agents: the run has 2,3,4, given 4,3,2: omit it to resume run"),
        (
            ["--envs", "4", "--repeats", "2"],
            "--envs: the run has 2, given 4; --repeats: the run has 1, given 2: omit them to resume run",
        ),
        (["--min-updates", "9"], "--min-updates: the run has 3, given 9: omit it to resume run"),
        (["--reward", "individual"], "--reward: the run has none, given individual: omit it to resume run"),
        (["--published"], "--published: the run has no, given yes: omit it to resume run"),
        (
            ["--set", "ppo.clip=0.1", "--set", "ppo.gamma=0.9"],
            "--set: the run has none, given ppo.clip=0.1 ppo.gamma=0.9: omit it to resume run",
        ),
        (["--device", "cpu"], "--device: the run has none, given cpu: omit it to resume run"),
        (["--device", "gpux"], "--device: 'gpux' is not a device"),
        (["--agents", "many"], "--agents: 'many' is not a whole number"),
        (["--timeout", "0"], "--timeout: 0 is not a duration: give more than 0 seconds"),
        (["--max-hours", "0"], "--max-hours: 0 is not a duration: give more than 0 hours"),
        (["--retry-contended", "-1"], "--retry-contended: -1 is too small: give a whole number of at least 0"),
        (["--memory-limit", "lots"], "--memory-limit: 'lots' is not a memory size"),
        (["--preset", "papr"], "--preset: unknown preset 'papr'"),
        (["--preset", "paper-neom"], "--agents: the run has 2,3,4, given 32,512,1024; "),
        (["--out", "other"], "--out: a resumed run stays in its folder, run: omit --out"),
        (["--retry", "ooms"], "--retry: 'ooms' cannot be retried: did you mean 'oom'? Choose from: oom, timeout, "),
        (["--retry", "oom,,error"], "--retry: 'oom,,error' has an empty entry"),
        (["--csv", "missing/copy.csv"], "--csv: there is no folder missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_are_not_the_runs(
    stopped: World, capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    before = Path("run/records.jsonl").read_bytes()
    assert main(["sweep", "--resume", "run", *given]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"scaleprof: {said}")
    assert captured.err.count("\n") == 1
    assert stopped.ran == []
    assert Path("run/records.jsonl").read_bytes() == before
    assert not Path("run/host-2.json").exists()


def test_a_retry_needs_a_run(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--retry", "oom"]) == 2
    message = "scaleprof: --retry: only a run that is resumed can retry points: add --resume RUN\n"
    assert capsys.readouterr().err == message
    assert list(Path.cwd().iterdir()) == []


def test_what_is_left_of_a_run_that_died_while_it_was_made(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    for path in Path("run").iterdir():
        if path.is_file() and path.name != "manifest.json":
            path.unlink()
    assert main(["sweep", "--resume", "run", "--dry-run"]) == 0
    assert "6 points" in capsys.readouterr().out
    assert main(["sweep", "--resume", "run"]) == 0
    assert stopped.ran == POINTS


OTHER_VALUES = {
    "agents": "2",
    "seq_len": "4",
    "scenario": "turn-taking",
    "reward": "individual",
    "batching": "map",
    "reset": "pool",
    "model": "mat",
    "mode": "dense",
    "chunk": "2",
    "envs": "4",
    "embed_dim": "32",
    "heads": "1",
    "blocks": "2",
    "dtype": "bfloat16",
    "seed": "1",
    "repeats": "2",
    "epochs": "2",
    "minibatches": "1",
    "acting": "fixed_point",
    "accumulate": "auto",
    "segment": "auto",
    "match": "params",
    "set": "ppo.clip=0.1",
    "device": "cpu",
    "measure": "memory,speed",
    "min_updates": "9",
    "min_seconds": "9",
    "warmup_updates": "9",
    "pin": "0",
}
"""For every option that takes a value, one that the run `stopped` does not have."""
FLAGS = ("published", "tuned", "remat", "fresh_compile")


@pytest.mark.parametrize("name", sorted(defaults().keys() - {*MAY_DIFFER, "against"}))
def test_no_option_is_ignored_on_resume(stopped: World, capsys: pytest.CaptureFixture[str], name: str) -> None:
    value = [] if name in FLAGS else [OTHER_VALUES[name]]
    code = main(["sweep", "--resume", "run", option_name(name), *value])
    assert (code, stopped.ran) == (2, [])
    captured = capsys.readouterr().err
    assert captured.startswith(f"scaleprof: {option_name(name)}: the run has ")
    assert captured.endswith(": omit it to resume run\n")


def checkout(name: str) -> str:
    (Path(name) / "scaleprof").mkdir(parents=True)
    return str(Path(name).absolute())


def test_another_version_than_the_runs(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    own, other = checkout("own"), checkout("other")
    assert main(["sweep", "--resume", "run", "--against", other]) == 2
    assert capsys.readouterr().err == f"scaleprof: --against: the run has none, given {other}: omit it to resume run\n"
    edit_manifest(options={"against": own})
    Path("run/records.jsonl").write_text("")
    for given in ("other", other):
        assert main(["sweep", "--resume", "run", "--against", given]) == 2
        said = f"scaleprof: --against: the run has {own}, given {given}: omit it to resume run\n"
        assert capsys.readouterr().err == said
    for given in ("own", own, f"{own}/", "other/../own"):
        assert main(["sweep", "--resume", "run", "--against", given, "--dry-run"]) == 0


@pytest.mark.parametrize("name", [name for name in defaults() if name not in MAY_DIFFER])
def test_every_option_is_in_the_manifest(name: str) -> None:
    assert name in plan({}).manifest["options"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 99}, "--resume: run/manifest.json has schema 99, this scaleprof knows up to 1: update scaleprof"),
        ({"schema": None}, "--resume: run/manifest.json has no 'schema': an older scaleprof made it"),
        (
            {"options": {"model": "sabel,mat"}},
            "--resume: run cannot be measured here: --model: unknown model 'sabel'",
        ),
        ({"options": {"scenario": "noem"}}, "--resume: run cannot be measured here: --scenario: unknown scenario"),
        (
            {"options": {"memory_limit": 2**60}},
            "--resume: run cannot be measured here: --memory-limit: 1152921504606846976B",
        ),
        ({"points": 5}, "--resume: run cannot be measured here: its options made 5 points and now make 6"),
        ({"options": {"agents": "2,3,5"}}, None),
        (
            {"options": {"agents": "5,6,7"}},
            "--resume: run cannot be resumed here: 4 of its records belong to points",
        ),
        ({"options": {"tie": "0", "bind": 1}}, "--resume: run uses --tie, --bind, which this version does"),
        ({"options": {"model": 3}}, "--resume: run/manifest.json lacks the options of a sweep"),
        ({"options": {"set": [1]}}, "--resume: run/manifest.json lacks the options of a sweep"),
        ({"options": {"timeout": "soon"}}, "--resume: run/manifest.json lacks the options of a sweep"),
    ],
    ids=str,
)
def test_manifests_that_cannot_be_resumed(
    stopped: World, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str | None
) -> None:
    edit_manifest(**changes)
    assert main(["sweep", "--resume", "run"]) == (0 if said is None else 2)
    captured = capsys.readouterr()
    if said is not None:
        assert captured.out == ""
        assert captured.err.startswith(f"scaleprof: {said}")
        assert captured.err.count("\n") == 1
        assert stopped.ran == []


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 1}', '{"schema": 1, "points": 6, "options": 3}', "\0\0"])
def test_damaged_manifests(stopped: World, capsys: pytest.CaptureFixture[str], content: str) -> None:
    Path("run/manifest.json").write_text(content)
    assert main(["sweep", "--resume", "run"]) == 2
    assert capsys.readouterr().err.startswith("scaleprof: --resume: run/manifest.json ")


def test_an_option_that_came_later_has_its_default(stopped: World) -> None:
    path = Path("run/manifest.json")
    manifest = json.loads(path.read_text())
    del manifest["options"]["keep_going"]
    path.write_text(json.dumps(manifest))
    assert main(["sweep", "--resume", "run"]) == 0
    assert stopped.ran == POINTS[3:]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "--resume: nowhere does not exist: name the folder of a run"),
        ("run/results.csv", "--resume: run/results.csv is a file: name the folder of a run"),
        ("run/logs", "--resume: run/logs is not a run: it has no manifest.json"),
    ],
)
@pytest.mark.usefixtures("stopped")
def test_what_is_no_run(capsys: pytest.CaptureFixture[str], name: str, said: str) -> None:
    before = sorted(Path.cwd().rglob("*"))
    assert main(["sweep", "--resume", name]) == 2
    assert capsys.readouterr().err == f"scaleprof: {said}\n"
    assert sorted(Path.cwd().rglob("*")) == before


def test_another_kind_of_device(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    stopped.platform = "gpu"
    assert main(["sweep", "--resume", "run"]) == 2
    _, error = capsys.readouterr().err.splitlines()  # after the first line, which says what begins
    assert error.startswith("scaleprof: --resume: run was measured on cpu, but jax finds gpu here: ")
    assert stopped.ran == []


def test_a_run_that_is_in_use(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory.open(Path("run"))
    assert main(["sweep", "--resume", "run"]) == 2
    said = f"run is in use by another sweep (process {os.getpid()}): wait for it, or name another folder"
    assert capsys.readouterr().err == f"scaleprof: {said}\n"
    run.close()
    assert main(["sweep", "--resume", "run"]) == 0


def test_a_dry_run_shows_the_rest(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    assert main(["sweep", "--resume", "run", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 points"
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == before


def test_nothing_is_left(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    stopped.endings = {("mat", 4): "timeout", ("sable", 4): "error"}
    assert main(["sweep", "--resume", "run"]) == 0
    stopped.tasks.clear()
    for arguments, code in (([], 0), (["--strict"], 3)):
        capsys.readouterr()
        assert main(["sweep", "--resume", "run", *arguments]) == code
        said = capsys.readouterr()
        assert said.err.splitlines()[0] == (
            "Nothing to do: all 6 points have ended. To retry those that failed: --retry timeout,error"
        )
        assert "6 points: 4 ok, 2 failed (1 timeout, 1 error)" in said.out
    assert stopped.ran == []


def test_a_torn_last_line_is_measured_again(stopped: World) -> None:
    path = Path("run/records.jsonl")
    torn = path.read_bytes()[: -len(b'"interrupted"')]
    path.write_bytes(torn)
    assert len(load_records(Path("run"))) == 3
    assert main(["sweep", "--resume", "run"]) == 0
    assert stopped.ran == POINTS[3:]
    assert lines() == [(model, agents, "ok") for model, agents in POINTS]


@pytest.mark.parametrize("retry", RETRYABLE)
def test_retry(world: World, retry: str) -> None:
    """Of five ways to end without a result, one is tried again."""
    ended = dict(zip(POINTS, ("error", "timeout", "crashed", "oom", "ok", "skipped"), strict=True))
    world.endings = {point: status for point, status in ended.items() if status != "skipped"}
    assert main(["sweep", *GRID, "--out", "run"]) == 0
    assert statuses() == ended
    assert world.ran == POINTS[:5]
    assert main(["sweep", "--resume", "run"]) == 0
    assert world.ran == []
    world.endings = {}
    assert main(["sweep", "--resume", "run", "--retry", retry]) == 0
    again = [point for point, status in ended.items() if status == retry]
    assert world.ran == ([] if retry == "skipped" else again)  # what is larger than an oom is skipped once more
    assert statuses() == ended | ({} if retry == "skipped" else {again[0]: "ok"})
    assert list(statuses()) == POINTS
    assert len(lines()) == 7
    assert lines()[:6] == [(model, agents, status) for (model, agents), status in ended.items()]
    assert len(list(Path("run/samples").iterdir())) == sum(status == "ok" for status in statuses().values())


def test_a_point_that_fails_again_keeps_no_sample_of_its_first_try(world: World) -> None:
    assert main(["sweep", *GRID, "--out", "run"]) == 0
    records = load_records(Path("run"))
    assert len(list(Path("run/samples").iterdir())) == 6
    run = RunDirectory.open(Path("run"))
    run.append(Record(**{name: getattr(records[0], name) for name in records[0].__slots__} | {"status": "crashed"}))
    run.close()
    world.endings = {POINTS[0]: "timeout"}
    assert main(["sweep", "--resume", "run", "--retry", "crashed"]) == 0
    assert statuses()[POINTS[0]] == "timeout"
    assert sorted(path.stem for path in Path("run/samples").iterdir()) == NAMES[1:]


LARGER = "larger than a point that ran out of memory (agents=3)"


def test_larger_points_of_a_mode_are_skipped(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.endings = {("mat", 3): "oom"}
    assert main(["sweep", *GRID, "--repeats", "2", "--out", "run"]) == 0
    assert world.ran == [*POINTS[:5], *POINTS[:3], ("mat", 3), ("sable", 4)]
    skipped = [record for record in load_records(Path("run")) if record.status == "skipped"]
    assert [(record.model, record.agents, record.repeat) for record in skipped] == [("mat", 4, 0), ("mat", 4, 1)]
    assert {(record.reason_code, record.reason, record.phase) for record in skipped} == {("larger", LARGER, "")}
    assert f"[6/12] mat:dense · 4 agents · T 2 · repeat 1 of 2: skipped: {LARGER} (" in capsys.readouterr().err
    assert not list(Path("run").rglob(f"{NAMES[5]}*"))


def test_other_points_of_the_same_size_are_not_skipped(world: World) -> None:
    world.endings = {("sable", 3): "oom"}
    axes = ["--chunk", "1,2", "--model", "sable:chunkwise,sable:parallel", "--agents", "3,4", *SIZES]
    assert main(["sweep", *axes, "--dtype", "float32,bfloat16", "--seed", "0,1", "--out", "run"]) == 3  # no point is ok
    records = load_records(Path("run"))
    assert len(records) == 2 * 2 * 2 * 3
    assert {record.status for record in records if record.agents == 3} == {"oom"}
    assert {record.status for record in records if record.agents == 4} == {"skipped"}


def test_keep_going(world: World) -> None:
    world.endings = {("mat", 3): "oom"}
    assert main(["sweep", *GRID, "--keep-going", "--out", "run"]) == 0
    assert world.ran == POINTS
    assert statuses()[("mat", 4)] == "ok"


def test_what_ran_out_before_a_resume_counts(world: World) -> None:
    world.endings = {("mat", 2): "oom", ("sable", 3): "interrupted"}
    assert main(["sweep", *GRID, "--memory-limit", "2GiB", "--out", "run"]) == 130
    world.endings = {}
    shutil.copytree("run", "copy")
    world.tasks.clear()
    assert main(["sweep", "--resume", "run"]) == 0
    assert world.ran == [("sable", 3), ("sable", 4)]
    assert statuses() == dict(zip(POINTS, ("ok", "oom", "ok", "skipped", "ok", "skipped"), strict=True))
    assert main(["sweep", "--resume", "copy", "--memory-limit", "3GiB"]) == 0
    assert world.ran == POINTS[2:]  # 2 GiB were too little; that says nothing about 3


def test_a_larger_point_is_tried_once_a_smaller_one_fits(world: World) -> None:
    world.endings = {("mat", 3): "oom"}
    assert main(["sweep", *GRID, "--repeats", "2", "--out", "run"]) == 0
    world.tasks.clear()
    assert main(["sweep", "--resume", "run", "--retry", "oom,skipped"]) == 0
    assert world.ran == [("mat", 3), ("mat", 3)]
    assert [record.status for record in load_records(Path("run"))].count("skipped") == 2
    world.endings = {}
    assert main(["sweep", "--resume", "run", "--retry", "oom,skipped"]) == 0
    assert world.ran == [("mat", 3), ("mat", 4)] * 2
    assert {record.status for record in load_records(Path("run"))} == {"ok"}


def test_a_run_that_vanishes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.before_point = lambda point: shutil.rmtree("run") if point == POINTS[2] else None
    assert main(["sweep", *GRID, "--out", "run", "--csv", "copy.csv"]) == 2
    said = capsys.readouterr()
    gone = "No such file or directory; its records.jsonl held 2 points and is gone"
    assert said.err.splitlines()[-1] == f"scaleprof: cannot write to run/records.jsonl: {gone}"
    assert "2 points: 2 ok, 0 failed" in said.out
    assert [record.model for record in read_records(Path("copy.csv"))] == ["sable", "mat"]


# From here on real processes, but for workers that answer at once.


@pytest.fixture
def workers(tmp_path: Path) -> dict[str, str]:
    """Variables for a sweep whose points end at once, and which ends itself after so many lines of code if told to.

    With `TEST_STUCK` points are left to the real worker, with a model that never ends.
    """
    code = """
        import io, json, os, sys, types

        def answer():
            text = sys.stdin.readline()
            if json.loads(text)["point"] is None:
                import scaleprof
                facts = {"platform": "cpu", "devices": ["test"], "start_rss_bytes": 1}
                events = [{"event": "facts", **facts, "source": os.path.dirname(scaleprof.__file__)}]
            elif "TEST_STUCK" in os.environ:
                sys.stdin = io.StringIO(text)
                return
            else:
                events = [{"event": "samples", "samples": [{"update": 0, "phase": "measure", "update_seconds": 0.5}]}]
                figures = {"update_seconds": 0.5, "agent_steps_per_second": 8.0, "host_peak_rise_bytes": 1}
                events.append({"event": "facts", **figures})
            print("".join(json.dumps(event) + "\\n" for event in [*events, {"event": "done"}]), end="", flush=True)
            os._exit(0)

        def stuck(point, batching):
            import time
            print("stuck", file=sys.stderr, flush=True)
            time.sleep(600)

        if "scaleprof.worker" in sys.orig_argv:
            answer()
            sys.modules["scaleprof.worker.programs"] = types.SimpleNamespace(Programs=stuck)
        elif "TEST_LINES" in os.environ:
            left = int(os.environ["TEST_LINES"])
            files = tuple(f"/{name}.py" for name in ("process", "lock", "loop", "store", "run_sweep"))

            def line(frame, event, argument):
                global left
                if event == "line":
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), 9)
                return line

            def call(frame, event, argument):
                code = frame.f_code
                return line if code.co_name != "<module>" and code.co_filename.endswith(files) else None

            sys.settrace(call)
        """
    (tmp_path / "injected").mkdir()
    (tmp_path / "injected" / "sitecustomize.py").write_text(textwrap.dedent(code))
    path = os.pathsep.join([str(tmp_path / "injected"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "80"}


def start(folder: Path, variables: dict[str, str], *arguments: str, code: str = "") -> subprocess.Popen[str]:
    """`scaleprof sweep` in `folder`, after some code of ours if there is any."""
    ours = ["-c", f"{code}\nfrom scaleprof.cli import run\nrun()"] if code else ["-m", "scaleprof"]
    return subprocess.Popen(
        [sys.executable, *ours, "sweep", *arguments],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it said on stderr, but for what spoils measurements on this machine."""
    with process:
        _, errors = process.communicate(timeout=120)
    lines = [line for line in errors.splitlines(keepends=True) if "may spoil the measurement" not in line]
    return process.returncode, "".join(lines)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Return once something is so, while a process lives."""
    deadline = time.monotonic() + 120.0
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def killed_after(folder: Path, workers: dict[str, str], code_lines: int) -> bool:
    """Begin the run, or go on with it, and kill -9 the sweep in the midst; false if it ended before that.

    What it leaves is a run that can be read, or not yet a run.
    """
    begun = (folder / "run" / "manifest.json").exists()
    arguments = ["--resume", "run"] if begun else [*GRID, "--out", "run"]
    code, errors = finish(start(folder, {**workers, "TEST_LINES": str(code_lines)}, *arguments))
    assert code in (0, -signal.SIGKILL), errors
    if (folder / "run" / "records.jsonl").exists():
        records = load_records(folder / "run")
        assert all(record.status == "ok" for record in records)
        if records:
            assert read_records(folder / "run" / "results.csv") in (records, records[:-1])
    return code != 0


def check_whole(folder: Path) -> None:
    """Every point of the grid has one line, its log and its samples."""
    points = plan(
        {
            "agents": "2,3,4",
            "model": "sable:chunkwise,mat",
            "seq_len": "2",
            "envs": "2",
            "embed_dim": "8",
            "heads": "2",
        }
    ).points
    records = load_records(folder / "run")
    assert {record_key(record) for record in records} == {record_key(point.record()) for point in points}
    assert (folder / "run" / "records.jsonl").read_bytes().count(b"\n") == len(points) == 6
    assert {record.status for record in records} == {"ok"}
    assert read_records(folder / "run" / "results.csv") == records
    for name in NAMES:
        assert (folder / "run" / "logs" / f"{name}.log").exists()
        assert (folder / "run" / "samples" / f"{name}.csv").exists()


def test_a_sweep_killed_four_times(tmp_path: Path, workers: dict[str, str]) -> None:
    moments = random.Random(3)
    for _ in range(4):
        assert killed_after(tmp_path, workers, moments.randrange(1, 700))
    assert not killed_after(tmp_path, workers, 10**9)
    check_whole(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_a_sweep_killed_at_any_moment(tmp_path: Path, workers: dict[str, str], seed: int) -> None:
    assert killed_after(tmp_path, workers, random.Random(seed).randrange(1, 1200))
    assert not killed_after(tmp_path, workers, 10**9)
    check_whole(tmp_path)


@pytest.fixture
def stuck(tmp_path: Path, workers: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A sweep whose first point has told that it will never end."""
    process = start(tmp_path, {**workers, "TEST_STUCK": "1"}, *GRID, "--timeout", "600", "--out", "run")
    try:
        wait_for(lambda: log_of(tmp_path, 0), process)
        yield process
    finally:
        process.kill()
        finish(process)


def log_of(folder: Path, index: int) -> str:
    """What a point's process has said."""
    path = folder / "run" / "logs" / f"{NAMES[index]}.log"
    return path.read_text() if path.exists() else ""


def test_kill_of_a_child_and_of_its_parent(
    tmp_path: Path, workers: dict[str, str], stuck: subprocess.Popen[str]
) -> None:
    code, errors = finish(start(tmp_path, workers, "--resume", "run"))
    assert code == 2
    in_use = f"run is in use by another sweep (process {stuck.pid}): wait for it, or name another folder"
    assert errors == f"scaleprof: {in_use}\n"

    (child,) = psutil.Process(stuck.pid).children()
    child.kill()
    wait_for(lambda: log_of(tmp_path, 1), stuck)
    (record,) = load_records(tmp_path / "run")
    assert (record.status, record.reason_code, record.phase) == ("crashed", "signal", "start")
    by_hand = "killed by SIGKILL (by the kernel's out-of-memory killer, or by hand)"
    assert record.reason == f"{by_hand}; stderr ends: stuck [start]"

    children = psutil.Process(stuck.pid).children(recursive=True)
    assert len(children) == 1
    stuck.kill()
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert len(load_records(tmp_path / "run")) == 1

    code, errors = finish(start(tmp_path, workers, "--resume", "run", "--retry", "crashed"))
    assert code == 0, errors
    records = load_records(tmp_path / "run")
    assert [(record.model, record.agents, record.status) for record in records] == [(*point, "ok") for point in POINTS]
    assert (tmp_path / "run" / "records.jsonl").read_bytes().count(b"\n") == 7


def test_two_sweeps_into_one_folder(tmp_path: Path, workers: dict[str, str]) -> None:
    both = [start(tmp_path, workers, *GRID, "--out", "run") for _ in range(2)]
    (code, _), (other, errors) = sorted(finish(process) for process in both)
    assert (code, other) == (0, 2)
    *begun, error = errors.splitlines()  # the other sweep may have made the folder after the first line
    assert len(begun) <= 1
    assert error.startswith(("scaleprof: run is in use by another sweep", "scaleprof: --out: run already holds a run"))
    check_whole(tmp_path)


def test_a_disk_that_takes_part_of_a_line(tmp_path: Path, workers: dict[str, str]) -> None:
    limit = 8000  # two records and a part of the third
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    code, errors = finish(start(tmp_path, workers, *GRID, "--out", "run", code=full))
    assert code == 2
    content = (tmp_path / "run" / "records.jsonl").read_bytes()
    *whole, rest = content.split(b"\n")
    assert rest == b""
    assert 0 < limit - len(content) < len(whole[-1])  # there was room for a part of the next
    records = load_records(tmp_path / "run")
    assert len(records) == len(whole) == 2
    assert read_records(tmp_path / "run" / "results.csv") == records
    said = "cannot write to run/records.jsonl: File too large; its records.jsonl holds 2 points"
    assert errors.splitlines()[-1] == f"scaleprof: {said}"
    assert finish(start(tmp_path, workers, "--resume", "run"))[0] == 0
    check_whole(tmp_path)


@pytest.mark.usefixtures("stopped")
def test_a_folder_that_cannot_be_written(workers: dict[str, str]) -> None:
    scaleprof = partial(obey_modes.run, variables=workers)
    Path("run").chmod(0o555)
    try:
        done = scaleprof("sweep", "--resume", "run")
        said = "scaleprof: --resume: cannot write to run/results.csv: Permission denied\n"
        assert (done.returncode, done.stderr) == (2, said)
        done = scaleprof("report", "run")
        assert (done.returncode, done.stderr) == (0, "scaleprof: run: 3 of 6 records\n")
        assert "4 points: 3 ok, 1 failed (1 interrupted)" in done.stdout
    finally:
        Path("run").chmod(0o755)
    assert scaleprof("sweep", "--resume", "run").returncode == 0


def test_what_is_not_measured_yet_is_said_by_every_reader(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.endings = {("sable", 3): "interrupted"}
    assert main(["sweep", *GRID, "--out", "run"]) == 130
    captured = capsys.readouterr()
    assert "Incomplete: 2 of 6 records." in captured.out
    assert "; more are missing" in " ".join(captured.out.split())
    assert main(["report", "run"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "scaleprof: run: 2 of 6 records\n"
    said = captured.out.splitlines()
    assert "Incomplete: 2 of 6 records." in said
    assert "  mat dense: not measured yet at 3, 4 agents; ran up to 2" in said
    assert not any("every size" in line for line in said)
    (heading,) = (place for place, line in enumerate(said) if line == "Peak memory by number of agents")
    header = next(line for line in said[heading:] if line.startswith("model"))
    assert header.split()[2:] == ["2", "3", "4"]
    assert next(line for line in said[heading:] if line.startswith("mat")).split()[-2:] == ["-", "-"]
    for command in (["export", "run"], ["compare", "run", "run"]):
        main(command)
        assert "scaleprof: run: 2 of 6 records" in capsys.readouterr().err
    assert main(["report", "run", "--html", "page.html"]) == 0
    assert "Incomplete: 2 of 6 records." in Path("page.html").read_text()


def test_a_mode_that_was_not_reached_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.endings = {("mat", 2): "interrupted"}
    assert main(["sweep", *GRID, "--out", "run"]) == 130
    lines = [
        line for line in Path("run/records.jsonl").read_text().splitlines(keepends=True) if '"interrupted"' not in line
    ]
    Path("run/records.jsonl").write_text("".join(lines))
    capsys.readouterr()
    assert main(["report", "run"]) == 0
    assert "  mat dense: not measured yet" in capsys.readouterr().out.splitlines()


def test_a_complete_run_lacks_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", *GRID, "--out", "run"]) == 0
    assert main(["report", "run"]) == 0
    captured = capsys.readouterr()
    assert "ncomplete" not in captured.out + captured.err
    assert "every size, up to 4 agents" in captured.out


def test_points_and_repeats_are_two_things(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", *GRID, "--repeats", "2", "--out", "run"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("6 points, 12 repeats in all, up to ")
    assert " · repeat 2 of 2: " in captured.err.splitlines()[-2]
    assert "| 6 points, 12 repeats in all: 12 ok" in " ".join(captured.out.split())
    assert main(["sweep", "--resume", "run"]) == 0
    assert "Nothing to do: all 6 points have ended." in capsys.readouterr().err
