"""Explicit options over a preset over the defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from points import plan

import scaleprof.probes.host
from reports.checks.decide import needed_repeats
from reports.checks.metrics import METRICS
from reports.checks.policy import CheckPolicy
from reports.records.run import record_key
from sable.config import AUTO, WHOLE
from scaleprof.errors import UserError
from scaleprof.points.axes import defaults, option_name
from scaleprof.points.choices import choose_device, memory_limit
from scaleprof.points.option_files import load_preset, preset_names
from scaleprof.points.parsing import parse_axis
from scaleprof.points.plan import SweepOptions
from scenarios import SCENARIOS

GIB = 2**30


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with 24 GiB, all of which this process may use."""
    monkeypatch.setattr("scaleprof.probes.cgroup.memory_limit_bytes", lambda: None)
    monkeypatch.setattr(scaleprof.probes.host, "total_memory_bytes", lambda: 24 * GIB)
    return monkeypatch


@pytest.mark.usefixtures("machine")
def test_defaults() -> None:
    planned = plan({})
    assert planned.options == SweepOptions(
        compile_together=True,
        min_updates=3,
        min_seconds=1.0,
        warmup_updates=4,
        timeout_seconds=120.0,
        timeout_grows=True,
        memory_limit_bytes=8 * GIB,
    )
    assert planned.scenario == "neom"
    assert [(point.agents, point.model, point.mode, point.chunk) for point in planned.points] == [
        (agents, *variant)
        for agents in (16, 128, 1024)
        for variant in (
            ("sable", "factored", None),
            ("sable", "chunkwise", 1),
            ("sable", "recurrent", None),
            ("sable", "parallel", None),
            ("mat", "dense", None),
            ("ippo", "", None),
        )
    ]
    same = ("scenario", "seq_len", "envs", "embed_dim", "heads", "blocks", "epochs", "minibatches", "dtype", "seed")
    assert {tuple(getattr(point, name) for name in same) for point in planned.points} == {
        ("neom", 16, 4, 64, 4, 1, 1, 2, "float32", 0)
    }
    whole = (("model.segment", str(WHOLE)), ("ppo.accumulate", "1"))
    assert {(point.repeat, point.settings) for point in planned.points} == {(0, whole)}
    assert {(r.accumulate, r.segment, r.settings) for r in (point.record() for point in planned.points)} == {
        ("1", "all", "")
    }


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({"tuned": True}, [("auto", "auto")]),
        ({"accumulate": "1,2,auto"}, [("1", "all"), ("2", "all"), ("auto", "all")]),
        ({"segment": "all,2,auto"}, [("1", "all"), ("1", "2"), ("1", "auto")]),
        ({"tuned": True, "segment": "1:4:x2"}, [("auto", "1"), ("auto", "2"), ("auto", "4")]),
        ({"accumulate": "1,2", "segment": "all,4"}, [("1", "all"), ("1", "4"), ("2", "all"), ("2", "4")]),
    ],
)
def test_gradient_groups_and_segments_multiply_the_grid(given: dict[str, Any], chosen: list[tuple[str, str]]) -> None:
    planned = plan({"agents": "2", "model": "mat", "seq_len": "4", **given})
    records = [point.record() for point in planned.points]
    assert [(record.accumulate, record.segment) for record in records] == chosen
    assert len({record_key(record) for record in records}) == len(chosen)
    values = {"auto": AUTO, "all": WHOLE}
    configs = [(point.ppo_config().accumulate, point.model_config().segment) for point in planned.points]
    assert configs == [tuple(values[word] if word in values else int(word) for word in pair) for pair in chosen]


@pytest.mark.usefixtures("machine")
def test_the_manifest_says_what_is_run() -> None:
    manifest = plan({"agents": "2", "model": "mat"}, ["ppo.clip=0.1"], "paper-neom").manifest
    assert manifest["preset"] == "paper-neom"
    assert manifest["points"] == 1
    assert manifest["options"]["agents"] == "2"
    assert manifest["options"]["envs"] == "16"
    assert manifest["options"]["set"] == ["ppo.clip=0.1"]
    assert manifest["options"]["memory_limit"] == 8 * GIB
    assert manifest["options"]["device"] is None
    assert set(manifest["options"]) == set(defaults())


def test_the_device_is_part_of_the_plan() -> None:
    planned = plan({"agents": "2", "device": "gpu:1"})
    assert planned.device == planned.manifest["options"]["device"] == "gpu:1"
    with pytest.raises(UserError, match=r"^--device: 'tpu' is not a device"):
        plan({"device": "tpu"})


