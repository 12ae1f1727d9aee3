"""Running compiled programs: warming up until steady, measuring, what is told of it."""

from __future__ import annotations

import io
import json
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from points import point

from sable.training.ppo import Metrics
from sable.types import TrainState, Trajectory
from scaleprof.launch.protocol import GO, STOP, Task
from scaleprof.probes import host, timing
from scaleprof.probes.contention import CpuContention
from scaleprof.worker.measuring import (
    ALONE_SECONDS,
    BURST_SECONDS,
    run_programs,
    time_alone,
    warm_up,
)
from scaleprof.worker.programs import Programs
from scaleprof.worker.sample_statistics import percentile, summarise


@pytest.mark.parametrize(
    ("ordered", "value"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0], 1.9),
        ([float(i) for i in range(11)], 9.0),
        ([1.0, 1.0, 1.0, 5.0], 3.8),
    ],
)
def test_percentile(ordered: list[float], value: float) -> None:
    assert percentile(ordered, 90) == pytest.approx(value)


def test_summary_of_updates() -> None:
    samples = [
        {
            "rollout_seconds": rollout,
            "learn_seconds": learn,
            "update_seconds": rollout + learn,
            "update_cpu_seconds": cpu,
            "entropy": entropy,
        }
        for rollout, learn, cpu, entropy in ((3.0, 1.0, 9.0, 0.7), (1.0, 1.0, 4.0, 0.6), (1.0, 7.0, 2.0, 0.5))
    ]
    assert summarise(samples, env_steps=64, agents=10) == {
        "rollout_seconds": 1.0,
        "learn_seconds": 1.0,
        "update_seconds": 4.0,
        "update_min_seconds": 2.0,
        "update_p25_seconds": 3.0,
        "update_p90_seconds": pytest.approx(7.2),
        "update_cv": pytest.approx(0.65465, abs=1e-5),
        "update_cpu_seconds": 4.0,
        "env_steps_per_second": 16.0,
        "agent_steps_per_second": 160.0,
        "entropy": 0.5,
    }


class Clocked:
    """Programs that compute nothing, whose calls take what is listed, as (wall, CPU) seconds."""

    def __init__(self, **took: list[tuple[float, float]]) -> None:
        self.took = {name: iter(values) for name, values in took.items()}
        self.calls: list[str] = []
        self.pool_size = 0
        self.defect = ""

    def init(self, seed: int, repeat: int) -> TrainState:
        self.calls.append("init")
        return state_of(seed + repeat)

    def to_host(self, params: int) -> int:
        return params

    def rollout(self, state: Any) -> Any:
        self.calls.append("rollout")
        return state_of(state.params), TRAJECTORY

    def learn(self, state: Any, trajectory: Any) -> Any:
        assert trajectory is TRAJECTORY
        self.calls.append("learn")
        return state_of(state.params + 1), ZERO._replace(policy_loss=cast("Any", 0.5 / (1 + state.params)))

    def act(self, state: Any) -> str:
        self.calls.append("act")
        return "action"

    def environment(self, state: Any) -> str:
        self.calls.append("environment")
        return "rewards"

    def refresh(self, state: Any) -> Any:
        self.calls.append("refresh")
        return state

    def defects(self, trajectory: Any) -> str:
        assert trajectory is TRAJECTORY
        return self.defect if self.calls.count("rollout") == 2 else ""

    def distance(self, before: int, after: int) -> float:
        return float(after - before)

    def episode_statistics(self, state: Any) -> None:
        return None

    def timed(self, call: Callable[..., Any], *arguments: Any) -> timing.Timed:
        return timing.Timed(call(*arguments), *next(self.took[call.__name__]))


TRAJECTORY = Trajectory(*[cast("Any", None)] * len(Trajectory._fields))
ZERO = Metrics(*[cast("Any", 0.0)] * len(Metrics._fields))


def state_of(params: int) -> TrainState:
    """A state of which only the parameters exist."""
    return TrainState(params, *[cast("Any", None)] * (len(TrainState._fields) - 1))


