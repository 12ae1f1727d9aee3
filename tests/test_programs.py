"""The programs of a point, made from shapes alone."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
import pytest
from points import point

from scaleprof.worker.programs import Programs

TUNED = (("model.segment", "0"), ("ppo.accumulate", "0"))


def test_distance_of_parameters() -> None:
    import jax.numpy as jnp

    before = {"a": jnp.zeros((2, 2)), "b": jnp.ones(3)}
    after = {"a": jnp.full((2, 2), 1.0), "b": jnp.array([1.0, 1.0, 1.0 + 12**0.5])}
    assert Programs.distance(before, after) == pytest.approx(math.sqrt(4 + 12), rel=1e-6)


def test_programs_are_made_from_shapes_alone() -> None:
    large = Programs(point(agents=1 << 20, envs=1 << 20, seq_len=1 << 20))
    assert large.parameters == Programs(point(agents=64)).parameters


@pytest.mark.parametrize(
    ("fields", "groups", "timesteps"),
    [
        ({"agents": 1024}, 1, 16),
        ({"agents": 16, "settings": TUNED}, 1, 16),
        ({"agents": 1024, "settings": TUNED}, 2, 2),
        ({"agents": 1024, "settings": (("ppo.accumulate", "2"), ("model.segment", "8"))}, 2, 8),
        ({"agents": 1024, "model": "sable", "mode": "factored", "settings": TUNED}, 2, 2),
        ({"agents": 1024, "model": "ippo", "mode": "", "settings": TUNED}, 2, 2),
    ],
)
def test_the_pieces_that_are_learned_from(fields: dict[str, Any], groups: int, timesteps: int) -> None:
    """Of a minibatch of two environments of 16 timesteps."""
    programs = Programs(point(**{"envs": 4, "seq_len": 16, **fields}))
    assert (programs.learn_groups, programs.segment_timesteps) == (groups, timesteps)


def test_every_repeat_of_a_seed_starts_elsewhere() -> None:
    """And the same repeat of the same seed at the same place."""
    programs = Programs(point(model="ippo", mode="", agents=2))
    programs.compile("init", programs.trace("init").lower())
    seeds = ((0, 0), (0, 1), (1, 0), (0, 0))
    starts = [np.asarray(programs.init(seed, repeat).observation.features) for seed, repeat in seeds]
    weights = [np.concatenate([x.ravel() for x in jax.tree.leaves(programs.init(*pair).params)]) for pair in seeds]
    assert np.array_equal(weights[0], weights[3])
    assert np.array_equal(starts[0], starts[3])
    assert not np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_what_no_model_can_learn_from_is_found_wherever_it_is_in_a_rollout() -> None:
    programs = Programs(point(model="ippo", mode="", agents=3, envs=2, seq_len=4))
    for name in ("init", "rollout", "inspect"):
        programs.compile(name, programs.trace(name).lower())
    _, trajectory = programs.rollout(programs.init(0, 0))
    assert programs.defects(trajectory) == ""
    seen, where = trajectory.transitions, "in environment 1 at timestep 2 of a rollout"
    observed = seen.observation

    def defects(**changed: Any) -> str:
        return programs.defects(trajectory._replace(transitions=seen._replace(**changed)))

    features = observed._replace(features=observed.features.at[1, 2, 0, 4].set(np.nan))
    assert defects(observation=features) == f"feature 4 of agent 0 is not finite {where}"
    blocked = observed._replace(action_mask=observed.action_mask.at[1, 2, 2].set(False))
    assert defects(observation=blocked) == f"agent 2 has no legal action {where}"
    assert defects(reward=seen.reward.at[1, 2, 1].set(np.inf)) == f"the reward of agent 1 is not finite {where}"
    assert defects(discount=seen.discount.at[1, 2].set(1.5)) == f"discount is 1.5, not 0 to 1, {where}"


def test_the_environment_alone_is_stepped_for_a_rollout() -> None:
    programs = Programs(point(model="ippo", mode="", agents=3, envs=4, seq_len=6))
    for name in ("init", "environment"):
        programs.compile(name, programs.trace(name).lower())
    state = programs.init(0, 0)
    (env_state, observation), rewards = programs.environment(state)
    assert rewards.shape == (6, 4, 3)
    assert float(np.asarray(rewards).std()) > 0
    assert not np.array_equal(observation.features, state.observation.features)
    assert len(jax.tree.leaves(env_state)) == len(jax.tree.leaves(state.env_state))