def test_published_epochs_and_minibatches_are_each_models_own() -> None:
    models = "sable:chunkwise,mat,ippo"
    planned = plan({"agents": "3", "model": models, "published": True})
    assert [(point.epochs, point.minibatches) for point in planned.points] == [(4, 2), (5, 1), (4, 2)]
    planned = plan({"agents": "3", "model": models, "minibatches": 4}, [], "paper-neom")
    assert [(point.epochs, point.minibatches) for point in planned.points] == [(4, 4), (5, 4), (4, 4)]


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("given", "processes", "together"),
    [
        ({}, ("together",), True),
        ({"measure": "compile"}, ("together",), False),
        ({"measure": "compile,together"}, ("together",), False),
        ({"measure": "memory,speed"}, ("memory", "speed"), False),
        ({"measure": "compile,speed"}, ("speed",), False),
        ({"repeats": 3}, ("together",), True),
        ({"repeats": 3, "fresh_compile": True}, ("together",), False),
        ({"against": "elsewhere"}, ("together",), False),
        ({"memory_limit": "1GiB"}, ("together",), False),
    ],
)
def test_programs_compile_one_by_one_where_that_is_timed(
    given: dict[str, Any], processes: tuple[str, ...], together: bool
) -> None:
    options = plan(given).options
    assert (options.measure, options.compile_together) == (processes, together)


def test_explicit_over_preset_over_defaults() -> None:
    planned = plan({"agents": "3", "epochs": 2, "model": None}, [], "paper-neom")
    assert {point.agents for point in planned.points} == {3}  # explicit over the preset's 32, 512, 1024
    assert {point.epochs for point in planned.points} == {2}
    assert {point.seq_len for point in planned.points} == {128}  # the preset's
    assert {point.embed_dim for point in planned.points} == {64}  # the default
    assert planned.options.warmup_updates == 4


@pytest.mark.parametrize("name", preset_names())
def test_presets_hold_options_that_exist_and_plan(name: str) -> None:
    preset = load_preset(name)
    assert set(preset) <= set(defaults())
    if preset["scenario"] not in SCENARIOS:
        pytest.skip(f"there is no scenario {preset['scenario']}")
    planned = plan({}, [], name)
    assert planned.scenario == preset["scenario"]
    assert {point.agents for point in planned.points} == set(parse_axis(preset["agents"], "--agents"))
    explicit = plan({"agents": "5", "model": "ippo", "seq_len": "8"}, [], name)
    assert {(point.agents, point.model, point.seq_len) for point in explicit.points} == {(5, "ippo", 8)}


@pytest.mark.parametrize(
    ("name", "agents", "seq_len"),
    [
        ("quick", [16, 64, 256], [16]),
        ("default", [16, 128, 1024], [16]),
        ("paper-neom", [32, 512, 1024], [128]),
        ("connector-large", [64, 128, 256, 512, 1024, 2048, 4096], [16]),
        ("long-memory", [32], [16, 32, 64, 128, 256, 512]),
    ],
)
def test_what_presets_sweep(name: str, agents: list[int], seq_len: list[int]) -> None:
    points = plan({}, [], name).points
    assert sorted({point.agents for point in points}) == agents
    assert sorted({point.seq_len for point in points}) == seq_len


