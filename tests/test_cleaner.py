"""Cleaner: what agents see and what happens to them is what Jumanji's own says; mazes and starts are as promised."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from growing import check_growth, check_trainer
from jumanji.environments.routing.cleaner.constants import CLEAN, DIRTY, WALL
from jumanji.environments.routing.cleaner.env import Cleaner
from jumanji.environments.routing.cleaner.generator import RandomGenerator
from jumanji.environments.routing.cleaner.types import State

from scenarios import make_environment, make_scenario
from scenarios.cleaner import SpreadGenerator, maze_side, maze_tiles
from scenarios.configs import CleanerConfig
from scenarios.jumanji_adapter import AdaptedState


def expected_features(observation: Any) -> np.ndarray:
    """Cut out of the library's own observation, agent by agent."""
    grid, places = np.asarray(observation.grid), np.asarray(observation.agents_locations)
    side, features = len(grid), []
    padded = np.pad(grid, 2, constant_values=WALL)
    for agent, (row, column) in enumerate(places):
        seen = padded[row : row + 5, column : column + 5].ravel()
        others = np.zeros((5, 5))
        for ahead, aside in np.delete(places, agent, axis=0) - [row, column]:
            if max(abs(ahead), abs(aside)) <= 2:
                others[ahead + 2, aside + 2] = 1
        features.append(np.r_[row / (side - 1), column / (side - 1), seen == WALL, seen == DIRTY, others.ravel()])
    return np.array(features, dtype=np.float32)


def legal_actions(mask: Any, chooser: np.random.Generator) -> np.ndarray:
    """One legal action for every agent, uniformly."""
    return np.array([chooser.choice(np.flatnonzero(row)) for row in np.asarray(mask)], dtype=np.int32)


def by_hand(grid: Any, places: list[tuple[int, int]], step_count: int = 0) -> AdaptedState:
    """A state with this maze and agents in these places."""
    rows, columns = np.shape(grid)
    environment = Cleaner(RandomGenerator(rows, columns, len(places)))
    state = State(
        grid=jnp.asarray(grid, dtype=jnp.int8),
        agents_locations=jnp.array(places, dtype=jnp.int32),
        action_mask=environment._compute_action_mask(jnp.asarray(grid), jnp.array(places)),
        step_count=jnp.array(step_count, dtype=jnp.int32),
        key=jax.random.key_data(jax.random.key(0)),
    )
    return AdaptedState(state, state.step_count)


