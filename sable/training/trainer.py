"""Training, update by update: a rollout, a check of what the environments did in it, and the learning from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from sable.config import PPOConfig
from sable.training.ppo import Metrics
from sable.training.training_programs import TrainingPrograms
from sable.types import EpisodeStatistics, Policy, Scenario, TrainState, Trajectory

REFRESH_UPDATES = 8
"""Updates between two refreshes of the pool of episode starts."""


@runtime_checkable
class UpdatePrograms(Protocol):
    """The programs that a `Trainer` calls; `TrainingPrograms` has them all."""

    @property
    def pool_size(self) -> int: ...
    @property
    def rollout(self) -> Callable[..., Any]: ...
    @property
    def learn(self) -> Callable[..., Any]: ...
    @property
    def refresh(self) -> Callable[..., Any]: ...
    def defects(self, trajectory: Trajectory) -> str: ...
    def episode_statistics(self, state: TrainState) -> EpisodeStatistics | None: ...


class Trainer:
    """A training run from a given state.

    The programs donate the state they are given: use `state` only until the next `update` or `refresh`.
    """

    def __init__(self, programs: UpdatePrograms, state: TrainState) -> None:
        self.programs = programs
        self.state = state
        self.updates = 0
        """Number of finished updates."""

    @classmethod
    def create(cls, policy: Policy, scenario: Scenario, config: PPOConfig, seed: int = 0) -> Trainer:
        """Start training `policy` in `scenario`; programs are jitted when they are first called."""
        programs = TrainingPrograms(policy, scenario, config)
        return cls(programs, programs.init(seed))

    def update(self) -> Metrics:
        """Do one update, after a refresh of the pool of episode starts if one is due.

        Raises `ValueError` if no model could learn from the rollout.
        """
        if self.programs.pool_size and self.updates % REFRESH_UPDATES == REFRESH_UPDATES - 1:
            self.refresh()
        self.state, trajectory = self.programs.rollout(self.state)
        if defect := self.programs.defects(trajectory):
            raise ValueError(f"the scenario: {defect}")
        self.state, metrics = self.programs.learn(self.state, trajectory)
        self.updates += 1
        result: Metrics = metrics
        return result

    def refresh(self) -> None:
        """Make a new pool of episode starts; call it only if the scenario has a pool."""
        self.state = self.programs.refresh(self.state)

    def episode_return(self) -> float | None:
        """Mean return per agent of each environment's last whole episode; None before one has ended."""
        statistics = self.programs.episode_statistics(self.state)
        return None if statistics is None else mean_of_finished(statistics, statistics.last_return)

    def episode_length(self) -> float | None:
        """Mean timesteps of each environment's last whole episode; None before one has ended."""
        statistics = self.programs.episode_statistics(self.state)
        return None if statistics is None else mean_of_finished(statistics, statistics.last_length)


def mean_of_finished(statistics: EpisodeStatistics, values: Any) -> float | None:
    """The mean of per-environment values over environments that have finished an episode; None if there are none."""
    finished = statistics.episodes > 0
    return float(values[finished].mean()) if finished.any() else None
