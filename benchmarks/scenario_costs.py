"""Measure what each scenario costs per number of agents: a batched step, a reset, memory; also Jumanji's own wrapper.

Every row is a process of its own. `step` is one step of all environments in a scan, under random legal actions;
`reset` is the time per start when a pool is made; `rise` is the rise of the process's resident memory while it stepped.
With `--library`, Jumanji's own environment of the same size, with its own observer and generator, runs in its
`VmapAutoResetWrapper`. That resets every environment at every step, so its rows have no separate reset.

    python benchmarks/scenario_costs.py [--scenarios connector,lbf] [--agents 16,64,256,1024] [--library]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import scenarios
from scaleprof.launch.local import ALLOCATOR, child_variables
from scaleprof.probes import host

STEPS = 16
MB = 2**20


def measure(name: str, agents: int, envs: int, library: bool) -> dict[str, Any]:
    """In a child: measure one scenario at one size."""
    import jax
    import jax.numpy as jnp

    from sable.types import TrainState
    from scaleprof.worker.measuring import time_alone
    from scaleprof.worker.programs import random_play

    if library:
        return measure_library(name, agents, envs)
    scenario = scenarios.make_scenario(name, agents, {}, envs)

    def init(key: jax.Array) -> TrainState:
        env_state, observation = scenario.reset(key)
        return TrainState((), (), env_state, observation, jnp.ones(envs, dtype=bool), (), key)

    started = jax.jit(init).lower(jax.random.key(0)).compile()
    state = jax.block_until_ready(started(jax.random.key(0)))
    play = jax.jit(lambda state: random_play(scenario, STEPS, state))
    start = time.perf_counter()
    program = play.lower(state).compile()
    compile_seconds = time.perf_counter() - start
    host.release_free_memory()
    host.reset_peak()
    base = host.rss_bytes()
    step = statistics.median(time_alone(program, state)[1:]) / STEPS
    rise = (host.peak_rss_bytes() or 0) - base
    refresh = jax.jit(scenario.refresh).lower(state.env_state, state.key).compile()
    again = time_alone(lambda state: refresh(state.env_state, state.key), state)[1:] if scenario.pool_size else []
    reset = statistics.median(again) / scenario.pool_size if again else None
    return {
        "step": step,
        "reset": reset,
        "rise": rise,
        "compile": compile_seconds,
        "batching": scenario.batching,
        "pool": scenario.pool_size,
    }


def library_environment(name: str, agents: int) -> Any:
    """Jumanji's own environment, unchanged, of the same size as ours."""
    from jumanji.environments import Cleaner, Connector, LevelBasedForaging, RobotWarehouse, SearchAndRescue
    from jumanji.environments.routing import cleaner, connector, lbf
    from jumanji.environments.swarms.search_and_rescue.generator import RandomGenerator as Fields
    from jumanji.environments.swarms.search_and_rescue.observations import AgentAndTargetObservationFn

    from scenarios import search_rescue as search

    ours: Any = scenarios.make_environment(name, agents, {})
    inner = ours.environment
    if name == "connector":
        generator = connector.generator.RandomWalkGenerator(inner._generator.grid_size, agents)
        return Connector(generator, time_limit=inner.time_limit)
    if name == "lbf":
        foods = lbf.generator.RandomGenerator(inner.grid_size, agents, inner.num_food, inner.fov)
        return LevelBasedForaging(foods, time_limit=inner.time_limit, grid_observation=True)
    if name == "cleaner":
        side = inner.num_rows
        return Cleaner(cleaner.generator.RandomGenerator(side, side, agents), time_limit=inner.time_limit)
    if name == "rware":
        return RobotWarehouse(inner._generator, time_limit=inner.time_limit)
    side = search.field_side(agents)
    view = AgentAndTargetObservationFn(
        search.RAYS, search.AGENT_SIGHT, search.TARGET_SIGHT, search.VIEW_ANGLE, search.CONTACT, side
    )
    return SearchAndRescue(
        target_contact_range=search.CONTACT,
        time_limit=inner.time_limit,
        generator=Fields(num_searchers=agents, num_targets=agents, env_size=side),
        observation=view,
    )


