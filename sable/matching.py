"""Models of equal size: widths at which they learn as many numbers as Sable."""

from __future__ import annotations

import bisect
import dataclasses
import math

import jax

from sable.config import ModelConfig
from sable.models import build_policy
from sable.types import Params, Space

TOLERANCE = 0.05
"""How far a matched model's parameters may be from the reference's."""
WIDEST = 2**16
"""The widest that is looked at."""


def parameter_count(config: ModelConfig, space: Space) -> int:
    """How many numbers a model learns; nothing is computed."""
    policy = build_policy(config, space)
    return count_numbers(jax.eval_shape(lambda: policy.init(jax.random.key(0))))


def count_numbers(params: Params) -> int:
    """How many numbers are in some parameters, or in their shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def match_parameters(config: ModelConfig, space: Space) -> tuple[ModelConfig, int]:
    """The model in the width at which it has as many parameters as Sable has in the given one, and Sable's number.

    Heads and blocks stay. Raises `ValueError` where no width that the heads divide comes within 5 %.
    """
    sable = dataclasses.replace(config, model="sable", mode="factored")
    target = parameter_count(sable, space)

    def count(width: int) -> int:
        return parameter_count(dataclasses.replace(config, embed_dim=width), space)

    step = math.lcm(2, config.heads)
    widths = range(step, WIDEST + 1, step)
    above = bisect.bisect_left(widths, target, key=count)
    near = {width: count(width) for width in widths[max(0, above - 1) : above + 1]}
    best = min(near, key=lambda width: abs(near[width] - target))
    if abs(near[best] / target - 1.0) > TOLERANCE:
        raise ValueError(
            f"match is 'params': {config.model} has {near[best]} parameters at embed_dim {best}, the nearest to "
            f"sable's {target}: take another embed_dim (for sable), other heads (they divide the width) or more blocks"
        )
    return dataclasses.replace(config, embed_dim=best), target
