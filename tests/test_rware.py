"""RobotWarehouse: what agents see and what happens to them is what Jumanji's own says; warehouses grow as promised."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from growing import check_growth
from jumanji.environments.routing.robot_warehouse.env import RobotWarehouse

from scenarios import make_environment, make_scenario
from scenarios.configs import RWARE_PUBLISHED, RwareConfig
from scenarios.jumanji_adapter import AdaptedState
from scenarios.rware import warehouse
from scenarios.wrappers import EnvironmentStep


@pytest.fixture(scope="module")
def environment() -> Any:
    """Four agents in the smallest warehouse, where they often meet."""
    return make_environment("rware:tiny-4ag-easy", 4, {"horizon": 40})


@pytest.fixture(scope="module")
def step(environment: Any) -> Any:
    """A step of it, compiled once."""
    return jax.jit(environment.step)


@pytest.fixture(scope="module")
def library_step(environment: Any) -> Any:
    """A step of the library's own."""
    return jax.jit(RobotWarehouse(environment.environment._generator, time_limit=40).step)


def placed(environment: Any, cells: Any, directions: Any, carrying: Any) -> AdaptedState:
    """A state with the agents at these cells; a carried shelf is the one that is wanted first."""
    state: AdaptedState = jax.jit(environment.reset)(jax.random.key(0), jnp.zeros(()))[0]
    world = state.environment
    row, column = jnp.asarray(cells, dtype=jnp.int32).T
    grid = world.grid.at[1].set(0).at[1, row, column].set(1 + jnp.arange(len(row)))
    agents = world.agents._replace(
        position=world.agents.position._replace(x=row, y=column),
        direction=jnp.asarray(directions, dtype=jnp.int32),
        is_carrying=jnp.asarray(carrying, dtype=jnp.int32),
    )
    for shelf, carrier in zip(world.request_queue, np.flatnonzero(carrying), strict=False):
        old = world.shelves.position.x[shelf], world.shelves.position.y[shelf]
        grid = grid.at[(0, *old)].set(0).at[0, row[carrier], column[carrier]].set(shelf + 1)
    return state._replace(environment=dataclasses.replace(world, grid=grid, agents=agents))


def test_random_play_is_the_librarys(environment: Any, step: Any, library_step: Any) -> None:
    """Illegal actions are among those played; what is seen after a collision does not matter."""
    reset = jax.jit(environment.reset)
    chooser = np.random.default_rng(0)
    collisions = carried = 0
    for episode in range(12):
        state, observation = reset(jax.random.key(episode), jnp.zeros(()))
        theirs, ended = state.environment, False
        while not ended:
            # Standing on a shelf, half of them lift it, so that many carry and some are in each other's way.
            over = np.asarray(observation.features)[:, 8 + 40 + 2 * 4] > 0
            actions = np.where(
                over & (chooser.random(4) < 0.5), 4, chooser.choice(5, p=[0.1, 0.5, 0.2, 0.1, 0.1], size=4)
            )
            result = step(state, jnp.asarray(actions), jax.random.key(episode))
            theirs = dataclasses.replace(theirs, key=jax.random.key_data(jax.random.key(episode)))
            theirs, timestep = library_step(theirs, jnp.asarray(actions))
            state, observation, ended = result.state, result.observation, bool(result.ended)
            for one, other in zip(*(jax.tree.leaves(world) for world in (state.environment, theirs)), strict=True):
                np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(observation.action_mask, timestep.observation.action_mask)
            np.testing.assert_array_equal(result.reward, np.full(4, timestep.reward))
            assert ended == bool(timestep.last())
            cells = set(zip(*np.asarray(theirs.agents.position).tolist(), strict=True))
            if float(result.discount) == 1.0:
                np.testing.assert_array_equal(observation.features, timestep.observation.agents_view)
                assert len(cells) == 4
                assert ended == (int(theirs.step_count) == 40)
            else:
                assert ended
                collisions += 1
            carried += int((~np.asarray(observation.action_mask)).any())
    assert collisions > 3
    assert carried > 3, "forward was illegal for somebody who carries"


def test_a_delivery_rewards_all(environment: Any, step: Any, library_step: Any) -> None:
    """The goals are the two cells in the middle of the last row."""
    state = placed(environment, [[9, 4], [1, 0], [3, 9], [0, 5]], [2, 0, 0, 0], [1, 0, 0, 0])
    actions, key = jnp.array([1, 0, 0, 0]), jax.random.key(0)
    result = step(state, actions, key)
    np.testing.assert_array_equal(result.reward, np.ones(4, dtype=np.float32))
    theirs, _ = library_step(dataclasses.replace(state.environment, key=jax.random.key_data(key)), actions)
    for one, other in zip(*(jax.tree.leaves(world) for world in (result.state.environment, theirs)), strict=True):
        np.testing.assert_array_equal(one, other)
    before, after = state.environment.request_queue, result.state.environment.request_queue
    assert int((before != after).sum()) == 1
    assert (bool(result.ended), float(result.discount)) == (False, 1.0)