@pytest.mark.parametrize("name", ["quick", "ci"])
def test_presets_for_waiting_people_say_how_long_they_take(name: str) -> None:
    """In the file's first line and in the documentation."""
    root = Path(__file__).parents[1]
    first, *_ = (root / "scaleprof" / "presets" / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    assert re.match(r"# (About two|Five to eight) minutes on two CPU cores: ", first)
    table = (root / "docs" / "sweeping.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{name}` .* in (about two|five to eight) minutes on two cores", table, re.MULTILINE)


def test_the_repeats_of_ci_are_enough_to_judge_a_single_change() -> None:
    """Of every sampled metric that the documented workflow checks, at every point."""
    planned = plan({}, [], "ci")
    page = (Path(__file__).parents[1] / "docs" / "regression-checks.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"METRICS: (\S+)", page)
    sampled = [metric for metric in METRICS if metric.name in named.split(",") and not metric.deterministic]
    assert [metric.name for metric in sampled if metric.of_compiling] == []
    points = {point.without_repeat for point in planned.points}
    repeats = len(planned.points) // len(points)
    assert needed_repeats(CheckPolicy().alpha, len(points) * len(sampled)) <= repeats
    assert planned.options.measure == ("together",)


def test_a_task_of_a_published_size_has_its_number_of_agents() -> None:
    for scenario, agents in (("rware:tiny-2ag", {2}), ("connector:con-5x5x3a", {3}), ("connector", {16, 128, 1024})):
        planned = plan({"scenario": scenario})
        assert {point.agents for point in planned.points} == agents
    (preset,) = {p.agents for p in plan({"scenario": "rware:tiny-4ag"}, [], "quick").points}
    assert preset == 4
    with pytest.raises(UserError, match="--agents: agents is 16: scenario connector:con-5x5x3a takes exactly 3"):
        plan({"scenario": "connector:con-5x5x3a", "agents": "16"})


def test_the_default_preset_is_what_no_option_does() -> None:
    assert plan({}, [], "default").points == plan({}).points


def test_presets_are_found() -> None:
    with pytest.raises(UserError, match=r"^--preset: unknown preset 'papr': did you mean 'paper-lbf'\?"):
        plan({}, [], "papr")
    with pytest.raises(UserError, match=r"unknown preset '\.\./presets/paper'"):
        load_preset("../presets/paper")


@pytest.mark.parametrize(
    ("machine_bytes", "limit"), [(24 * GIB, 8 * GIB), (10 * GIB, 6 * GIB), (8 * GIB // 2, 4 * GIB * 6 // 10)]
)
def test_default_memory_limit(machine: pytest.MonkeyPatch, machine_bytes: int, limit: int) -> None:
    machine.setattr(scaleprof.probes.host, "total_memory_bytes", lambda: machine_bytes)
    assert memory_limit(None) == limit


@pytest.mark.usefixtures("machine")
def test_memory_limit() -> None:
    assert memory_limit("12 GiB") == 12 * GIB
    assert memory_limit("24GiB") == 24 * GIB
    with pytest.raises(UserError, match=r"^--memory-limit: 25GiB is more than the 24.0 GiB this machine has"):
        memory_limit("25GiB")


@pytest.mark.parametrize(
    ("explicit", "said"),
    [
        ({"agents": "0"}, "--agents: 0 is too small"),
        ({"seq_len": "abc"}, "--seq-len: 'abc' is not a whole number"),
        ({"envs": "1:2"}, "--envs: range '1:2' needs a step"),
        ({"chunk": "0"}, "--chunk: 0 is too small"),
        ({"embed_dim": "6"}, "--embed-dim: embed_dim is 6"),
        ({"seed": "-1"}, "--seed: -1 is too small"),
        ({"seed": "4294967296"}, "--seed: 4294967296 is too large: give whole numbers of at most 4294967295"),
        ({"repeats": 0}, "--repeats: 0 is too small: give a whole number of at least 1"),
        ({"epochs": 0}, "--epochs: 0 is too small"),
        ({"minibatches": -2}, "--minibatches: -2 is too small"),
        ({"minibatches": 3}, "--envs: envs is 4: it must be divisible by the number of minibatches (3)"),
        ({"min_updates": 0}, "--min-updates: 0 is too small"),
        ({"warmup_updates": -1}, "--warmup-updates: -1 is too small: give a whole number of at least 0"),
        ({"timeout": 0.0}, "--timeout: 0 is not a duration: give more than 0 seconds"),
        ({"timeout": float("nan")}, "--timeout: nan is not a duration"),
        ({"timeout": float("inf")}, "--timeout: inf is not a duration"),
        ({"memory_limit": "lots"}, "--memory-limit: 'lots' is not a memory size"),
        ({"model": "sabel"}, "--model: unknown model 'sabel'"),
        ({"mode": "dens"}, "--mode: unknown mode 'dens'"),
        ({"scenario": "noem"}, "--scenario: unknown scenario 'noem'"),
        ({"dtype": "int8"}, "--dtype: unknown dtype 'int8'"),
        ({"reward": "team"}, "--reward: reward is 'team'"),
        ({"match": "size"}, "--match: 'size' cannot be matched: the only choice is params"),
    ],
)
def test_refusals(explicit: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as raised:
        plan(explicit)
    assert str(raised.value).startswith(said)
    assert raised.value.exit_code == 2


def test_a_large_grid_needs_a_yes() -> None:
    with pytest.raises(
        UserError, match=r"^the grid has 10002 points: give fewer values, or --yes to allow more than 10000$"
    ):
        plan({"agents": "1:1667:1"})
    assert len(plan({"agents": "1:1666:1"}).points) == 9_996
    assert len(plan({"agents": "1:1667:1"}, [], None, yes=True).points) == 10_002


@pytest.mark.parametrize("device", [None, "cpu", "gpu", "gpu:0", "gpu:12"])
def test_devices(device: str | None) -> None:
    assert choose_device(device) == device


@pytest.mark.parametrize("device", ["", "tpu", "gpu:", "gpu:a", "gpu:-1", "cpu:0", "cpu:", "GPU"])
def test_devices_that_are_none(device: str) -> None:
    with pytest.raises(UserError, match=r"^--device: '.*' is not a device: give cpu, gpu or gpu:0"):
        choose_device(device)


def test_option_name() -> None:
    assert option_name("warmup_updates") == "--warmup-updates"
