"""Computing in pieces that fit memory, or a core's cache: segments of timesteps, groups of environments.

Learning from a sequence in segments keeps the activations of one segment in memory at a time.
The state is carried from segment to segment, and gradients flow back through it: the same function, outputs and
gradients as the whole sequence. The backward pass recomputes each segment. That costs a third more arithmetic, but no
time if a segment's arrays fit a core's cache (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from sable.config import AUTO
from sable.tuning import CPU, Tuning
from sable.types import Carry

Inputs = TypeVar("Inputs")
Sequence = TypeVar("Sequence")
Outputs = TypeVar("Outputs")


@dataclass(frozen=True)
class Segmentation:
    """How sequences are cut: `length` timesteps (`AUTO`: by `tuning`), rounded up to a multiple of `multiple`."""

    length: int
    multiple: int = 1
    tuning: Tuning = CPU

    def timesteps(self, envs: int, timesteps: int, agents: int) -> int:
        """Timesteps of a segment; those of the sequence if it is left whole."""
        length = self.length
        if length == AUTO:
            tokens = envs * timesteps * agents
            whole = tokens < self.tuning.fewest_pieces * self.tuning.segment_tokens
            length = timesteps if whole else max(1, self.tuning.segment_tokens // (envs * agents))
        return min(-(-length // self.multiple) * self.multiple, timesteps)


def in_groups(function: Callable[[Inputs], Outputs], inputs: Inputs, envs: int, agents: int, tuning: Tuning) -> Outputs:
    """Apply `function` to a batch of B environments, group by group.

    Inputs and outputs are pytrees of (B, …). A group has about `tuning.acting_tokens` tokens (environments × agents);
    small batches are left whole.
    """
    if envs * agents < tuning.fewest_pieces * tuning.acting_tokens:
        return function(inputs)
    divisors = (size for size in range(envs, 0, -1) if envs % size == 0)
    size = next((size for size in divisors if size * agents <= tuning.acting_tokens), 1)
    split = jax.tree.map(lambda x: x.reshape(envs // size, size, *x.shape[1:]), inputs)
    outputs: Outputs = jax.tree.map(lambda x: x.reshape(envs, *x.shape[2:]), jax.lax.map(function, split))
    return outputs


def in_segments(
    part: Callable[[Carry, Sequence], tuple[Carry, Outputs]], sequence: Sequence, carry: Carry, length: int
) -> Outputs:
    """The outputs of `part` over a whole sequence, computed `length` timesteps at a time.

    `part` maps a carry and a part of the sequence to the carry after it and outputs, both pytrees of (B, T, …).
    T need not be a multiple of `length`: timesteps of zeros are added at the end and their outputs dropped.
    """
    timesteps = jax.tree.leaves(sequence)[0].shape[1]
    if length >= timesteps:
        return part(carry, sequence)[1]
    count = -(-timesteps // length)

    def split(x: Array) -> Array:
        x = jnp.pad(x, [(0, 0), (0, count * length - timesteps)] + [(0, 0)] * (x.ndim - 2))
        return jnp.moveaxis(x.reshape(x.shape[0], count, length, *x.shape[2:]), 1, 0)

    def join(x: Array) -> Array:
        x = jnp.moveaxis(x, 0, 1)
        return x.reshape(x.shape[0], count * length, *x.shape[3:])[:, :timesteps]

    _, outputs = jax.lax.scan(jax.checkpoint(part, prevent_cse=False), carry, jax.tree.map(split, sequence))
    joined: Outputs = jax.tree.map(join, outputs)
    return joined
