"""The registry of scenarios: name → description, sizes and factory. Plain data, no jax.

A factory is named as "module:function" and imported only when an environment is built. Adding a scenario takes one
file, its options in `scenarios.configs` and one row here. A custom scenario needs no row: its name is its factory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scenarios.configs import (
    CLEANER_TASKS,
    CONNECTOR_PUBLISHED,
    CONNECTOR_TASKS,
    LBF_PUBLISHED,
    LBF_TASKS,
    NEOM_TASKS,
    PATTERN_MEMORY_TASKS,
    RWARE_PUBLISHED,
    RWARE_TASKS,
    SEARCH_RESCUE_TASKS,
    TURN_TAKING_TASKS,
    CleanerConfig,
    ConnectorConfig,
    CustomConfig,
    LbfConfig,
    NeomConfig,
    PatternMemoryConfig,
    RwareConfig,
    SearchRescueConfig,
    TurnTakingConfig,
)

MAX_AGENTS = 1 << 20


@dataclass(frozen=True)
class ScenarioEntry:
    """One registered scenario."""

    name: str
    summary: str
    factory: str
    """Called with the number of agents and an instance of `config`."""
    config: type[Any]
    tasks: tuple[str, ...]
    """Variants, chosen as `name:task`; the first is the default."""
    min_agents: int
    max_agents: int
    sensible_agents: int | None = None
    """The largest team with a meaningful task at a reasonable cost; None if that is `max_agents`."""
    observation: str = ""
    """One agent's observation in a line: how many numbers, and of what."""
    actions: str = ""
    """One agent's actions in a line: how many, of which kind, masked or not."""
    scaling_rule: str = ""
    """What stays constant as the team grows, in a line."""
    batching: str = "vmap"
    """The default, one of `scenarios.configs.BATCHINGS`: the faster one for this scenario."""
    reset: str = "pool"
    """The default, one of `scenarios.configs.RESETS`: `exact` if a reset costs no more than a step."""
    fixed_agents: tuple[tuple[str, int], ...] = ()
    """Tasks with a fixed number of agents, and that number."""

    def check_agents(self, task: str, num_agents: int) -> None:
        """Raise `ValueError` if `task` does not take this number of agents."""
        fixed = dict(self.fixed_agents).get(task)
        if fixed is not None and num_agents != fixed:
            raise ValueError(f"agents is {num_agents}: scenario {self.name}:{task} takes exactly {fixed}")
        if fixed is None and not self.min_agents <= num_agents <= self.max_agents:
            raise ValueError(
                f"agents is {num_agents}: scenario {self.name} takes {self.min_agents} to {self.max_agents}"
            )

    def few_agents(self, task: str) -> int:
        """A small team for `task`: 4 agents, or as many as it needs."""
        return dict(self.fixed_agents).get(task) or min(max(self.min_agents, 4), self.max_agents)


