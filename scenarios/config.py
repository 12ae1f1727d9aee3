"""Frozen, checked options of the scenarios. Plain data: importing this module does not import jax."""

from __future__ import annotations

from dataclasses import dataclass

NEOM_TASKS = ("simple-sine", "half-1-half-(-1)", "quick-flip")
REWARDS = ("shared", "individual")
BATCHINGS = ("vmap", "map")
"""How environments are stepped together: all at once, or one after the other."""
RESETS = ("pool", "exact")
"""Where a new episode comes from: a start made in advance, or a reset within the step."""


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
        if self.task not in NEOM_TASKS:
            raise ValueError(f"task is {self.task!r}: it must be one of {', '.join(NEOM_TASKS)}")
        if self.reward not in REWARDS:
            raise ValueError(f"reward is {self.reward!r}: it must be one of {', '.join(REWARDS)}")
        if not isinstance(self.horizon, int) or self.horizon < 1:
            raise ValueError(f"horizon is {self.horizon!r}: it must be a whole number of at least 1")
