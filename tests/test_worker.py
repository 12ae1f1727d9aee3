"""Parts of the measuring process that need no process of their own."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from points import point

from scaleprof.probes import host, timing
from scaleprof.programs import Programs
from scaleprof.protocol import Task
from scaleprof.worker import (
    ACT_SECONDS,
    PredictedOomError,
    compile_programs,
    last_line,
    percentile_90,
    run_programs,
    summarise,
    time_acting,
)

GIB = 2**30


@pytest.mark.parametrize(
    ("ordered", "value"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0], 1.9),
        ([float(i) for i in range(11)], 9.0),
        ([1.0, 1.0, 1.0, 5.0], 3.8),
    ],
)
def test_percentile_90(ordered: list[float], value: float) -> None:
    assert percentile_90(ordered) == pytest.approx(value)


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
        "update_p90_seconds": pytest.approx(7.2),
        "update_cpu_seconds": 4.0,
        "env_steps_per_second": 16.0,
        "agent_steps_per_second": 160.0,
        "entropy": 0.5,
    }


def test_last_line_of_an_exception() -> None:
    assert last_line(ValueError("one\n  two")) == "ValueError: one two"
    assert last_line(MemoryError()) == "MemoryError"
    assert len(last_line(ValueError("x" * 10_000))) == 500


class FakePrograms:
    """Programs of which XLA says that they need so many bytes of temporaries; None where it says nothing."""

    def __init__(self, **temp_bytes: int | None) -> None:
        self.temp_bytes = temp_bytes

    def compile(self, name: str) -> SimpleNamespace:
        temp = self.temp_bytes.get(name, 0)
        analysis = SimpleNamespace(
            argument_size_in_bytes=100, output_size_in_bytes=50, alias_size_in_bytes=30, temp_size_in_bytes=temp
        )
        return SimpleNamespace(memory_analysis=lambda: None if temp is None else analysis)


def compiled(
    monkeypatch: pytest.MonkeyPatch,
    *,
    limit: int,
    resident: int = 0,
    platform: str = "cpu",
    device_limit: int | None = None,
    **temp_bytes: int | None,
) -> tuple[list[str], dict[str, Any], str]:
    """The phases and facts that were told, and why it ended early."""
    monkeypatch.setattr(host, "rss_bytes", lambda: resident)
    statistics = None if device_limit is None else {"bytes_limit": device_limit}
    device = SimpleNamespace(platform=platform, memory_stats=lambda: statistics)
    events = io.StringIO()
    reason = ""
    try:
        compile_programs(
            cast("Programs", FakePrograms(**temp_bytes)), Task(memory_limit_bytes=limit), cast("Any", device), events
        )
    except PredictedOomError as error:
        reason = str(error)
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    phases = [event["name"] for event in told if event["event"] == "phase"]
    facts = {name: value for event in told if event["event"] == "facts" for name, value in event.items()}
    return phases, {name: value for name, value in facts.items() if name.endswith("_bytes")}, reason


def test_programs_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    phases, facts, reason = compiled(monkeypatch, limit=GIB, act=10, rollout=3000, learn=2000)
    assert phases == ["compile act", "compile rollout", "compile learn"]
    assert reason == ""
    assert facts == {
        "xla_act_temp_bytes": 10,
        "xla_rollout_temp_bytes": 3000,
        "xla_learn_temp_bytes": 2000,
        "xla_learn_argument_bytes": 100,
        "xla_learn_output_bytes": 50,
        "xla_peak_bytes": 3000 + 100 + 50 - 30,
    }


def test_nothing_is_compiled_after_a_program_that_cannot_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    phases, facts, reason = compiled(monkeypatch, limit=GIB, act=10, rollout=3 * GIB, learn=2000)
    assert phases == ["compile act", "compile rollout"]
    assert facts == {
        "xla_act_temp_bytes": 10,
        "xla_rollout_temp_bytes": 3 * GIB,
        "xla_peak_bytes": 3 * GIB + 100 + 50 - 30,
    }
    assert reason == "the rollout step needs 3.0 GiB by XLA's analysis, the limit is 1.0 GiB"


def test_a_narrow_prediction_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 100 * GIB
    assert compiled(monkeypatch, limit=limit, act=104 * GIB, rollout=1, learn=1)[2] == ""
    assert compiled(monkeypatch, limit=limit, act=106 * GIB, rollout=1, learn=1)[2] != ""


def test_what_is_resident_counts_on_the_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, Any] = {"act": GIB, "rollout": 1, "learn": 1}
    _, _, reason = compiled(monkeypatch, limit=2 * GIB, resident=3 * GIB, **sizes)
    assert reason == "the act step needs 1.0 GiB by XLA's analysis beside 3.0 GiB resident, the limit is 2.0 GiB"
    _, _, reason = compiled(monkeypatch, limit=2 * GIB, resident=3 * GIB, platform="gpu", **sizes)
    assert reason == ""


def test_a_device_may_have_less_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, Any] = {"act": 3 * GIB, "rollout": 1, "learn": 1}
    _, _, reason = compiled(monkeypatch, limit=8 * GIB, platform="gpu", device_limit=2 * GIB, **sizes)
    assert reason == "the act step needs 3.0 GiB by XLA's analysis, the limit is 2.0 GiB"
    assert compiled(monkeypatch, limit=8 * GIB, platform="gpu", device_limit=24 * GIB, **sizes)[2] == ""


def test_a_backend_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    phases, facts, reason = compiled(monkeypatch, limit=1, act=None, rollout=None, learn=None)
    assert (len(phases), facts, reason) == (3, {}, "")


class Clocked:
    """Programs that compute nothing, whose calls take what is listed, as (wall, CPU) seconds."""

    def __init__(self, **took: list[tuple[float, float]]) -> None:
        self.took = {name: iter(values) for name, values in took.items()}
        self.calls: list[str] = []

    def key(self, seed: int) -> int:
        return seed

    def init(self, key: int) -> SimpleNamespace:
        self.calls.append("init")
        return SimpleNamespace(params=key)

    def to_host(self, params: int) -> int:
        return params

    def rollout(self, state: Any) -> Any:
        self.calls.append("rollout")
        return SimpleNamespace(params=state.params), "trajectory"

    def learn(self, state: Any, trajectory: str) -> Any:
        assert trajectory == "trajectory"
        self.calls.append("learn")
        return SimpleNamespace(params=state.params + 1), Loss(0.5 / state.params)

    def act(self, state: Any) -> str:
        self.calls.append("act")
        return "action"

    def distance(self, before: int, after: int) -> float:
        return float(after - before)

    def episode_return(self, state: Any) -> None:
        return None

    def timed(self, call: Callable[..., Any], *arguments: Any) -> timing.Timed:
        return timing.Timed(call(*arguments), *next(self.took[call.__name__]))


class Loss(NamedTuple):
    policy_loss: float


def clocked(monkeypatch: pytest.MonkeyPatch, **took: list[tuple[float, float]]) -> Clocked:
    programs = Clocked(**took)
    monkeypatch.setattr(timing, "timed", programs.timed)
    return programs


@pytest.mark.parametrize(
    ("seconds", "calls", "median"),
    [
        ([9.0, 1.0, 2.0, 4.0, 3.0, 0.0], 5, 3.0),
        ([ACT_SECONDS / 6.5] * 4 + [ACT_SECONDS / 10] * 60, 8, ACT_SECONDS * (1 / 6.5 + 1 / 10) / 2),
        ([0.001] * 20 + [0.003] * 60, 50, 0.003),
    ],
    ids=["at least five", "about half a second", "at most fifty"],
)
def test_acting_takes_the_median_of_some_calls(
    monkeypatch: pytest.MonkeyPatch, seconds: list[float], calls: int, median: float
) -> None:
    programs = clocked(monkeypatch, act=[(value, 100.0) for value in seconds])
    assert time_acting(cast("Programs", programs), cast("Any", None)) == pytest.approx(median)
    assert programs.calls == ["act"] * calls


@pytest.mark.parametrize("resets", [True, False])
def test_what_a_run_tells(monkeypatch: pytest.MonkeyPatch, *, resets: bool) -> None:
    """Three updates after one to warm up, in a process that holds 400 bytes; compiling took it to 900."""
    programs = clocked(
        monkeypatch,
        rollout=[(50.0, 50.0), (3.0, 4.0), (1.0, 1.0), (1.0, 1.0)],
        learn=[(50.0, 50.0), (1.0, 5.0), (1.0, 3.0), (7.0, 1.0)],
        act=[(0.25, 9.0)] * 5,
    )
    memory = {"peak": 900}

    def reset_peak() -> bool:
        if resets:
            memory["peak"] = 450  # the most after it, with the updates
        return resets

    monkeypatch.setattr(host, "release_free_memory", lambda: None)
    monkeypatch.setattr(host, "rss_bytes", lambda: 400)
    monkeypatch.setattr(host, "peak_rss_bytes", lambda: memory["peak"])
    monkeypatch.setattr(host, "reset_peak", reset_peak)
    device = SimpleNamespace(platform="cpu", memory_stats=lambda: None)
    task = Task(point=point(agents=10, envs=4, seq_len=16, seed=7), updates=3, warmup_updates=1)
    events = io.StringIO()
    run_programs(cast("Programs", programs), task, cast("Any", device), events)
    first, *told, last = [json.loads(line) for line in events.getvalue().splitlines()]
    assert programs.calls == ["init", *["rollout", "learn"] * 4, *["act"] * 5]
    assert first == {"event": "facts", "host_compile_peak_bytes": 900}
    assert [(event["event"], event.get("name") or (event["phase"], event["update"])) for event in told] == [
        ("phase", "warm up"),
        ("sample", ("warm up", 0)),
        ("phase", "measure"),
        *(("sample", ("measure", update)) for update in range(3)),
    ]
    assert [event["update_cpu_seconds"] for event in told if event["event"] == "sample"] == [100.0, 9.0, 4.0, 2.0]
    assert last == {
        "event": "facts",
        "device_peak_bytes": None,
        "host_rss_peak_bytes": 450 if resets else None,
        "host_peak_rise_bytes": 50 if resets else None,
        "act_seconds": 0.25,
        "parameters_moved": 4.0,
        "episode_return": None,
        "warmup_updates": 1,
        "measured_updates": 3,
        "rollout_seconds": 1.0,
        "learn_seconds": 1.0,
        "update_seconds": 4.0,
        "update_min_seconds": 2.0,
        "update_p90_seconds": pytest.approx(7.2),
        "update_cpu_seconds": 4.0,
        "env_steps_per_second": 16.0,
        "agent_steps_per_second": 160.0,
        "policy_loss": 0.05,
    }


def test_no_episode_no_return() -> None:
    def state(episodes: list[int], returns: list[float]) -> Any:
        import jax.numpy as jnp

        statistics = SimpleNamespace(episodes=jnp.array(episodes), last_return=jnp.array(returns))
        return SimpleNamespace(env_state=SimpleNamespace(statistics=statistics))

    assert Programs.episode_return(state([0, 0], [0.0, 0.0])) is None
    assert Programs.episode_return(state([0, 2], [9.0, 4.0])) == 4.0
    assert Programs.episode_return(state([1, 2], [8.0, 4.0])) == 6.0


def test_distance_of_parameters() -> None:
    import jax.numpy as jnp

    before = {"a": jnp.zeros((2, 2)), "b": jnp.ones(3)}
    after = {"a": jnp.full((2, 2), 1.0), "b": jnp.array([1.0, 1.0, 1.0 + 12**0.5])}
    assert Programs.distance(before, after) == pytest.approx(math.sqrt(4 + 12), rel=1e-6)


def test_programs_are_made_from_shapes_alone() -> None:
    large = Programs(point(agents=1 << 20, envs=1 << 20, seq_len=1 << 20))
    assert large.parameters == Programs(point(agents=64)).parameters
