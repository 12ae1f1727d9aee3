"""Environments that misbehave, each in its own way: `neom` with a fault at its reset or at one of its steps.

`install` puts them into the registry; processes of the real command line do so through a `sitecustomize.py`.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAULTS = (
    "allocates",
    "allocates-on-host",
    "hangs",
    "raises-in-reset",
    "raises-in-step",
    "aborts",
    "ignores-sigterm",
    "nan-in-passing",
)


def install() -> None:
    """Register one scenario per fault."""
    import scenarios

    neom = scenarios.SCENARIOS["neom"]
    for fault in FAULTS:
        factory = f"faulty_scenarios:{fault.replace('-', '_')}"
        scenarios.SCENARIOS[fault] = dataclasses.replace(neom, name=fault, factory=factory)


def install_from(folder: Path) -> None:
    """Make `folder`, from which every Python process with it on its path knows these scenarios."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import faulty_scenarios\nfaulty_scenarios.install()\n")


class Faulty:
    """`neom`, with something happening on the host before each step."""

    def __init__(self, num_agents: int, config: Any, before_step: Callable[[], None]) -> None:
        from scenarios.neom import make

        self._neom = make(num_agents, config)
        self._before_step = before_step
        self.space, self.episode_limit = self._neom.space, self._neom.episode_limit

    def reset(self, key: Any, elapsed: Any) -> Any:
        return self._neom.reset(key, elapsed)

    def step(self, state: Any, actions: Any, key: Any) -> Any:
        import jax
        import jax.numpy as jnp

        def happens(count: Any) -> Any:
            self._before_step()
            return count

        count = jax.pure_callback(
            happens, jax.ShapeDtypeStruct((), jnp.int32), state.step_count, vmap_method="sequential"
        )
        return self._neom.step(state._replace(step_count=count), actions, key)


def allocates(num_agents: int, config: Any) -> Any:
    """Holds 40 GB in every step: XLA knows."""
    import jax.numpy as jnp

    environment = Faulty(num_agents, config, lambda: None)
    step = environment._neom.step

    def sorted_step(state: Any, actions: Any, key: Any) -> Any:
        large = jnp.sort(jnp.arange(10_000_000_000, dtype=jnp.float32) * state.step_count)  # a sort is never fused away
        return step(state._replace(step_count=large[0].astype(jnp.int32)), actions, key)

    environment.step = sorted_step  # type: ignore[method-assign]
    return environment


def allocates_on_host(num_agents: int, config: Any) -> Any:
    """Keeps 100 MB more at every step, outside XLA."""
    kept: list[bytearray] = []
    return Faulty(num_agents, config, lambda: kept.append(bytearray(100 * 2**20)))


def hangs(num_agents: int, config: Any) -> Any:
    return Faulty(num_agents, config, lambda: time.sleep(600))


def raises_in_reset(num_agents: int, config: Any) -> Any:
    environment = Faulty(num_agents, config, lambda: None)

    def reset(key: Any, elapsed: Any) -> Any:
        raise ValueError("no board today")

    environment.reset = reset  # type: ignore[method-assign]
    return environment


def raises_in_step(num_agents: int, config: Any) -> Any:
    def fails() -> None:
        raise ValueError("the board broke")

    return Faulty(num_agents, config, fails)


def aborts(num_agents: int, config: Any) -> Any:
    return Faulty(num_agents, config, os.abort)


def ignores_sigterm(num_agents: int, config: Any) -> Any:
    """Blocks in a step, having asked the kernel not to be told to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return Faulty(num_agents, config, lambda: time.sleep(600))


def nan_in_passing(num_agents: int, config: Any) -> Any:
    """Gives agent 0 no number for a reward at every fourth timestep of an episode, which no later state shows.

    Every fourth, so that the shortest of runs reaches one, wherever in its episode an environment starts.
    """
    import jax.numpy as jnp

    environment = Faulty(num_agents, config, lambda: None)
    step = environment._neom.step

    def spoilt_step(state: Any, actions: Any, key: Any) -> Any:
        result = step(state, actions, key)
        return result._replace(reward=result.reward.at[0].add(jnp.where(state.step_count % 4 == 3, jnp.nan, 0.0)))

    environment.step = spoilt_step  # type: ignore[method-assign]
    return environment
