"""Frozen, checked options of the scenarios. Plain data: importing this module does not import jax."""

from __future__ import annotations

from dataclasses import dataclass

NEOM_TASKS = ("simple-sine", "half-1-half-(-1)", "quick-flip")
REWARDS = ("shared", "individual")
BATCHINGS = ("vmap", "map")
"""How environments are stepped together: all at once, or one after the other."""
RESETS = ("pool", "exact")
"""Where a new episode comes from: a start made in advance, or a reset within the step."""


def check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `ValueError` unless the field's value is one of its choices."""
    if value not in choices:
        raise ValueError(f"{field} is {value!r}: it must be one of {', '.join(choices)}")


def check_count(field: str, value: int) -> None:
    """Raise `ValueError` unless the field's value is a whole number of at least 1."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{field} is {value!r}: it must be a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class NeomConfig:
    """Options of `scenarios.neom`. Raises `ValueError` naming field, value and rule."""

    task: str = "simple-sine"
    """Which pattern the agents must hold."""
    reward: str = "shared"
    """`shared`: every agent receives the team's mean score (as in the paper); `individual`: its own."""
    horizon: int = 128
    """Timesteps of an episode."""

    def __post_init__(self) -> None:
        check_choice("task", self.task, NEOM_TASKS)
        check_choice("reward", self.reward, REWARDS)
        check_count("horizon", self.horizon)


CONNECTOR_TASKS = ("scaled",)


@dataclass(frozen=True, kw_only=True)
class ConnectorConfig:
    """Options of `scenarios.connector`. Raises `ValueError` naming field, value and rule."""

    task: str = "scaled"
    """`scaled`: a board that grows with the team."""
    reward: str = "individual"
    """`individual`: every agent receives its own; `shared`: the team's mean."""
    horizon: int = 50
    """Timesteps after which an episode is cut off."""

    def __post_init__(self) -> None:
        check_choice("task", self.task, CONNECTOR_TASKS)
        check_choice("reward", self.reward, REWARDS)
        check_count("horizon", self.horizon)


@dataclass(frozen=True, kw_only=True)
class OwnConfig:
    """Options of somebody's own scenario: none, its factory takes the number of agents and nothing else."""
