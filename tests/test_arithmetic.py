"""FLOPs and traffic from jaxprs: against closed formulas, and against XLA's own count of programs without loops."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from compiler import OPTIMISED
from jax import lax
from jax.sharding import PartitionSpec
from worlds import MODES, neom, tiny_policy

from sable.config import PPOConfig
from sable.training import ppo
from sable.types import Policy, TrainState, Trajectory
from scaleprof.probes.arithmetic import Work, uncounted, work_of


def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def work(function: Callable[..., Any], *arguments: Any, while_trips: float = 1.0) -> Work:
    return work_of(jax.jit(function).trace(*arguments).jaxpr, while_trips=while_trips)


def xla_flops(traced: jax.stages.Traced) -> float:
    """XLA's count of the program before it is optimised, each loop's body once."""
    analysis: Any = traced.lower().cost_analysis()
    return float(analysis["flops"])


# Single operations.


def test_matrix_products() -> None:
    assert work(jnp.matmul, array(5, 7), array(7, 3)) == Work(2 * 5 * 7 * 3, 4 * (35 + 21 + 15))
    batched = partial(jnp.einsum, "bhld,bhmd->bhlm")
    assert work(batched, array(2, 3, 5, 7), array(2, 3, 4, 7)) == Work(2 * 6 * 5 * 4 * 7, 4 * 6 * (35 + 28 + 20))
    half = array(8, 8, dtype=jnp.bfloat16)
    assert work(jnp.matmul, half, half) == Work(2 * 8**3, 2 * 3 * 64)
    whole = array(8, 8, dtype=jnp.int32)
    assert work(jnp.matmul, whole, whole) == Work(0, 4 * 3 * 64)


def convolve(image: jax.Array, kernel: jax.Array, **options: Any) -> jax.Array:
    options = {"window_strides": (1, 1), "padding": "VALID"} | options
    return lax.conv_general_dilated(image, kernel, **options)


def test_convolution() -> None:
    """Images × places × output channels × kernel; at the border, padding is not multiplied."""
    arguments = array(2, 3, 8, 9), array(5, 3, 3, 2)
    assert work(convolve, *arguments) == Work(2 * 2 * (6 * 8) * 5 * (3 * 3 * 2), 4 * (432 + 90 + 2 * 5 * 48))
    padded = partial(convolve, padding=((1, 1), (0, 0)))
    assert work(padded, *arguments).flops == 2 * 2 * ((3 * 8 - 2) * 8) * 5 * (3 * 2)


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({"window_strides": (2, 3), "padding": "SAME"}, 6),
        ({"rhs_dilation": (2, 1), "lhs_dilation": (1, 2), "padding": ((2, 1), (0, 3))}, 6),
        ({"feature_group_count": 2, "padding": "SAME"}, 3),
        ({"batch_group_count": 2}, 6),
    ],
)
def test_convolutions_and_their_gradients_as_xla_counts_them(options: dict[str, Any], channels: int) -> None:
    def gradients(image: jax.Array, kernel: jax.Array) -> tuple[jax.Array, ...]:
        output, backward = jax.vjp(partial(convolve, **options), image, kernel)
        return output, *backward(output)

    arguments = array(4, 6, 11, 10), array(4, channels, 3, 2)
    assert work(gradients, *arguments).flops == xla_flops(jax.jit(gradients).trace(*arguments)) > 0


def test_elementwise_arithmetic_is_fused() -> None:
    x, whole = array(6, 5), array(6, 5, dtype=jnp.int32)
    assert work(lambda x, y: -x * y + y / 2.0, x, x) == Work(4 * 30, 0)
    assert work(lambda x, y: jnp.where(x > y, jnp.exp(x), jnp.tanh(y)), x, x) == Work(0, 0)
    assert work(lambda x, y: x * y + 1, whole, whole) == Work(0, 0)
    assert work(lambda x: (x + 1.0).astype(jnp.int32), x) == Work(30, 0)
    assert work(lambda x: x**2 + x**7 + x**-1, x) == Work((1 + 4 + 1 + 2) * 30, 0)
    assert work(lambda x: jnp.pad(x.reshape(5, 6)[1:, None], [(0, 3), (0, 0), (0, 0)]), x) == Work(0, 0)


def test_reductions() -> None:
    x = array(6, 5)
    assert work(lambda x: x.sum(axis=0), x) == Work(30, 4 * (30 + 5))
    assert work(lambda x: x.max(axis=1), x) == Work(30, 4 * (30 + 6))
    assert work(lambda x: jnp.cumsum(x, axis=0), x) == Work(30, 4 * 60)
    assert work(lambda x: x.argmax(axis=0), x) == Work(0, 4 * (30 + 5))
    assert work(lambda x: x.any(axis=0), array(6, 5, dtype=bool)) == Work(0, 30 + 5)


def test_movements() -> None:
    x = array(6, 5)
    assert work(jnp.transpose, x) == Work(0, 4 * 60)
    assert work(lambda x, y: jnp.concatenate([x, y]), x, x) == Work(0, 4 * 120)
    assert work(lax.sort, x) == Work(0, 4 * 60)


def test_only_the_touched_part_of_an_array_moves() -> None:
    table, index = array(1000, 5), array(dtype=jnp.int32)
    rows, new = array(3, dtype=jnp.int32), array(3, 5)
    assert work(lambda x, i: lax.dynamic_slice_in_dim(x, i, 2), table, index) == Work(0, 2 * 4 * 10)
    assert work(lambda x, i: jnp.take(x, i, axis=0, mode="clip"), table, rows) == Work(0, 2 * 4 * 15)
    assert work(lambda x, i, y: lax.dynamic_update_slice(x, y, (i, 0)), table, index, new) == Work(0, 2 * 4 * 15)
    assert work(lambda x, i, y: x.at[i].set(y), table, rows, new) == Work(0, 2 * 4 * 15)
    assert work(lambda x, i, y: x.at[i].add(y), table, rows, new) == Work(15, 2 * 4 * 15)


# Programs inside programs.


def squared(x: jax.Array) -> jax.Array:
    return x @ x


SQUARE = array(4, 4)
ONCE = Work(2 * 4**3, 4 * 3 * 16)


def in_shards(x: jax.Array) -> jax.Array:
    mesh = jax.make_mesh((1,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
    return jax.shard_map(squared, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec())(x)


@jax.custom_jvp
def with_own_jvp(x: jax.Array) -> jax.Array:
    return squared(x)


with_own_jvp.defjvps(lambda tangent, _, x: tangent @ x + x @ tangent)


@jax.custom_vjp
def with_own_vjp(x: jax.Array) -> jax.Array:
    return squared(x)


def forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return squared(x), x


def backward(x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (squared(squared(gradient)) @ x,)


with_own_vjp.defvjp(forward, backward)


@pytest.mark.parametrize(
    "call",
    [jax.jit(squared), jax.jit(jax.jit(squared)), jax.checkpoint(squared), with_own_jvp, with_own_vjp, in_shards],
)
def test_calls_count_what_they_call(call: Callable[..., Any]) -> None:
    assert work(call, SQUARE) == ONCE


def times(x: jax.Array, length: int, function: Callable[[jax.Array], jax.Array] = squared) -> jax.Array:
    y: jax.Array = lax.scan(lambda carry, _: (function(carry), None), x, length=length)[0]
    return y


@pytest.mark.parametrize("length", [0, 1, 7, 1024])
def test_a_scan_is_its_body_as_often_as_it_is_long(length: int) -> None:
    assert work(partial(times, length=length), SQUARE) == Work(length * ONCE.flops, length * ONCE.traffic_bytes)
    nested = partial(times, length=length, function=partial(times, length=3))
    assert work(nested, SQUARE).flops == 3 * length * ONCE.flops


def test_a_scan_reads_and_writes_its_slices_once() -> None:
    def body(carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return carry @ x, carry[0]

    assert work(partial(lax.scan, body), SQUARE, array(9, 4, 4)) == Work(
        9 * ONCE.flops, 9 * (ONCE.traffic_bytes + 4 * 16 + 4 * 4)
    )
    assert work(partial(lax.map, squared), array(9, 4, 4)).flops == 9 * ONCE.flops


def test_unrolling_changes_nothing() -> None:
    def body(carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return carry @ x, carry[0]

    arguments = SQUARE, array(6, 4, 4)
    counts = {work(partial(lax.scan, body, unroll=unroll), *arguments) for unroll in (1, 2, 6)}
    assert len(counts) == 1


def test_the_dearest_branch_counts() -> None:
    branches = [lambda x: x, lambda x: squared(squared(x)), squared]
    assert work(lambda which, x: lax.switch(which, branches, x), array(dtype=jnp.int32), SQUARE) == Work(
        2 * ONCE.flops, 2 * ONCE.traffic_bytes
    )


@pytest.mark.parametrize("trips", [0.0, 1.0, 2.5])
def test_a_while_runs_as_often_as_the_caller_says(trips: float) -> None:
    halve = partial(lax.while_loop, lambda x: x.sum() > 1, squared)
    condition = Work(16, 4 * 17)
    assert work(halve, SQUARE, while_trips=trips) == Work(
        trips * ONCE.flops + (trips + 1) * condition.flops,
        trips * ONCE.traffic_bytes + (trips + 1) * condition.traffic_bytes,
    )
    assert work(lambda x, n: lax.fori_loop(0, n, lambda _, y: squared(y), x), SQUARE, 3).flops == ONCE.flops
    assert work(lambda x: lax.fori_loop(0, 3, lambda _, y: squared(y), x), SQUARE).flops == 3 * ONCE.flops


def test_a_while_around_another_counts_once() -> None:
    """The caller tells one number, that of the innermost loops."""

    def blocks(x: jax.Array, n: Any) -> jax.Array:
        summed: jax.Array = lax.fori_loop(0, n, lambda _, y: squared(y), x)
        return summed

    def twice(x: jax.Array, n: Any) -> jax.Array:
        return lax.scan(lambda y, _: (blocks(y, n), None), x, length=2)[0]

    def sweeps(x: jax.Array, n: Any) -> jax.Array:
        settled: jax.Array = lax.while_loop(lambda y: y[0, 0] > 1, lambda y: twice(y, n), x)
        return settled

    assert work(sweeps, SQUARE, 3, while_trips=5.0).flops == 2 * 5 * ONCE.flops
    assert work(blocks, SQUARE, 3, while_trips=5.0).flops == 5 * ONCE.flops


def test_what_nothing_uses_does_not_count() -> None:
    assert work(lambda x: (squared(x), jnp.cumsum(x))[0], SQUARE) == ONCE

    def both(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], None]:
        return (squared(carry[0]), squared(carry[1])), None

    used = work(lambda x: lax.scan(both, (x, x), length=5)[0][0], SQUARE)
    assert used == Work(5 * ONCE.flops, 5 * ONCE.traffic_bytes)


# Gradients.

TOKENS, INPUTS, HIDDEN, OUTPUTS = 11, 7, 13, 5
LAYERS = array(INPUTS, HIDDEN), array(HIDDEN, OUTPUTS)
FIRST, SECOND = 2 * TOKENS * INPUTS * HIDDEN, 2 * TOKENS * HIDDEN * OUTPUTS


def network(weights: tuple[jax.Array, jax.Array], x: jax.Array) -> jax.Array:
    hidden = x @ weights[0]
    return jnp.where(hidden > 0, hidden, 0.0) @ weights[1]


def loss(weights: tuple[jax.Array, jax.Array], x: jax.Array, outputs: Callable[..., jax.Array] = network) -> jax.Array:
    return outputs(weights, x).sum()


def test_gradient_of_a_network() -> None:
    """Forward, each layer's gradient of its weights, and the second's of its input; the loss's value sums outputs."""
    x = array(TOKENS, INPUTS)
    assert work(jax.value_and_grad(loss), LAYERS, x).flops == 2 * FIRST + 3 * SECOND + TOKENS * OUTPUTS
    assert work(jax.grad(loss), LAYERS, x).flops == 2 * FIRST + 2 * SECOND
    assert work(jax.grad(loss, argnums=1), LAYERS, x).flops == 2 * FIRST + SECOND


