"""What is shown while a sweep runs, and how long it says that the rest takes."""

from __future__ import annotations

import dataclasses
import io

import pytest
from points import point
from rich.console import Console

from reports import Record
from scaleprof import progress
from scaleprof.progress import Estimate, Progress

SMALL = point(agents=10, seq_len=4)
LARGE = point(agents=100, seq_len=4)
LARGEST = point(agents=1000, seq_len=4)
OTHER = point(agents=10, seq_len=4, model="sable", mode="parallel")


def test_no_estimate_before_anything_ended() -> None:
    assert Estimate([SMALL, LARGE]).remaining_seconds(0, 5.0) is None


def test_an_unknown_model_takes_what_a_point_took() -> None:
    estimate = Estimate([SMALL, LARGE, OTHER, OTHER])
    estimate.add(SMALL, 10.0)
    estimate.add(LARGE, 20.0)
    assert estimate.remaining_seconds(2, 4.0) == 15.0 - 4.0 + 15.0


def test_time_beyond_the_start_grows_with_the_tokens() -> None:
    estimate = Estimate([SMALL, LARGE, LARGEST])
    estimate.add(SMALL, 10.0)
    estimate.add(LARGE, 12.0)
    assert estimate.remaining_seconds(2, 0.0) == 10.0 + 2.0 * 10


def test_a_point_that_takes_longer_than_expected_is_about_to_end() -> None:
    estimate = Estimate([SMALL, SMALL])
    estimate.add(SMALL, 10.0)
    assert estimate.remaining_seconds(1, 60.0) == 0.0


OK = SMALL.record(status="ok", agent_steps_per_second=2000.0, host_rss_peak_bytes=2**29, update_seconds=0.25)


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
    with Progress([SMALL, LARGE], Console(file=stream, width=40)) as observer:
        observer.point_begins(0, SMALL)
        observer.event({"event": "phase", "name": "measure"})
        observer.point_ended(0, record)
    assert stream.getvalue().startswith(f"[1/2] mat:dense · 10 agents · T 4: {said} (")
    assert stream.getvalue().count("\n") == 1


def test_picture_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, record=True)
    observer = Progress([SMALL, OTHER], console)
    observer.point_begins(0, SMALL)
    observer.point_ended(0, OK)
    observer.point_begins(1, OTHER)
    observer.event({"event": "phase", "name": "compile learn"})
    console.print(observer._picture())
    observer.event({"event": "phase", "name": "measure"})
    observer.event({"event": "samples", "samples": [{"update": 0}]})
    console.print(observer._picture())
    text = console.export_text()
    assert "mat:dense · 10 agents · T 4  2.00k agent-steps/s, 512 MiB, update 250 ms" in text
    assert "1/2" in text
    assert "elapsed 0:00   left about 0:00" in text
    assert "sable:parallel · 10 agents · T 4   compile learn   0:00" in text
    assert "sable:parallel · 10 agents · T 4   measure, update 2   0:00" in text


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0:00"), (187.0, "3:07"), (3723.0, "1:02:03")])
def test_clock(seconds: float, text: str) -> None:
    assert progress._clock(seconds) == text
