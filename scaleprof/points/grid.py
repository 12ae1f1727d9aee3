"""Points: what a sweep measures, and how axes multiply into a grid of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import scenarios
from sable.models import find
from scaleprof.points.point import Point, check

MAX_POINTS = 10_000


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The axes of a grid, each a tuple of values that are all multiplied."""

    scenario: str
    variants: tuple[tuple[str, str], ...]
    agents: tuple[int, ...]
    seq_len: tuple[int, ...]
    envs: tuple[int, ...]
    chunk: tuple[int, ...]
    embed_dim: tuple[int, ...]
    heads: tuple[int, ...]
    blocks: tuple[int, ...]
    dtype: tuple[str, ...]
    seed: tuple[int, ...]
    epochs: int | None
    minibatches: int | None
    """None takes what each model was published with."""
    repeats: int
    settings: tuple[tuple[str, str], ...]
    match: str = ""
    batching: str = ""
    reset: str = ""
    """As the scenario declares, where these are empty."""

    @property
    def size(self) -> int:
        """How many points the grid has, repeats included."""
        chunks = sum(len(self._chunks(model, mode)) for model, mode in self.variants)
        plain = (self.agents, self.seq_len, self.envs, self.embed_dim, self.heads, self.blocks, self.dtype, self.seed)
        return self.repeats * chunks * math.prod(len(axis) for axis in plain)

    def points(self) -> list[Point]:
        """All points, checked; repeats outermost (A B C A B C), then small teams first.

        Raises `UserError` for the first point whose sizes do not fit together.
        """
        points = []
        scenario = scenarios.find(self.scenario)
        for repeat, seed, agents, seq_len, envs, embed_dim, heads, blocks, dtype, (model, mode) in itertools.product(
            range(self.repeats),
            self.seed,
            self.agents,
            self.seq_len,
            self.envs,
            self.embed_dim,
            self.heads,
            self.blocks,
            self.dtype,
            self.variants,
        ):
            entry = find(model)
            for chunk in self._chunks(model, mode):
                point = Point(
                    scenario=self.scenario,
                    model=model,
                    mode=mode,
                    agents=agents,
                    seq_len=seq_len,
                    envs=envs,
                    chunk=chunk,
                    embed_dim=embed_dim,
                    heads=heads,
                    blocks=blocks,
                    epochs=self.epochs or entry.published.epochs,
                    minibatches=self.minibatches or entry.published.minibatches,
                    dtype=dtype,
                    seed=seed,
                    repeat=repeat,
                    batching=self.batching or scenario.batching,
                    reset=self.reset or scenario.reset,
                    match=self.match,
                    settings=self.settings,
                )
                check(point)
                points.append(point)
        return points

    def _chunks(self, model: str, mode: str) -> tuple[int | None, ...]:
        return self.chunk if mode in find(model).chunked else (None,)
