"""Compiling a point's programs, one by one or together, and stopping before what cannot fit."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import pytest

from scaleprof.launch.protocol import Task
from scaleprof.probes import host
from scaleprof.worker.compiling import (
    CACHE_READ,
    CACHE_WRITTEN,
    LONGEST_FIRST,
    MEASURED,
    THREADS,
    UNTIMED,
    PredictedOomError,
    compile_programs,
)
from scaleprof.worker.programs import Programs

GIB = 2**30
TOGETHER = Task(compile_together=True)


class FakePrograms:
    """Programs of which XLA says that they need so many bytes of temporaries; None where it says nothing."""

    def __init__(self, unseen: tuple[str, ...] = (), heard: str = "", **temp_bytes: int | None) -> None:
        self.unseen = unseen
        self.heard = heard
        self.temp_bytes = temp_bytes

    while_trips = 1.0
    pool_size = 0

    def trace(self, name: str) -> SimpleNamespace:
        product = jax.make_jaxpr(lambda a: a @ a)(jax.ShapeDtypeStruct((10, 10), jnp.float32))
        return SimpleNamespace(jaxpr=product, lower=lambda: name)

    def compile(self, name: str, lowered: str, options: dict[str, Any] | None = None) -> SimpleNamespace:
        assert lowered == name
        assert options is None or name in UNTIMED, "what is measured is compiled as usual"
        if self.heard:
            jax.monitoring.record_event(self.heard)
        temp = self.temp_bytes.get(name, 0)
        analysis = SimpleNamespace(
            argument_size_in_bytes=100, output_size_in_bytes=50, alias_size_in_bytes=30, temp_size_in_bytes=temp
        )
        text = "custom-call __ynn_fusion" if name in self.unseen else "fusion"
        return SimpleNamespace(memory_analysis=lambda: None if temp is None else analysis, as_text=lambda: text)


def compiled(
    monkeypatch: pytest.MonkeyPatch,
    *,
    limit: int,
    resident: int = 0,
    platform: str = "cpu",
    device_limit: int | None = None,
    task: Task | None = None,
    unseen: tuple[str, ...] = (),
    heard: str = "",
    **temp_bytes: int | None,
) -> tuple[list[str], dict[str, Any], str]:
    """The phases and facts that were told, and why it ended early."""
    monkeypatch.setattr(host, "rss_bytes", lambda: resident)
    monkeypatch.setattr(host, "peak_rss_bytes", lambda: 900)
    monkeypatch.setattr(host, "reset_peak", lambda: True)
    statistics = None if device_limit is None else {"bytes_limit": device_limit}
    device = SimpleNamespace(platform=platform, memory_stats=lambda: statistics)
    events = io.StringIO()
    reason = ""
    programs = cast("Programs", FakePrograms(unseen, heard, **temp_bytes))
    asked = dataclasses.replace(task or Task(), memory_limit_bytes=limit)
    try:
        compile_programs(programs, asked, cast("Any", device), events)
    except PredictedOomError as error:
        reason = str(error)
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    phases = [event["name"] for event in told if event["event"] == "phase"]
    facts = {name: value for event in told if event["event"] == "facts" for name, value in event.items()}
    return phases, facts, reason


def sizes_of(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts that are XLA's figures."""
    return {name: value for name, value in facts.items() if name.startswith("xla_")}


