"""What is shown while a sweep runs, and how long it says that the rest takes."""

from __future__ import annotations

import dataclasses
import io

import pytest
from points import point
from rich.console import Console

from reports import Record
from scaleprof.points.plan import SweepOptions
from scaleprof.sweep import progress
from scaleprof.sweep.progress import Progress

SMALL = point(agents=10, seq_len=4)
LARGE = point(agents=100, seq_len=4)
LARGEST = point(agents=1000, seq_len=4)
OTHER = point(agents=10, seq_len=4, model="sable", mode="parallel")


OPTIONS = SweepOptions(
    min_updates=3, min_seconds=1.0, warmup_updates=4, timeout_seconds=120.0, memory_limit_bytes=2**30
)
OK = SMALL.record(status="ok", agent_steps_per_second=2000.0, host_peak_rise_bytes=2**29, update_seconds=0.25)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (OK, "2.00k agent-steps/s, 512 MiB, update 250 ms"),
        (dataclasses.replace(OK, device_peak_bytes=2**30), "2.00k agent-steps/s, 1.00 GiB, update 250 ms"),
        (SMALL.record(status="oom", reason="needs 3 GiB [compile act]"), "oom: needs 3 GiB [compile act]"),
    ],
)
def test_one_line_per_point_without_a_terminal(record: Record, said: str) -> None:
    stream = io.StringIO()
    with Progress([SMALL, LARGE], OPTIONS, Console(file=stream, width=40)) as observer:
        observer.point_begins(0, SMALL)
        observer.event({"event": "phase", "name": "measure"})
        observer.point_ended(0, record)
    assert stream.getvalue().startswith(f"[1/2] mat:dense · 10 agents · T 4: {said} (")
    assert stream.getvalue().count("\n") == 1


def test_points_that_ended_before_count_as_done() -> None:
    stream = io.StringIO()
    with Progress([LARGE, LARGEST], OPTIONS, Console(file=stream), done=5) as observer:
        for index, pending in ((3, LARGE), (9, LARGEST)):
            observer.point_begins(index, pending)
            observer.point_ended(index, OK)
    begins = [line.partition(" agents")[0] for line in stream.getvalue().splitlines()]
    assert begins == ["[6/7] mat:dense · 100", "[7/7] mat:dense · 1000"]


def test_lines_name_every_axis_that_varies_and_the_repeat() -> None:
    grid = [
        dataclasses.replace(SMALL, envs=envs, repeat=repeat, settings=(("ppo.accumulate", accumulate),))
        for repeat in (0, 1)
        for envs in (2, 4)
        for accumulate in ("1", "0")
    ]
    names = progress.PointNames(grid)
    assert len({names.of(one) for one in grid}) == len(grid)
    assert names.of(grid[-1]) == "mat:dense · 10 agents · T 4 · envs 4 · accumulate auto · repeat 2 of 2"
    assert progress.PointNames([SMALL, LARGE]).of(SMALL) == SMALL.label


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "left ?"), (90.0, "left about 1:30"), (0.0, "taking longer than expected")]
)
def test_a_last_point_that_takes_longer_is_not_about_to_end(seconds: float | None, said: str) -> None:
    assert progress._left(seconds) == said


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0:00"), (187.0, "3:07"), (3723.0, "1:02:03")])
def test_clock(seconds: float, text: str) -> None:
    assert progress._clock(seconds) == text


@pytest.mark.parametrize(
    ("phase", "samples", "said"),
    [
        ("compile", [], "compile   0:0"),
        ("memory", [], "memory, first update   0:0"),
        ("warm up", [0.25, 0.75], "warm up, 2 updates, 500 ms each   0:0"),
        ("measure", [24.0], "measure, 1 of 3 updates, 24.0 s each   0:0"),
        ("measure", [0.1] * 4, "measure, 4 of 10 updates, 100 ms each   0:0"),
        ("measure", [0.5] * 5, "measure, 5 of 5 updates, 500 ms each   0:0"),
    ],
)
def test_how_far_the_running_point_is(phase: str, samples: list[float], said: str) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=100)
    with Progress([LARGE], OPTIONS, console) as observer:
        observer.point_begins(0, LARGE)
        observer.event({"event": "phase", "name": "measure"})
        observer.event({"event": "samples", "samples": [{"update_seconds": 99.0}]})
        observer.event({"event": "phase", "name": phase})
        observer.event({"event": "samples", "samples": [{"update_seconds": seconds} for seconds in samples]})
        console.print(observer._picture())
    assert said in stream.getvalue().splitlines()[-1]
