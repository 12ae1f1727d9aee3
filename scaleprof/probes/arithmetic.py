"""Arithmetic and memory traffic of one execution of a program, counted from its jaxpr.

XLA's `cost_analysis()` counts the body of a loop once. Here the body of a `scan` counts once per iteration, inside
every kind of call, so that the figures hold for a whole `rollout` or `learn`. Unused results are left out, as in XLA.

FLOPs are counted as XLA counts them: a multiply-add is 2, an elementwise operation 1 per element of its result, a
reduction or a running sum 1 per element of its input. Not counted are transcendental functions (exp, log, tanh, square
root, power: XLA counts them separately, and their cost depends on the hardware), comparisons, selections, conversions,
sorting, and all operations on integers and booleans. Zeros from the padding and dilation of a convolution do not count.

Traffic is an estimate: the bytes that move if every unfused operation reads its operands from memory and writes its
results to memory. Elementwise operations, broadcasts, reshapes, pads and static slices are assumed to be fused and move
nothing. A cache makes the true traffic smaller; failed fusion makes it larger.

A sharded program (`shard_map`) counts one device's share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple


class Work(NamedTuple):
    """The work of one execution of a program."""

    flops: float
    """Floating-point operations."""
    traffic_bytes: float
    """Bytes read from and written to memory, without a cache."""


def work_of(jaxpr: Any, *, while_trips: float = 1.0) -> Work:
    """The work of a traced program, a ClosedJaxpr: `jax.jit(f).trace(*shapes).jaxpr`.

    `while_trips` is the mean number of iterations of every innermost `while`, which depends on the data; a `while`
    around another counts once. A `cond` counts its branch with the most FLOPs. Operations that `uncounted` names count
    as 0.
    """
    return _work(_live(jaxpr), while_trips)


def uncounted(jaxpr: Any) -> list[str]:
    """Names of the operations in a ClosedJaxpr that cannot be counted: kernels, foreign functions, decompositions.

    If there are any, the true work of the program is larger than `work_of` returns.
    """
    return sorted(_opaque(_live(jaxpr)))


def _live(jaxpr: Any) -> Any:
    """The program without operations that no result depends on."""
    from jax.interpreters.partial_eval import dce_jaxpr

    return dce_jaxpr(jaxpr.jaxpr, [True] * len(jaxpr.jaxpr.outvars))[0]


def _work(jaxpr: Any, while_trips: float) -> Work:
    return _sum(_work_of_equation(equation, while_trips) for equation in jaxpr.eqns)


def _work_of_equation(equation: Any, while_trips: float) -> Work:
    name, params = equation.primitive.name, equation.params
    if name in RULES:
        return RULES[name](equation)
    if name == "scan":
        first = params["num_consts"] + params["num_carry"]
        slices = [*equation.invars[first:], *equation.outvars[params["num_carry"] :]]
        body = _times(params["length"], _work(params["jaxpr"], while_trips))
        return _sum([body, Work(0.0, _bytes(slices))])
    if name == "while":
        trips = 1.0 if _loops(params["body_jaxpr"]) else while_trips
        body = _times(trips, _work(params["body_jaxpr"], while_trips))
        return _sum([body, _times(trips + 1, _work(params["cond_jaxpr"], while_trips))])
    if name == "cond":
        return max(_work(branch, while_trips) for branch in params["branches"])
    return _sum(_work(inner, while_trips) for inner in _inner(equation))


def _loops(jaxpr: Any) -> bool:
    """Whether there is a `while` in a program."""
    return any(equation.primitive.name == "while" or any(map(_loops, _inner(equation))) for equation in jaxpr.eqns)


def _inner(equation: Any) -> Iterable[Any]:
    """The programs inside an operation."""
    from jax.extend.core import jaxprs_in_params

    return jaxprs_in_params(equation.params)


def _opaque(jaxpr: Any) -> set[str]:
    names = set()
    for equation in jaxpr.eqns:
        if equation.primitive.name.startswith(OPAQUE):
            names.add(equation.primitive.name)
        else:
            names.update(*map(_opaque, _inner(equation)))
    return names


def _sum(works: Iterable[Work]) -> Work:
    flops, traffic = 0.0, 0.0
    for work in works:
        flops, traffic = flops + work.flops, traffic + work.traffic_bytes
    return Work(flops, traffic)


def _times(count: float, work: Work) -> Work:
    return Work(count * work.flops, count * work.traffic_bytes)


def _floats(variables: Iterable[Any]) -> int:
    """Number of elements of the floating-point variables."""
    import jax.numpy as jnp

    arrays = [variable.aval for variable in variables]
    return sum(math.prod(array.shape) for array in arrays if jnp.issubdtype(array.dtype, jnp.inexact))


def _bytes(variables: Iterable[Any]) -> int:
    arrays = [variable.aval for variable in variables]
    return sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays)


def _moved(equation: Any) -> int:
    """Bytes of all operands and results."""
    return _bytes(equation.invars) + _bytes(equation.outvars)


def _elementwise(equation: Any) -> Work:
    return Work(_floats(equation.outvars), 0.0)


def _integer_power(equation: Any) -> Work:
    """The multiplications of repeated squaring, and a division where the power is negative."""
    power = abs(equation.params["y"])
    steps = max(power.bit_length() + power.bit_count() - 2, 0) + (equation.params["y"] < 0)
    return Work(steps * _floats(equation.outvars), 0.0)


def _reduction(equation: Any) -> Work:
    return Work(_floats(equation.invars), _moved(equation))


def _movement(equation: Any) -> Work:
    return Work(0.0, _moved(equation))


def _part(equation: Any) -> Work:
    """Only the elements taken are read; they are written once."""
    return Work(0.0, 2 * _bytes(equation.outvars))


def _update(equation: Any, *, operand: int, combines: bool) -> Work:
    """Updated in place: the update is read and its window written. `operand` is the update's position."""
    update = equation.invars[operand : operand + 1]
    return Work(_floats(update) if combines else 0.0, 2 * _bytes(update))


