"""Environments, one file each, and their registry: name → what it is and who builds it. Plain data, no jax.

A factory is named as "module:function" and resolved where an environment is really built. Adding a scenario is one
file, its options in `scenarios.config` and one row here; a scenario of somebody's own needs none, its name is its
factory.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenarios.config import (
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
    LbfConfig,
    NeomConfig,
    OwnConfig,
    PatternMemoryConfig,
    RwareConfig,
    SearchRescueConfig,
    TurnTakingConfig,
)

if TYPE_CHECKING:
    from scenarios.wrappers import Batched, Environment

MOST_AGENTS = 1 << 20


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
    """One of `scenarios.config.BATCHINGS`: what is faster for this scenario, where it is left open."""
    reset: str = "pool"
    """One of `scenarios.config.RESETS`, where it is left open; `exact` if a reset costs no more than a step."""
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
            max_agents=MOST_AGENTS,
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
            max_agents=MOST_AGENTS,
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
            max_agents=MOST_AGENTS,
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


def is_own(name: str) -> bool:
    """Whether a scenario's name is the factory of somebody's own, "module:function"."""
    return name.partition(":")[0] not in SCENARIOS and ":" in name


def find(name: str) -> ScenarioEntry:
    """The entry of a registered scenario (`name` or `name:task`), or one made up for somebody's own.

    Raises `ValueError` for a name that is neither.
    """
    if is_own(name):
        return ScenarioEntry(
            name=name,
            summary="",
            factory=name,
            config=OwnConfig,
            tasks=(),
            min_agents=1,
            max_agents=MOST_AGENTS,
        )
    entry = SCENARIOS.get(name.partition(":")[0])
    if entry is None:
        raise ValueError(f"scenario is {name!r}: it must be one of {', '.join(SCENARIOS)}, or module:function")
    return entry


def resolve(name: str, options: dict[str, Any]) -> tuple[ScenarioEntry, Any]:
    """The entry and the checked options of `name`; raises `ValueError` like `make_environment`."""
    entry = find(name)
    task = "" if is_own(name) else name.partition(":")[2]
    return entry, entry.config(**({"task": task} if task else {}), **options)


def make_environment(name: str, num_agents: int, options: dict[str, Any]) -> Environment:
    """Build one environment of the scenario `name`, which is `name`, `name:task` or "module:function".

    A function of somebody's own is called with the number of agents. It returns an object that keeps
    `scenarios.wrappers.Environment`, or an environment of Jumanji's, which `scenarios.jumanji_adapter` adapts.

    Raises `ValueError` for an unknown name, a number of agents out of the scenario's range, an option out of range, a
    function that is not there, and for what it returned if that breaks the protocol.
    """
    entry, config = resolve(name, options)
    entry.check_agents(getattr(config, "task", ""), num_agents)
    if not is_own(name):
        environment: Environment = _factory(entry.factory)(num_agents, config)
        return environment
    from scenarios.checks import contract_defects

    made = make_own(name, num_agents)
    defects = contract_defects(made, num_agents)
    if defects:
        raise ValueError(f"scenario is {name!r}: it returned a {type(made).__name__}: {'; '.join(defects)}")
    own: Environment = made
    return own


def make_own(name: str, num_agents: int) -> Any:
    """What the function "module:function" returns, adapted if it is one of Jumanji's environments, and not checked.

    Raises `ValueError` for a function that is not there, and what the function or the adapter raises.
    """
    from scenarios.jumanji_adapter import Adapted, is_jumanji

    made = _factory(name)(num_agents)
    return Adapted(made) if is_jumanji(made) else made


def make_scenario(
    name: str,
    num_agents: int,
    options: dict[str, Any],
    envs: int,
    *,
    batching: str | None = None,
    reset: str | None = None,
    pool_size: int | None = None,
) -> Batched:
    """B environments of the scenario `name`, batched and reset as its row says unless told otherwise.

    Raises `ValueError` like `make_environment` and `scenarios.wrappers.Batched`.
    """
    from scenarios.wrappers import Batched

    entry = find(name)
    environment = make_environment(name, num_agents, options)
    return Batched(
        environment,
        envs,
        batching=batching or entry.batching,
        reset=reset or entry.reset,
        pool_size=pool_size,
    )


def _factory(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise
        raise ValueError(f"scenario is {name!r}: there is no module {error.name!r}") from None
    factory = getattr(found, function, None)
    if not callable(factory):
        raise ValueError(f"scenario is {name!r}: module {module!r} has no function {function!r}")
    made: Callable[..., Any] = factory
    return made
