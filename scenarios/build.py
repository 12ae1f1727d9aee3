"""From a scenario's name to its environments. jax is imported where something is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios.wrappers import Batched, Environment

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scenarios.registry import find, is_custom, resolve


def make_environment(name: str, num_agents: int, options: dict[str, Any]) -> Environment:
    """Build one environment of the scenario `name`, which is `name`, `name:task` or "module:function".

    A function of somebody's own is called with the number of agents. It returns an object that keeps
    `scenarios.wrappers.Environment`, or an environment of Jumanji's, which `scenarios.jumanji_adapter` adapts.

    Raises `ValueError` for an unknown name, a number of agents out of the scenario's range, an option out of range, a
    function that is not there, and for what it returned if that breaks the protocol.
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
        raise ValueError(f"scenario is {name!r}: it returned a {type(made).__name__}: {'; '.join(defects)}")
    own: Environment = made
    return own


def make_custom(name: str, num_agents: int) -> Any:
    """What the function "module:function" returns, adapted if it is one of Jumanji's environments, and not checked.

    Raises `ValueError` for a function that is not there, and what the function or the adapter raises.
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
    """B environments of the scenario `name`, batched and reset as its row says unless told otherwise.

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
