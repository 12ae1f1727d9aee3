"""Options of the command line, checked one by one.

Models, scenarios and the host are imported inside the functions, so that importing this module is cheap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from reports.text.hints import nearest
from scaleprof.errors import UserError
from scaleprof.points.custom_modules import check_module
from scaleprof.points.parsing import check_choice, parse_axis, parse_names, parse_setting, parse_size

if TYPE_CHECKING:
    from sable.models import ModelEntry

TOGETHER, MEMORY, SPEED = "together", "memory", "speed"
"""What one child process measures: both at once, or one of the two."""
AUTO = "auto"
"""The batching that tries the others and takes the fastest."""
COMPILE = "compile"
"""Given to `--measure` beside these: the time of compiling, so that a point's programs compile one by one."""
MEASURES = (TOGETHER, MEMORY, SPEED, COMPILE)
ROOM_TO_COMPILE = 2 * 2**30
"""Under smaller memory limits a point's programs compile one by one: together they need some 500 MB more."""
DEFAULT_TIMEOUT_SECONDS = 120.0
DEFAULT_MEMORY_BYTES = 8 * 2**30
DEFAULT_MEMORY_SHARE = 0.6
"""The default memory limit is the smaller of `DEFAULT_MEMORY_BYTES` and this share of the memory that may be used."""


def choose_measure(text: str, option: str = "--measure") -> tuple[str, ...]:
    """Read `--measure`: what the processes of a point measure, memory before speed; last `compile`, if it is given."""
    kinds = parse_names(text, option)
    for kind in kinds:
        check_choice(kind, option, MEASURES)
    if TOGETHER in kinds and (MEMORY in kinds or SPEED in kinds):
        raise UserError(f"{option}: together measures both in one process: give it alone, or give memory,speed")
    return tuple(kind for kind in MEASURES if kind in kinds)


def choose_pin(text: str, option: str = "--pin") -> tuple[int, ...]:
    """Read `--pin`: the cores of every point; empty for all that this process may use."""
    from scaleprof.probes import host

    if not text:
        return ()
    cpus, usable = parse_axis(text, option, minimum=0), host.usable_cpus()
    for cpu in cpus:
        if cpu not in usable:
            raise UserError(f"{option}: core {cpu} is not available; choose from {', '.join(map(str, usable))}")
    return cpus


def choose_match(text: str, option: str = "--match") -> str:
    """Check `--match`."""
    if text not in ("", "params"):
        raise UserError(f"{option}: '{text}' cannot be matched: the only choice is params")
    return text


def choose_batching(text: str, option: str = "--batching") -> str:
    """Check `--batching`."""
    from scenarios.configs import BATCHINGS

    return check_choice(text, option, (*BATCHINGS, AUTO))


def choose_reset(text: str, option: str = "--reset") -> str:
    """Check `--reset`."""
    from scenarios.configs import RESETS

    return check_choice(text, option, RESETS)


def memory_limit(text: str | None, *, on_gpu: bool = False) -> int:
    """The memory limit of a point in bytes: as given, or the default. On the host it is at most what may be used."""
    from scaleprof.probes import host
    from scaleprof.probes.nvml import Nvml, load_nvml

    if text is None:
        sizes = (
            [card["memory_bytes"] for card in Nvml(load_nvml()).describe() if card["memory_bytes"]] if on_gpu else []
        )
        return min(sizes, default=min(DEFAULT_MEMORY_BYTES, int(DEFAULT_MEMORY_SHARE * host.usable_memory_bytes())))
    size = parse_size(text, "--memory-limit")
    if not on_gpu:
        check_host_memory(size, text)
    return size


def check_host_memory(size: int, text: str = "") -> None:
    """Raise `UserError` for a limit above the host's memory, or above what the process's control groups allow."""
    from reports.text.units import format_bytes
    from scaleprof.probes import host

    machine, usable = host.total_memory_bytes(), host.usable_memory_bytes()
    given = text or format_bytes(size)
    if usable < size <= machine:
        raise UserError(
            f"--memory-limit: {given} is more than the {format_bytes(usable)} "
            "that this process's control group allows: give less"
        )
    if size > machine:
        raise UserError(
            f"--memory-limit: {given} is more than the {machine / 2**30:.1f} GiB this machine has: give less"
        )


def choose_device(text: str | None, option: str = "--device") -> str | None:
    """Check `--device cpu|gpu[:i]`."""
    if text is not None:
        kind, colon, index = text.partition(":")
        if kind not in ("cpu", "gpu") or (colon and (kind == "cpu" or not index.isdigit())):
            raise UserError(f"{option}: '{text}' is not a device: give cpu, gpu or gpu:0 (the index of a card)")
    return text


def on_gpu(device: str | None) -> bool:
    """Whether `--device` names a GPU."""
    return device is not None and device != "cpu"


