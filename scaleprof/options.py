"""From the command line's text to frozen, checked options: explicit options over a preset over the defaults."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import scenarios
from reports.units import format_bytes
from scaleprof.errors import UserError
from scaleprof.grid import (
    MAX_POINTS,
    Axes,
    Point,
    choose_dtypes,
    choose_scenario,
    choose_settings,
    choose_variants,
)
from scaleprof.launching import SweepOptions
from scaleprof.pairs import SIDES, find_version
from scaleprof.parsing import nearest, parse_axis, parse_names, parse_size
from scaleprof.probes import host
from scaleprof.probes.nvml import Nvml, load_nvml
from scaleprof.protocol import AUTO, MEMORY, SPEED, TOGETHER
from scenarios.config import BATCHINGS, RESETS

DEFAULTS: dict[str, Any] = {
    "agents": "16,128,1024",
    "seq_len": "16",
    "scenario": "neom",
    "reward": None,
    "batching": "",
    "reset": "",
    "model": "sable,mat",
    "mode": "",
    "chunk": "1",
    "envs": "4",
    "embed_dim": "64",
    "heads": "4",
    "blocks": "1",
    "dtype": "float32",
    "seed": "0",
    "epochs": 1,
    "minibatches": 2,
    "acting": None,
    "remat": None,
    "accumulate": None,
    "segment": None,
    "published": False,
    "match": "",
    "repeats": 1,
    "measure": "together",
    "min_updates": 3,
    "min_seconds": 1.0,
    "warmup_updates": 4,
    "pin": "",
    "fresh_compile": False,
    "timeout": 120.0,
    "memory_limit": None,
    "keep_going": False,
    "against": "",
}
"""What `scaleprof sweep` does with no option. `memory_limit` is computed from the machine."""

MEASURES = (TOGETHER, MEMORY, SPEED)

MAX_SEED = 2**32 - 1
"""jax cuts a larger seed to its low 32 bits, so that two seeds would be the same run."""
DEFAULT_MEMORY_BYTES = 8 * 2**30
DEFAULT_MEMORY_SHARE = 0.6
"""The default memory limit is the smaller of `DEFAULT_MEMORY_BYTES` and this share of the machine's memory."""


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A checked sweep: its points, and how they are measured."""

    points: tuple[Point, ...]
    options: SweepOptions
    scenario: str
    device: str | None
    manifest: dict[str, Any]


def plan_sweep(
    explicit: dict[str, Any], settings: list[str], preset: str | None, *, yes: bool, device: str | None = None
) -> SweepPlan:
    """Check everything that can be checked before anything runs; raises `UserError` for the first thing wrong.

    `explicit` holds the options by the names in `DEFAULTS`, None where the user gave none. All of them stand in the
    manifest as they came out, with `set` and `device`, so that `scaleprof.resuming` can plan the same sweep again.
    """
    check_device(device)
    chosen = load_preset(preset) if preset else {}
    given = {name: value for name, value in explicit.items() if value is not None}
    values = DEFAULTS | chosen | given
    if "agents" not in given:
        values["agents"] = _own_agents(values["scenario"]) or values["agents"]
    if values["published"]:
        values |= {"epochs": given.get("epochs"), "minibatches": given.get("minibatches")}
    axes = _axes(values, settings)
    if axes.size > MAX_POINTS and not yes:
        raise UserError(f"the grid has {axes.size} points: give fewer values, or --yes for more than {MAX_POINTS}")
    options = SweepOptions(
        measure=choose_measure(values["measure"]),
        min_updates=_at_least(values, "min_updates", 1),
        min_seconds=_seconds(values["min_seconds"], "--min-seconds"),
        warmup_updates=_at_least(values, "warmup_updates", 0),
        timeout_seconds=timeout_seconds(values["timeout"]),
        memory_limit_bytes=memory_limit(values["memory_limit"], on_gpu=may_be_gpu(device)),
        pin=choose_pin(values["pin"]),
        reuse_compiled=axes.repeats > 1 and not values["fresh_compile"],
        keep_going=values["keep_going"],
        sides=SIDES if values["against"] else ("",),
    )
    if values["against"]:
        find_version(values["against"])
        values["against"] = str(Path(values["against"]).absolute())
        if options.measure != (TOGETHER,):
            raise UserError("--against: both versions are measured in one process each: leave out --measure")
    manifest = {
        "preset": preset,
        "options": values | {"memory_limit": options.memory_limit_bytes, "set": list(settings), "device": device},
        "points": axes.size,
    }
    return SweepPlan(
        points=tuple(axes.points()), options=options, scenario=axes.scenario, device=device, manifest=manifest
    )


def _own_agents(scenario: str) -> str:
    """The number of agents of a task of a published size; nothing for all others."""
    entry, task = scenarios.find(choose_scenario(scenario)), scenario.partition(":")[2]
    return str(dict(entry.fixed_agents).get(task, ""))


def _axes(values: dict[str, Any], settings: list[str]) -> Axes:
    def numbers(name: str, minimum: int = 1, maximum: int | None = None) -> tuple[int, ...]:
        return parse_axis(str(values[name]), option_name(name), minimum=minimum, maximum=maximum)

    scenario = choose_scenario(values["scenario"])
    modes = parse_names(values["mode"], "--mode") if values["mode"] else ()
    return Axes(
        scenario=scenario,
        variants=choose_variants(parse_names(values["model"], "--model"), modes),
        agents=numbers("agents"),
        seq_len=numbers("seq_len"),
        envs=numbers("envs"),
        chunk=numbers("chunk"),
        embed_dim=numbers("embed_dim"),
        heads=numbers("heads"),
        blocks=numbers("blocks"),
        dtype=choose_dtypes(parse_names(values["dtype"], "--dtype")),
        seed=numbers("seed", minimum=0, maximum=MAX_SEED),
        epochs=None if values["epochs"] is None else _at_least(values, "epochs", 1),
        minibatches=None if values["minibatches"] is None else _at_least(values, "minibatches", 1),
        repeats=_at_least(values, "repeats", 1),
        match=_match(values["match"]),
        batching=_choice(values["batching"], "--batching", (*BATCHINGS, AUTO)),
        reset=_choice(values["reset"], "--reset", RESETS),
        settings=choose_settings(
            settings,
            scenario,
            values["reward"],
            model_acting=values["acting"],
            model_remat="true" if values["remat"] else None,
            model_segment=_text(values["segment"]),
            ppo_accumulate=_text(values["accumulate"]),
        ),
    )


def option_name(name: str) -> str:
    """`seq_len` → `--seq-len`."""
    return "--" + name.replace("_", "-")


def _choice(value: str, option: str, choices: tuple[str, ...]) -> str:
    if value and value not in choices:
        raise UserError(f"{option}: there is no '{value}': {nearest(value, choices)}")
    return value


def _match(value: str) -> str:
    if value not in ("", "params"):
        raise UserError(f"--match: there is nothing to match called '{value}': write --match params")
    return value


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _at_least(values: dict[str, Any], name: str, minimum: int) -> int:
    value = int(values[name])
    if value < minimum:
        raise UserError(f"{option_name(name)}: {value} is too small: give a whole number of at least {minimum}")
    return value


def choose_measure(text: str) -> tuple[str, ...]:
    """Read `--measure`: what the processes of a point measure, memory before speed."""
    kinds = parse_names(text, "--measure")
    for kind in kinds:
        if kind not in MEASURES:
            raise UserError(f"--measure: there is nothing called '{kind}': {nearest(kind, MEASURES)}")
    if TOGETHER in kinds and len(kinds) > 1:
        raise UserError("--measure: together is one process for all: give it alone, or memory,speed")
    return tuple(kind for kind in MEASURES if kind in kinds)


def choose_pin(text: str) -> tuple[int, ...]:
    """Read `--pin`: the cores that every point keeps to; empty for all that this process may use."""
    if not text:
        return ()
    cpus, usable = parse_axis(text, "--pin", minimum=0), host.usable_cpus()
    for cpu in cpus:
        if cpu not in usable:
            raise UserError(f"--pin: there is no core {cpu} to use: give some of {', '.join(map(str, usable))}")
    return cpus


def _seconds(value: float, option: str) -> float:
    if not 0 <= value < float("inf"):
        raise UserError(f"{option}: {value:g} is not a time: give seconds of at least 0")
    return float(value)


def timeout_seconds(value: float) -> float:
    """Check `--timeout`."""
    if not 0 < value < float("inf"):
        raise UserError(f"--timeout: {value:g} is not a time: give seconds above 0")
    return float(value)


def memory_limit(text: str | None, *, on_gpu: bool = False) -> int:
    """The memory budget of a point in bytes: as given, at most the machine's (unless it is a GPU's), or the default."""
    if text is None:
        sizes = (
            [card["memory_bytes"] for card in Nvml(load_nvml()).describe() if card["memory_bytes"]] if on_gpu else []
        )
        return min(sizes, default=min(DEFAULT_MEMORY_BYTES, int(DEFAULT_MEMORY_SHARE * host.total_memory_bytes())))
    size = parse_size(text, "--memory-limit")
    if not on_gpu:
        check_host_memory(size, text)
    return size


def check_host_memory(size: int, text: str = "") -> None:
    """Raise `UserError` for a limit of more than the machine's memory."""
    machine = host.total_memory_bytes()
    if size > machine:
        said = text or format_bytes(size)
        raise UserError(
            f"--memory-limit: {said} is more than the {machine / 2**30:.1f} GiB this machine has: give less"
        )


def check_device(text: str | None) -> str | None:
    """Check `--device cpu|gpu[:i]`."""
    if text is not None:
        kind, colon, index = text.partition(":")
        if kind not in ("cpu", "gpu") or (colon and (kind == "cpu" or not index.isdigit())):
            raise UserError(f"--device: '{text}' is not a device: give cpu, gpu or gpu:0 (the index of a card)")
    return text


def on_gpu(device: str | None) -> bool:
    """Whether `--device` names something else than the host."""
    return device is not None and device != "cpu"


def may_be_gpu(device: str | None) -> bool:
    """Whether points may run on a GPU: it is asked for, or there is one for jax to find."""
    return on_gpu(device) or (device is None and Nvml(load_nvml()).available)


def preset_names() -> list[str]:
    """The presets that ship with the project."""
    folder = files("scenarios") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_preset(name: str) -> dict[str, Any]:
    """The options of a preset by the names in `DEFAULTS`."""
    if name not in preset_names():
        raise UserError(f"--preset: there is no preset '{name}': {nearest(name, preset_names())}")
    text = (files("scenarios") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return {key.replace("-", "_"): value for key, value in tomllib.loads(text)["sweep"].items()}