def test_programs_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    phases, facts, reason = compiled(monkeypatch, limit=GIB, act=10, rollout=3000, learn=2000)
    named = ["init", "act", "rollout", "learn", "inspect", "environment"]
    assert phases == [f"compile {name}" for name in named]
    assert reason == ""
    assert sizes_of(facts) == {
        "xla_act_argument_bytes": 100,
        "xla_act_output_bytes": 50,
        "xla_act_alias_bytes": 30,
        "xla_act_temp_bytes": 10,
        "xla_rollout_argument_bytes": 100,
        "xla_rollout_output_bytes": 50,
        "xla_rollout_alias_bytes": 30,
        "xla_rollout_temp_bytes": 3000,
        "xla_learn_argument_bytes": 100,
        "xla_learn_output_bytes": 50,
        "xla_learn_alias_bytes": 30,
        "xla_learn_temp_bytes": 2000,
        "xla_peak_bytes": 3000 + 100 + 50 - 30,
        "xla_bound": "exact",
    }
    assert facts["host_compile_peak_bytes"] == 900, "the most while compiling"
    assert facts["flops_per_update"] == 2 * 2 * 10**3, "of rollout and learn, not of acting alone"
    times = {f"{what}_{name}_seconds" for what in ("trace", "compile") for name in ("act", "rollout", "learn")}
    assert times <= set(facts)


def test_memory_alone_needs_no_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(measure="memory")
    phases, _, _ = compiled(monkeypatch, limit=GIB, task=task, act=1, rollout=1, learn=1)
    assert phases == ["compile init", "compile act", "compile rollout", "compile learn", "compile inspect"]


def test_programs_that_compile_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """They say the same of memory and work, and time only the whole."""
    _, alone, _ = compiled(monkeypatch, limit=GIB, act=10, rollout=3000, learn=2000)
    phases, facts, reason = compiled(monkeypatch, limit=GIB, task=TOGETHER, act=10, rollout=3000, learn=2000)
    assert (phases, reason) == (["compile"], "")
    assert (alone["compiling"], facts["compiling"]) == ("one by one", "together")
    assert alone["compile_seconds"] > 0
    assert facts["compile_seconds"] > 0
    timed = {f"{what}_{name}_seconds" for what in ("trace", "compile") for name in UNTIMED + MEASURED}
    assert timed & set(facts) == set()
    clocks = timed | {"compile_seconds", "compiling"}
    assert {k: v for k, v in facts.items() if k not in clocks} == {k: v for k, v in alone.items() if k not in clocks}


def test_only_a_cpu_compiles_several_programs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    _, facts, _ = compiled(monkeypatch, limit=GIB, task=TOGETHER, platform="gpu", act=1, rollout=1, learn=1)
    assert facts["compiling"] == "one by one"


def slowed(monkeypatch: pytest.MonkeyPatch, wait: Callable[[str], object]) -> None:
    """Call `wait` with its name before a program is compiled."""
    original = FakePrograms.compile

    def compile_later(self: FakePrograms, name: str, *rest: Any) -> SimpleNamespace:
        wait(name)
        return original(self, name, *rest)

    monkeypatch.setattr(FakePrograms, "compile", compile_later)


def test_several_compile_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones only go on once as many have begun."""
    barrier = threading.Barrier(THREADS)
    slowed(monkeypatch, lambda name: name in LONGEST_FIRST[:THREADS] and barrier.wait(timeout=30))
    _, facts, reason = compiled(monkeypatch, limit=GIB, task=TOGETHER, act=1, rollout=1, learn=1)
    assert (facts["compiling"], reason) == ("together", "")


def test_together_none_waits_for_one_that_cannot_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the point while another still compiles."""
    ended = threading.Event()
    slowed(monkeypatch, lambda name: name == "learn" and ended.wait(timeout=30))
    sizes: dict[str, Any] = {"act": 10, "rollout": 3 * GIB, "learn": 2000}
    _, facts, reason = compiled(monkeypatch, limit=GIB, task=TOGETHER, **sizes)
    assert "xla_learn_temp_bytes" not in facts
    ended.set()
    assert reason == "the rollout program needs 3.00 GiB by XLA's analysis; the limit is 1.00 GiB"
    assert "compile_seconds" not in facts


def test_an_error_of_a_compiler_thread_is_the_points(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: FakePrograms, name: str, *_: Any) -> None:
        raise ValueError(f"no kernel for {name}")

    monkeypatch.setattr(FakePrograms, "compile", fail)
    with pytest.raises(ValueError, match="no kernel for"):
        compiled(monkeypatch, limit=GIB, task=TOGETHER, act=1, rollout=1, learn=1)