def test_a_collision_is_a_termination_and_the_time_limit_is_none(environment: Any, step: Any) -> None:
    """The fourth follows the first: which of them moves first decides."""
    apart, behind = [[9, 4], [1, 0], [3, 9], [0, 5]], [[2, 3], [1, 0], [3, 9], [1, 3]]

    def after(cells: Any, actions: Any, **fields: Any) -> EnvironmentStep:
        state = placed(environment, cells, [2, 0, 0, 2], [0, 0, 0, 0])
        world = dataclasses.replace(state.environment, **fields)
        result: EnvironmentStep = step(state._replace(environment=world), jnp.array(actions), jax.random.key(0))
        return result

    for result, end in [
        (after(apart, [0, 1, 2, 3]), (False, 1.0)),
        (after(behind, [0, 0, 0, 1]), (True, 0.0)),
        (after(behind, [1, 0, 0, 1]), (False, 1.0)),
        (after([behind[3], *behind[1:3], behind[0]], [1, 0, 0, 1]), (True, 0.0)),
        (after(apart, [0, 1, 2, 3], step_count=jnp.asarray(39, dtype=jnp.int32)), (True, 1.0)),
        (after(behind, [0, 0, 0, 1], step_count=jnp.asarray(39, dtype=jnp.int32)), (True, 0.0)),
    ]:
        assert (bool(result.ended), float(result.discount)) == end


def test_starts_are_anywhere_and_apart(environment: Any) -> None:
    starts = 300
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), starts))
    state = jax.jit(lambda keys: jax.lax.map(environment.environment._generator, keys))(keys)
    row, column = (np.asarray(each) for each in state.agents.position)
    assert all(len(set(cells)) == 4 for cells in (row * 10 + column).tolist())
    counts = np.bincount((row * 10 + column).ravel(), minlength=110)
    expected = starts * 4 / 110
    assert ((counts - expected) ** 2 / expected).sum() < 165, "110 cells: 109 on average, one in 2000 is above 165"


def test_scaled_positions_are_fractions(environment: Any) -> None:
    scaled: Any = make_environment("rware", 4, {})
    assert scaled.environment.grid_size == (20, 10)
    state = placed(environment, [[9, 4], [1, 0], [3, 9], [0, 5]], [0] * 4, [0] * 4)
    seen = jnp.tile(jnp.array([19.0, 3.0] + [1.0] * 64), (4, 1))
    features = scaled._observe(state.environment, SimpleNamespace(observation=SimpleNamespace(agents_view=seen)))
    np.testing.assert_allclose(features, np.tile([1.0, 3 / 9] + [1.0] * 64, (4, 1)), rtol=1e-6)


@pytest.mark.parametrize(
    ("agents", "shape"), [(1, (11, 10)), (2, (11, 10)), (16, (29, 28)), (256, (119, 112)), (1024, (227, 226))]
)
def test_warehouses_grow_with_the_team(agents: int, shape: tuple[int, int]) -> None:
    sizes = warehouse(agents)
    assert (9 * sizes.shelf_rows + 2, 3 * sizes.shelf_columns + 1) == shape
    assert sizes.requests == agents
    assert shape[0] * shape[1] >= 50 * agents


def test_nothing_grows_faster_than_the_team() -> None:
    """An agent has two layers of 50 cells."""
    check_growth("rware", features=66, factor=4.4, each=110)


@pytest.mark.parametrize("task", RWARE_PUBLISHED)
def test_published_sizes(task: str) -> None:
    """The name says what they are: size-agents[-difficulty]."""
    sizes, (size, agents, *difficulty) = RWARE_PUBLISHED[task], task.split("-")
    layout = {"tiny": (1, 3), "small": (2, 3), "medium": (2, 5), "large": (3, 5), "xlarge": (4, 5)}[size]
    assert (sizes.shelf_rows, sizes.shelf_columns, sizes.agents) == (*layout, int(agents[:-2]))
    assert sizes.requests == sizes.agents * {(): 1, ("hard",): 0.5, ("easy",): 2}[tuple(difficulty)]


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="agents is 2: scenario rware:medium-6ag takes exactly 6"):
        make_environment("rware:medium-6ag", 2, {})
    with pytest.raises(ValueError, match="agents is 1025: scenario rware takes 1 to 1024"):
        make_environment("rware", 1025, {})
    with pytest.raises(ValueError, match="task is 'huge': it must be one of scaled, tiny-2ag, "):
        RwareConfig(task="huge")
    assert make_scenario("rware", 2, {}, 2).batching == "map"