def measure_library(name: str, agents: int, envs: int) -> dict[str, Any]:
    """Measure the library's environment in its auto-reset wrapper, observations included."""
    import jax
    from jumanji.wrappers import VmapAutoResetWrapper

    from scaleprof.worker.measuring import time_alone

    inner = library_environment(name, agents)
    wrapped = VmapAutoResetWrapper(inner)
    start = time.perf_counter()
    begin = jax.jit(wrapped.reset).lower(jax.random.split(jax.random.key(0), envs)).compile()
    state, timestep = begin(jax.random.split(jax.random.key(0), envs))
    spec = inner.action_spec

    def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
        if jax.numpy.issubdtype(spec.dtype, jax.numpy.floating):
            action = jax.random.uniform(key, (envs, *spec.shape), spec.dtype, -1.0, 1.0)
        else:
            action = jax.random.randint(key, (envs, *spec.shape), 0, spec.num_values, spec.dtype)
        state, timestep = wrapped.step(carry[0], action)
        return (state, timestep.observation), None

    def play(carry: Any) -> Any:
        return jax.lax.scan(step, carry, jax.random.split(jax.random.key(1), STEPS))[0]

    carry = (state, timestep.observation)
    program = jax.jit(play).lower(carry).compile()
    compile_seconds = time.perf_counter() - start
    host.release_free_memory()
    host.reset_peak()
    base = host.rss_bytes()
    step_seconds = statistics.median(time_alone(program, carry)[1:]) / STEPS
    rise = (host.peak_rss_bytes() or 0) - base
    return {
        "step": step_seconds,
        "reset": None,
        "rise": rise,
        "compile": compile_seconds,
        "batching": "library",
        "pool": 0,
    }


def in_child(name: str, agents: int, options: argparse.Namespace, *, library: bool) -> dict[str, Any] | str:
    """The figures from a fresh process, or the reason for having none."""
    variables = {**os.environ, **child_variables("cpu"), **ALLOCATOR}
    command = [sys.executable, __file__, "--child", f"{name} {agents} {options.envs} {int(library)}"]
    try:
        done = subprocess.run(
            command, env=variables, capture_output=True, text=True, check=True, timeout=options.timeout
        )
    except subprocess.TimeoutExpired:
        return f"over {options.timeout:g} s"
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip().splitlines() or [f"ended with {error.returncode}"])[-1][:60]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def line(name: str, agents: int, who: str, found: dict[str, Any] | str) -> str:
    """One row of the table."""
    head = f"{name:18s} {agents:6d} {who:8s}"
    if isinstance(found, str):
        return f"{head} {found}"
    reset = "-" if found["reset"] is None else f"{found['reset'] * 1e3:9.2f}"
    return (
        f"{head} {found['step'] * 1e3:10.3f} {reset:>9s} {found['rise'] / MB:9.0f} {found['compile']:8.1f}  "
        f"{found['batching']}"
    )


def main() -> int:
    """Print a row per scenario and number of agents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", default=",".join(scenarios.SCENARIOS), help="scenarios, as a list")
    parser.add_argument("--agents", default="16,64,256,1024", help="agent counts, as a list")
    parser.add_argument("--envs", type=int, default=8, help="environments stepped together")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds per row")
    parser.add_argument("--library", action="store_true", help="also measure Jumanji's own environments")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, agents, envs, library = options.child.split()
        print(json.dumps(measure(name, int(agents), int(envs), library == "1")))
        return 0
    print(
        f"{'scenario':18s} {'agents':>6s} {'':8s} {'step ms':>10s} {'reset ms':>9s} {'rise MiB':>9s} {'compile s':>8s}"
    )
    for name in options.scenarios.split(","):
        entry = scenarios.find(name)
        for agents in (int(part) for part in options.agents.split(",")):
            if not entry.min_agents <= agents <= entry.max_agents:
                continue
            print(line(name, agents, "ours", in_child(name, agents, options, library=False)), flush=True)
            if options.library and name not in ("neom", "pattern-memory", "turn-taking"):
                print(line(name, agents, "library", in_child(name, agents, options, library=True)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
