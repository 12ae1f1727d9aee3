"""Checks of single options. Plain data: importing this module does not import jax."""

from __future__ import annotations

import math


def require(condition: bool, field: str, value: object, rule: str) -> None:
    """Raise `ValueError` naming the field, its value and the rule it breaks."""
    if not condition:
        raise ValueError(f"{field} is {value!r}: it must be {rule}")


def is_whole(value: object) -> bool:
    """Whether a value is an int and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def require_count(field: str, value: int) -> None:
    """Require a whole number of at least 1."""
    require(is_whole(value) and value >= 1, field, value, "a whole number of at least 1")


def require_share(field: str, value: float) -> None:
    """Require a number from 0 to 1."""
    require(0.0 <= value <= 1.0, field, value, "between 0 and 1")


def require_number(field: str, value: float, *, above: bool = False) -> None:
    """Require a finite number of at least 0, or `above` it."""
    finite = math.isfinite(value)
    if above:
        require(finite and value > 0.0, field, value, "a number above 0")
    else:
        require(finite and value >= 0.0, field, value, "a number of at least 0")
