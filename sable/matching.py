"""Models of equal size: the width at which a model has as many parameters as the reference, Sable."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import jax

from sable.config import ModelConfig
from sable.models import build_policy, reference_of
from sable.types import Params, Space

TOLERANCE = 0.05
"""Largest relative difference between a matched model's parameters and the reference's."""
WIDEST = 2**16
"""Largest width tried."""
GUESSES = 8
"""Widths tried by how counts grow; the search then halves what is left."""
SLOWEST = 0.5
"""Smallest power of the width that counts are taken to grow with."""


@functools.lru_cache(maxsize=256)
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
    above = first_at_least(target, widths, count, config.embed_dim)
    near = {width: count(width) for width in widths[max(0, above - 1) : above + 1]}
    best = min(near, key=lambda width: abs(near[width] - target))
    if abs(near[best] / target - 1.0) > TOLERANCE:
        raise ValueError(
            f"match is 'params': {config.model} has {near[best]} parameters at embed_dim {best}, the nearest to "
            f"{reference.model}'s {target}: choose another embed_dim (for {reference.model}), other heads (they divide "
            "the width) or more blocks"
        )
    return dataclasses.replace(config, embed_dim=best), target


def first_at_least(target: int, widths: Sequence[int], count: Callable[[int], int], guess: float) -> int:
    """The index of the first of evenly spaced widths with `target` parameters or more, `len(widths)` if none has.

    `count` must not fall. It is asked for few widths: each is chosen by the power of the width that counts grew with
    between the last two, at first its square.
    """
    below, above, power = -1, len(widths), 2.0
    tried: list[tuple[int, int]] = []
    while above - below > 1:
        middle = (below + above) // 2 if len(tried) >= GUESSES else round(guess / widths[0]) - 1
        index = min(max(middle, below + 1), above - 1)
        width, found = widths[index], count(widths[index])
        below, above = (index, above) if found < target else (below, index)
        found = max(found, 1)
        if tried and found != tried[-1][1]:
            power = max(math.log(found / tried[-1][1]) / math.log(width / tried[-1][0]), SLOWEST)
        tried.append((width, found))
        guess = width * (target / found) ** (1.0 / power)
    return above
