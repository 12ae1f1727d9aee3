"""A small environment written for Jumanji, and what the adapter makes of Jumanji's conventions."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jumanji import specs
from jumanji.env import Environment
from jumanji.types import StepType, TimeStep, restart
from worlds import Counter

from scenarios.checks import check
from scenarios.jumanji_adapter import Adapted, _with_key, is_jumanji
from scenarios.wrappers import EnvironmentStep

LIMIT = 3


class Seen(NamedTuple):
    """`level` and `place` are what the agents see; `board` is nobody's own."""

    level: jax.Array
    place: jax.Array
    board: jax.Array


class State(NamedTuple):
    """Timestep, last actions and a number drawn at the last step."""

    key: jax.Array
    step: jax.Array
    actions: jax.Array
    drawn: jax.Array


class Levels(Environment):  # type: ignore[type-arg]
    """Three agents set levels and are rewarded with them; an agent is done (discount 0) at a level above 1.

    All done is a termination; so is the time limit if `limit_terminates`, as in some of Jumanji's environments.
    """

    num_agents = 3
    time_limit = LIMIT

    def __init__(self, *, continuous: bool = False, team: bool = False, limit_terminates: bool = False) -> None:
        self.continuous, self.team, self.limit_terminates = continuous, team, limit_terminates
        super().__init__()

    def reset(self, key: jax.Array) -> tuple[State, TimeStep[Seen]]:
        state = State(key, jnp.array(0), jnp.zeros((3, 2)), jnp.zeros(()))
        return state, restart(self._see(state), shape=() if self.team else (3,))

    def step(self, state: State, action: jax.Array) -> tuple[State, TimeStep[Seen]]:
        actions = action if self.continuous else jnp.stack([action, action], axis=-1).astype(float)
        state = State(state.key, state.step + 1, actions, jax.random.uniform(state.key))
        done, late = actions[:, 0] > 1, state.step >= LIMIT
        over = done | (late & self.limit_terminates)
        timestep = TimeStep(
            step_type=jnp.where(done.all() | late, StepType.LAST, StepType.MID),  # type: ignore[arg-type]
            reward=actions[:, 0].sum() if self.team else actions[:, 0],
            discount=1.0 - (over.all() if self.team else over),
            observation=self._see(state),
        )
        return state, timestep

    def _see(self, state: State) -> Seen:
        return Seen(level=state.actions, place=jnp.arange(3), board=jnp.zeros((5, 5)))

    @property
    def observation_spec(self) -> Any:
        return None

    @property
    def action_spec(self) -> Any:
        if self.continuous:
            return specs.BoundedArray((3, 2), float, jnp.array([0.0, -4.0]), jnp.array([2.0, 4.0]), "action")
        return specs.MultiDiscreteArray(jnp.array([4, 4, 4]))


def play(environment: Adapted, *actions: Any) -> list[EnvironmentStep]:
    """One episode, however it ends."""
    state, _ = environment.reset(jax.random.key(0), jnp.asarray(0.9))
    steps = []
    for t, action in enumerate(actions):
        steps.append(environment.step(state, jnp.asarray(action), jax.random.key(t)))
        state = steps[-1].state
    return steps


