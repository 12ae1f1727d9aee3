"""A trainer whose updates are timed and reported. Imports jax; only children import it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TextIO

from sable.training.trainer import Trainer
from scaleprof.launch.protocol import send
from scaleprof.probes import timing
from scaleprof.worker.sample_statistics import Sample, as_floats

if TYPE_CHECKING:
    from sable.training.ppo import Metrics
    from sable.types import EpisodeStatistics, TrainState, Trajectory
    from scaleprof.worker.programs import Programs

FLUSH_SECONDS = 0.2
"""Shortest time between two reports: a thousand updates a second must not wake the parent a thousand times."""


class TimedPrograms:
    """Programs whose calls of rollout, learn and refresh are timed, each until its last array is ready."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self.pool_size = programs.pool_size
        self.rollout_seconds = self.learn_seconds = 0.0
        """Wall time of the last call."""
        self.rollout_cpu_seconds = self.learn_cpu_seconds = 0.0
        """CPU time of the last call."""
        self.refresh_seconds: list[float] = []
        """Wall times of all calls."""

    def rollout(self, state: TrainState) -> tuple[TrainState, Trajectory]:
        """A timed rollout."""
        result, self.rollout_seconds, self.rollout_cpu_seconds = timing.timed(self._programs.rollout, state)
        state, trajectory = result
        return state, trajectory

    def learn(self, state: TrainState, trajectory: Trajectory) -> tuple[TrainState, Metrics]:
        """Timed learning."""
        result, self.learn_seconds, self.learn_cpu_seconds = timing.timed(self._programs.learn, state, trajectory)
        state, metrics = result
        return state, metrics

    def refresh(self, state: TrainState) -> TrainState:
        """A timed refresh of the pool of episode starts."""
        refreshed = timing.timed(self._programs.refresh, state)
        self.refresh_seconds.append(refreshed.seconds)
        after: TrainState = refreshed.result
        return after

    def defects(self, trajectory: Trajectory) -> str:
        """Not timed."""
        return self._programs.defects(trajectory)

    def episode_statistics(self, state: TrainState) -> EpisodeStatistics | None:
        """Not timed."""
        return self._programs.episode_statistics(state)


class MeasuredTraining:
    """A `Trainer` whose updates are timed and sent to the parent."""

    def __init__(self, programs: Programs, state: TrainState, events: TextIO) -> None:
        self._timed = TimedPrograms(programs)
        self.trainer = Trainer(self._timed, state)
        self._update_seconds = 0.0
        self._events = events
        self._phase = ""
        self._updates = 0
        self._pending: list[dict[str, Any]] = []
        self._flushed_at = time.monotonic()

    @property
    def refresh_seconds(self) -> list[float]:
        """The time of each refresh of the pool of episode starts; part of no update's time."""
        return self._timed.refresh_seconds

    @property
    def seconds(self) -> float:
        """The time of all updates and refreshes so far."""
        return self._update_seconds + sum(self.refresh_seconds)

    def update(self, phase: str, **labels: int) -> Sample:
        """One update of the trainer: its times and metrics. Updates are numbered within their phase.

        `labels` are reported with the sample.
        """
        if phase != self._phase:
            self._phase, self._updates = phase, 0
        metrics = self.trainer.update()
        timed = self._timed
        sample = {
            "rollout_seconds": timed.rollout_seconds,
            "learn_seconds": timed.learn_seconds,
            "update_seconds": timed.rollout_seconds + timed.learn_seconds,
            "update_cpu_seconds": timed.rollout_cpu_seconds + timed.learn_cpu_seconds,
            **as_floats(metrics),
        }
        self._pending.append({"update": self._updates, "phase": phase, **labels, **sample})
        self._updates += 1
        self._update_seconds += sample["update_seconds"]
        if time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()
        return sample

    def flush(self) -> None:
        """Send the samples that have not been sent yet."""
        if self._pending:
            send(self._events, "samples", samples=self._pending)
        self._pending, self._flushed_at = [], time.monotonic()
