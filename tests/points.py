"""The point that tests change what they need of."""

from __future__ import annotations

import dataclasses
from typing import Any

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
