"""Does an environment keep `scenarios.wrappers.Environment`? One line for every defect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from sable.types import Observation, Space
from scenarios import is_own, make_environment, make_own
from scenarios.wrappers import EnvironmentStep

MOST_STEPS = 200
NEEDED = ("space", "episode_limit", "reset", "step")


def contract_defects(environment: Any, num_agents: int | None = None) -> list[str]:
    """What is wrong with its attributes and with the shapes of what it returns; nothing is computed.

    `num_agents` is what it was asked for.
    """
    missing = [
        f"it has no {name} (see scenarios.wrappers.Environment)" for name in NEEDED if not _has(environment, name)
    ]
    return missing or _size_defects(environment, num_agents) or list(_shape_defects(environment))


def play_defects(environment: Any, *, steps: int = 16, seed: int = 0) -> list[str]:
    """What goes wrong in `steps` timesteps of random legal actions, the first of each kind."""
    space, generator = environment.space, np.random.default_rng(seed)
    reset, step = jax.jit(environment.reset), jax.jit(environment.step)
    keys = iter(jax.random.split(jax.random.key(seed), 2 * steps + 1))
    found: dict[str, str] = {}
    try:
        state, observation = reset(next(keys), jnp.zeros(()))
        timestep = 0
        found |= _seen(observation, timestep)
        for _ in range(steps):
            result = step(state, random_actions(space, observation, generator), next(keys))
            timestep += 1
            found = _seen(result.observation, timestep) | _felt(result, timestep, environment.episode_limit) | found
            state, observation = result.state, result.observation
            if bool(result.ended):
                state, observation = reset(next(keys), jnp.zeros(()))
                timestep = 0
                found = _seen(observation, timestep) | found
    except Exception as error:  # Whatever an environment raises is a defect of it.
        found["raised"] = f"playing raised {_one_line(error)}"
    return list(found.values())


def check(environment: Any, num_agents: int | None = None, *, steps: int = 16, seed: int = 0) -> list[str]:
    """All defects, one line each; it is played only if its shapes are right."""
    return contract_defects(environment, num_agents) or play_defects(environment, steps=steps, seed=seed)


def check_scenario(name: str, num_agents: int, options: dict[str, Any]) -> list[str]:
    """All defects of the scenario `name`, which may be somebody's own, played beyond the end of an episode if that is
    near.

    Raises `ValueError` like `scenarios.make_environment`, and whatever a factory raises.
    """
    environment: Any = make_own(name, num_agents) if is_own(name) else make_environment(name, num_agents, options)
    defects = contract_defects(environment, num_agents)
    if is_own(name) and not defects:
        defects = list(_growth_defects(environment, make_own, name, 2 * num_agents + 1))
    return defects or play_defects(environment, steps=max(16, min(environment.episode_limit + 1, MOST_STEPS)))


def _growth_defects(environment: Any, make: Callable[[str, int], Any], name: str, num_agents: int) -> Iterator[str]:
    """What differs in a team of another size and must not; nothing where a ValueError refuses that size."""
    try:
        other = make(name, num_agents)
    except ValueError:
        return
    except Exception as error:
        yield (
            f"for {num_agents} agents, which were tried too, it raised {type(error).__name__}: {error}; "
            "a ValueError says that a size is not for it"
        )
        return
    if other.space.num_agents != num_agents:
        yield f"space.num_agents is {other.space.num_agents}: it was asked for {num_agents} agents"
    for field in ("features", "actions"):
        ours, theirs = getattr(environment.space, field), getattr(other.space, field)
        if ours != theirs:
            few, many = environment.space.num_agents, other.space.num_agents
            yield f"space.{field} is {ours} for {few} agents and {theirs} for {many}: it must be the same for all"


def _has(environment: Any, name: str) -> bool:
    return hasattr(environment, name) and (name not in ("reset", "step") or callable(getattr(environment, name)))


def _size_defects(environment: Any, num_agents: int | None) -> list[str]:
    space = environment.space
    if not isinstance(space, Space):
        return [f"space is a {type(space).__name__}: it must be a sable.types.Space"]
    sizes = {f"space.{name}": getattr(space, name) for name in ("num_agents", "features", "actions")}
    sizes["episode_limit"] = environment.episode_limit
    wrong = [
        f"{name} is {size!r}: it must be a whole number of at least 1"
        for name, size in sizes.items()
        if not isinstance(size, (int, np.integer)) or size < 1
    ]
    if num_agents is not None and space.num_agents != num_agents:
        wrong.append(f"space.num_agents is {space.num_agents}: it was asked for {num_agents} agents")
    return wrong


def _shape_defects(environment: Any) -> Iterator[str]:
    space: Space = environment.space
    N, A = space.num_agents, space.actions
    key = jax.eval_shape(lambda: jax.random.key(0))
    started: Any
    try:
        started = jax.eval_shape(environment.reset, key, jax.ShapeDtypeStruct((), jnp.float32))
    except Exception as error:
        yield f"reset raised {_one_line(error)}"
        return
    if not isinstance(started, tuple) or len(started) != 2:
        yield f"reset returns a {type(started).__name__}: it must be (state, observation)"
        return
    yield from _observation_defects("reset", started[1], space)
    shape, dtype = ((N, A), jnp.float32) if space.continuous else ((N,), jnp.int32)
    try:
        step = jax.eval_shape(environment.step, started[0], jax.ShapeDtypeStruct(shape, dtype), key)
    except Exception as error:
        yield f"step raised {_one_line(error)}"
        return
    if not isinstance(step, EnvironmentStep):
        yield f"step returns a {type(step).__name__}: it must be a scenarios.wrappers.EnvironmentStep"
        return
    yield from _observation_defects("step", step.observation, space)
    yield from _wrong("step's reward", step.reward, (N,), "float32")
    yield from _wrong("step's discount", step.discount, (), "float32")
    yield from _wrong("step's ended", step.ended, (), "bool")
    yield from _state_defects(started[0], step.state)


def _observation_defects(where: str, observation: Any, space: Space) -> Iterator[str]:
    if not isinstance(observation, Observation):
        yield f"{where}'s observation is a {type(observation).__name__}: it must be a sable.types.Observation"
        return
    yield from _wrong(f"{where}'s features", observation.features, (space.num_agents, space.features), "float32")
    yield from _wrong(f"{where}'s action_mask", observation.action_mask, (space.num_agents, space.actions), "bool")
    yield from _wrong(f"{where}'s step_count", observation.step_count, (), "int32")


def _wrong(what: str, array: Any, shape: tuple[int, ...], dtype: str) -> Iterator[str]:
    right = f"{dtype}{list(shape)}"
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        yield f"{what} is a {type(array).__name__}: it must be {right}"
    elif _described(array) != right:
        yield f"{what} is {_described(array)}: it must be {right}"


def _state_defects(before: PyTree[Any], after: PyTree[Any]) -> Iterator[str]:
    """A scan steps the environment: its state must keep its structure and types."""
    structures: list[Any] = [jax.tree.structure(before), jax.tree.structure(after)]
    if structures[0] != structures[1]:
        yield "step's state is built otherwise than reset's: both must have the same fields"
        return
    for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True):
        if _described(old) != _described(new):
            name = f"step's state{jax.tree_util.keystr(path)}"
            yield f"{name} is {_described(new)}: it must be {_described(old)}, as reset's"


def _seen(observation: Observation, timestep: int) -> dict[str, str]:
    """Defects of the values of one observation, by kind."""
    found = {}
    blocked = ~np.asarray(observation.action_mask).any(axis=-1)
    if blocked.any():
        found["mask"] = f"timestep {timestep}: agent {blocked.argmax()} has no legal action: at least one must be"
    features = np.asarray(observation.features)
    if not np.isfinite(features).all():
        agent, feature = np.argwhere(~np.isfinite(features))[0]
        value = features[agent, feature]
        found["features"] = f"timestep {timestep}: feature {feature} of agent {agent} is {value}: it must be finite"
    if int(observation.step_count) != timestep:
        found["step_count"] = (
            f"timestep {timestep}: step_count is {observation.step_count}: it counts an episode's from 0"
        )
    return found


def _felt(step: EnvironmentStep, timestep: int, episode_limit: int) -> dict[str, str]:
    """Defects of the values of one step's reward and end, by kind."""
    found = {}
    reward, discount, ended = np.asarray(step.reward), float(step.discount), bool(step.ended)
    if not np.isfinite(reward).all():
        agent = int((~np.isfinite(reward)).argmax())
        found["reward"] = f"timestep {timestep}: reward of agent {agent} is {reward[agent]}: it must be finite"
    if discount not in (0.0, 1.0) or (discount == 0.0 and not ended):
        right = "0 (a termination) or 1" if ended else "1 before the end"
        found["discount"] = f"timestep {timestep}: discount is {discount:g}: it must be {right}"
    if timestep >= episode_limit and not ended:
        found["limit"] = f"timestep {timestep}: the episode goes on: it must end at episode_limit, {episode_limit}"
    return found


def random_actions(space: Space, observation: Observation, generator: np.random.Generator) -> jax.Array:
    """Any legal action of every agent (any at all where none is)."""
    noise = generator.random((space.num_agents, space.actions), dtype=np.float32)
    if space.continuous:
        return jnp.asarray(2.0 * noise - 1.0)
    return jnp.asarray(np.where(observation.action_mask, noise, -1.0).argmax(axis=-1), dtype=jnp.int32)


def _described(array: Any) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
