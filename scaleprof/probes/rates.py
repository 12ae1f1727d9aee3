"""Measured rates of this host: matrix products and memory copies."""

from __future__ import annotations

from scaleprof.probes import timing

MATRIX_SIZE = 1024
COPIED_BYTES = 128 * 2**20
PASSES = 4
REPEATS = 3


def matmul_flops_per_second() -> float:
    """FLOP/s of a large float32 matrix product on the cores of this process; the best of a few."""
    import jax
    import jax.numpy as jnp

    x = jnp.ones((MATRIX_SIZE, MATRIX_SIZE))
    product = jax.jit(lambda a: a @ a).lower(x).compile()
    return 2.0 * MATRIX_SIZE**3 / min(timing.timed(product, x).seconds for _ in range(REPEATS))


def copy_bytes_per_second() -> float:
    """Bytes read and written per second by passes over an array larger than any cache; the best of a few.

    One program does several passes, because the first touch of fresh memory measures the kernel.
    """
    import jax
    import jax.numpy as jnp

    x = jnp.zeros(COPIED_BYTES // 4)
    copies = jax.jit(lambda a: jax.lax.fori_loop(0, PASSES, lambda _, b: b + 1.0, a)).lower(x).compile()
    return 2.0 * COPIED_BYTES * PASSES / min(timing.timed(copies, x).seconds for _ in range(REPEATS))