def test_rematerialising_computes_the_first_layer_again() -> None:
    x = array(TOKENS, INPUTS)
    again = work(jax.value_and_grad(partial(loss, outputs=jax.checkpoint(network))), LAYERS, x)
    assert again.flops == work(jax.value_and_grad(loss), LAYERS, x).flops + FIRST


def test_a_gradient_by_hand_counts_what_the_hand_wrote() -> None:
    gradient = jax.grad(lambda x: with_own_vjp(x).sum())
    assert work(gradient, SQUARE) == Work(3 * ONCE.flops, 3 * ONCE.traffic_bytes)


# What cannot be counted.


def test_operations_that_cannot_be_looked_into_are_named() -> None:
    def decompose(x: jax.Array) -> jax.Array:
        return times(x, 3, lambda x: squared(jnp.linalg.cholesky(x)))

    jaxpr = jax.jit(decompose).trace(SQUARE).jaxpr
    assert uncounted(jaxpr) == ["cholesky"]
    assert work_of(jaxpr).flops >= 3 * ONCE.flops
    assert uncounted(jax.jit(partial(times, length=3)).trace(SQUARE).jaxpr) == []
    assert uncounted(jax.jit(lambda x: (squared(x), jnp.linalg.cholesky(x))[0]).trace(SQUARE).jaxpr) == []