def clocked(monkeypatch: pytest.MonkeyPatch, **took: list[tuple[float, float]]) -> Clocked:
    programs = Clocked(**took)
    monkeypatch.setattr(timing, "timed", programs.timed)
    return programs


@pytest.mark.parametrize(
    ("seconds", "calls", "median"),
    [
        ([9.0, 1.0, 2.0, 4.0], 3, 2.0),
        ([9.0] + [ALONE_SECONDS / 6.5] * 4 + [ALONE_SECONDS / 10] * 60, 8, ALONE_SECONDS * (1 / 6.5 + 1 / 10) / 2),
        ([9.0] + [0.001] * 20 + [0.003] * 60, 50, 0.003),
    ],
    ids=["at least three", "about as long", "at most fifty"],
)
def test_acting_alone_takes_the_median_of_some_calls(
    monkeypatch: pytest.MonkeyPatch, seconds: list[float], calls: int, median: float
) -> None:
    """The first does not count."""
    programs = clocked(monkeypatch, act=[(value, 100.0) for value in seconds])
    first, *counted = time_alone(programs.act, cast("Any", None))
    assert first == 9.0
    assert statistics.median(counted) == pytest.approx(median)
    assert programs.calls == ["act"] * (1 + calls)


def updates(*seconds: float) -> Callable[[], dict[str, float]]:
    """Updates that take so long, one after the other."""
    left = iter(seconds)
    return lambda: {"update_seconds": next(left)}


@pytest.mark.parametrize(
    ("least", "seconds", "mark", "discarded"),
    [
        (4, [0.6, 0.14, 0.102, 0.1, 0.1, 0.1], "steady", 6),
        (4, [1.0, 1.1, 1.0, 1.19], "steady", 4),
        (4, [1.0, 2.0] * 4, "unsteady", 8),
        (4, [0.01, 0.02] * 10, "unsteady", 20),
        (4, [5.0], "short_warmup", 1),
        (4, [4.0, 6.0], "short_warmup", 2),
        (1, [0.3], "short_warmup", 1),
        (0, [], "short_warmup", 0),
        (6, [1.0] * 6, "steady", 6),
    ],
)
def test_warming_up(least: int, seconds: list[float], mark: str, discarded: int) -> None:
    assert warm_up(updates(*seconds), least) == (mark, [{"update_seconds": value} for value in seconds[:discarded]])


def memory_of(monkeypatch: pytest.MonkeyPatch, *, resets: bool = True) -> None:
    """A process that holds 400 bytes and had 900 while it compiled; the most after that is 450."""
    memory = {"peak": 900}

    def reset_peak() -> bool:
        if resets:
            memory["peak"] = 450
        return resets

    monkeypatch.setattr(host, "fix_mmap_threshold", lambda: False)
    monkeypatch.setattr(host, "release_free_memory", lambda: None)
    monkeypatch.setattr(host, "rss_bytes", lambda: 400)
    monkeypatch.setattr(host, "peak_rss_bytes", lambda: memory["peak"])
    monkeypatch.setattr(host, "reset_peak", reset_peak)


def crowded(monkeypatch: pytest.MonkeyPatch, *, others: float | None) -> None:
    """Ten seconds on two cores, of which this process uses five, others their share, and threads wait for 2.5."""
    known = others is not None
    delays, busy = iter([10.0, 12.5]), iter([100.0, 100.0 + 5.0 + 20.0 * (others or 0.0)])
    clock, own = iter([50.0, 60.0]), iter([7.0, 12.0])
    monkeypatch.setattr(host, "usable_cpus", lambda: (0, 1))
    monkeypatch.setattr(host, "run_delay_seconds", lambda: next(delays) if known else None)
    monkeypatch.setattr(host, "busy_seconds", lambda cpus: next(busy) if known else None)
    monkeypatch.setattr(host, "throttle_count", lambda cpus: 3 if known else None)
    monkeypatch.setattr(CpuContention, "_clock", lambda self: next(clock))
    monkeypatch.setattr(CpuContention, "_own", lambda self: next(own))


