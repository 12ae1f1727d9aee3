"""Clocks: wall time and process CPU time of finished work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Timed(NamedTuple):
    """The result of a call and what it took."""

    result: Any
    seconds: float
    """Wall time."""
    cpu_seconds: float
    """CPU time of this process, summed over its threads."""


def timed(call: Callable[..., Any], *args: Any) -> Timed:
    """Call, wait until every array of the result is computed, and read the clocks before and after."""
    import jax

    cpu_start, start = time.process_time(), time.perf_counter()
    result = jax.block_until_ready(call(*args))
    return Timed(result, time.perf_counter() - start, time.process_time() - cpu_start)


def timed_host(call: Callable[..., Any], *args: Any) -> Timed:
    """Call something that returns no arrays (a compilation, an import) between two readings of the clocks."""
    cpu_start, start = time.process_time(), time.perf_counter()
    result = call(*args)
    return Timed(result, time.perf_counter() - start, time.process_time() - cpu_start)
