"""Checks of an environment's attributes and shapes; nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from sable.types import Observation, Space
from scenarios.wrappers import EnvironmentStep

NEEDED = ("space", "episode_limit", "reset", "step")


def contract_defects(environment: Any, num_agents: int | None = None) -> list[str]:
    """Defects in its attributes and in the shapes of what it returns; nothing is computed.

    `num_agents` is the number of agents it was asked for.
    """
    missing = [
        f"it has no {name} (see scenarios.wrappers.Environment)" for name in NEEDED if not _has(environment, name)
    ]
    return missing or _size_defects(environment, num_agents) or list(_shape_defects(environment))


def _has(environment: Any, name: str) -> bool:
    return hasattr(environment, name) and (name not in ("reset", "step") or callable(getattr(environment, name)))


def _size_defects(environment: Any, num_agents: int | None) -> list[str]:
    space = environment.space
    if not isinstance(space, Space):
        return [f"space is {type(space).__name__}: it must be sable.types.Space"]
    sizes = {f"space.{name}": getattr(space, name) for name in ("num_agents", "features", "actions")}
    sizes["episode_limit"] = environment.episode_limit
    wrong = [
        f"{name} is {size!r}: it must be a whole number of at least 1"
        for name, size in sizes.items()
        if not isinstance(size, (int, np.integer)) or size < 1
    ]
    if num_agents is not None and space.num_agents != num_agents:
        wrong.append(f"space.num_agents is {space.num_agents}: it must be {num_agents}, the number of agents asked for")
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
        yield f"reset returns {type(started).__name__}: it must return (state, observation)"
        return
    yield from _observation_defects("reset", started[1], space)
    shape, dtype = ((N, A), jnp.float32) if space.continuous else ((N,), jnp.int32)
    try:
        step = jax.eval_shape(environment.step, started[0], jax.ShapeDtypeStruct(shape, dtype), key)
    except Exception as error:
        yield f"step raised {_one_line(error)}"
        return
    if not isinstance(step, EnvironmentStep):
        yield f"step returns {type(step).__name__}: it must return scenarios.wrappers.EnvironmentStep"
        return
    yield from _observation_defects("step", step.observation, space)
    yield from _wrong("step's reward", step.reward, (N,), "float32")
    yield from _wrong("step's discount", step.discount, (), "float32")
    yield from _wrong("step's ended", step.ended, (), "bool")
    yield from _state_defects(started[0], step.state)


def _observation_defects(where: str, observation: Any, space: Space) -> Iterator[str]:
    if not isinstance(observation, Observation):
        yield f"{where}'s observation is {type(observation).__name__}: it must be sable.types.Observation"
        return
    yield from _wrong(f"{where}'s features", observation.features, (space.num_agents, space.features), "float32")
    yield from _wrong(f"{where}'s action_mask", observation.action_mask, (space.num_agents, space.actions), "bool")
    yield from _wrong(f"{where}'s step_count", observation.step_count, (), "int32")


def _wrong(what: str, array: Any, shape: tuple[int, ...], dtype: str) -> Iterator[str]:
    right = f"{dtype}{list(shape)}"
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        yield f"{what} is {type(array).__name__}: it must be {right}"
    elif _described(array) != right:
        yield f"{what} is {_described(array)}: it must be {right}"


def _state_defects(before: PyTree[Any], after: PyTree[Any]) -> Iterator[str]:
    """The environment is stepped in a scan: its state must keep its structure, shapes and dtypes."""
    structures: list[Any] = [jax.tree.structure(before), jax.tree.structure(after)]
    if structures[0] != structures[1]:
        yield "step's state has another structure than reset's: both must have the same fields"
        return
    for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True):
        if _described(old) != _described(new):
            name = f"step's state{jax.tree_util.keystr(path)}"
            yield f"{name} is {_described(new)}: it must be {_described(old)}, as in reset's state"


def _described(array: Any) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
