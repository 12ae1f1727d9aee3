"""From the command line's text to frozen, checked options: explicit options over a preset over the defaults."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import scenarios
from scaleprof.errors import UserError
from scaleprof.points.choices import (
    _choice,
    _match,
    _seconds,
    _text,
    check_device,
    choose_dtypes,
    choose_measure,
    choose_pin,
    choose_scenario,
    choose_settings,
    choose_variants,
    may_be_gpu,
    memory_limit,
    timeout_seconds,
)
from scaleprof.points.grid import MAX_POINTS, Axes
from scaleprof.points.parsing import nearest, parse_axis, parse_names
from scaleprof.points.plan import AUTO, SIDES, TOGETHER, SweepOptions, SweepPlan
from scenarios.configs import BATCHINGS, RESETS

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


MAX_SEED = 2**32 - 1
"""jax cuts a larger seed to its low 32 bits, so that two seeds would be the same run."""


def plan_sweep(
    explicit: dict[str, Any], settings: list[str], preset: str | None, *, yes: bool, device: str | None = None
) -> SweepPlan:
    """Check everything that can be checked before anything runs; raises `UserError` for the first thing wrong.

    `explicit` holds the options by the names in `DEFAULTS`, None where the user gave none. All of them stand in the
    manifest as they came out, with `set` and `device`, so that `scaleprof.sweep.resuming` can plan the same sweep
    again.
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


def _at_least(values: dict[str, Any], name: str, minimum: int) -> int:
    value = int(values[name])
    if value < minimum:
        raise UserError(f"{option_name(name)}: {value} is too small: give a whole number of at least {minimum}")
    return value


def preset_names() -> list[str]:
    """The presets that ship with the project."""
    folder = files("scaleprof") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_preset(name: str) -> dict[str, Any]:
    """The options of a preset by the names in `DEFAULTS`."""
    if name not in preset_names():
        raise UserError(f"--preset: there is no preset '{name}': {nearest(name, preset_names())}")
    text = (files("scaleprof") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return {key.replace("-", "_"): value for key, value in tomllib.loads(text)["sweep"].items()}
