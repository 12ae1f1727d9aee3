"""Environment defects that no model can act in or learn from, found in a rollout."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from sable.types import Trajectory


def find_defects(trajectory: Trajectory) -> Bool[Array, "4"]:
    """Whether a rollout has any defect in its features, action masks, rewards and discounts."""
    seen = trajectory.transitions
    return jnp.stack(
        [
            ~jnp.isfinite(seen.observation.features).all(),
            ~seen.observation.action_mask.any(axis=-1).all(),
            ~jnp.isfinite(seen.reward).all(),
            _out_of_range(seen.discount).any(),
        ]
    )


def describe_defect(trajectory: Trajectory) -> str:
    """Describe the first defect of a rollout that `find_defects` found one in."""
    observation, reward, discount = jax.device_get(
        (trajectory.transitions.observation, trajectory.transitions.reward, trajectory.transitions.discount)
    )
    for found, text in (
        (~np.isfinite(observation.features), "feature {3} of agent {2} is not finite"),
        (~observation.action_mask.any(axis=-1), "agent {2} has no legal action"),
        (~np.isfinite(reward), "the reward of agent {2} is not finite"),
    ):
        if found.any():
            where = np.argwhere(found)[0]
            return f"{text.format(*where)} in environment {where[0]} at timestep {where[1]} of a rollout"
    env, timestep = np.argwhere(_out_of_range(discount))[0]
    value = discount[env, timestep]
    return f"discount is {value:g}, not 0 to 1, in environment {env} at timestep {timestep} of a rollout"


def _out_of_range(discount: Any) -> Any:
    return ~((discount >= 0) & (discount <= 1))