# The project's own programs.


class Learning(NamedTuple):
    """`learn` of 4 agents in 2 environments, and the shapes of its arguments."""

    policy: Policy
    config: PPOConfig
    shapes: tuple[TrainState, Trajectory]

    def work(self, **options: int) -> Work:
        """That of one `learn` with other options."""
        return work(partial(ppo.learn, self.policy, dataclasses.replace(self.config, **options)), *self.shapes)  # type: ignore[arg-type]


def learning(model: str, mode: str, *, embed_dim: int = 64, seq_len: int = 3) -> Learning:
    scenario, config = neom(4, 2), PPOConfig(seq_len=seq_len, envs=2, minibatches=1, accumulate=2)
    policy = tiny_policy(model, mode, scenario.space, embed_dim=embed_dim)
    state = jax.eval_shape(partial(ppo.init_train_state, policy, scenario, config), jax.random.key(0))
    return Learning(policy, config, jax.eval_shape(partial(ppo.rollout, policy, scenario, config), state))


def gradients(model: str, mode: str) -> jax.stages.Traced:
    """One value and gradient of 4 agents over 3 timesteps of 2 environments, one environment at a time."""
    scenario, config = neom(4, 2), PPOConfig(seq_len=3, envs=2, minibatches=1, accumulate=2)
    policy = tiny_policy(model, mode, scenario.space, embed_dim=128)
    _, first = jax.eval_shape(scenario.reset, jax.random.key(0))
    numbers: Any = array(2, 3, 4)
    whole: Any = array(2, 3, 4, dtype=jnp.int32)
    flags: Any = array(2, 3, dtype=bool)
    batch = ppo.Batch(
        observation=jax.tree.map(lambda x: array(2, 3, *x.shape[1:], dtype=x.dtype), first),
        actions=whole,
        resets=flags,
        old_log_prob=numbers,
        old_value=numbers,
        advantages=numbers,
        targets=numbers,
        carry=jax.eval_shape(lambda: policy.init_carry(2)),
    )
    params = jax.eval_shape(policy.init, jax.random.key(0))
    return jax.jit(partial(ppo.gradients, policy, config)).trace(params, batch)


