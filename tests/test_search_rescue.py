"""SearchAndRescue: what agents see and what happens to them is what Jumanji's own says, wherever they are."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from growing import check_growth, check_trainer
from jumanji.environments.swarms.common.types import AgentState
from jumanji.environments.swarms.search_and_rescue.env import SearchAndRescue
from jumanji.environments.swarms.search_and_rescue.generator import RandomGenerator
from jumanji.environments.swarms.search_and_rescue.observations import AgentAndTargetObservationFn
from jumanji.environments.swarms.search_and_rescue.types import State, TargetState
from worlds import promoting

from scenarios import make_environment, make_scenario
from scenarios.configs import SearchRescueConfig
from scenarios.jumanji_adapter import AdaptedState
from scenarios.search_rescue import field_side, near, over_candidates


def the_librarys(agents: int, horizon: int) -> SearchAndRescue:
    """The environment of this size as the library has it."""
    side = field_side(agents)
    return SearchAndRescue(
        time_limit=horizon,
        generator=RandomGenerator(num_searchers=agents, num_targets=agents, env_size=side),
        observation=AgentAndTargetObservationFn(
            num_vision=32,
            searcher_vision_range=0.4,
            target_vision_range=0.1,
            view_angle=0.4,
            agent_radius=0.02,
            env_size=side,
        ),
    )


def expected_features(observation: Any) -> np.ndarray:
    """The fields of the library's observation, side by side."""
    agents = len(observation.positions)
    remaining = np.full((agents, 1), observation.targets_remaining)
    return np.hstack([np.reshape(observation.searcher_views, (agents, 96)), remaining, observation.positions])


def by_hand(agents: Any, headings: Any, targets: Any, found: Any, step_count: int = 0) -> AdaptedState:
    """A state with slow agents and resting targets in these places."""
    state = State(
        searchers=AgentState(
            pos=jnp.asarray(agents, jnp.float32),
            heading=jnp.asarray(headings, jnp.float32),
            speed=jnp.full(len(agents), 0.005),
        ),
        targets=TargetState(
            pos=jnp.asarray(targets, jnp.float32), vel=jnp.zeros((len(targets), 2)), found=jnp.asarray(found)
        ),
        key=jax.random.key_data(jax.random.key(0)),
        step=jnp.array(step_count, dtype=jnp.int32),  # type: ignore[arg-type]  # it is an array after a step
    )
    return AdaptedState(state, jnp.array(step_count, dtype=jnp.int32))


@pytest.mark.parametrize("where", ["anywhere", "corner"])
def test_random_play_is_the_librarys(where: str) -> None:
    """In a corner all see all across the joined edges, and several find a target at once."""
    agents, horizon, chooser = 16, 24, np.random.default_rng(2)
    ours, library = make_environment("search-rescue", agents, {"horizon": horizon}), the_librarys(agents, horizon)
    step, library_step = jax.jit(ours.step), jax.jit(promoting(library.step))
    side = field_side(agents)
    extent = 0.03 if where == "corner" else side
    places = [chooser.uniform(-extent, extent, (agents, 2)) % side for _ in range(2)]
    state = by_hand(places[0], chooser.uniform(0, 2 * np.pi, agents), places[1], np.zeros(agents, dtype=bool))
    theirs, ended, timestep, total, divided = state.environment, False, 0, 0.0, 0
    while not ended:
        actions = jnp.asarray(chooser.integers(-64, 65, (agents, 2)) / 64, dtype=jnp.float32)
        key = jax.random.key(timestep)
        result = step(state, actions, key)
        theirs, expected = library_step(dataclasses.replace(theirs, key=jax.random.key_data(key)), actions)
        state, ended = result.state, bool(result.ended)
        jax.tree.map(np.testing.assert_array_equal, state.environment, theirs)
        features = expected_features(expected.observation)
        np.testing.assert_array_equal(result.observation.features < 0, features < 0)
        np.testing.assert_allclose(result.observation.features, features, rtol=1e-6)
        np.testing.assert_allclose(result.reward, expected.reward, rtol=1e-6)
        assert result.observation.action_mask.all()
        assert ended == bool(expected.last())
        reward = np.asarray(expected.reward) / (1 - timestep / horizon)
        total, divided = total + float(reward.sum()), divided + int((np.abs(reward - reward.round()) > 0.1).sum())
        timestep += 1
    assert float(result.discount) == float(timestep == horizon), "all is found in the corner only"
    assert (timestep < horizon) == (where == "corner")
    assert total > 3
    assert divided > 3 or where == "anywhere"


