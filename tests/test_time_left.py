"""The estimate of the time that is left, replayed over sweeps whose points take known times."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from points import point

from scaleprof.points.plan import SweepOptions
from scaleprof.points.point import Point
from scaleprof.sweep.time_left import Estimate

OPTIONS = SweepOptions(
    min_updates=3, min_seconds=1.0, warmup_updates=4, timeout_seconds=600.0, memory_limit_bytes=2**30
)


def taken(at: Point, *, start: float, token_seconds: float, bend: float) -> tuple[Any, float]:
    """The record of a point and what it took: a start, and updates that grow with the agents and with their square."""
    update = token_seconds * at.agents * (1 + at.agents * bend)
    updates = (1 if update >= 5 else 4) + max(3, math.ceil(1.0 / update))
    return at.record(status="ok", update_seconds=update), start + updates * update


MODES = {"sable": "chunkwise", "mat": "dense", "ippo": ""}
LAWS = {
    "sable": {"start": 10.0, "token_seconds": 1.5e-3, "bend": 0.001},
    "mat": {"start": 8.0, "token_seconds": 1.1e-3, "bend": 0.01},
    "ippo": {"start": 5.0, "token_seconds": 1e-4, "bend": 0.0},
}
"""An update at 16, 128 and 1024 agents takes 24 ms, 0.22 s and 3.1 s; 20 ms, 0.32 s and 13 s; 1.6, 13 and 102 ms."""


@pytest.mark.parametrize("models", [("sable",), ("mat",), ("ippo",), ("sable", "mat", "ippo")])
@pytest.mark.parametrize("agents", [(16, 128, 1024), (16, 64, 256, 1024), (1024, 16, 128)])
@pytest.mark.parametrize("repeats", [1, 3])
def test_a_third_of_the_way(models: tuple[str, ...], agents: tuple[int, ...], repeats: int) -> None:
    """Within a factor of 1.5 of what really is left, whatever the laws."""
    grid = [(model, n, r) for r in range(repeats) for n in agents for model in models]
    points = [point(model=model, mode=MODES[model], agents=n, repeat=r) for model, n, r in grid]
    ended = [taken(at, **LAWS[at.model]) for at in points]
    estimate = Estimate(points, OPTIONS)
    third = math.ceil(len(points) / 3)
    for at, (record, seconds) in zip(points[:third], ended, strict=False):
        estimate.add(at, record, seconds)
    left = sum(seconds for _, seconds in ended[third:])
    said = estimate.remaining_seconds(third, 0.0)
    assert said is not None
    assert left / 1.5 <= said <= left * 1.5


def test_nothing_is_said_before_a_point_ended() -> None:
    assert Estimate([point()], OPTIONS).remaining_seconds(0, 3.0) is None


def test_what_the_running_point_took_already_counts() -> None:
    points = [point(agents=16), point(agents=16, repeat=1)]
    estimate = Estimate(points, OPTIONS)
    estimate.add(points[0], points[0].record(status="ok", update_seconds=1.0), 20.0)
    assert estimate.remaining_seconds(1, 0.0) == pytest.approx(20.0)
    assert estimate.remaining_seconds(1, 5.0) == pytest.approx(15.0)
    assert estimate.remaining_seconds(1, 60.0) == 0.0


def test_points_that_will_be_skipped_take_nothing() -> None:
    points = [point(agents=n) for n in (16, 64, 256)]
    estimate = Estimate(points, OPTIONS)
    estimate.add(points[0], points[0].record(status="ok", update_seconds=1.0), 20.0)
    estimate.add(points[1], points[1].record(status="oom"), 9.0)
    assert estimate.remaining_seconds(2, 0.0) == 0.0


def test_repeats_do_not_compile_again() -> None:
    points = [point(agents=16, repeat=r) for r in range(2)]
    estimate = Estimate(points, OPTIONS)
    first = points[0].record(status="ok", update_seconds=1.0, compile_cache="written", compile_learn_seconds=6.0)
    estimate.add(points[0], first, 20.0)
    assert estimate.remaining_seconds(1, 0.0) == pytest.approx(14.0)


def test_the_parallel_form_ends_where_its_memory_does() -> None:
    """A point that will be found not to fit is compiled, and that is all."""
    points = [point(agents=n, model="sable", mode="parallel") for n in (16, 1024)]
    estimate = Estimate(points, OPTIONS)
    record = points[0].record(status="ok", update_seconds=0.5, xla_learn_temp_bytes=2**20)
    estimate.add(points[0], record, 20.0)
    assert estimate.remaining_seconds(1, 0.0) == pytest.approx(20.0 - 7 * 0.5)


def test_a_point_takes_no_longer_than_it_may() -> None:
    points = [point(agents=n) for n in (16, 1 << 20)]
    estimate = Estimate(points, OPTIONS)
    estimate.add(points[0], points[0].record(status="ok", update_seconds=1.0), 20.0)
    assert estimate.remaining_seconds(1, 0.0) == 600.0


def test_a_skipped_point_says_nothing_of_what_others_take() -> None:
    points = [point(agents=n) for n in (16, 16, 64)]
    estimate = Estimate(points, OPTIONS)
    estimate.add(points[0], points[0].record(status="skipped"), 0.01)
    assert estimate.remaining_seconds(1, 0.0) is None
    estimate.add(points[1], points[1].record(status="timeout"), 30.0)
    assert estimate.remaining_seconds(2, 0.0) == 30.0


GROWING = dataclasses.replace(OPTIONS, timeout_seconds=120.0, timeout_grows=True)


def test_points_of_an_earlier_run_tell_what_these_take() -> None:
    small, large, other = (point(model="mat", mode="dense", agents=16, seed=seed) for seed in (0, 1, 2))
    small, other = dataclasses.replace(small, seed=1), dataclasses.replace(other, envs=9)
    large = dataclasses.replace(large, agents=1024)
    estimate = Estimate([large], GROWING)
    slow = {"status": "ok", "update_seconds": 50.0, "point_seconds": 400.0}
    records = [small.record(**slow), other.record(**slow), small.record(status="planned", measure="between")]
    assert estimate.learn(records) == records[:1]
    assert estimate.timeout_seconds(large) > 400.0


@pytest.mark.parametrize("grows", [True, False])
def test_a_point_that_takes_long_has_a_longer_time_limit(grows: bool) -> None:
    """A machine on which an update takes 100 seconds still measures three, unless the user set the limit."""
    points = [point(model="mat", mode="dense", agents=agents) for agents in (16, 128, 1024)]
    estimate = Estimate(points, dataclasses.replace(GROWING, timeout_grows=grows))
    assert [estimate.timeout_seconds(at) for at in points] == [120.0] * 3, "nothing is known yet"
    slow: dict[str, Any] = {"start": 20.0, "token_seconds": 9e-3, "bend": 0.01}
    for at in points[:2]:
        estimate.add(at, *taken(at, **slow))
    assert estimate.timeout_seconds(points[1]) == 120.0
    limit, (_, needed) = estimate.timeout_seconds(points[2]), taken(points[2], **slow)
    assert needed > 400.0
    assert limit > needed if grows else limit == 120.0
