"""Frozen, checked options of the scenarios. Plain data: importing this module does not import jax."""

from __future__ import annotations

from dataclasses import dataclass

NEOM_TASKS = ("simple-sine", "half-1-half-(-1)", "quick-flip")
REWARDS = ("shared", "individual")
BATCHINGS = ("vmap", "map")
"""How environments are stepped: all at once, or one after the other."""
RESETS = ("pool", "exact")
"""Source of new episodes: a pool of starts made in advance, or an exact reset within the step."""


def check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `ValueError` unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{field} is {value!r}: it must be one of {', '.join(choices)}")


LARGEST_COUNT = 2**31 - 1


def check_count(field: str, value: int) -> None:
    """Raise `ValueError` unless the value is a whole number of at least 1 that fits into int32."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{field} is {value!r}: it must be a whole number of at least 1")
    if value > LARGEST_COUNT:
        raise ValueError(f"{field} is {value!r}: it must be at most {LARGEST_COUNT}")


@dataclass(frozen=True, kw_only=True)
class NeomConfig:
    """Options of `scenarios.neom`. Raises `ValueError` naming field, value and rule."""

    task: str = "simple-sine"
    """The pattern that the agents must hold."""
    reward: str = "shared"
    """`shared`: every agent receives the team's mean score (as in the paper); `individual`: its own."""
    horizon: int = 128
    """Timesteps of an episode."""

    def __post_init__(self) -> None:
        check_choice("task", self.task, NEOM_TASKS)
        check_choice("reward", self.reward, REWARDS)
        check_count("horizon", self.horizon)


CONNECTOR_HORIZON = 50


@dataclass(frozen=True)
class Board:
    """Sizes of a published task of `scenarios.connector`."""

    agents: int
    side: int
    """Cells along each side of the board."""
    horizon: int
    """Timesteps after which an episode is cut off."""


CONNECTOR_PUBLISHED = {
    "con-5x5x3a": Board(agents=3, side=5, horizon=25),
    "con-7x7x5a": Board(agents=5, side=7, horizon=49),
    "con-10x10x10a": Board(agents=10, side=10, horizon=100),
    "con-15x15x23a": Board(agents=23, side=15, horizon=225),
}
"""The tasks of the Sable paper (Mava's `configs/env/scenario`)."""
CONNECTOR_TASKS = ("scaled", *CONNECTOR_PUBLISHED)


@dataclass(frozen=True, kw_only=True)
class ConnectorConfig:
    """Options of `scenarios.connector`. Raises `ValueError` naming field, value and rule."""

    task: str = "scaled"
    """`scaled`: a board that grows with the team; the others have a published size."""
    reward: str = "individual"
    """`individual`: every agent receives its own; `shared`: the team's mean."""
    horizon: int = 0
    """Timesteps after which an episode is cut off; 0 is the task's default: 50 for `scaled`, else as published."""

    def __post_init__(self) -> None:
        check_choice("task", self.task, CONNECTOR_TASKS)
        check_choice("reward", self.reward, REWARDS)
        if self.horizon:
            check_count("horizon", self.horizon)
        published = CONNECTOR_PUBLISHED.get(self.task)
        if published is not None and self.horizon not in (0, published.horizon):
            raise ValueError(f"horizon is {self.horizon}: task {self.task} is cut off after {published.horizon}")


PATTERN_MEMORY_TASKS = ("recall",)
MOST_SYMBOLS = 14


@dataclass(frozen=True, kw_only=True)
class PatternMemoryConfig:
    """Options of `scenarios.pattern_memory`. Raises `ValueError` naming field, value and rule."""

    task: str = "recall"
    """`recall`: one cue at the start of an episode, one answer at its end."""
    reward: str = "individual"
    """`individual`: every agent receives its own; `shared`: the team's mean."""
    delay: int = 8
    """Timesteps from the cue to the scored action."""
    symbols: int = 4
    """Number of cues and of actions; the best return without memory is 1 / symbols."""

    def __post_init__(self) -> None:
        check_choice("task", self.task, PATTERN_MEMORY_TASKS)
        check_choice("reward", self.reward, REWARDS)
        check_count("delay", self.delay)
        if not isinstance(self.symbols, int) or not 2 <= self.symbols <= MOST_SYMBOLS:
            raise ValueError(f"symbols is {self.symbols!r}: it must be a whole number from 2 to {MOST_SYMBOLS}")


TURN_TAKING_TASKS = ("differ",)


@dataclass(frozen=True, kw_only=True)
class TurnTakingConfig:
    """Options of `scenarios.turn_taking`. Raises `ValueError` naming field, value and rule."""

    task: str = "differ"
    """`differ`: every agent's action must differ from that of the agent before it."""
    reward: str = "individual"
    """`individual`: every agent receives its own; `shared`: the team's mean."""
    horizon: int = 16
    """Timesteps of an episode."""

    def __post_init__(self) -> None:
        check_choice("task", self.task, TURN_TAKING_TASKS)
        check_choice("reward", self.reward, REWARDS)
        check_count("horizon", self.horizon)


CLEANER_TASKS = ("scaled", "corner")
CLEANER_REWARDS = (*REWARDS, "team")


@dataclass(frozen=True, kw_only=True)
class CleanerConfig:
    """Options of `scenarios.cleaner`. Raises `ValueError` naming field, value and rule."""

    task: str = "scaled"
    """`scaled`: agents start anywhere in the maze; `corner`: all in its upper left corner, as in Jumanji."""
    reward: str = "shared"
    """`shared`: every agent receives the team's mean; `individual`: its own; `team`: the team's sum, as in Jumanji."""
    horizon: int = 100
    """Timesteps after which an episode is cut off."""

    def __post_init__(self) -> None:
        check_choice("task", self.task, CLEANER_TASKS)
        check_choice("reward", self.reward, CLEANER_REWARDS)
        check_count("horizon", self.horizon)


