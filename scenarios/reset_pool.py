"""A pool of episode starts made in advance: auto-reset at the cost of a copy instead of a reset.

A step that resets contains the whole reset, and under `vmap` runs it for every environment at every step, because a
batched `cond` computes both branches. Here K starts are made outside the steps, and an ended environment takes one of
them at random. Starts repeat until the pool is refreshed, so refresh it every few updates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from sable.types import Observation

Reset = Callable[[PRNGKeyArray, Float[Array, ""]], tuple[PyTree[Any], Observation]]
"""`Environment.reset`."""
Tree = TypeVar("Tree")

LEAST_STARTS = 16
MOST_BYTES = 64 * 2**20
"""Upper bound on the memory of a pool of default size, which is held during all of training."""


class ResetPool(NamedTuple):
    """K starts of one environment, K leading."""

    states: PyTree[Any]
    observations: Observation


def default_size(reset: Reset, envs: int) -> int:
    """max(2·B, 16) starts, or as many as fit into 64 MiB, but at least two."""
    starts = jax.eval_shape(reset, jax.random.key(0), jnp.zeros(()))
    return max(2, min(max(2 * envs, LEAST_STARTS), MOST_BYTES // max(1, tree_bytes(starts))))


def tree_bytes(tree: PyTree[Any]) -> int:
    """Bytes of all arrays or shapes of a tree."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def build(reset: Reset, key: PRNGKeyArray, size: int) -> ResetPool:
    """Make `size` starts one after the other, so that a `cond` in the reset runs only one branch."""
    starts = jax.lax.map(lambda each: reset(each, jnp.zeros(())), jax.random.split(key, size))
    return ResetPool(*starts)


def restart(pool: ResetPool, ended: Bool[Array, " B"], current: Tree, key: PRNGKeyArray) -> Tree:
    """`current` (states and observations, B leading) with a random start from the pool wherever an episode ended.

    A step in which no episode ended copies nothing.
    """
    size = pool.observations.step_count.shape[0]

    def replace() -> Tree:
        chosen: Int[Array, " B"] = jax.random.randint(key, ended.shape, 0, size)

        def pick(starts: Array, old: Array) -> Array:
            return jnp.where(ended.reshape(ended.shape + (1,) * (old.ndim - 1)), starts[chosen], old)

        replaced: Tree = jax.tree.map(pick, tuple(pool), current)
        return replaced

    result: Tree = jax.lax.cond(ended.any(), replace, lambda: current)
    return result