@pytest.mark.parametrize("task", ["scaled", "corner"])
def test_random_play_is_the_librarys(task: str) -> None:
    """Every second episode ends by an illegal action; in the corner, an episode starts as the library's too."""
    agents, side = 16, maze_side(16)
    team, shared, own = (
        make_environment(f"cleaner:{task}", agents, {"reward": reward, "horizon": 12})
        for reward in ("team", "shared", "individual")
    )
    library = Cleaner(RandomGenerator(side, side, agents), time_limit=12)
    key = jax.random.key(1)
    step = jax.jit(lambda state, actions: [world.step(state, actions, key) for world in (team, shared, own)])
    library_step, reset = jax.jit(library.step), jax.jit(team.reset)
    chooser, lengths = np.random.default_rng(0), []
    if task == "corner":
        theirs, _ = jax.jit(library.reset)(jax.random.key_data(key))
        jax.tree.map(np.testing.assert_array_equal, reset(key, jnp.zeros(()))[0].environment, theirs)
    for episode in range(4):
        state, observation = reset(jax.random.key(episode), jnp.zeros(()))
        theirs, ended = state.environment, False
        expected = expected_features(library._observation_from_state(theirs))
        np.testing.assert_allclose(observation.features, expected, rtol=1e-6)
        mask = library._compute_action_mask(theirs.grid, theirs.agents_locations)
        np.testing.assert_array_equal(observation.action_mask, mask)
        lengths.append(0)
        while not ended:
            actions = legal_actions(theirs.action_mask, chooser)
            if episode % 2 and lengths[-1] == 5:
                agent, actions[agent] = np.argwhere(~np.asarray(theirs.action_mask))[0]
            result, divided, individual = step(state, actions)
            theirs, timestep = library_step(theirs, actions)
            state, ended = result.state, bool(result.ended)
            np.testing.assert_array_equal(state.environment.grid, theirs.grid)
            np.testing.assert_array_equal(state.environment.agents_locations, theirs.agents_locations)
            np.testing.assert_array_equal(result.observation.action_mask, timestep.observation.action_mask)
            expected = expected_features(timestep.observation)
            np.testing.assert_allclose(result.observation.features, expected, rtol=1e-6)
            np.testing.assert_array_equal(result.reward, np.full(agents, timestep.reward))
            np.testing.assert_allclose(divided.reward * agents, result.reward, rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(individual.reward.sum(), timestep.reward, rtol=1e-6, atol=1e-6)
            assert ended == bool(timestep.last())
            lengths[-1] += 1
            assert float(result.discount) == (1.0 if not ended or lengths[-1] == 12 else 0.0)
    assert lengths == [12, 6, 12, 6]


def test_a_tile_is_split_among_those_who_reach_it_together() -> None:
    environment = make_environment("cleaner", 4, {"reward": "individual"})
    grid = np.full((7, 7), DIRTY)
    grid[0, 0] = CLEAN
    result = environment.step(by_hand(grid, [(0, 0)] * 4), jnp.array([1, 1, 2, 1]), jax.random.key(0))
    np.testing.assert_allclose(result.reward, np.array([1 / 3, 1 / 3, 1, 1 / 3]) - 0.125, rtol=1e-6)
    others_here = result.observation.features[:, 52 + 12]
    np.testing.assert_array_equal(others_here, [1, 1, 0, 1])


def test_why_an_episode_ends() -> None:
    """The last tile and an illegal action are terminations, also at the time limit; the limit alone is none."""
    step = jax.jit(make_environment("cleaner", 1, {"horizon": 3}).step)

    def ending(last_tile: bool, timestep: int, action: int) -> tuple[bool, float]:
        grid = np.array([[CLEAN, DIRTY, CLEAN], [CLEAN, WALL, CLEAN], [CLEAN, WALL, CLEAN if last_tile else DIRTY]])
        result = step(by_hand(grid, [(0, 0)], timestep - 1), jnp.array([action]), jax.random.key(0))
        return bool(result.ended), float(result.discount)

    up, right = 0, 1
    assert ending(False, 2, right) == (False, 1.0)
    assert ending(True, 2, right) == (True, 0.0)
    assert ending(False, 2, up) == (True, 0.0)
    assert ending(False, 3, right) == (True, 1.0)
    assert ending(True, 3, right) == (True, 0.0)
    assert ending(False, 3, up) == (True, 0.0)


def test_starts_are_uniform() -> None:
    """Among rooms, which are tiles of every maze; and what is under an agent is all that is clean."""
    side, mazes = maze_side(16), 300
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), mazes))
    states = jax.jit(partial(jax.lax.map, SpreadGenerator(side, side, 16)))(keys)
    grids, places = np.asarray(states.grid), np.asarray(states.agents_locations)
    np.testing.assert_array_equal((grids != WALL).sum(axis=(1, 2)), np.full(mazes, maze_tiles(side)))
    taken = np.zeros(grids.shape, dtype=bool)
    taken[np.arange(mazes)[:, None], places[..., 0], places[..., 1]] = True
    np.testing.assert_array_equal(grids == CLEAN, taken)
    times = np.zeros((side, side))
    np.add.at(times, (places[..., 0].ravel(), places[..., 1].ravel()), 1)
    rooms = times[::2, ::2]
    expected = mazes * 16 / maze_tiles(side)
    chi_squared = ((rooms - expected) ** 2 / expected).sum()
    assert chi_squared < 90, "49 rooms: 49 on average, one in 3000 is above 90"
    assert times[1::2, 1::2].sum() == 0


@pytest.mark.parametrize(("agents", "side"), [(1, 3), (2, 5), (16, 13), (256, 51), (1024, 101), (4096, 203)])
def test_mazes_grow_with_the_team(agents: int, side: int) -> None:
    assert maze_side(agents) == side


def test_nothing_grows_faster_than_the_team() -> None:
    """An agent has 77 numbers."""
    check_growth("cleaner", features=77, factor=4.2, each=80)


def test_it_is_what_a_trainer_needs() -> None:
    check_trainer(make_scenario("cleaner", 4, {}, 2), "ippo", "")


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="agents is 0: scenario cleaner takes 1 to 16384"):
        make_environment("cleaner", 0, {})
    with pytest.raises(ValueError, match="reward is 'mean': it must be one of shared, individual, team"):
        CleanerConfig(reward="mean")
    with pytest.raises(ValueError, match="task is 'tiny': it must be one of scaled, corner"):
        make_environment("cleaner:tiny", 4, {})