def _dot_general(equation: Any) -> Work:
    """2·batch·m·n·k."""
    (contracted, _), _ = equation.params["dimension_numbers"]
    k = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    return Work(2 * k * _floats(equation.outvars), _moved(equation))


def _convolution(equation: Any) -> Work:
    """2 for every element of the kernel that meets an element of an image, in every image."""
    params = equation.params
    image, kernel = (variable.aval.shape for variable in equation.invars)
    output = equation.outvars[0].aval.shape
    _, _, *image_axes = params["dimension_numbers"].lhs_spec
    _, depth, *kernel_axes = params["dimension_numbers"].rhs_spec
    _, _, *output_axes = params["dimension_numbers"].out_spec
    places = math.prod(output[axis] for axis in output_axes)
    per_place = _floats(equation.outvars) // max(places, 1) * kernel[depth]  # images × output channels × depth
    windows = zip(
        (image[axis] for axis in image_axes),
        (kernel[axis] for axis in kernel_axes),
        (output[axis] for axis in output_axes),
        params["window_strides"],
        params["padding"],
        params["lhs_dilation"],
        params["rhs_dilation"],
        strict=True,
    )
    return Work(2 * per_place * math.prod(_meetings(*window) for window in windows), _moved(equation))


def _meetings(
    size: int, kernel: int, output: int, stride: int, padding: tuple[int, int], dilation: int, kernel_dilation: int
) -> int:
    """Along one axis, the pairs of an output and a kernel element between which there is an element of the image."""
    places = (i * stride + j * kernel_dilation - padding[0] for i in range(output) for j in range(kernel))
    return sum(place % dilation == 0 and 0 <= place // dilation < size for place in places)


ELEMENTWISE = (
    *("abs", "add", "add_any", "ceil", "clamp", "div", "floor", "max", "min", "mul", "neg", "rem"),
    *("round", "sign", "square", "sub"),
)
REDUCTIONS = (
    *("reduce", "reduce_max", "reduce_min", "reduce_prod", "reduce_sum"),
    *("cummax", "cummin", "cumprod", "cumsum"),
)
MOVEMENTS = (
    *("argmax", "argmin", "concatenate", "cumlogsumexp", "reduce_and", "reduce_or", "reduce_xor", "sort", "stack"),
    *("top_k", "transpose"),
)
COMBINING_SCATTERS = ("scatter-add", "scatter-max", "scatter-min", "scatter-mul", "scatter-sub")

RULES: dict[str, Callable[[Any], Work]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(MOVEMENTS, _movement),
    **dict.fromkeys(("dynamic_slice", "gather"), _part),
    **dict.fromkeys(COMBINING_SCATTERS, partial(_update, operand=2, combines=True)),
    "scatter": partial(_update, operand=2, combines=False),
    "dynamic_update_slice": partial(_update, operand=1, combines=False),
    "integer_pow": _integer_power,
    "dot_general": _dot_general,
    "conv_general_dilated": _convolution,
}
"""FLOPs of operations by name. An operation without a rule counts only the programs inside it."""

OPAQUE = (
    *("dot_product_attention", "ffi_call", "io_callback", "pallas_call", "pure_callback", "ragged_dot", "scaled_"),
    *("cholesky", "eig", "fft", "geqp3", "geqrf", "hessenberg", "householder_product", "lu", "ormqr", "qr", "schur"),
    *("svd", "triangular_solve", "tridiagonal"),
)
"""Prefixes of the names of operations with arithmetic that no rule counts."""
