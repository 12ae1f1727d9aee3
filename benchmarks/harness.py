"""Shared by the model benchmarks: compile and time act and learn at many sizes, on a few cores."""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Row:
    """One model in one mode at one size. `None` means not measured."""

    model: str
    mode: str
    agents: int
    seq_len: int
    envs: int
    act_compile_seconds: float
    act_seconds: float | None
    learn_compile_seconds: float
    learn_seconds: float | None
    learn_temp_bytes: int
    learn_gflops: float | None


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all tables share."""
    parser.add_argument("--seq-len", default="16", help="timesteps, as a list")
    parser.add_argument("--envs", type=int, default=16, help="environments in the batch")
    parser.add_argument("--accumulate", type=int, default=0, help="gradient groups; 0 chooses by size (auto)")
    parser.add_argument("--segment", type=int, default=0, help="segment length; 0 chooses by size (auto)")
    parser.add_argument("--remat", action="store_true", help="recompute activations in the backward pass")
    parser.add_argument("--acting", default="sequential", help="sequential or fixed_point")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of learn; act has four times as many")
    parser.add_argument("--cores", type=int, default=1, help="cores to pin the process to")
    parser.add_argument("--memory-gib", type=float, default=8.0, help="do not run programs that need more")
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")


def run_table(variants: list[tuple[str, str]], options: argparse.Namespace) -> int:
    """Measure every (model, mode) at every size; print a line for each, then the exponents."""
    os.sched_setaffinity(0, set(range(options.cores)))
    rate = matmul_rate()
    print(f"matrix-product rate: {rate / 1e9:.0f} GFLOP/s on {options.cores} core(s)")
    rows = []
    for model, mode in variants:
        for seq_len in numbers(options.seq_len):
            for agents in numbers(options.agents):
                row = measure(model, mode, agents, seq_len, options)
                rows.append(row)
                print(line(row, rate), flush=True)
    for text in exponents(rows):
        print(text)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            json.dump({"matmul_flops_per_second": rate, "rows": [asdict(row) for row in rows]}, stream, indent=2)
    return 0


def numbers(text: str) -> list[int]:
    """Parse a comma-separated list of integers."""
    return [int(part) for part in text.split(",")]


def measure(model: str, mode: str, agents: int, seq_len: int, options: argparse.Namespace) -> Row:
    """Compile and time act and learn (one value-and-gradient) of one model at one size."""
    import jax

    from sable.config import ModelConfig, PPOConfig
    from sable.models import build_policy
    from sable.training import ppo
    from sable.types import Space

    space = Space(agents, 32, 5)
    sizes = {"blocks": 2, "remat": options.remat, "segment": options.segment, "acting": options.acting}
    policy = build_policy(ModelConfig(model=model, mode=mode, **sizes), space)
    config = PPOConfig(seq_len=seq_len, envs=options.envs, minibatches=1, accumulate=options.accumulate)
    params = jax.jit(policy.init)(jax.random.key(0))
    batch = jax.jit(partial(random_batch, policy, space, seq_len, options.envs))(jax.random.key(1))
    learn, learn_compile = compiled(partial(ppo.gradients, policy, config), params, batch)
    temp = int(learn.memory_analysis().temp_size_in_bytes)
    observation = jax.tree.map(lambda x: x[:, 0], batch.observation)
    acting = (params, observation, batch.resets[:, 0], batch.carry, jax.random.key(2))
    act, act_compile = compiled(policy.act, *acting)
    fits = temp < options.memory_gib * 2**30
    learn_seconds = timed(learn, (params, batch), options.repeats) if fits else None
    flops = learn_flops(params, space, seq_len, options.envs)
    return Row(
        model=model,
        mode=mode,
        agents=agents,
        seq_len=seq_len,
        envs=options.envs,
        act_compile_seconds=act_compile,
        act_seconds=timed(act, acting, 4 * options.repeats),
        learn_compile_seconds=learn_compile,
        learn_seconds=learn_seconds,
        learn_temp_bytes=temp,
        learn_gflops=None if learn_seconds is None else flops / learn_seconds / 1e9,
    )


def random_batch(policy: Any, space: Any, seq_len: int, envs: int, key: Any) -> Any:
    """A random minibatch without episode ends."""
    import jax
    import jax.numpy as jnp

    from sable.training.ppo import Batch
    from sable.types import Observation

    keys = jax.random.split(key, 5)
    shape = (envs, seq_len, space.num_agents)
    observation = Observation(
        features=jax.random.normal(keys[0], (*shape, space.features)),
        action_mask=jnp.ones((*shape, space.actions), dtype=bool),
        step_count=jnp.broadcast_to(jnp.arange(seq_len), shape[:2]),
    )
    return Batch(
        observation=observation,
        actions=jax.random.randint(keys[1], shape, 0, space.actions),
        resets=jnp.zeros(shape[:2], dtype=bool),
        old_log_prob=jnp.full(shape, -math.log(space.actions)),
        old_value=jax.random.normal(keys[2], shape),
        advantages=jax.random.normal(keys[3], shape),
        targets=jax.random.normal(keys[4], shape),
        carry=policy.init_carry(envs),
    )


def compiled(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """The compiled function, and the seconds for tracing, lowering and compiling."""
    import jax

    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    return program, time.perf_counter() - start


def timed(program: Callable[..., Any], arguments: tuple[Any, ...], repeats: int) -> float:
    """Median wall time in seconds, after two discarded calls."""
    import jax

    seconds = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > 30 and len(seconds) >= 3:
            break
    return statistics.median(seconds[2:])


def learn_flops(params: Any, space: Any, seq_len: int, envs: int) -> float:
    """FLOPs of the layers' matrices: 2 per weight and token forward, twice that backward."""
    import jax

    weights = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params) if leaf.ndim == 2)
    return 6.0 * weights * envs * seq_len * space.num_agents


