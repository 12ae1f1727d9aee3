"""The protocol checker: one line for every defect; and scenarios of somebody's own by module and function."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import pytest
from worlds import Aim, Counter

import scenarios
from scenarios import make_environment, make_scenario
from scenarios.checks import check, check_scenario
from scenarios.jumanji_adapter import Adapted


class Changed(Counter):
    """A Counter whose steps are changed by `change`, after the fact; observations of both by `see`."""

    def __init__(self, change: Any = lambda step: step, see: Any = lambda observation: observation) -> None:
        super().__init__(2, limit=4)
        self.change, self.see = change, see

    def step(self, state: Any, actions: Any, key: Any) -> Any:
        return self.change(super().step(state, actions, key))

    def _observe(self, state: Any) -> Any:
        return self.see(super()._observe(state))


def test_what_is_right_has_no_defects() -> None:
    assert check(Counter(3, limit=4), 3) == []
    assert check(Aim(2, limit=4), 2) == []
    assert check(make_environment("neom", 3, {}), 3) == []


def raises(step: Any) -> Any:
    raise ValueError("the board\nbroke")


@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        (
            SimpleNamespace(space=Counter(2, limit=4).space, step=None),
            [f"it has no {name} (see scenarios.wrappers.Environment)" for name in ("episode_limit", "reset", "step")],
        ),
        (Counter(3, limit=0), ["episode_limit is 0: it must be a whole number of at least 1"] * 1),
        (Changed(raises), ["step raised ValueError: the board broke"]),
        (Changed(tuple), ["step returns tuple: it must return scenarios.wrappers.EnvironmentStep"]),
        (
            Changed(lambda step: step._replace(reward=step.reward[0], ended=1.0)),
            [
                "step's reward is float32[]: it must be float32[2]",
                "step's ended is float32[]: it must be bool[]",
            ],
        ),
        (
            Changed(see=lambda seen: seen._replace(features=seen.features[:, :1].astype(jnp.int32))),
            [f"{where}'s features is int32[2, 1]: it must be float32[2, 2]" for where in ("reset", "step")],
        ),
        (
            Changed(see=tuple),
            [f"{w}'s observation is tuple: it must be sable.types.Observation" for w in ("reset", "step")],
        ),
        (
            Changed(lambda step: step._replace(state=step.state._replace(step_count=jnp.zeros(())))),
            ["step's state.step_count is float32[]: it must be int32[], as in reset's state"],
        ),
        (
            Changed(lambda step: step._replace(state=())),
            ["step's state has another structure than reset's: both must have the same fields"],
        ),
    ],
)
def test_defects_of_shape(environment: Any, lines: list[str]) -> None:
    assert check(environment) == lines


@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        (
            Changed(see=lambda seen: seen._replace(action_mask=seen.action_mask.at[1].set(seen.step_count < 3))),
            ["timestep 3: agent 1 has no legal action: it needs at least one"],
        ),
        (
            Changed(lambda step: step._replace(reward=step.reward.at[1].set(jnp.nan))),
            ["timestep 1: reward of agent 1 is nan: it must be finite"],
        ),
        (
            Changed(see=lambda seen: seen._replace(features=seen.features.at[0, 1].set(jnp.inf))),
            ["timestep 0: feature 1 of agent 0 is inf: it must be finite"],
        ),
        (
            Changed(lambda step: step._replace(discount=jnp.zeros(()))),
            ["timestep 1: discount is 0: it must be 1 until the episode ends"],
        ),
        (
            Changed(lambda step: step._replace(ended=jnp.zeros((), dtype=bool))),
            ["timestep 4: the episode has not ended: it must end by episode_limit (4)"],
        ),
        (
            Changed(see=lambda seen: seen._replace(step_count=seen.step_count + 1)),
            ["timestep 0: step_count is 1: it must count the episode's timesteps from 0"],
        ),
    ],
)
def test_defects_of_play(environment: Any, lines: list[str]) -> None:
    assert check(environment, 2, steps=6) == lines


OWN = """
from worlds import Counter, Aim
from test_jumanji_adapter import Levels

def counter(num_agents):
    return Counter(num_agents, limit=4)

def three(num_agents):
    return Counter(3, limit=4)

def levels(num_agents):
    return Levels()

def only_three(num_agents):
    return Counter({3: 3}[num_agents], limit=4)

def up_to_three(num_agents):
    if num_agents > 3:
        raise ValueError("at most 3")
    return Counter(num_agents, limit=4)

def nothing(num_agents):
    return None
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_world.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("own")
def test_own_scenarios_are_found_by_module_and_function() -> None:
    assert scenarios.is_custom("own_world:counter")
    assert not scenarios.is_custom("neom:quick-flip")
    assert not scenarios.is_custom("neom")
    assert isinstance(make_environment("own_world:counter", 5, {}), Counter)
    assert isinstance(make_environment("own_world:levels", 3, {}), Adapted)
    batch = make_scenario("own_world:counter", 5, {}, 2, batching="map")
    assert (batch.batching, batch.reset_kind, batch.pool_size) == ("map", "pool", 16)


@pytest.mark.usefixtures("own")
def test_own_scenarios_are_looked_at_in_a_team_of_another_size() -> None:
    assert check_scenario("own_world:counter", 3, {}) == []
    assert check_scenario("own_world:three", 3, {}) == [
        "space.num_agents is 3: it must be 7, the number of agents asked for"
    ]
    assert check_scenario("own_world:up_to_three", 3, {}) == []
    (line,) = check_scenario("own_world:only_three", 3, {})
    assert line.startswith("with 7 agents (also tried) it raised KeyError: 7; raise ValueError for a team size that")


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "own_world:three",
            "'own_world:three': it returned Counter: space.num_agents is 3: it must be 5, the number of agents asked",
        ),
        ("own_world:nothing", "it returned NoneType: it has no space"),
        ("own_world:other", "'own_world:other': module 'own_world' has no function 'other'"),
        ("nowhere:other", "'nowhere:other': there is no module 'nowhere'"),
        ("nowhere", f"scenario is 'nowhere': it must be one of {', '.join(scenarios.SCENARIOS)}, or module:function"),
    ],
)
def test_own_scenarios_that_are_not_there_or_are_none(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_environment(name, 5, {})


def test_a_task_for_one_number_of_agents() -> None:
    entry = scenarios.ScenarioEntry(
        name="x", summary="", factory="", config=object, tasks=("scaled", "con-5x5x3a"), min_agents=4, max_agents=8,
        fixed_agents=(("con-5x5x3a", 3),),
    )  # fmt: skip
    entry.check_agents("con-5x5x3a", 3)
    entry.check_agents("scaled", 4)
    with pytest.raises(ValueError, match="agents is 4: scenario x:con-5x5x3a takes exactly 3"):
        entry.check_agents("con-5x5x3a", 4)
    with pytest.raises(ValueError, match="agents is 3: scenario x takes 4 to 8"):
        entry.check_agents("scaled", 3)


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_a_row_says_what_a_scenario_is(name: str) -> None:
    entry = scenarios.SCENARIOS[name]
    assert entry.observation
    assert entry.actions
    assert entry.scaling_rule
    scenario = make_scenario(name, max(entry.min_agents, 4), {}, 2)
    assert (scenario.batching, scenario.reset_kind) == (entry.batching, entry.reset)
    assert check(scenario.environment, max(entry.min_agents, 4), steps=4) == []