def told_by(programs: Clocked, task: Task) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """What a run tells of phases and samples, in order, and all its facts."""
    device = SimpleNamespace(platform="cpu", memory_stats=lambda: None)
    stream = io.StringIO()
    run_programs(cast("Programs", programs), task, cast("Any", device), stream)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    facts = {name: value for event in events if event["event"] == "facts" for name, value in event.items()}
    del facts["event"]
    order: list[tuple[Any, ...]] = []
    for event in events:
        if event["event"] == "phase":
            order.append((event["name"],))
        elif event["event"] == "samples":
            order += [(one["phase"], one["update"], one["update_cpu_seconds"]) for one in event["samples"]]
    return order, facts


@pytest.mark.parametrize("resets", [True, False])
def test_what_a_run_tells(monkeypatch: pytest.MonkeyPatch, *, resets: bool) -> None:
    """Three updates after one to warm up."""
    programs = clocked(
        monkeypatch,
        rollout=[(50.0, 50.0), (3.0, 4.0), (1.0, 1.0), (1.0, 1.0)],
        learn=[(50.0, 50.0), (1.0, 5.0), (1.0, 3.0), (7.0, 1.0)],
        act=[(0.25, 9.0)] * 4,
        environment=[(0.5, 9.0)] * 4,
    )
    memory_of(monkeypatch, resets=resets)
    crowded(monkeypatch, others=0.5)
    task = Task(point=point(agents=10, envs=4, seq_len=16, seed=7, repeat=1), min_updates=3, warmup_updates=1)
    order, facts = told_by(programs, task)
    assert programs.calls == ["init", *["rollout", "learn"] * 4, *["act"] * 4, *["environment"] * 4]
    assert order == [
        ("warm up",),
        ("warm up", 0, 100.0),
        ("measure",),
        ("measure", 0, 9.0),
        ("measure", 1, 4.0),
        ("measure", 2, 2.0),
        ("act and environment alone",),
    ]
    assert facts == {
        "host_base_bytes": 400,
        "allocator_fixed": False,
        "device_input_peak_bytes": None,
        "device_peak_bytes": None,
        "host_rss_peak_bytes": 450 if resets else None,
        "host_peak_rise_bytes": 50 if resets else None,
        "act_seconds": 0.25,
        "env_seconds": 0.5,
        "parameters_moved": 4.0,
        "episode_return": None,
        "episode_length": None,
        "reset_seconds": None,
        "first_update_seconds": 100.0,
        "warmup": "short_warmup",
        "warmup_updates": 1,
        "measured_updates": 3,
        "measured_seconds": 14.0,
        "run_delay_seconds": 2.5,
        "others_cpu_share": 0.5,
        "contended": 1,
        "throttled": 0,
        "rollout_seconds": 1.0,
        "learn_seconds": 1.0,
        "update_seconds": 4.0,
        "update_min_seconds": 2.0,
        "update_p25_seconds": 3.0,
        "update_p90_seconds": pytest.approx(7.2),
        "update_cv": pytest.approx(0.65465, abs=1e-5),
        "update_cpu_seconds": 4.0,
        "env_steps_per_second": 16.0,
        "agent_steps_per_second": 160.0,
        **dict.fromkeys(Metrics._fields, 0.0),
        "policy_loss": pytest.approx(0.5 / 12),
    }


@pytest.mark.parametrize(("others", "contended"), [(0.1, 0), (0.2, 1), (None, None)])
def test_contended(monkeypatch: pytest.MonkeyPatch, others: float | None, contended: int | None) -> None:
    """Where others use more than 15 % of two cores."""
    pair = [(1.0, 1.0)] * 2
    programs = clocked(monkeypatch, rollout=pair, learn=pair, act=[(1.0, 1.0)] * 4, environment=[(1.0, 1.0)] * 4)
    memory_of(monkeypatch)
    crowded(monkeypatch, others=others)
    _, facts = told_by(programs, Task(point=point(), min_updates=2))
    assert facts["contended"] == contended
    assert facts["others_cpu_share"] == (None if others is None else pytest.approx(others))
    assert facts["run_delay_seconds"] == (None if others is None else 2.5)


