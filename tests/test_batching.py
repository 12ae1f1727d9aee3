"""Batching and auto-reset: by a pool of starts or exactly, all environments at once or one after the other."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graphs import count_operations
from jaxtyping import Array, Float, PRNGKeyArray
from worlds import Counter, CounterState

from sable.types import Observation, Step
from scenarios import reset_pool
from scenarios.reset_pool import ResetPool
from scenarios.wrappers import Batched

WAYS = [("vmap", "pool"), ("map", "pool"), ("vmap", "exact"), ("map", "exact")]


class Sorting(Counter):
    """A Counter whose reset holds a sort, which nothing else does."""

    def reset(self, key: PRNGKeyArray, elapsed: Float[Array, ""]) -> tuple[CounterState, Observation]:
        numbers = jnp.sort(jax.random.uniform(key, (8,)))
        state = CounterState(jnp.zeros((), dtype=jnp.int32), numbers[0])
        return state, self._observe(state)


def play(scenario: Batched, steps: int) -> list[Step]:
    """Steps in which every agent takes action 0."""
    state, _ = jax.jit(scenario.reset)(jax.random.key(0))
    step, played = jax.jit(scenario.step), []
    actions = jnp.zeros((scenario.envs, scenario.space.num_agents), dtype=jnp.int32)
    for t in range(steps):
        played.append(step(state, actions, jax.random.key(t)))
        state = played[-1].state
    return played


def started(scenario: Batched) -> tuple[Any, ...]:
    """Shapes of what a step takes."""
    state, _ = jax.eval_shape(scenario.reset, jax.random.key(0))
    return state, jax.ShapeDtypeStruct((scenario.envs, scenario.space.num_agents), jnp.int32), jax.random.key(0)


@pytest.mark.parametrize(("batching", "reset"), WAYS)
def test_an_ended_episode_makes_way_for_a_new_one(batching: str, reset: str) -> None:
    scenario = Batched(Counter(2, limit=3), 4, batching=batching, reset=reset)
    first, second, third, fourth = play(scenario, 4)
    assert not second.ended.any()
    assert third.ended.all()
    assert (third.discount == 1).all(), "a time limit is no termination"
    np.testing.assert_array_equal(third.terminal_observation.step_count, [3] * 4)
    np.testing.assert_array_equal(third.observation.step_count, [0] * 4)
    np.testing.assert_array_equal(fourth.observation.step_count, [1] * 4)
    episode = [step.observation.features[:, 0, 1] for step in (first, second, third, fourth)]
    np.testing.assert_array_equal(episode[0], third.terminal_observation.features[:, 0, 1])
    np.testing.assert_array_equal(episode[2], episode[3])
    assert not np.isclose(episode[1], episode[2]).any(), "a new episode is another one"
    if reset == "pool":
        assert np.isin(episode[2], third.state.pool.observations.features[:, 0, 1]).all()


def test_one_after_the_other_is_all_at_once() -> None:
    for reset in ("pool", "exact"):
        mapped, batched = (play(Batched(Counter(2, limit=2), 3, batching=b, reset=reset), 3) for b in ("map", "vmap"))
        jax.tree.map(np.testing.assert_array_equal, mapped, batched)


def test_only_what_ended_is_replaced_and_every_start_is_drawn() -> None:
    environment = Counter(1, limit=9)
    pool = reset_pool.build(environment.reset, jax.random.key(1), 4)
    keys = jax.random.split(jax.random.key(2), 128)
    current = jax.vmap(environment.reset)(keys, jnp.zeros(128))
    ended = jnp.arange(128) % 2 == 0
    state, observation = jax.jit(reset_pool.restart)(pool, ended, current, jax.random.key(3))
    np.testing.assert_array_equal(state.episode[1::2], current[0].episode[1::2])
    np.testing.assert_array_equal(np.unique(state.episode[::2]), np.unique(pool.states.episode))
    np.testing.assert_array_equal(observation.features[:, 0, 1], state.episode)


@pytest.mark.parametrize(("reset", "resets"), [("pool", 0), ("exact", 1)])
def test_with_a_pool_no_reset_stands_in_the_step(reset: str, resets: int) -> None:
    scenario = Batched(Sorting(2, limit=2), 4, reset=reset)
    assert count_operations("sort", scenario.step, *started(scenario)) == resets
    assert count_operations("sort", scenario.reset, jax.random.key(0)) > 0


def test_an_exact_reset_is_skipped_where_nothing_ended_only_one_after_the_other() -> None:
    """Under `vmap` the branch becomes a choice between two computed states."""
    mapped, batched = (Batched(Sorting(2, limit=2), 4, batching=batching) for batching in ("map", "vmap"))
    assert count_operations("cond", mapped.step, *started(mapped)) == 1
    assert count_operations("cond", batched.step, *started(batched)) == 0


def test_refreshing_changes_the_starts_and_nothing_else() -> None:
    scenario = Batched(Counter(2, limit=2), 3, reset="pool")
    assert scenario.pool_size == 16
    before, _ = scenario.reset(jax.random.key(0))
    after = jax.jit(scenario.refresh)(before, jax.random.key(1))
    assert isinstance(before.pool, ResetPool)
    assert not np.isin(before.pool.states.episode, after.pool.states.episode).any()
    jax.tree.map(np.testing.assert_array_equal, before._replace(pool=()), after._replace(pool=()))
    exact = Batched(Counter(2, limit=2), 3)
    state, _ = exact.reset(jax.random.key(0))
    assert exact.refresh(state, jax.random.key(1)) is state
    assert (state.pool, exact.pool_size) == ((), 0)


def test_a_pool_is_as_large_as_the_batch_asks_and_memory_allows() -> None:
    def size(features: int, envs: int) -> int:
        def reset(key: PRNGKeyArray, elapsed: Float[Array, ""]) -> tuple[tuple[()], Observation]:
            step_count = jnp.zeros((), dtype=jnp.int32)
            return (), Observation(jnp.zeros((1, features)), jnp.ones((1, 1), dtype=bool), step_count)

        return reset_pool.default_size(reset, envs)

    assert size(10, 2) == 16
    assert size(10, 20) == 40
    assert size(2**20, 20) == 15, "15 of 4 MiB and a few bytes"
    assert size(2**30, 20) == 2


@pytest.mark.parametrize("reset", ["pool", "exact"])
def test_return_and_length_are_those_of_whole_episodes(reset: str) -> None:
    scenario = Batched(Counter(2, limit=3), 2, reset=reset)
    unfinished, finished = play(scenario, 5)[1::3]
    assert unfinished.state.statistics.episodes.tolist() == [0, 0]
    assert unfinished.state.statistics.last_length.tolist() == [0, 0]
    statistics = finished.state.statistics
    assert statistics.episodes.tolist() == [1, 1]
    assert statistics.last_return.tolist() == [3.0, 3.0]
    assert statistics.last_length.tolist() == [3, 3]
    assert statistics.running_return.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batching": "pmap"}, "batching is 'pmap': it must be one of vmap, map"),
        ({"reset": "never"}, "reset is 'never': it must be one of pool, exact"),
        ({"reset": "pool", "pool_size": 0}, "pool_size is 0: it must be a whole number of at least 1"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Batched(Counter(1, limit=2), 2, **options)  # type: ignore[arg-type]
