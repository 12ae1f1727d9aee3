"""The trainer: updates, refreshes of the pool, defects, episode statistics; nothing of it is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import Counter, tiny_policy, tiny_ppo

from sable.training import ppo
from sable.training.trainer import REFRESH_UPDATES, Trainer, mean_of_finished
from sable.training.training_programs import TrainingPrograms
from sable.types import EpisodeStatistics, Observation, Space, Step
from scenarios.wrappers import Batched


class Still:
    """The least that a scenario must have: no pool, and no counted episodes."""

    space = Space(2, features=1, actions=2)
    envs = 4

    def reset(self, key: Any) -> tuple[Any, Observation]:
        return (), Observation(jnp.ones((4, 2, 1)), jnp.ones((4, 2, 2), dtype=bool), jnp.zeros(4, dtype=jnp.int32))

    def step(self, state: Any, actions: Any, key: Any) -> Step:
        _, observation = self.reset(key)
        none = jnp.zeros(4, dtype=bool)
        return Step((), observation, jnp.ones((4, 2)), jnp.ones(4), none, observation)


def counter(reset: str = "pool", limit: int = 3) -> Batched:
    return Batched(Counter(2, limit=limit), 4, reset=reset)


def create(scenario: Any, seed: int = 0) -> Trainer:
    return Trainer.create(tiny_policy("ippo", "", scenario.space), scenario, tiny_ppo(), seed=seed)


def same(one: Any, other: Any) -> bool:
    def numbers(x: Any) -> Any:
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(numbers(a), numbers(b)) for a, b in leaves)


def test_updates_are_those_of_ppo() -> None:
    """A refresh of the pool comes before every eighth update, with a key of its own."""
    scenario = counter()
    policy, config = tiny_policy("ippo", "", scenario.space), tiny_ppo()
    trainer = Trainer.create(policy, scenario, config, seed=3)
    key = jax.random.fold_in(jax.random.key(np.uint32(3)), 0)
    state = jax.jit(lambda: ppo.init_train_state(policy, scenario, config, key))()
    rollout = jax.jit(lambda state: ppo.rollout(policy, scenario, config, state))
    learn = jax.jit(lambda state, trajectory: ppo.learn(policy, config, state, trajectory))
    for number in range(REFRESH_UPDATES + 1):
        assert trainer.updates == number
        if number == REFRESH_UPDATES - 1:
            key, pool_key = jax.random.split(state.key)
            state = state._replace(env_state=scenario.refresh(state.env_state, pool_key), key=key)
        state, metrics = learn(*rollout(state))
        assert same(trainer.update(), metrics)
    assert same(trainer.state, state)


def test_programs_compiled_ahead_of_time_are_called_instead() -> None:
    scenario = counter("exact")
    policy, config = tiny_policy("ippo", "", scenario.space), tiny_ppo()
    lazily, ahead = TrainingPrograms(policy, scenario, config), TrainingPrograms(policy, scenario, config)
    compiled = {name: ahead.compile(name, ahead.trace(name).lower()) for name in ("init", "rollout", "learn")}
    assert (ahead.rollout, ahead.learn) == (compiled["rollout"], compiled["learn"])
    assert lazily.rollout is lazily.rollout
    trainers = [Trainer(programs, programs.init(1, 2)) for programs in (lazily, ahead)]
    assert same(*(trainer.update() for trainer in trainers))
    assert same(*(trainer.state for trainer in trainers))


def test_a_scenario_may_lack_a_pool_and_counted_episodes() -> None:
    trainer = create(Still())
    for _ in range(REFRESH_UPDATES):
        trainer.update()
    assert trainer.programs.pool_size == 0
    assert (trainer.episode_return(), trainer.episode_length()) == (None, None)


def test_return_and_length_of_the_last_episodes() -> None:
    trainer = create(counter(limit=20))
    trainer.update()
    assert (trainer.episode_return(), trainer.episode_length()) == (None, None)
    for _ in range(4):
        trainer.update()
    assert trainer.episode_length() == 20.0
    assert 0.0 < (trainer.episode_return() or 0.0) <= 20.0


def test_the_mean_is_over_environments_that_finished_an_episode() -> None:
    def mean(episodes: list[int], values: list[float]) -> float | None:
        fields: dict[str, Any] = dict.fromkeys(EpisodeStatistics._fields)
        statistics = EpisodeStatistics(**fields | {"episodes": np.array(episodes)})
        return mean_of_finished(statistics, np.array(values))

    assert mean([0, 0], [0.0, 0.0]) is None
    assert mean([0, 2], [9.0, 4.0]) == 4.0
    assert mean([1, 2], [8.0, 4.0]) == 6.0


def test_nothing_is_learned_from_a_defect() -> None:
    class Broken(Still):
        def step(self, state: Any, actions: Any, key: Any) -> Step:
            return super().step(state, actions, key)._replace(reward=jnp.full((4, 2), jnp.nan))

    trainer = create(Broken())
    before = jax.device_get(trainer.state.params)
    with pytest.raises(ValueError, match=r"^the scenario: the reward of agent 0 is not finite in environment 0 at"):
        trainer.update()
    assert trainer.updates == 0
    assert same(trainer.state.params, before)


def test_other_seeds_and_repeats_start_elsewhere() -> None:
    programs = create(counter("exact")).programs
    assert isinstance(programs, TrainingPrograms)
    start: Callable[..., Any] = programs.init
    assert same(start(0, 1), start(0, 1))
    assert not any(same(start(0).params, start(*other).params) for other in ((0, 1), (1, 0)))
