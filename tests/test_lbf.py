"""LevelBasedForaging: what agents see and what happens to them is what Jumanji's own says; boards are as promised."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from growing import check_growth
from jumanji.environments.routing.lbf.env import LevelBasedForaging
from jumanji.environments.routing.lbf.generator import RandomGenerator
from jumanji.environments.routing.lbf.types import Food
from worlds import promoting

from scenarios import SCENARIOS, make_environment
from scenarios.configs import LBF_PUBLISHED, LbfConfig
from scenarios.jumanji_adapter import Adapted
from scenarios.lbf import LinearForaging, UniformGenerator, board_side, observe, spread


@pytest.mark.filterwarnings("ignore:scatter inputs have incompatible types:FutureWarning")  # the library's observer
def test_random_play_is_the_librarys() -> None:
    """Illegal actions are among those played, and collisions at almost every step."""
    generator = UniformGenerator(14, 16, num_food=16, fov=2)
    ours = Adapted(LinearForaging(generator, time_limit=50), observe, reward="individual")
    library = LevelBasedForaging(generator, time_limit=50, grid_observation=True)
    step, reset = jax.jit(ours.step), jax.jit(ours.reset)
    library_step, look = (jax.jit(promoting(f)) for f in (library.step, library._observer.state_to_observation))
    chooser = np.random.default_rng(0)
    total, together = 0.0, 0
    for episode in range(2):
        state, observation = reset(jax.random.key(episode), jnp.zeros(()))
        theirs, ended = state.environment, False
        np.testing.assert_array_equal(observation.features, look(theirs).agents_view.reshape(16, 75))
        np.testing.assert_array_equal(observation.action_mask, look(theirs).action_mask)
        while not ended:
            anything = chooser.integers(6, size=16)
            loading = observation.action_mask[:, 5] & (chooser.random(16) < 0.8)
            actions = jnp.asarray(np.where(loading, 5, anything))
            result = step(state, actions, jax.random.key(0))
            theirs, timestep = library_step(theirs, actions)
            state, observation, ended = result.state, result.observation, bool(result.ended)
            for one, other in zip(
                *(jax.tree.leaves((w.agents, w.food_items)) for w in (state.environment, theirs)), strict=True
            ):
                np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(observation.features, timestep.observation.agents_view.reshape(16, 75))
            np.testing.assert_array_equal(observation.action_mask, timestep.observation.action_mask)
            np.testing.assert_allclose(result.reward, 16 * timestep.reward, rtol=1e-6)
            assert (ended, float(result.discount)) == (bool(timestep.last()), float(timestep.discount[0]))
            total += float(result.reward.sum())
            together += int((np.asarray(result.reward) > 0).sum() > 1)
        assert float(result.discount) == 1.0, "cut off, not terminated"
    assert total > 1
    assert together > 0


def test_food_is_what_one_drawing_after_another_would_give() -> None:
    generator = np.random.default_rng(0)
    place = jax.jit(spread, static_argnums=1)
    for _ in range(20):
        order = generator.permutation(81).reshape(9, 9)
        expected: list[tuple[int, int]] = []
        for cell in np.argsort(order.ravel()):
            row, column = divmod(int(cell), 9)
            near = any(abs(row - r) + abs(column - c) <= 1 for r, c in expected)
            if 0 < row < 8 and 0 < column < 8 and not near:
                expected.append((row, column))
        np.testing.assert_array_equal(place(jnp.asarray(order), 9), expected[:9])


def test_boards_are_uniform_and_nothing_overlaps() -> None:
    side, boards = board_side(16), 200
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), boards))
    state = jax.jit(jax.vmap(UniformGenerator(side, 16, num_food=16, fov=2)))(keys)
    agents, food = (np.asarray(placed.position) @ [side, 1] for placed in (state.agents, state.food_items))
    assert all(len({*mine, *its}) == 32 for mine, its in zip(agents, food, strict=True))
    expected = boards * 16 / side**2
    spread_of_agents = ((np.bincount(agents.ravel(), minlength=side**2) - expected) ** 2 / expected).sum()
    assert spread_of_agents < 400, "324 cells: about 323 on average, one in 500 is above 400"
    interior = np.bincount(food.ravel(), minlength=side**2).reshape(side, side)
    assert interior.sum() == interior[1:-1, 1:-1].sum(), "no food at the edge"
    assert interior[1:-1, 1:-1].min() > 0, "12.5 on average"
    levels = np.asarray(state.food_items.level)
    assert set(np.asarray(state.agents.level).ravel()) == {1, 2}
    assert set(levels.ravel()) >= {1, 2, 3}


@pytest.mark.parametrize(("agents", "side"), [(1, 5), (16, 18), (1024, 144), (4096, 287)])
def test_boards_grow_with_the_team(agents: int, side: int) -> None:
    assert board_side(agents) == side


def test_taking_all_food_returns_one_an_agent() -> None:
    """Two agents beside the only two foods, of which one needs both."""
    environment = make_environment("lbf", 2, {"reward": "individual"})
    state, _ = jax.jit(environment.reset)(jax.random.key(0), jnp.zeros(()))
    world = state.environment
    agents = dataclasses.replace(world.agents, position=jnp.array([[1, 2], [2, 1]]), level=jnp.array([1, 2]))
    food = dataclasses.replace(world.food_items, position=jnp.array([[2, 2], [1, 3]]), level=jnp.array([3, 1]))
    placed = state._replace(environment=dataclasses.replace(world, agents=agents, food_items=food))
    step = jax.jit(environment.step)
    result = step(placed, jnp.array([5, 5]), jax.random.key(0))
    np.testing.assert_allclose(result.reward, [2 * (3 * 1 / 3 + 1) / 4, 2 * (3 * 2 / 3) / 4], rtol=1e-6)
    assert float(result.reward.mean()) == 1.0
    assert (bool(result.ended), float(result.discount)) == (True, 0.0)
    alone = step(placed, jnp.array([0, 5]), jax.random.key(0))
    assert not alone.reward.any()


def test_nothing_grows_faster_than_the_team() -> None:
    """An agent has four neighbours of 20 cells."""
    check_growth("lbf", features=75, factor=4.2, each=85)


@pytest.mark.parametrize("task", LBF_PUBLISHED)
def test_published_sizes(task: str) -> None:
    """The name says what they are: [sight]side-agents-food[-coop]."""
    sizes, words = LBF_PUBLISHED[task], task.split("-")
    sight = int(words.pop(0)[:-1]) if words[0].endswith("s") else None
    side = int(words[0].partition("x")[0])
    assert sizes == type(sizes)(int(words[1][:-1]), int(words[2][:-1]), side, sight or side, words[3:] == ["coop"])


def test_published_environments_are_the_librarys_with_n_times_its_reward() -> None:
    environment: Any = make_environment("lbf:2s-8x8-2p-2f-coop", 2, {})
    assert (environment.space.features, environment.episode_limit, LbfConfig().reward) == (12, 100, "shared")
    ours, library = environment.environment, LevelBasedForaging()
    assert isinstance(ours, LevelBasedForaging)
    generator = ours._generator
    assert type(generator) is RandomGenerator
    assert (generator.fov, generator.max_agent_level, generator.force_coop) == (2, 2, True)
    food = Food(id=jnp.arange(2), position=jnp.array([[2, 2], [4, 5]]), level=jnp.array([3, 2]), eaten=jnp.ones(2) > 0)
    lifted, eaten = jnp.array([[1, 2], [1, 0]]), jnp.array([True, False])
    np.testing.assert_array_equal(ours.get_reward(food, lifted, eaten), 2 * library.get_reward(food, lifted, eaten))
    np.testing.assert_allclose(ours.get_reward(food, lifted, eaten), [2 * 1 / 5, 2 * 2 / 5], rtol=1e-6)


def test_bad_options() -> None:
    assert dict(SCENARIOS["lbf"].fixed_agents)["15x15-4p-5f"] == 4
    with pytest.raises(ValueError, match="agents is 4: scenario lbf:8x8-2p-2f-coop takes exactly 2"):
        make_environment("lbf:8x8-2p-2f-coop", 4, {})
    with pytest.raises(ValueError, match="agents is 16385: scenario lbf takes 1 to 16384"):
        make_environment("lbf", 16_385, {})
    with pytest.raises(ValueError, match="horizon is 0: it must be a whole number of at least 1"):
        LbfConfig(horizon=0)