def test_a_target_is_split_among_those_who_find_it_together() -> None:
    """Three are in contact, one of them looks away; it is found a quarter of an episode after the start."""
    agents = [(0.09, 0.1), (0.1, 0.09), (0.11, 0.1)] + [(0.6, 0.6)] * 13
    targets, found = [(0.1, 0.1), (0.2, 0.3), (0.3, 0.3), (0.4, 0.3)] * 4, [False, False, True, False] * 4
    state = by_hand(agents, [0, np.pi / 2] + [0] * 14, targets, found, 6)
    environment = make_environment("search-rescue", 16, {"horizon": 24})
    result = jax.jit(environment.step)(state, jnp.zeros((16, 2)), jax.random.key(0))
    np.testing.assert_allclose(result.reward, [4 * 0.375, 4 * 0.375] + [0] * 14, rtol=1e-6)
    np.testing.assert_array_equal(result.state.environment.targets.found, [True, False, True, False] * 4)
    assert not bool(result.ended)


def test_why_an_episode_ends() -> None:
    """The last target is a termination, also at the time limit; the limit alone is none."""
    step = jax.jit(make_environment("search-rescue", 4, {"horizon": 8, "reward": "shared"}).step)

    def ending(last_target: tuple[float, float], timestep: int) -> tuple[bool, float, list[float]]:
        agents, targets = [(0.1, 0.1), *[(0.2, 0.2)] * 3], [(0.3, 0.3)] * 3 + [last_target]
        result = step(
            by_hand(agents, [0.0] * 4, targets, [True] * 3 + [False], timestep - 1),
            jnp.zeros((4, 2)),
            jax.random.key(0),
        )
        return bool(result.ended), float(result.discount), result.reward.tolist()

    here, away = (0.11, 0.1), (0.3, 0.1)
    assert ending(away, 7) == (False, 1.0, [0] * 4)
    assert ending(here, 7) == (True, 0.0, [2 / 8 / 4] * 4)
    assert ending(away, 8) == (True, 1.0, [0] * 4)
    assert ending(here, 8) == (True, 0.0, [1 / 8 / 4] * 4)


@pytest.mark.parametrize("cells", [0.5, 2.5, 3.0, 5.2])
def test_all_that_is_near_is_a_candidate_once(cells: float) -> None:
    """In fields of few and of many cells, for things all over the place and for a crowd about a corner."""
    reach, generator = 0.25, np.random.default_rng(0)
    side = cells * reach

    def mark(times: Any, index: Any, there: Any) -> Any:
        return times.at[jnp.arange(20)[:, None], index].add(there)

    @jax.jit
    def looked_at(viewers: Any, things: Any) -> Any:
        return over_candidates(mark, jnp.zeros((20, 50), dtype=jnp.int32), near(viewers, things, reach, side))

    for extent in (side, 0.1 * reach):
        viewers, things = (generator.uniform(-extent, extent, (n, 2)).astype(np.float32) % side for n in (20, 50))
        viewers[0], things[0], things[1] = 0.0, side, (0.0, side)
        times = np.asarray(looked_at(jnp.asarray(viewers), jnp.asarray(things)))
        apart = np.abs(viewers[:, None] - things)
        close = np.linalg.norm(np.minimum(apart, side - apart), axis=-1) <= reach
        assert set(times[close]) == {1}
        assert set(times.ravel()) <= {0, 1}
        assert times.all() == (cells < 4 or extent < side)


@pytest.mark.parametrize(("agents", "side"), [(4, 0.4), (16, 0.8), (100, 2.0), (1024, 6.4)])
def test_fields_grow_with_the_team(agents: int, side: float) -> None:
    assert field_side(agents) == pytest.approx(side)


def test_agents_and_targets_start_anywhere_in_the_field() -> None:
    environment: Any = make_environment("search-rescue", 100, {})
    world = environment.environment
    state = world.generator(jax.random.key_data(jax.random.key(0)), world.searcher_params)
    for places in (np.asarray(state.searchers.pos), np.asarray(state.targets.pos)):
        assert places.shape == (100, 2)
        quarters = np.bincount((places // 1).astype(int) @ [2, 1], minlength=4)
        assert len(quarters) == 4
        assert quarters.min() >= 10, "25 on average"


def test_nothing_grows_faster_than_the_team() -> None:
    """An agent has 8 candidates on 32 rays, of two kinds."""
    check_growth("search-rescue", features=99, factor=4.2, each=520)
    space = make_environment("search-rescue", 16, {}).space
    assert (space.actions, space.continuous) == (2, True)


def test_it_is_what_a_trainer_needs() -> None:
    check_trainer(make_scenario("search-rescue", 4, {}, 2), "sable", "chunkwise")


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="agents is 3: scenario search-rescue takes 4 to "):
        make_environment("search-rescue", 3, {})
    with pytest.raises(ValueError, match="reward is 'team': it must be one of shared, individual"):
        SearchRescueConfig(reward="team")
    with pytest.raises(ValueError, match="horizon is 0: it must be a whole number of at least 1"):
        make_environment("search-rescue", 4, {"horizon": 0})
