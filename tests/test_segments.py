"""How sequences are cut into segments; that cutting changes no gradient is tested with the policies."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from sable.config import WHOLE
from sable.policies.segments import Segmentation, in_groups, in_segments
from sable.tuning import CPU, GPU, TPU

FEWEST_SEGMENTS, SEGMENT_TOKENS = CPU.fewest_pieces, CPU.segment_tokens


@pytest.mark.parametrize(
    ("segmentation", "sizes", "timesteps"),
    [
        (Segmentation(5), (1, 16, 4), 5),
        (Segmentation(99), (1, 16, 4), 16),
        (Segmentation(WHOLE), (4, 16, 4096), 16),
        (Segmentation(1, multiple=4), (1, 16, 4), 4),
        (Segmentation(5, multiple=4), (1, 16, 4), 8),
        (Segmentation(0), (1, 16, 4), 16),
        (Segmentation(0), (1, FEWEST_SEGMENTS, SEGMENT_TOKENS - 1), FEWEST_SEGMENTS),
        (Segmentation(0), (1, FEWEST_SEGMENTS, SEGMENT_TOKENS), 1),
        (Segmentation(0), (2, 64, SEGMENT_TOKENS // 8), 4),
        (Segmentation(0), (1, 16, 4 * SEGMENT_TOKENS), 1),
        (Segmentation(0, multiple=3), (1, 16, SEGMENT_TOKENS), 3),
        (Segmentation(0, tuning=GPU), (64, 128, 4096), 128),
        (Segmentation(0, tuning=TPU), (64, 128, 4096), 128),
        (Segmentation(8, tuning=GPU), (64, 128, 4096), 8),
    ],
)
def test_length_of_a_segment(segmentation: Segmentation, sizes: tuple[int, int, int], timesteps: int) -> None:
    assert segmentation.timesteps(*sizes) == timesteps


@pytest.mark.parametrize("length", [1, 2, 3, 7, 9])
def test_outputs_are_those_of_the_whole_sequence(length: int) -> None:
    x = jnp.arange(14.0).reshape(2, 7)

    def running_sum(carry: Array, x: Array) -> tuple[Array, Array]:
        sums = carry[:, None] + jnp.cumsum(x, axis=1)
        return sums[:, -1], sums

    np.testing.assert_array_equal(in_segments(running_sum, x, jnp.ones(2), length), 1.0 + jnp.cumsum(x, axis=1))


@pytest.mark.parametrize(("envs", "agents", "scans"), [(4, 8, 0), (4, SEGMENT_TOKENS, 1), (6, SEGMENT_TOKENS // 2, 0)])
def test_groups_of_environments_change_nothing(envs: int, agents: int, scans: int) -> None:
    x = {"features": jnp.arange(float(envs * agents)).reshape(envs, agents), "reset": jnp.arange(envs) % 2 == 0}

    def function(x: dict[str, Array]) -> tuple[Array, Array]:
        return x["features"].sum(axis=1), jnp.where(x["reset"][:, None], 0.0, x["features"])

    def grouped(x: dict[str, Array]) -> tuple[Array, Array]:
        return in_groups(function, x, envs, agents, CPU)

    for ours, theirs in zip(grouped(x), function(x), strict=True):
        np.testing.assert_allclose(ours, theirs)
    assert str(jax.make_jaxpr(grouped)(x)).count("scan[") == scans
