"""Further attempts at a point for whose cores other processes competed; the least contended one counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from scaleprof.launch.launcher import Outcome


class Attempts(NamedTuple):
    """The attempt that counts, and how many were taken."""

    outcomes: list[Outcome]
    """One for each side of the point."""
    number: int
    """Which attempt it was, from 1."""
    taken: int
    failure: str = ""
    """How the last one ended, if not well."""


def least_contended(
    measure: Callable[[int, bool], list[Outcome]], further: int, may_begin: Callable[[float], bool]
) -> Attempts:
    """Measure a point, and again while every attempt was contended, at most `further` times.

    Args:
        measure: makes an attempt, given its number, from 1, and whether it must compile: the one that counts did.
        further: the most attempts after the first.
        may_begin: whether there is time for an attempt that takes so many seconds.

    An attempt that does not end well is the last one.
    """
    began = time.monotonic()
    last = measure(1, False)
    best = Attempts(last, 1, 1)
    while best.taken <= further and is_contended(best.outcomes) and _ended_well(last):
        now = time.monotonic()
        if not may_begin(now - began):
            break
        number, began = best.taken + 1, now
        last = measure(number, any(one.facts.get("compile_cache") != "read" for one in best.outcomes))
        is_better = _ended_well(last) and _rank(last) < _rank(best.outcomes)
        outcomes, chosen = (last, number) if is_better else (best.outcomes, best.number)
        best = Attempts(outcomes, chosen, number, _failure(last, number))
    return best


def is_contended(outcomes: Sequence[Outcome]) -> bool:
    """Whether other processes competed with any side of a point."""
    return any(outcome.facts.get("contended") for outcome in outcomes)


def _ended_well(outcomes: Sequence[Outcome]) -> bool:
    return all(outcome.status == "ok" for outcome in outcomes)


def _failure(outcomes: Sequence[Outcome], number: int) -> str:
    return next((f"attempt {number}: {one.status}: {one.reason}" for one in outcomes if one.status != "ok"), "")


def _rank(outcomes: Sequence[Outcome]) -> tuple[bool, float]:
    """The lower the better: all updates that were asked for, then the smallest share of others."""
    few = any(outcome.reason_code for outcome in outcomes)
    return few, max(outcome.facts.get("others_cpu_share") or 0.0 for outcome in outcomes)
