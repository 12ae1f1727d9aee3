"""Environments, one file each, and their registry: name → what it is and who builds it. Plain data, no jax.

A factory is named as "module:function" and resolved where an environment is really built. Adding a scenario is one
file, its options in `scenarios.config` and one row here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from scenarios.config import NEOM_TASKS, NeomConfig

if TYPE_CHECKING:
    from scenarios.wrappers import Environment


@dataclass(frozen=True)
class ScenarioEntry:
    """One registered scenario. `tasks` are its variants, the default first, chosen as `name:task`."""

    name: str
    summary: str
    factory: str
    config: type[Any]
    tasks: tuple[str, ...]
    min_agents: int
    max_agents: int


SCENARIOS: dict[str, ScenarioEntry] = {
    entry.name: entry
    for entry in (
        ScenarioEntry(
            name="neom",
            summary="Every agent holds its level of a fixed pattern (our reconstruction of the Sable paper's task)",
            factory="scenarios.neom:make",
            config=NeomConfig,
            tasks=NEOM_TASKS,
            min_agents=1,
            max_agents=1 << 20,
        ),
    )
}


def make_environment(name: str, num_agents: int, options: dict[str, Any]) -> Environment:
    """Build one environment of the scenario `name` (or `name:task`).

    Raises `ValueError` for an unknown name, a number of agents out of the scenario's range or an option out of range.
    """
    entry, config = resolve(name, options)
    if not entry.min_agents <= num_agents <= entry.max_agents:
        raise ValueError(
            f"agents is {num_agents}: scenario {entry.name} takes {entry.min_agents} to {entry.max_agents}"
        )
    module, _, function = entry.factory.partition(":")
    factory = cast("Callable[[int, Any], Environment]", getattr(importlib.import_module(module), function))
    return factory(num_agents, config)


def resolve(name: str, options: dict[str, Any]) -> tuple[ScenarioEntry, Any]:
    """The entry and the checked options of `name` or `name:task`; raises `ValueError` like `make_environment`."""
    base, _, task = name.partition(":")
    entry = SCENARIOS.get(base)
    if entry is None:
        raise ValueError(f"scenario is {name!r}: it must be one of {', '.join(SCENARIOS)}")
    return entry, entry.config(**({"task": task} if task else {}), **options)
