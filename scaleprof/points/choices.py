"""Options of the command line, checked one by one."""

from __future__ import annotations

import scenarios
from reports.text.units import format_bytes
from sable.config import DTYPES, ModelConfig, PPOConfig
from sable.models import MODELS, ModelEntry, is_custom
from scaleprof.errors import UserError
from scaleprof.points.custom_modules import check_module
from scaleprof.points.parsing import nearest, parse_axis, parse_names, parse_setting, parse_size
from scaleprof.points.plan import MEMORY, SPEED, TOGETHER
from scaleprof.points.point import AXIS_OPTIONS
from scaleprof.probes import host
from scaleprof.probes.nvml import Nvml, load_nvml

MEASURES = (TOGETHER, MEMORY, SPEED)


DEFAULT_MEMORY_BYTES = 8 * 2**30


DEFAULT_MEMORY_SHARE = 0.6
"""The default memory limit is the smaller of `DEFAULT_MEMORY_BYTES` and this share of the machine's memory."""


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


def choose_variants(models: tuple[str, ...], modes: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(model, mode) pairs of `--model` (names or `name:mode` pairs), reduced to `--mode` if that is not empty.

    A model without modes has the empty mode, which `--mode` does not take away where it picks others.
    """
    every_mode = tuple(dict.fromkeys(mode for entry in MODELS.values() for mode in entry.modes))
    for mode in modes:
        if mode not in every_mode:
            raise UserError(f"--mode: there is no mode '{mode}': {nearest(mode, every_mode)}")
    pairs: list[tuple[str, str]] = []
    for name in models:
        model, colon, mode = name.partition(":")
        if is_custom(name):
            check_module(name, "--model", MODELS)
            pairs.append((name, ""))
            continue
        if model not in MODELS:
            raise UserError(f"--model: there is no model '{model}': {nearest(model, MODELS)}")
        entry = MODELS[model]
        pairs += [(model, _known_mode(entry, mode))] if colon else [(model, m) for m in _bare_modes(entry, modes)]
    chosen = tuple(pair for pair in dict.fromkeys(pairs) if not modes or not pair[1] or pair[1] in modes)
    if modes and not any(mode for _, mode in chosen):
        own = "; a model of your own has none" if any(map(is_custom, models)) else ""
        raise UserError(
            f"--mode: none of {', '.join(models)} has mode {', '.join(modes)}: see 'scaleprof list models'{own}"
        )
    return chosen


def _bare_modes(entry: ModelEntry, modes: tuple[str, ...]) -> tuple[str, ...]:
    """The modes that a model's bare name stands for: its defaults, or all of them where `--mode` picks."""
    return (entry.modes if modes else entry.default_modes) if entry.modes else ("",)


def _known_mode(entry: ModelEntry, mode: str) -> str:
    if mode in entry.modes:
        return mode
    if not entry.modes:
        raise UserError(f"--model: {entry.name} has no modes: write '{entry.name}'")
    owners = [other.name for other in MODELS.values() if mode in other.modes]
    owned = f" ({', '.join(owners)} {'has' if len(owners) == 1 else 'have'} it)" if owners else ""
    raise UserError(f"--model: {entry.name} has no mode '{mode}'{owned}: {nearest(mode, entry.modes)}")


def choose_scenario(name: str) -> str:
    """Check the name of a scenario, `neom`, `neom:task` or "module:function" of somebody's own."""
    base, colon, task = name.partition(":")
    if scenarios.is_custom(name):
        check_module(name, "--scenario", scenarios.SCENARIOS)
        return name
    if base not in scenarios.SCENARIOS:
        raise UserError(f"--scenario: there is no scenario '{base}': {nearest(base, scenarios.SCENARIOS)}")
    tasks = scenarios.SCENARIOS[base].tasks
    if colon and task not in tasks:
        raise UserError(f"--scenario: {base} has no task '{task}': {nearest(task, tasks)}")
    return name


def choose_dtypes(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check the names of `--dtype`."""
    for name in names:
        if name not in DTYPES:
            raise UserError(f"--dtype: there is no dtype '{name}': {nearest(name, DTYPES)}")
    return names


def choose_settings(
    texts: list[str], scenario: str, reward: str | None, **sugar: str | None
) -> tuple[tuple[str, str], ...]:
    """All `--set` options, and those with an option of their own (`model_remat="true"` is `model.remat=true`).

    The last of equal names counts; an option that is None was not given.
    """
    config = scenarios.find(scenario).config
    groups = {"model": ModelConfig, "ppo": PPOConfig, "scenario": config}
    settings = dict(parse_setting(text, groups, AXIS_OPTIONS) for text in texts)
    if reward is not None and not hasattr(config, "reward"):
        raise UserError(f"--reward: scenario {scenario} knows one kind of reward: leave it out")
    given = {"scenario_reward": reward} | sugar
    settings |= {name.replace("_", ".", 1): value for name, value in given.items() if value is not None}
    if ":" in scenario and "scenario.task" in settings and not scenarios.is_custom(scenario):
        raise UserError(f"--set: scenario.task is already chosen by --scenario {scenario}: give one of the two")
    return tuple(sorted(settings.items()))
