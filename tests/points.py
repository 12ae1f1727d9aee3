"""A small point and plans of sweeps, for tests to change."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from scaleprof.points.options import make_request, plan_sweep
from scaleprof.points.plan import SweepPlan
from scaleprof.points.point import Point

_SMALL = Point(
    scenario="neom",
    model="mat",
    mode="dense",
    agents=2,
    seq_len=2,
    envs=2,
    chunk=None,
    embed_dim=8,
    heads=2,
    blocks=1,
    epochs=1,
    minibatches=2,
    dtype="float32",
    seed=0,
    repeat=0,
)


def point(**changes: Any) -> Point:
    """A small point of a model without chunks, but for `changes`."""
    return dataclasses.replace(_SMALL, **changes)


def plan(
    given: dict[str, Any], settings: Sequence[str] = (), preset: str | None = None, *, yes: bool = False
) -> SweepPlan:
    """The plan of a command line with these options and `--set` texts."""
    return plan_sweep(make_request(given | ({"set": tuple(settings)} if settings else {}), preset), yes=yes)
