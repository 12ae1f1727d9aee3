"""The registry of scenarios: name to what it is, its sizes and who builds it. Plain data, no jax."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    """One registered scenario. `tasks` are its variants, the default first, chosen as `name:task`."""

    name: str
    summary: str
    factory: str
    """Called with the number of agents and a `config`."""
    config: type[Any]
    tasks: tuple[str, ...]
    min_agents: int
    max_agents: int
    sensible_agents: int | None = None
    """The largest team for which the task still means what it should at a sensible cost; None if `max_agents` is."""
    observation: str = ""
    """What one agent sees, in a line: how many numbers, of what."""
    actions: str = ""
    """What one agent does, in a line: how many, of which kind, masked or not."""
    scaling_rule: str = ""
    """What stays the same as the team grows, in a line."""
    batching: str = "vmap"
    """One of `scenarios.configs.BATCHINGS`: what is faster for this scenario, where it is left open."""
    reset: str = "pool"
    """One of `scenarios.configs.RESETS`, where it is left open; `exact` if a reset costs no more than a step."""
    fixed_agents: tuple[tuple[str, int], ...] = ()
    """Tasks for one number of agents only, with that number."""

    def check_agents(self, task: str, num_agents: int) -> None:
        """Raise `ValueError` where `task` is not for so many agents."""
        fixed = dict(self.fixed_agents).get(task)
        if fixed is not None and num_agents != fixed:
            raise ValueError(f"agents is {num_agents}: scenario {self.name}:{task} is for {fixed}")
        if fixed is None and not self.min_agents <= num_agents <= self.max_agents:
            raise ValueError(
                f"agents is {num_agents}: scenario {self.name} takes {self.min_agents} to {self.max_agents}"
            )

    def few_agents(self, task: str) -> int:
        """A small team that `task` is for: of 4 agents, or of as many as it needs."""
        return dict(self.fixed_agents).get(task) or min(max(self.min_agents, 4), self.max_agents)


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
            max_agents=MAX_AGENTS,
            sensible_agents=16_384,
            observation="12 to 15 numbers: was the last action right, which it was, time, place in the pattern",
            actions="2 to 5 discrete, all legal",
            scaling_rule="none needed: an agent's task is the same in every team",
            reset="exact",
        ),
        ScenarioEntry(
            name="connector",
            summary="Pairs of points on a board are connected by wires that must not cross (Jumanji's Connector)",
            factory="scenarios.connector:make",
            config=ConnectorConfig,
            tasks=CONNECTOR_TASKS,
            min_agents=1,
            max_agents=16_384,
            sensible_agents=4096,
            observation="54 numbers: position, way to the target, 5×5 windows of blockers and of targets",
            actions="5 discrete, masked",
            scaling_rule="10 cells an agent, square board; start and target at most 3 rows and 3 columns apart",
            fixed_agents=tuple((task, sizes.agents) for task, sizes in CONNECTOR_PUBLISHED.items()),
        ),
        ScenarioEntry(
            name="lbf",
            summary="Food that a few agents must take together lies on a board (Jumanji's LevelBasedForaging)",
            factory="scenarios.lbf:make",
            config=LbfConfig,
            tasks=LBF_TASKS,
            min_agents=1,
            max_agents=16_384,
            sensible_agents=1024,
            observation="75 numbers: 5×5 windows of agents' levels, of food's levels and of free cells",
            actions="6 discrete, masked",
            scaling_rule="20 cells and one food an agent, square board; agents see 2 cells far",
            fixed_agents=tuple((task, sizes.agents) for task, sizes in LBF_PUBLISHED.items()),
        ),
        ScenarioEntry(
            name="rware",
            summary="Robots bring wanted shelves to the goals and end the episode if they collide (RobotWarehouse)",
            factory="scenarios.rware:make",
            config=RwareConfig,
            tasks=RWARE_TASKS,
            min_agents=1,
            max_agents=1024,
            sensible_agents=256,
            observation="66 numbers: position, load, direction, 3×3 windows of robots and of shelves",
            actions="5 discrete, masked",
            scaling_rule="at least 50 cells and one wanted shelf an agent; two goals, however many agents there are",
            batching="map",
            fixed_agents=tuple((task, sizes.agents) for task, sizes in RWARE_PUBLISHED.items()),
        ),
        ScenarioEntry(
            name="pattern-memory",
            summary="A cue seen once must be given back some timesteps later: what a model's memory is worth",
            factory="scenarios.pattern_memory:make",
            config=PatternMemoryConfig,
            tasks=PATTERN_MEMORY_TASKS,
            min_agents=1,
            max_agents=MAX_AGENTS,
            sensible_agents=16_384,
            observation="6 numbers (symbols + 2): the cue at the first timestep, is this one scored, time",
            actions="4 discrete (symbols), all legal",
            scaling_rule="none needed: one cue for the whole team, so as much to remember in every team",
            reset="exact",
        ),
        ScenarioEntry(
            name="turn-taking",
            summary="Neighbours must act differently and nobody knows its place: what seeing earlier actions is worth",
            factory="scenarios.turn_taking:make",
            config=TurnTakingConfig,
            tasks=TURN_TAKING_TASKS,
            min_agents=2,
            max_agents=MAX_AGENTS,
            sensible_agents=16_384,
            observation="2 numbers, the same for all agents: a constant, time",
            actions="2 discrete, all legal",
            scaling_rule="none needed: an agent's task is about one neighbour in every team",
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
            observation="77 numbers: position, 5×5 windows of walls, of dirty tiles and of other agents",
            actions="4 discrete, masked; one illegal action ends everyone's episode",
            scaling_rule="10 cells an agent, square maze of an odd side; agents start anywhere in it",
        ),
        ScenarioEntry(
            name="search-rescue",
            summary="Agents fly over a field and find those who are lost in it (Jumanji's SearchAndRescue)",
            factory="scenarios.search_rescue:make",
            config=SearchRescueConfig,
            tasks=SEARCH_RESCUE_TASKS,
            min_agents=4,
            max_agents=4096,
            sensible_agents=1024,
            observation="99 numbers: 32 rays for agents, targets found and targets not found; targets left, position",
            actions="2 continuous: turn, acceleration",
            scaling_rule="25 agents and 25 targets a unit of area, square field with joined edges",
        ),
    )
}


def is_custom(name: str) -> bool:
    """Whether a scenario's name is the factory of somebody's own, "module:function"."""
    return name.partition(":")[0] not in SCENARIOS and ":" in name


def find(name: str) -> ScenarioEntry:
    """The entry of a registered scenario (`name` or `name:task`), or one made up for somebody's own.

    Raises `ValueError` for a name that is neither.
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
    """The entry and the checked options of `name`; raises `ValueError` like `make_environment`."""
    entry = find(name)
    task = "" if is_custom(name) else name.partition(":")[2]
    return entry, entry.config(**({"task": task} if task else {}), **options)