@pytest.fixture
def unrolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scan written out when it is lowered, so that XLA sees each repetition of its body."""
    scan = lax.scan

    def unrolled_scan(f: Any, init: Any, xs: Any = None, length: int | None = None, **options: Any) -> Any:
        return scan(f, init, xs, length, **options | {"unroll": True})

    def unrolled_map(f: Any, xs: Any) -> Any:
        return unrolled_scan(lambda _, x: ((), f(x)), (), xs)[1]

    monkeypatch.setattr(lax, "scan", unrolled_scan)
    monkeypatch.setattr(lax, "map", unrolled_map)


def with_slow(quick: list[tuple[str, str]], slow: list[tuple[str, str]]) -> list[Any]:
    """Quick cases, and slow ones marked as such."""
    return [*quick, *(pytest.param(*case, marks=pytest.mark.slow) for case in slow if case not in quick)]


QUICK = [("sable", "chunkwise"), ("sable", "recurrent"), ("mat", "blockwise"), ("ippo", "")]


@pytest.mark.parametrize(("model", "mode"), with_slow(QUICK, MODES))
def test_gradients_as_xla_counts_them_unrolled(model: str, mode: str, unrolled: None) -> None:
    """XLA also counts comparisons, selections, conversions and whole numbers: 2.4 % where there is little else."""
    traced, tolerance = gradients(model, mode), 0.03 if model in ("ippo", "mappo") else 0.01
    assert work_of(traced.jaxpr).flops == pytest.approx(xla_flops(traced), rel=tolerance)
    assert uncounted(traced.jaxpr) == []


@pytest.mark.parametrize(("model", "mode"), with_slow([("ippo", "")], [("mat", "dense"), ("sable", "chunkwise")]))
def test_gradients_as_compiled(model: str, mode: str, unrolled: None) -> None:
    """XLA computes elementwise operations again for every fusion that uses them, and knows what it fused.

    Fusions by YNNPACK would hide matrix products from its count.
    """
    options = OPTIMISED | {"xla_cpu_experimental_ynn_fusion_type": "", "xla_backend_optimization_level": 0}
    traced = gradients(model, mode)
    ours, theirs = work_of(traced.jaxpr), traced.lower().compile(compiler_options=options).cost_analysis()
    assert ours.flops == pytest.approx(theirs["flops"], rel=0.1)
    assert theirs["bytes accessed"] / 2 < ours.traffic_bytes < theirs["bytes accessed"] * 2


@pytest.mark.parametrize(("model", "mode"), with_slow([("ippo", "")], [("mat", "dense")]))
def test_learning_as_xla_counts_it_unrolled(model: str, mode: str, unrolled: None) -> None:
    """XLA leaves out what the optimiser adds to zeros."""
    case = learning(model, mode)
    config = dataclasses.replace(case.config, epochs=3)
    theirs = xla_flops(jax.jit(partial(ppo.learn, case.policy, config)).trace(*case.shapes))
    assert case.work(epochs=3).flops == pytest.approx(theirs, rel=0.03)


@pytest.mark.parametrize(("model", "mode"), with_slow([("ippo-gru", "")], [("sable", "factored")]))
def test_learning_is_linear_in_epochs_and_timesteps(model: str, mode: str) -> None:
    """Beside what is done once."""
    case = learning(model, mode, embed_dim=8, seq_len=1)
    in_epochs = [case.work(epochs=epochs) for epochs in (1, 2, 9)]
    in_time = [in_epochs[0], *(learning(model, mode, embed_dim=8, seq_len=length).work() for length in (2, 9))]
    for one, two, nine in (in_epochs, in_time):
        for figure in Work._fields:
            step = getattr(two, figure) - getattr(one, figure)
            assert getattr(nine, figure) - getattr(two, figure) == 7 * step > 0
