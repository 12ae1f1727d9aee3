"""Models of equal size: the width at which a model has as many parameters as the reference, Sable."""

from __future__ import annotations

import bisect
import dataclasses
import math

import jax

from sable.config import ModelConfig
from sable.models import build_policy, reference_of
from sable.types import Params, Space

TOLERANCE = 0.05
"""Largest relative difference between a matched model's parameters and the reference's."""
WIDEST = 2**16
"""Largest width tried."""


def parameter_count(config: ModelConfig, space: Space) -> int:
    """Number of trainable parameters of a model; nothing is computed."""
    policy = build_policy(config, space)
    return count_numbers(jax.eval_shape(lambda: policy.init(jax.random.key(0))))


def count_numbers(params: Params) -> int:
    """Number of elements of all arrays or shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def match_parameters(config: ModelConfig, space: Space) -> tuple[ModelConfig, int]:
    """The model at the width that matches the reference's parameters at the given width, and the reference's number.

    Heads and blocks do not change. Raises `ValueError` if no width that the heads divide comes within 5 %.
    """
    reference = reference_of(config)
    target = parameter_count(reference, space)

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
            f"{reference.model}'s {target}: choose another embed_dim (for {reference.model}), other heads (they divide "
            "the width) or more blocks"
        )
    return dataclasses.replace(config, embed_dim=best), target