SCENARIOS: dict[str, ScenarioEntry] = {
    entry.name: entry
    for entry in (
        ScenarioEntry(
            name="neom",
            summary="Each agent holds its level of a fixed pattern (our reconstruction of the Sable paper's task)",
            factory="scenarios.neom:make",
            config=NeomConfig,
            tasks=NEOM_TASKS,
            min_agents=1,
            max_agents=MAX_AGENTS,
            sensible_agents=16_384,
            observation="12 to 15 numbers: last action and whether it was right, time, place in the pattern",
            actions="2 to 5 discrete, all legal",
            scaling_rule="none needed: the task of an agent does not depend on the team",
            reset="exact",
        ),
        ScenarioEntry(
            name="connector",
            summary="Agents connect pairs of points on a board by wires that must not cross (Jumanji's Connector)",
            factory="scenarios.connector:make",
            config=ConnectorConfig,
            tasks=CONNECTOR_TASKS,
            min_agents=1,
            max_agents=16_384,
            sensible_agents=4096,
            observation="54 numbers: position, offset to the target, 5×5 windows of obstacles and of targets",
            actions="5 discrete, masked",
            scaling_rule="10 cells per agent, square board; start and target at most 3 rows and 3 columns apart",
            fixed_agents=tuple((task, sizes.agents) for task, sizes in CONNECTOR_PUBLISHED.items()),
        ),
        ScenarioEntry(
            name="lbf",
            summary="Agents on a board collect food that takes several of them (Jumanji's LevelBasedForaging)",
            factory="scenarios.lbf:make",
            config=LbfConfig,
            tasks=LBF_TASKS,
            min_agents=1,
            max_agents=16_384,
            sensible_agents=1024,
            observation="75 numbers: 5×5 windows of agent levels, food levels and free cells",
            actions="6 discrete, masked",
            scaling_rule="20 cells and one food item per agent, square board; agents see 2 cells in each direction",
            fixed_agents=tuple((task, sizes.agents) for task, sizes in LBF_PUBLISHED.items()),
        ),
        ScenarioEntry(
            name="rware",
            summary="Robots bring requested shelves to goals; a collision ends the episode (Jumanji's RobotWarehouse)",
            factory="scenarios.rware:make",
            config=RwareConfig,
            tasks=RWARE_TASKS,
            min_agents=1,
            max_agents=1024,
            sensible_agents=256,
            observation="66 numbers: position, load, direction, 3×3 windows of robots and of shelves",
            actions="5 discrete, masked",
            scaling_rule="at least 50 cells and one requested shelf per agent; always two goals",
            batching="map",
            fixed_agents=tuple((task, sizes.agents) for task, sizes in RWARE_PUBLISHED.items()),
        ),
        ScenarioEntry(
            name="pattern-memory",
            summary="Agents repeat a cue some timesteps after seeing it once (tests memory)",
            factory="scenarios.pattern_memory:make",
            config=PatternMemoryConfig,
            tasks=PATTERN_MEMORY_TASKS,
            min_agents=1,
            max_agents=MAX_AGENTS,
            sensible_agents=16_384,
            observation="6 numbers (symbols + 2): the cue at the first timestep, whether this timestep is scored, time",
            actions="4 discrete (symbols), all legal",
            scaling_rule="none needed: one cue for the whole team, whatever its size",
            reset="exact",
        ),
        ScenarioEntry(
            name="turn-taking",
            summary="Neighbours must act differently without knowing their place (tests autoregressive acting)",
            factory="scenarios.turn_taking:make",
            config=TurnTakingConfig,
            tasks=TURN_TAKING_TASKS,
            min_agents=2,
            max_agents=MAX_AGENTS,
            sensible_agents=16_384,
            observation="2 numbers, the same for all agents: a constant, time",
            actions="2 discrete, all legal",
            scaling_rule="none needed: each agent has one neighbour in every team",
            reset="exact",
        ),
        ScenarioEntry(
            name="cleaner",
            summary="Agents clean the tiles of a maze (Jumanji's Cleaner)",
            factory="scenarios.cleaner:make",
            config=CleanerConfig,
            tasks=CLEANER_TASKS,
            min_agents=1,
            max_agents=16_384,
            sensible_agents=4096,
            observation="77 numbers: position, 5×5 windows of walls, dirty tiles and other agents",
            actions="4 discrete, masked; an illegal action ends the episode",
            scaling_rule="10 cells per agent, square maze with an odd side; agents start anywhere",
        ),
        ScenarioEntry(
            name="search-rescue",
            summary="Agents fly over a field and find targets in it (Jumanji's SearchAndRescue)",
            factory="scenarios.search_rescue:make",
            config=SearchRescueConfig,
            tasks=SEARCH_RESCUE_TASKS,
            min_agents=4,
            max_agents=4096,
            sensible_agents=1024,
            observation="99 numbers: 32 rays each for agents, found and unfound targets; targets left, position",
            actions="2 continuous: turn, acceleration",
            scaling_rule="25 agents and 25 targets per unit of area, square field that wraps around",
        ),
    )
}


def is_custom(name: str) -> bool:
    """Whether a scenario's name is the factory of a custom scenario, "module:function"."""
    return name.partition(":")[0] not in SCENARIOS and ":" in name


def find(name: str) -> ScenarioEntry:
    """The entry of a registered scenario (`name` or `name:task`), or a default one for a custom scenario.

    Raises `ValueError` for an unknown name.
    """
    if is_custom(name):
        return ScenarioEntry(
            name=name,
            summary="",
            factory=name,
            config=CustomConfig,
            tasks=(),
            min_agents=1,
            max_agents=MAX_AGENTS,
        )
    entry = SCENARIOS.get(name.partition(":")[0])
    if entry is None:
        raise ValueError(f"scenario is {name!r}: it must be one of {', '.join(SCENARIOS)}, or module:function")
    return entry


def resolve(name: str, options: dict[str, Any]) -> tuple[ScenarioEntry, Any]:
    """The entry and the checked options of `name`; raises `ValueError` for an unknown name or a bad option."""
    entry = find(name)
    task = "" if is_custom(name) else name.partition(":")[2]
    return entry, entry.config(**({"task": task} if task else {}), **options)