def matmul_rate() -> float:
    """FLOP/s of a large float32 matrix product on this process's cores."""
    import jax
    import jax.numpy as jnp

    size = 1536
    x = jnp.ones((size, size))
    product = jax.jit(lambda a, b: a @ b).lower(x, x).compile()
    return 2.0 * size**3 / timed(product, (x, x), 5)


def line(row: Row, rate: float) -> str:
    """One line of the table."""
    act = "-" if row.act_seconds is None else f"{row.act_seconds * 1e3:.1f}"
    learn = "does not fit" if row.learn_seconds is None else f"{row.learn_seconds * 1e3:.1f} ms"
    gflops = row.learn_gflops
    share = "" if gflops is None else f"{gflops:6.1f} GFLOP/s ({gflops * 1e9 / rate:4.0%})"
    return (
        f"{f'{row.model}:{row.mode}'.rstrip(':'):26s} N={row.agents:<5d} T={row.seq_len:<4d} "
        f"act {act:>9s} ms (compile {row.act_compile_seconds:4.1f} s)  "
        f"learn {learn:>12s} (compile {row.learn_compile_seconds:4.1f} s)  "
        f"{row.learn_temp_bytes / 2**20:9.1f} MiB  {share}"
    )


def exponents(rows: list[Row]) -> list[str]:
    """Log-log slopes of time and memory between the smallest and largest N and T, for each variant."""
    texts = []
    for axis, letter, other in (("agents", "N", "seq_len"), ("seq_len", "T", "agents")):
        series: dict[tuple[str, int], list[Row]] = {}
        for row in rows:
            series.setdefault((f"{row.model}:{row.mode}".rstrip(":"), getattr(row, other)), []).append(row)
        for (variant, fixed), alike in series.items():
            for name in ("act_seconds", "learn_seconds", "learn_temp_bytes"):
                known = [(getattr(row, axis), getattr(row, name)) for row in alike if getattr(row, name) is not None]
                if len(known) > 1:
                    (n0, v0), (n1, v1) = known[0], known[-1]
                    slope = math.log(v1 / v0) / math.log(n1 / n0)
                    texts.append(f"{variant} {other}={fixed}: {name} grows as {letter}^{slope:.2f} from {n0} to {n1}")
    return texts
