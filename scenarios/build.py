"""Builds the environments of a scenario by its name. jax is imported only when something is built."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scenarios.registry import find, is_custom, resolve

if TYPE_CHECKING:
    from scenarios.wrappers import Batched, Environment


def make_environment(name: str, num_agents: int, options: dict[str, Any]) -> Environment:
    """Build one environment of a scenario given as `name`, `name:task` or "module:function".

    A custom function is called with the number of agents. It returns a `scenarios.wrappers.Environment` or a Jumanji
    environment, which `scenarios.jumanji_adapter` adapts.

    Raises `ValueError` for an unknown name, for a number of agents or an option out of range, for a function that does
    not exist, and for a returned object that breaks the protocol.
    """
    entry, config = resolve(name, options)
    entry.check_agents(getattr(config, "task", ""), num_agents)
    if not is_custom(name):
        environment: Environment = _factory(entry.factory)(num_agents, config)
        return environment
    from scenarios.contract import contract_defects

    made = make_custom(name, num_agents)
    defects = contract_defects(made, num_agents)
    if defects:
        raise ValueError(f"scenario is {name!r}: it returned {type(made).__name__}: {'; '.join(defects)}")
    custom: Environment = made
    return custom


def make_custom(name: str, num_agents: int) -> Any:
    """The unchecked result of the function "module:function", adapted if it is a Jumanji environment.

    Raises `ValueError` for a function that does not exist, and anything that the function or the adapter raises.
    """
    from scenarios.jumanji_adapter import Adapted, is_jumanji

    made = _factory(name)(num_agents)
    return Adapted(made) if is_jumanji(made) else made


def make_scenario(
    name: str,
    num_agents: int,
    options: dict[str, Any],
    envs: int,
    *,
    batching: str | None = None,
    reset: str | None = None,
    pool_size: int | None = None,
) -> Batched:
    """A batch of B environments of the scenario `name`; its registry row gives the default `batching` and `reset`.

    Raises `ValueError` like `make_environment` and `scenarios.wrappers.Batched`.
    """
    from scenarios.wrappers import Batched

    entry = find(name)
    environment = make_environment(name, num_agents, options)
    return Batched(
        environment,
        envs,
        batching=batching or entry.batching,
        reset=reset or entry.reset,
        pool_size=pool_size,
    )


def _factory(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise
        raise ValueError(f"scenario is {name!r}: there is no module {error.name!r}") from None
    factory = getattr(found, function, None)
    if not callable(factory):
        raise ValueError(f"scenario is {name!r}: module {module!r} has no function {function!r}")
    made: Callable[..., Any] = factory
    return made