@dataclass(frozen=True, kw_only=True)
class CustomConfig:
    """Options of a custom scenario: none, because its factory takes only the number of agents."""


@dataclass(frozen=True)
class Foraging:
    """Sizes of a published task of `scenarios.lbf`."""

    agents: int
    food: int
    side: int
    """Cells along each side of the board."""
    sight: int
    """Cells that an agent sees in each direction; the whole board if equal to `side`."""
    cooperative: bool = False
    """Whether every food item needs several agents."""


LBF_PUBLISHED = {
    "8x8-2p-2f-coop": Foraging(agents=2, food=2, side=8, sight=8, cooperative=True),
    "2s-8x8-2p-2f-coop": Foraging(agents=2, food=2, side=8, sight=2, cooperative=True),
    "10x10-3p-3f": Foraging(agents=3, food=3, side=10, sight=10),
    "2s-10x10-3p-3f": Foraging(agents=3, food=3, side=10, sight=2),
    "15x15-3p-5f": Foraging(agents=3, food=5, side=15, sight=15),
    "15x15-4p-3f": Foraging(agents=4, food=3, side=15, sight=15),
    "15x15-4p-5f": Foraging(agents=4, food=5, side=15, sight=15),
}
"""The tasks of the Sable paper (Mava's `configs/env/scenario`)."""
LBF_TASKS = ("scaled", *LBF_PUBLISHED)


@dataclass(frozen=True, kw_only=True)
class LbfConfig:
    """Options of `scenarios.lbf`. Raises `ValueError` naming field, value and rule."""

    task: str = "scaled"
    """`scaled`: a board and food that grow with the team; the others have a published size."""
    reward: str = "shared"
    """`shared`: every agent receives the team's mean (as in the papers); `individual`: its own."""
    horizon: int = 100
    """Timesteps after which an episode is cut off."""

    def __post_init__(self) -> None:
        check_choice("task", self.task, LBF_TASKS)
        check_choice("reward", self.reward, REWARDS)
        check_count("horizon", self.horizon)


@dataclass(frozen=True)
class Warehouse:
    """Sizes of a task of `scenarios.rware`."""

    agents: int
    shelf_rows: int
    """Clusters of shelves from top to bottom, of 8 cells each."""
    shelf_columns: int
    """Clusters of shelves from left to right, of 2 cells each; odd."""
    requests: int
    """Shelves requested at any time."""


RWARE_PUBLISHED = {
    "tiny-2ag": Warehouse(agents=2, shelf_rows=1, shelf_columns=3, requests=2),
    "tiny-2ag-hard": Warehouse(agents=2, shelf_rows=1, shelf_columns=3, requests=1),
    "tiny-4ag": Warehouse(agents=4, shelf_rows=1, shelf_columns=3, requests=4),
    "tiny-4ag-easy": Warehouse(agents=4, shelf_rows=1, shelf_columns=3, requests=8),
    "tiny-4ag-hard": Warehouse(agents=4, shelf_rows=1, shelf_columns=3, requests=2),
    "small-4ag": Warehouse(agents=4, shelf_rows=2, shelf_columns=3, requests=4),
    "small-4ag-hard": Warehouse(agents=4, shelf_rows=2, shelf_columns=3, requests=2),
    "medium-4ag": Warehouse(agents=4, shelf_rows=2, shelf_columns=5, requests=4),
    "medium-4ag-hard": Warehouse(agents=4, shelf_rows=2, shelf_columns=5, requests=2),
    "medium-6ag": Warehouse(agents=6, shelf_rows=2, shelf_columns=5, requests=6),
    "large-4ag": Warehouse(agents=4, shelf_rows=3, shelf_columns=5, requests=4),
    "large-4ag-hard": Warehouse(agents=4, shelf_rows=3, shelf_columns=5, requests=2),
    "large-8ag": Warehouse(agents=8, shelf_rows=3, shelf_columns=5, requests=8),
    "large-8ag-hard": Warehouse(agents=8, shelf_rows=3, shelf_columns=5, requests=4),
    "xlarge-4ag": Warehouse(agents=4, shelf_rows=4, shelf_columns=5, requests=4),
    "xlarge-4ag-hard": Warehouse(agents=4, shelf_rows=4, shelf_columns=5, requests=2),
}
"""The tasks of the Sable paper (Mava's `configs/env/scenario`)."""
RWARE_TASKS = ("scaled", *RWARE_PUBLISHED)


@dataclass(frozen=True, kw_only=True)
class RwareConfig:
    """Options of `scenarios.rware`. Raises `ValueError` naming field, value and rule."""

    task: str = "scaled"
    """`scaled`: a warehouse that grows with the team; the others have a published size."""
    horizon: int = 500
    """Timesteps after which an episode is cut off."""

    def __post_init__(self) -> None:
        check_choice("task", self.task, RWARE_TASKS)
        check_count("horizon", self.horizon)


SEARCH_RESCUE_TASKS = ("scaled",)


@dataclass(frozen=True, kw_only=True)
class SearchRescueConfig:
    """Options of `scenarios.search_rescue`. Raises `ValueError` naming field, value and rule."""

    task: str = "scaled"
    """`scaled`: a field that grows with the team, with one target per agent."""
    reward: str = "individual"
    """`individual`: every agent receives its own; `shared`: the team's mean."""
    horizon: int = 400
    """Timesteps after which an episode is cut off; a target is worth less the later it is found."""

    def __post_init__(self) -> None:
        check_choice("task", self.task, SEARCH_RESCUE_TASKS)
        check_choice("reward", self.reward, REWARDS)
        check_count("horizon", self.horizon)
