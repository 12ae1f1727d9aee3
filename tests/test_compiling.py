"""Compiling a point's programs one by one, and stopping before what cannot fit."""

from __future__ import annotations

import dataclasses
import io
import json
from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import pytest

from scaleprof.launch.protocol import Task
from scaleprof.probes import host
from scaleprof.worker.compiling import CACHE_READ, CACHE_WRITTEN, PredictedOomError, compile_programs
from scaleprof.worker.programs import Programs

GIB = 2**30


class FakePrograms:
    """Programs of which XLA says that they need so many bytes of temporaries; None where it says nothing."""

    def __init__(self, unseen: tuple[str, ...] = (), heard: str = "", **temp_bytes: int | None) -> None:
        self.unseen = unseen
        self.heard = heard
        self.temp_bytes = temp_bytes

    while_trips = 1.0
    pool_size = 0

    def trace(self, name: str) -> SimpleNamespace:
        product = jax.make_jaxpr(lambda a: a @ a)(jnp.ones((10, 10)))
        return SimpleNamespace(jaxpr=product, lower=lambda: name)

    def compile(self, name: str, lowered: str) -> SimpleNamespace:
        assert lowered == name
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
    peaks = iter([500, 900, 700])
    monkeypatch.setattr(host, "peak_rss_bytes", lambda: next(peaks))
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
    assert phases == ["compile init", "compile act", "compile rollout", "compile learn", "compile environment"]
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
    assert facts["host_compile_peak_bytes"] == 900, "the most of the three"
    assert facts["flops_per_update"] == 2 * 2 * 10**3, "of rollout and learn, not of acting alone"
    times = {f"{what}_{name}_seconds" for what in ("trace", "compile") for name in ("act", "rollout", "learn")}
    assert times <= set(facts)


def test_memory_alone_needs_no_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(measure="memory")
    phases, _, _ = compiled(monkeypatch, limit=GIB, task=task, act=1, rollout=1, learn=1)
    assert phases == ["compile init", "compile act", "compile rollout", "compile learn"]


def test_reading_what_was_compiled_is_no_compile_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child says so itself: by what jax tells of its cache while a program is compiled."""
    _, facts, _ = compiled(monkeypatch, limit=GIB, heard=CACHE_READ, act=1, rollout=1, learn=1)
    assert facts["compile_cache"] == "read"
    assert not [name for name in facts if name.startswith("compile_") and name.endswith("_seconds")]
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
    assert (len(phases), sizes_of(facts), reason) == (5, {}, "")
