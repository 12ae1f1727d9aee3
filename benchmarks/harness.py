"""What the benchmarks of models share: a process on a few cores that compiles and times act and learn at many sizes."""

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
    """One model in one mode at one size. `None` is not measured."""

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
    """The options that every table has."""
    parser.add_argument("--seq-len", default="16")
    parser.add_argument("--envs", type=int, default=16)
    parser.add_argument("--accumulate", type=int, default=0, help="0 leaves it open, as in the trainer")
    parser.add_argument("--segment", type=int, default=0, help="0 leaves it open, as in the trainer")
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--acting", default="sequential")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--memory-gib", type=float, default=8.0, help="programs that need more are not run")
    parser.add_argument("--json", metavar="FILE")


def run_table(variants: list[tuple[str, str]], options: argparse.Namespace) -> int:
    """Measure every (model, mode) at every size, and print a line each and the exponents."""
    os.sched_setaffinity(0, set(range(options.cores)))
    rate = matmul_rate()
    print(f"measured matrix-product rate: {rate / 1e9:.0f} GFLOP/s on {options.cores} core(s)")
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
    """A list of whole numbers."""
    return [int(part) for part in text.split(",")]


def measure(model: str, mode: str, agents: int, seq_len: int, options: argparse.Namespace) -> Row:
    """Compile and time acting and one value-and-gradient of one model at one size."""
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
    """A minibatch of random numbers with no episode end in it."""
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
    """The compiled function, and what tracing, lowering and compiling took."""
    import jax

    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    return program, time.perf_counter() - start


def timed(program: Callable[..., Any], arguments: tuple[Any, ...], repeats: int) -> float:
    """Median wall time after two calls that are not counted."""
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
    """Arithmetic of the layers: 2 FLOPs per weight and token forward, twice that backward (matrices only)."""
    import jax

    weights = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params) if leaf.ndim == 2)
    return 6.0 * weights * envs * seq_len * space.num_agents


def matmul_rate() -> float:
    """FLOP/s of a large float32 matrix product on the cores this process may use."""
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
    """Slopes of log time and log memory between the smallest and the largest size, in N and in T, of every variant."""
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
