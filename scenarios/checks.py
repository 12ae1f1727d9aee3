"""Checks of an environment against `scenarios.wrappers.Environment`: one line per defect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sable.types import Observation, Space
from scenarios.build import make_custom, make_environment
from scenarios.contract import _one_line, contract_defects
from scenarios.registry import is_custom
from scenarios.wrappers import EnvironmentStep

MOST_STEPS = 200


def play_defects(environment: Any, *, steps: int = 16, seed: int = 0) -> list[str]:
    """Defects found in `steps` timesteps of random legal actions, the first of each kind."""
    space, generator = environment.space, np.random.default_rng(seed)
    reset, step = jax.jit(environment.reset), jax.jit(environment.step)
    keys = iter(jax.random.split(jax.random.key(seed), 2 * steps + 1))
    found: dict[str, str] = {}
    try:
        state, observation = reset(next(keys), jnp.zeros(()))
        timestep = 0
        found |= observation_defects(observation, timestep)
        for _ in range(steps):
            result = step(state, random_actions(space, observation, generator), next(keys))
            timestep += 1
            found = (
                observation_defects(result.observation, timestep)
                | step_defects(result, timestep, environment.episode_limit)
                | found
            )
            state, observation = result.state, result.observation
            if bool(result.ended):
                state, observation = reset(next(keys), jnp.zeros(()))
                timestep = 0
                found = observation_defects(observation, timestep) | found
    except Exception as error:  # Anything that an environment raises is its defect.
        found["raised"] = f"playing raised {_one_line(error)}"
    return list(found.values())


def check(environment: Any, num_agents: int | None = None, *, steps: int = 16, seed: int = 0) -> list[str]:
    """All defects, one line each; the environment is played only if its shapes are right."""
    return contract_defects(environment, num_agents) or play_defects(environment, steps=steps, seed=seed)


def check_scenario(name: str, num_agents: int, options: dict[str, Any]) -> list[str]:
    """All defects of the scenario `name`, registered or custom, played past the end of a short episode.

    Raises `ValueError` like `scenarios.make_environment`, and anything that a factory raises.
    """
    environment: Any = make_custom(name, num_agents) if is_custom(name) else make_environment(name, num_agents, options)
    defects = contract_defects(environment, num_agents)
    if is_custom(name) and not defects:
        defects = list(_growth_defects(environment, make_custom, name, 2 * num_agents + 1))
    return defects or play_defects(environment, steps=max(16, min(environment.episode_limit + 1, MOST_STEPS)))


def _growth_defects(environment: Any, make: Callable[[str, int], Any], name: str, num_agents: int) -> Iterator[str]:
    """Defects that show in a team of another size; none if a `ValueError` refuses that size."""
    try:
        other = make(name, num_agents)
    except ValueError:
        return
    except Exception as error:
        yield (
            f"with {num_agents} agents (also tried) it raised {type(error).__name__}: {error}; "
            "raise ValueError for a team size that is not supported"
        )
        return
    if other.space.num_agents != num_agents:
        yield f"space.num_agents is {other.space.num_agents}: it must be {num_agents}, the number of agents asked for"
    for field in ("features", "actions"):
        ours, theirs = getattr(environment.space, field), getattr(other.space, field)
        if ours != theirs:
            sizes = f"{ours} for {environment.space.num_agents} agents and {theirs} for {other.space.num_agents}"
            yield f"space.{field} is {sizes}: it must be the same for every team size"


def observation_defects(observation: Observation, timestep: int) -> dict[str, str]:
    """Defects in the values of one observation, by kind."""
    found = {}
    blocked = ~np.asarray(observation.action_mask).any(axis=-1)
    if blocked.any():
        found["mask"] = f"timestep {timestep}: agent {blocked.argmax()} has no legal action: it needs at least one"
    features = np.asarray(observation.features)
    if not np.isfinite(features).all():
        agent, feature = np.argwhere(~np.isfinite(features))[0]
        value = features[agent, feature]
        found["features"] = f"timestep {timestep}: feature {feature} of agent {agent} is {value}: it must be finite"
    if int(observation.step_count) != timestep:
        found["step_count"] = (
            f"timestep {timestep}: step_count is {observation.step_count}: it must count the episode's timesteps from 0"
        )
    return found


def step_defects(step: EnvironmentStep, timestep: int, episode_limit: int) -> dict[str, str]:
    """Defects in the reward and end of one step, by kind."""
    found = {}
    reward, discount, ended = np.asarray(step.reward), float(step.discount), bool(step.ended)
    if not np.isfinite(reward).all():
        agent = int((~np.isfinite(reward)).argmax())
        found["reward"] = f"timestep {timestep}: reward of agent {agent} is {reward[agent]}: it must be finite"
    if discount not in (0.0, 1.0) or (discount == 0.0 and not ended):
        right = "0 (termination) or 1" if ended else "1 until the episode ends"
        found["discount"] = f"timestep {timestep}: discount is {discount:g}: it must be {right}"
    if timestep >= episode_limit and not ended:
        found["limit"] = (
            f"timestep {timestep}: the episode has not ended: it must end by episode_limit ({episode_limit})"
        )
    return found


def random_actions(space: Space, observation: Observation, generator: np.random.Generator) -> jax.Array:
    """A random legal action of every agent (any action if none is legal)."""
    noise = generator.random((space.num_agents, space.actions), dtype=np.float32)
    if space.continuous:
        return jnp.asarray(2.0 * noise - 1.0)
    return jnp.asarray(np.where(observation.action_mask, noise, -1.0).argmax(axis=-1), dtype=jnp.int32)