def test_reading_what_was_compiled_is_no_compile_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child says so itself: by what jax tells of its cache while a program is compiled."""
    _, facts, _ = compiled(monkeypatch, limit=GIB, heard=CACHE_READ, act=1, rollout=1, learn=1)
    assert facts["compile_cache"] == "read"
    times = {name: value for name, value in facts.items() if name.startswith("compile_") and name.endswith("_seconds")}
    assert times == {"compile_seconds": None}
    assert facts["host_compile_peak_bytes"] is None
    assert facts["trace_learn_seconds"] > 0


def test_writing_what_was_compiled_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    _, facts, _ = compiled(monkeypatch, limit=GIB, heard=CACHE_WRITTEN, act=1, rollout=1, learn=1)
    assert facts["compile_cache"] == "written"
    assert facts["compile_learn_seconds"] > 0
    assert facts["host_compile_peak_bytes"] == 900


@pytest.mark.parametrize(("unseen", "bound"), [((), "exact"), (("act",), "lower"), (("learn",), "lower")])
def test_memory_that_xla_does_not_see(monkeypatch: pytest.MonkeyPatch, unseen: tuple[str, ...], bound: str) -> None:
    _, facts, _ = compiled(monkeypatch, limit=GIB, unseen=unseen, act=1, rollout=1, learn=1)
    assert facts["xla_bound"] == bound


def test_nothing_is_compiled_after_a_program_that_cannot_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    phases, facts, reason = compiled(monkeypatch, limit=GIB, act=10, rollout=3 * GIB, learn=2000)
    assert phases == ["compile init", "compile act", "compile rollout"]
    assert sizes_of(facts) == {
        "xla_act_argument_bytes": 100,
        "xla_act_output_bytes": 50,
        "xla_act_alias_bytes": 30,
        "xla_act_temp_bytes": 10,
        "xla_rollout_argument_bytes": 100,
        "xla_rollout_output_bytes": 50,
        "xla_rollout_alias_bytes": 30,
        "xla_rollout_temp_bytes": 3 * GIB,
        "xla_peak_bytes": 3 * GIB + 100 + 50 - 30,
        "xla_bound": "exact",
    }
    assert reason == "the rollout program needs 3.00 GiB by XLA's analysis; the limit is 1.00 GiB"


def test_a_narrow_prediction_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 100 * GIB
    assert compiled(monkeypatch, limit=limit, act=104 * GIB, rollout=1, learn=1)[2] == ""
    assert compiled(monkeypatch, limit=limit, act=106 * GIB, rollout=1, learn=1)[2] != ""


def test_what_is_resident_counts_on_the_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, Any] = {"act": GIB, "rollout": 1, "learn": 1}
    _, _, reason = compiled(monkeypatch, limit=2 * GIB, resident=3 * GIB, **sizes)
    assert (
        reason
        == "the act program needs 1.00 GiB by XLA's analysis plus 3.00 GiB already resident; the limit is 2.00 GiB"
    )
    _, _, reason = compiled(monkeypatch, limit=2 * GIB, resident=3 * GIB, platform="gpu", **sizes)
    assert reason == ""


def test_a_device_may_have_less_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, Any] = {"act": 3 * GIB, "rollout": 1, "learn": 1}
    _, _, reason = compiled(monkeypatch, limit=8 * GIB, platform="gpu", device_limit=2 * GIB, **sizes)
    assert reason == "the act program needs 3.00 GiB by XLA's analysis; the limit is 2.00 GiB"
    assert compiled(monkeypatch, limit=8 * GIB, platform="gpu", device_limit=24 * GIB, **sizes)[2] == ""


def test_a_backend_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    phases, facts, reason = compiled(monkeypatch, limit=1, act=None, rollout=None, learn=None)
    assert (len(phases), sizes_of(facts), reason) == (6, {}, "")