def may_be_gpu(device: str | None) -> bool:
    """Whether points may run on a GPU: one was asked for, or nothing was and there is one for jax to find."""
    from scaleprof.probes.nvml import Nvml, load_nvml

    return on_gpu(device) or (device is None and Nvml(load_nvml()).available)


def choose_variants(models: tuple[str, ...], modes: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(model, mode) pairs of `--model` (names or `name:mode` pairs), restricted to `modes` unless that is empty.

    A model without modes has the empty mode, which `--mode` does not exclude.
    """
    from sable.models import MODELS, is_custom

    every_mode = tuple(dict.fromkeys(mode for entry in MODELS.values() for mode in entry.modes))
    for mode in modes:
        if mode not in every_mode:
            raise UserError(f"--mode: unknown mode '{mode}': {nearest(mode, every_mode)}")
    pairs: list[tuple[str, str]] = []
    for name in models:
        model, colon, mode = name.partition(":")
        if is_custom(name):
            check_module(name, "--model", MODELS)
            pairs.append((name, ""))
            continue
        if model not in MODELS:
            raise UserError(f"--model: unknown model '{model}': {nearest(model, MODELS)}")
        entry = MODELS[model]
        pairs += [(model, _known_mode(entry, mode))] if colon else [(model, m) for m in _bare_modes(entry, modes)]
    chosen = tuple(pair for pair in dict.fromkeys(pairs) if not modes or not pair[1] or pair[1] in modes)
    if modes and not any(mode for _, mode in chosen):
        own = "; custom models have no modes" if any(map(is_custom, models)) else ""
        raise UserError(
            f"--mode: none of {', '.join(models)} has mode {', '.join(modes)}: see 'scaleprof list models'{own}"
        )
    return chosen


def _bare_modes(entry: ModelEntry, modes: tuple[str, ...]) -> tuple[str, ...]:
    """The modes that a bare model name stands for: its defaults, or all where `--mode` restricts them."""
    return (entry.modes if modes else entry.default_modes) if entry.modes else ("",)


def _known_mode(entry: ModelEntry, mode: str) -> str:
    from sable.models import MODELS

    if mode in entry.modes:
        return mode
    if not entry.modes:
        raise UserError(f"--model: {entry.name} has no modes: write '{entry.name}'")
    owners = [other.name for other in MODELS.values() if mode in other.modes]
    owned = f" ({', '.join(owners)} {'has' if len(owners) == 1 else 'have'} it)" if owners else ""
    raise UserError(f"--model: {entry.name} has no mode '{mode}'{owned}: {nearest(mode, entry.modes)}")


def has_chunks(model: str, mode: str) -> bool:
    """Whether a model computes this mode in chunks."""
    from sable.models import find

    return mode in find(model).chunked


def choose_scenario(name: str, option: str = "--scenario") -> str:
    """Check the name of a scenario: `neom`, `neom:task`, or a custom one, "module:function"."""
    from scenarios import SCENARIOS, is_custom

    base, colon, task = name.partition(":")
    if is_custom(name):
        check_module(name, option, SCENARIOS)
        return name
    if base not in SCENARIOS:
        raise UserError(f"{option}: unknown scenario '{base}': {nearest(base, SCENARIOS)}")
    tasks = SCENARIOS[base].tasks
    if colon and task not in tasks:
        raise UserError(f"{option}: {base} has no task '{task}': {nearest(task, tasks)}")
    return name


def choose_dtypes(names: tuple[str, ...], option: str = "--dtype") -> tuple[str, ...]:
    """Check the names of `--dtype`."""
    from sable.config import DTYPES

    for name in names:
        if name not in DTYPES:
            raise UserError(f"{option}: unknown dtype '{name}': {nearest(name, DTYPES)}")
    return names


def choose_settings(texts: Iterable[str], scenario: str, options: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Read all `--set` options, sorted; the last of equal names wins.

    `options` maps fields that have their own option to it.
    """
    import scenarios
    from sable.config import ModelConfig, PPOConfig
    from sable.tuning import Tuning

    groups = {
        "model": ModelConfig,
        "ppo": PPOConfig,
        "scenario": scenarios.find(scenario).config,
        "tuning": Tuning,
    }
    settings = dict(parse_setting(text, groups, options) for text in texts)
    if ":" in scenario and "scenario.task" in settings and not scenarios.is_custom(scenario):
        raise UserError(f"--set: --scenario {scenario} already chooses the task: give one of the two")
    return tuple(sorted(settings.items()))


def check_setting(name: str, scenario: str, option: str) -> None:
    """Raise `UserError` where `name`, "scenario.reward", is no field of this scenario's config."""
    import scenarios

    group, _, field = name.partition(".")
    if group == "scenario" and not hasattr(scenarios.find(scenario).config, field):
        raise UserError(f"{option}: scenario {scenario} has no choice of {field}: omit it")