@pytest.mark.parametrize(
    ("counts", "throttled"), [((3, 3, 9, 9), 0), ((3, 3, 9, 10), 1), ((3, 4, 9, 9), 1), ((None,) * 4, None)]
)
def test_throttled(monkeypatch: pytest.MonkeyPatch, counts: tuple[int | None, ...], throttled: int | None) -> None:
    """What is counted between two bursts is none of this process's."""
    counted = iter(counts)
    monkeypatch.setattr(host, "throttle_count", lambda cpus: next(counted))
    contention = CpuContention()
    for _ in range(2):
        with contention:
            pass
    assert contention.fields()["throttled"] == throttled


def test_throttling_is_read_of_the_points_own_cores(tmp_path: Path) -> None:
    for core in range(3):
        folder = tmp_path / f"cpu{core}" / "thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text(f"{core}\n")
        (folder / "package_throttle_count").write_text("10\n")
    assert host.throttle_count((1, 2), tmp_path) == 23
    (tmp_path / "cpu0" / "thermal_throttle" / "package_throttle_count").unlink()
    assert host.throttle_count((0,), tmp_path) == 0
    assert host.throttle_count((7,), tmp_path) is None


def test_the_pool_is_made_anew_between_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """After every eighth update, and once at the end; its time is nobody's but its own."""
    one = [(1.0, 1.0)] * 20
    made = [(8.0, 1.0), (6.0, 1.0), (4.0, 1.0)]
    programs = clocked(monkeypatch, rollout=one[:], learn=one[:], act=one[:], environment=one[:], refresh=made)
    programs.pool_size = 2
    memory_of(monkeypatch)
    _, facts = told_by(programs, Task(point=point(), min_updates=12, warmup_updates=4))
    assert programs.calls[1:].index("refresh") == 2 * 7
    assert programs.calls.count("refresh") == 3
    assert facts["reset_seconds"] == 6.0 / 2
    assert facts["measured_seconds"] == 24.0


@pytest.mark.parametrize("measure", ["together", "memory", "speed"])
def test_an_illegal_state_ends_a_point(monkeypatch: pytest.MonkeyPatch, measure: str) -> None:
    """Whatever is measured, and before anything is learned from it."""
    one = [(1.0, 1.0)] * 4
    programs = clocked(monkeypatch, rollout=one[:], learn=one[:])
    programs.defect = "agent 3 in environment 0 has no legal action"
    memory_of(monkeypatch)
    with pytest.raises(ValueError, match=r"^the scenario: agent 3 in environment 0 has no legal action$"):
        told_by(programs, Task(point=point(), min_updates=3, warmup_updates=0, measure=measure))
    assert programs.calls.count("learn") == 1


def test_updates_go_on_for_the_seconds_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    one = [(0.25, 1.0)] * 20
    programs = clocked(monkeypatch, rollout=list(one), learn=list(one), act=list(one), environment=list(one))
    memory_of(monkeypatch)
    _, facts = told_by(programs, Task(point=point(), min_updates=2, min_seconds=2.9))
    assert (facts["measured_updates"], facts["measured_seconds"]) == (6, 3.0)


