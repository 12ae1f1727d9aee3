"""What each scenario costs at each number of agents: a batched step, a reset, memory; ours and the library's wrapper.

Every row is a process of its own. `step` is one step of all environments under random legal actions, in a scan; `reset`
one start of one environment in the making of a pool; `rise` how far that process's resident memory rose while it
stepped. With `--library`, the same world in Jumanji's `VmapAutoResetWrapper`, which resets every environment at every
step; its rows give no reset, because every step is one.

    python benchmarks/scenarios.py [--scenarios connector,lbf] [--agents 16,64,256,1024] [--library]
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

sys.path.pop(0)  # this file is not the package of its name

import scenarios
from scaleprof.launching import ALLOCATOR, child_environment
from scaleprof.probes import host

STEPS = 16
MB = 2**20


def measure(name: str, agents: int, envs: int, library: bool) -> dict[str, Any]:
    """In a child: the figures of one scenario at one size."""
    import jax
    import jax.numpy as jnp

    from sable.types import TrainState
    from scaleprof.measuring import time_alone
    from scaleprof.programs import random_play

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


def measure_library(name: str, agents: int, envs: int) -> dict[str, Any]:
    """The same environment in the library's vmapped wrapper with its auto-reset."""
    import jax
    import jax.numpy as jnp
    from jumanji.wrappers import VmapAutoResetWrapper

    from scaleprof.measuring import time_alone

    environment = scenarios.make_environment(name, agents, {})
    inner = getattr(environment, "environment", None)
    if inner is None:
        return {"step": None, "reset": None, "rise": None, "compile": None, "batching": "-", "pool": 0}
    wrapped = VmapAutoResetWrapper(inner)
    state, _ = jax.jit(wrapped.reset)(jax.random.split(jax.random.key(0), envs))
    shape, kind = inner.action_spec.shape, inner.action_spec.dtype
    action = jnp.zeros((envs, *shape), kind)

    def play(state: Any) -> Any:
        return jax.lax.scan(lambda s, _: (wrapped.step(s, action)[0], None), state, length=STEPS)[0]

    start = time.perf_counter()
    program = jax.jit(play).lower(state).compile()
    compile_seconds = time.perf_counter() - start
    host.release_free_memory()
    host.reset_peak()
    base = host.rss_bytes()
    step = statistics.median(time_alone(program, state)[1:]) / STEPS
    rise = (host.peak_rss_bytes() or 0) - base
    return {
        "step": step,
        "reset": None,
        "rise": rise,
        "compile": compile_seconds,
        "batching": "library",
        "pool": 0,
    }


def in_child(name: str, agents: int, options: argparse.Namespace, *, library: bool) -> dict[str, Any] | str:
    """The figures from a fresh process, or why there are none."""
    environment = {**os.environ, **child_environment("cpu"), **ALLOCATOR}
    command = [sys.executable, __file__, "--child", f"{name} {agents} {options.envs} {int(library)}"]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=options.timeout
        )
    except subprocess.TimeoutExpired:
        return f"over {options.timeout:g} s"
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip().splitlines() or ["died"])[-1][:60]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def line(name: str, agents: int, who: str, found: dict[str, Any] | str) -> str:
    """One row of the table."""
    head = f"{name:18s} {agents:6d} {who:8s}"
    if isinstance(found, str):
        return f"{head} {found}"
    if found["step"] is None:
        return f"{head} -"
    reset = "-" if found["reset"] is None else f"{found['reset'] * 1e3:9.2f}"
    return (
        f"{head} {found['step'] * 1e3:10.3f} {reset:>9s} {found['rise'] / MB:9.0f} {found['compile']:8.1f}  "
        f"{found['batching']}"
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", default=",".join(scenarios.SCENARIOS))
    parser.add_argument("--agents", default="16,64,256,1024")
    parser.add_argument("--envs", type=int, default=8)
    parser.add_argument("--timeout", type=float, default=120.0)
    parser.add_argument("--library", action="store_true")
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
