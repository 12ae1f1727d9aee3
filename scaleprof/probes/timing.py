"""Clocks: wall time and CPU time of finished work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Timed(NamedTuple):
    """The result of a call and its times."""

    result: Any
    seconds: float
    """Wall time."""
    cpu_seconds: float
    """CPU time of this process, summed over its threads."""


def timed(call: Callable[..., Any], *args: Any) -> Timed:
    """Time a call until every array of its result is computed."""
    import jax

    cpu_start, start = time.process_time(), time.perf_counter()
    result = jax.block_until_ready(call(*args))
    return Timed(result, time.perf_counter() - start, time.process_time() - cpu_start)


def timed_host(call: Callable[..., Any], *args: Any) -> Timed:
    """Time a call that returns no arrays, such as a compilation or an import."""
    cpu_start, start = time.process_time(), time.perf_counter()
    result = call(*args)
    return Timed(result, time.perf_counter() - start, time.process_time() - cpu_start)