def test_an_episode() -> None:
    environment = Adapted(Levels())
    assert environment.space == (3, 3, 4, False)
    assert environment.episode_limit == LIMIT
    _, first = environment.reset(jax.random.key(0), jnp.asarray(0.9))
    np.testing.assert_array_equal(first.features, [[0, 0, 0], [0, 0, 1], [0, 0, 2]])
    assert int(first.step_count) == 0, "there are no late starts"
    assert first.action_mask.shape == (3, 4)
    assert first.action_mask.all(), "it masks nothing"
    one, two, three = play(environment, [0, 1, 2], [0, 1, 2], [0, 1, 2])
    np.testing.assert_array_equal(one.reward, [0, 1, 2])
    np.testing.assert_array_equal(one.observation.features, [[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    assert [int(step.observation.step_count) for step in (one, two, three)] == [1, 2, 3]
    assert [bool(step.ended) for step in (one, two, three)] == [False, False, True]
    assert [float(step.discount) for step in (one, two, three)] == [1, 1, 1], "one agent being done ends nothing"
    (end,) = play(environment, [2, 3, 2])
    assert (bool(end.ended), float(end.discount)) == (True, 0.0)


def test_an_episode_that_goes_on_at_its_limit_is_cut_off() -> None:
    steps = play(Adapted(Levels(), episode_limit=2), jnp.zeros(3, jnp.int32), jnp.zeros(3, jnp.int32))
    assert [bool(step.ended) for step in steps] == [False, True]
    assert [float(step.discount) for step in steps] == [1.0, 1.0]


def test_what_is_only_called_key_is_left_alone() -> None:
    door = State(jnp.array(7), jnp.array(0), jnp.zeros((3, 2)), jnp.zeros(()))
    assert _with_key(door, jax.random.key(0)) is door
    opened = _with_key(door._replace(key=jnp.zeros(2, jnp.uint32)), jax.random.key(5))
    assert opened.key.tolist() == jax.random.key_data(jax.random.key(5)).tolist()


@pytest.mark.parametrize("team", [False, True])
def test_a_time_limit_that_jumanji_calls_a_termination_can_be_told_apart(team: bool) -> None:
    world = Levels(team=team, limit_terminates=True)
    cut_off = Adapted(world, truncated=lambda state, timestep: ~(state.actions[:, 0] > 1).all())
    played = [[0, 1, 2], [0, 1, 2], [0, 1, 2]]
    assert [float(step.discount) for step in play(Adapted(world), *played)] == [1, 1, 0]
    assert [float(step.discount) for step in play(cut_off, *played)] == [1, 1, 1]
    assert [float(step.discount) for step in play(cut_off, [2, 2, 2])] == [0]


def test_rewards() -> None:
    (own,) = play(Adapted(Levels(), reward="individual"), [0, 1, 2])
    (shared,) = play(Adapted(Levels(), reward="shared"), [0, 1, 2])
    (team,) = play(Adapted(Levels(team=True)), [0, 1, 2])
    assert (own.reward.tolist(), shared.reward.tolist(), team.reward.tolist()) == ([0, 1, 2], [1, 1, 1], [3, 3, 3])


def test_continuous_actions_are_stretched_to_their_bounds() -> None:
    environment = Adapted(Levels(continuous=True))
    assert environment.space == (3, 3, 2, True)
    (step,) = play(environment, [[-1.0, -1.0], [0.0, 0.5], [1.0, 1.0]])
    np.testing.assert_allclose(step.observation.features[:, :2], [[0, -4], [1, 2], [2, 4]])


def test_episodes_from_one_start_draw_other_numbers() -> None:
    environment = Adapted(Levels())
    state, _ = environment.reset(jax.random.key(0), jnp.zeros(()))
    actions = jnp.zeros(3, dtype=jnp.int32)
    one, other = (environment.step(state, actions, jax.random.key(seed)).state for seed in (1, 2))
    assert float(one.environment.drawn) != float(other.environment.drawn)


@pytest.mark.parametrize("options", [{}, {"continuous": True}, {"team": True}])
def test_what_is_adapted_keeps_the_protocol(options: dict[str, bool]) -> None:
    assert is_jumanji(Levels(**options))
    assert check(Adapted(Levels(**options)), 3, steps=4) == []
    assert not is_jumanji(Adapted(Levels()))
    assert not is_jumanji(Counter(2, limit=3))


class Timeless(Levels):
    time_limit = 0


class Lonely(Levels):
    num_agents = 0

    @property
    def action_spec(self) -> Any:
        return specs.DiscreteArray(4)


class Uneven(Levels):
    @property
    def action_spec(self) -> Any:
        return specs.MultiDiscreteArray(jnp.array([4, 5, 4]))


class Unbounded(Levels):
    @property
    def action_spec(self) -> Any:
        return specs.BoundedArray((3, 2), float, -jnp.inf, jnp.inf)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Adapted(Timeless()), "Timeless has no time_limit: give episode_limit"),
        (lambda: Adapted(Lonely()), "Lonely has no agents: it needs num_agents"),
        (lambda: Adapted(Uneven()), "Uneven acts by .*: it must be a choice or a bounded vector, alike for every"),
        (lambda: Adapted(Unbounded()), "Unbounded acts by"),
        (lambda: Adapted(Levels(team=True), reward="individual"), "Levels rewards the team as a whole: write shared"),
        (lambda: Adapted(Levels(), reward="team"), "reward is 'team': it must be one of shared, individual"),
        (lambda: Adapted(Levels(), lambda state, _: state.actions.T), r"observed in shape \(2, 3\): it must be \(3, f"),
    ],
)
def test_what_cannot_be_adapted_is_told_in_one_line(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
