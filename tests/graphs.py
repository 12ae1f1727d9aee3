"""Looking into traced programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.extend.core


def largest_array(function: Callable[..., Any], *arguments: Any) -> int:
    """Elements of the largest array that a function computes, over all sub-programs; shapes will do as arguments."""

    def sizes(jaxpr: Any) -> Iterator[int]:
        for equation in jaxpr.eqns:
            yield from (math.prod(variable.aval.shape) for variable in equation.outvars)
            for inner in jax.extend.core.jaxprs_in_params(equation.params):
                yield from sizes(inner)

    return max(sizes(jax.make_jaxpr(function)(*arguments).jaxpr))


def operations_in(jaxpr: Any) -> int:
    """How many operations a program has, sub-programs counted once each."""
    inner = (sub for equation in jaxpr.eqns for sub in jax.extend.core.jaxprs_in_params(equation.params))
    return len(jaxpr.eqns) + sum(map(operations_in, inner))


def count_operations(name: str, function: Callable[..., Any], *arguments: Any) -> int:
    """How often an operation stands in a function's program, sub-programs counted once each."""

    def count(jaxpr: Any) -> Any:
        inner = (sub for equation in jaxpr.eqns for sub in jax.extend.core.jaxprs_in_params(equation.params))
        return sum(equation.primitive.name == name for equation in jaxpr.eqns) + sum(map(count, inner))

    found: int = count(jax.make_jaxpr(function)(*arguments).jaxpr)
    return found