@pytest.mark.parametrize(
    ("seconds", "updates", "warmup_updates"),
    [(1.0, [("memory", 2), ("warm up", 1), ("measure", 3)], 3), (3.0, [("memory", 1), ("measure", 3)], 1)],
)
def test_memory_comes_first_where_the_allocator_can_be_fixed(
    monkeypatch: pytest.MonkeyPatch, seconds: float, updates: list[tuple[str, int]], warmup_updates: int
) -> None:
    """A long update peaks at once and is warm-up enough. Times are taken once the allocator keeps memory again."""
    one = [(seconds, 1.0)] * 12
    programs = clocked(monkeypatch, rollout=list(one), learn=list(one), act=list(one), environment=list(one))
    memory_of(monkeypatch)
    seen: list[str] = []
    monkeypatch.setattr(host, "fix_mmap_threshold", lambda: not seen.append("fixed"))  # type: ignore[func-returns-value]
    monkeypatch.setattr(host, "raise_mmap_threshold", lambda: seen.append(f"raised after {len(programs.calls)} calls"))
    order, facts = told_by(programs, Task(point=point(), min_updates=3, warmup_updates=1))
    assert seen == ["fixed", f"raised after {1 + 2 * updates[0][1]} calls"]  # init, and the updates of the memory phase
    counted = Counter(told[0] for told in order if len(told) > 1)
    assert list(counted.items()) == updates
    assert (facts["host_peak_rise_bytes"], facts["allocator_fixed"]) == (50, True)
    assert (facts["first_update_seconds"], facts["warmup_updates"]) == (2 * seconds, warmup_updates)
    assert facts["measured_updates"] == 3


@pytest.mark.parametrize(
    ("deadline", "updates", "measured", "warmup_updates"),
    [
        (0.0, [("memory", 2), ("warm up", 4), ("measure", 5)], 5, 6),
        (1000.0, [("memory", 2), ("warm up", 4), ("measure", 5)], 5, 6),
        (25.4, [("memory", 2), ("warm up", 4), ("measure", 3)], 3, 6),
        (17.4, [("memory", 2), ("warm up", 2), ("measure", 1)], 1, 4),
        (11.4, [("memory", 2)], 2, 0),
        (5.0, [("memory", 1)], 1, 0),
    ],
)
def test_a_child_stops_before_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
    deadline: float,
    updates: list[tuple[str, int]],
    measured: int,
    warmup_updates: int,
) -> None:
    """Updates of 2 s, and 6 s for what is timed after them: what was measured counts."""
    one = [(1.0, 1.0)] * 20
    programs = clocked(monkeypatch, rollout=list(one), learn=list(one), act=list(one), environment=list(one))
    memory_of(monkeypatch)
    monkeypatch.setattr(host, "fix_mmap_threshold", lambda: True)
    monkeypatch.setattr(host, "raise_mmap_threshold", lambda: None)
    clock = SimpleNamespace(monotonic=lambda: 2.0 * programs.calls.count("learn"))
    monkeypatch.setattr("scaleprof.worker.measuring.time", clock)
    order, facts = told_by(programs, Task(point=point(), min_updates=5, warmup_updates=4, deadline=deadline))
    assert list(Counter(told[0] for told in order if len(told) > 1).items()) == updates
    assert (facts["measured_updates"], facts["warmup_updates"]) == (measured, warmup_updates)
    assert facts["update_seconds"] == 2.0
    assert facts["act_seconds"] == 1.0


def test_memory_alone_takes_two_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    one = [(1.0, 1.0)] * 2
    programs = clocked(monkeypatch, rollout=list(one), learn=list(one))
    memory_of(monkeypatch)
    order, facts = told_by(programs, Task(point=point(), measure="memory", min_updates=9, warmup_updates=9))
    assert [told[:2] for told in order] == [("warm up",), ("warm up", 0), ("warm up", 1)]
    assert facts == {
        "host_base_bytes": 400,
        "allocator_fixed": False,
        "device_input_peak_bytes": None,
        "device_peak_bytes": None,
        "host_rss_peak_bytes": 450,
        "host_peak_rise_bytes": 50,
    }


def test_updates_in_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that takes turns does two updates or more at every word, and ends when it is told to."""
    one = [(1.0, 1.0)] * 2 + [(BURST_SECONDS / 10, 1.0)] * 12
    programs = clocked(monkeypatch, rollout=list(one), learn=list(one), act=list(one), environment=list(one))
    memory_of(monkeypatch)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{GO}\n{GO}\n{STOP}\n"))
    order, facts = told_by(programs, Task(point=point(), burst=2, min_updates=1))
    assert [told[1] for told in order if told[0] == "measure" and len(told) > 1] == list(range(2 + 5))
    assert facts["measured_updates"] == 2 + 5
