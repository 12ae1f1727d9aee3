"""What a picture or the page draws, before anything is drawn: curves, limits, ticks, fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.arrange.curves import fullest_slice, known_measures, memory_limits, slices
from reports.growth.trends import trend_of
from reports.records.columns import COLUMNS, MEMORY, SPEED
from reports.records.record import STATUSES, Record
from reports.records.run import Run
from reports.text.style import COLOURS, FAILURES, MARKERS
from reports.text.ticks import tick_label, ticks

MIB = 2**20
RISE = COLUMNS["memory_bytes"]
RESIDENT = next(measure for measure in MEMORY if measure.name == "host_rss_peak_bytes")
RATE = SPEED[0]


def record(model: str, agents: int, seq_len: int = 8, status: str = "ok", **fields: Any) -> Record:
    return Record(model=model, agents=agents, seq_len=seq_len, status=status, envs=2, **fields)


def run(*records: Record, name: str = "run") -> Run:
    return Run(name, Path("runs") / name, records)


def test_a_slice_holds_the_other_axis() -> None:
    records = [record("sable", agents, length) for agents in (4, 16) for length in (8, 32)]
    records += [record("sable", 64, 8), record("sable", 64, 16, "pending")]
    by_agents = slices([run(*records)], "agents")
    assert [(one.title, one.sizes) for one in by_agents] == [("8 timesteps", (4, 16, 64)), ("32 timesteps", (4, 16))]
    by_length = slices([run(*records)], "seq_len")
    assert [(one.title, one.sizes) for one in by_length] == [("4 agents", (8, 32)), ("16 agents", (8, 32))]
    assert fullest_slice(by_agents).at == 8
    assert fullest_slice(by_length).at == 16


def test_what_else_varies_makes_curves_of_their_own() -> None:
    first = run(record("sable", 4, mode="chunkwise", dtype="float32"), record("ippo", 4, dtype="float32"), name="one")
    (one,) = slices([first], "agents")
    assert [curve.label for curve in one.curves] == ["sable chunkwise", "ippo"]
    second = run(record("sable", 4, mode="chunkwise", dtype="bfloat16"), name="two")
    (both,) = slices([first, second], "agents")
    assert [(curve.label, curve.style) for curve in both.curves] == [
        ("sable chunkwise, run=one, dtype=float32", 0),
        ("ippo, run=one, dtype=float32", 1),
        ("sable chunkwise, run=two, dtype=bfloat16", 2),
    ]
    (same,) = slices([first, Run("one", Path("other/one"), first.records)], "agents")
    assert {curve.label.partition(", ")[2] for curve in same.curves} == {"run=runs/one", "run=other/one"}


def test_a_curve_has_its_repeats_and_its_failures() -> None:
    repeats = [record("mat", 4, repeat=n, host_peak_rise_bytes=n * MIB) for n in range(3)]
    failed = [record("mat", 4, status="oom", repeat=3), record("mat", 8, status="timeout")]
    (one,) = slices([run(*repeats, *failed)], "agents")
    (curve,) = one.curves
    assert curve.values(RISE) == {4: (MIB, 2 * MIB)}  # no bytes at all cannot stand on a logarithmic axis
    assert {size: [record.status for record in found] for size, found in curve.failures().items()} == {
        4: ["oom"],
        8: ["timeout"],
    }


def test_measures_that_something_is_known_of() -> None:
    records = [record("mat", 4, status="oom", device_peak_bytes=5), record("mat", 4, host_rss_peak_bytes=5)]
    assert known_measures(records, MEMORY) == [RESIDENT]


def test_a_limit_is_where_the_process_would_meet_it() -> None:
    fields: dict[str, Any] = {"memory_limit_bytes": 100 * MIB, "host_base_bytes": 30 * MIB}
    assert memory_limits([record("mat", 4, **fields)], RESIDENT) == [(100 * MIB, 100 * MIB)]
    assert memory_limits([record("mat", 4, **fields)], RISE) == [(100 * MIB, 70 * MIB)]
    assert memory_limits([record("mat", 4, memory_limit_bytes=100 * MIB)], RISE) == []
    plan = COLUMNS["xla_peak_bytes"]
    assert memory_limits([record("mat", 4, platform="cpu", **fields)], plan) == [(100 * MIB, 70 * MIB)]
    assert memory_limits([record("mat", 4, platform="gpu", **fields)], plan) == [(100 * MIB, 100 * MIB)]


def curve_of(cost: Any, *, repeats: int = 1) -> Any:
    """Updates of 2 environments and 8 timesteps that take `cost` of the number of agents."""
    records = [
        record(
            "mat",
            n,
            repeat=k,
            update_seconds=cost(n) * (1 + k / 100),
            agent_steps_per_second=16 * n / cost(n) / (1 + k / 100),
        )
        for n in (4, 8, 16, 32)
        for k in range(repeats)
    ]
    (one,) = slices([run(*records)], "agents")
    return one.curves[0]


def test_a_fit_goes_on_where_nothing_was_measured() -> None:
    trend = trend_of(curve_of(lambda n: 0.1 + n**2), SPEED[2], "agents", 64)
    assert trend is not None
    assert (trend.sizes[0], trend.sizes[-1], trend.measured_to) == (4, 64, 32)
    assert trend.values[-1] == pytest.approx(0.1 + 64**2, rel=1e-3)
    assert (trend.low, trend.words) == ((), "quadratic")


def test_a_plan_with_a_kink_has_no_line() -> None:
    plan = COLUMNS["xla_peak_bytes"]
    sizes = (2, 4, 8, 16, 32, 64, 128, 256)
    records = [record("mat", size, xla_peak_bytes=max(1_000_000 + size, 75_000 * size)) for size in sizes]
    (one,) = slices([run(*records)], "agents")
    assert trend_of(one.curves[0], plan, "agents", 256) is None
    (beyond,) = slices([run(*records[3:])], "agents")
    trend = trend_of(beyond.curves[0], plan, "agents", 256)
    assert trend is not None
    assert trend.words == "linear"


def test_settings_that_differ_by_size_have_no_line() -> None:
    records = [record("mat", n, host_peak_rise_bytes=n * MIB, learn_groups=1 + n // 32) for n in (4, 8, 16, 32)]
    (one,) = slices([run(*records)], "agents")
    assert trend_of(one.curves[0], RISE, "agents", 32) is None
    (same,) = slices([run(*records[:3], record("mat", 32, host_peak_rise_bytes=32 * MIB, learn_groups=1))], "agents")
    assert trend_of(same.curves[0], RISE, "agents", 32) is not None


def test_the_line_of_a_plan_of_two_parts_names_both() -> None:
    plan = COLUMNS["xla_peak_bytes"]
    records = [record("mat", n, xla_peak_bytes=10**7 + 40_000 * n + 300 * n**2) for n in (16, 32, 64, 128, 256)]
    (one,) = slices([run(*records)], "agents")
    trend = trend_of(one.curves[0], plan, "agents", 512)
    assert trend is not None
    assert trend.words == "quadratic"
    assert trend.values[-1] == pytest.approx(10**7 + 40_000 * 512 + 300 * 512**2, rel=1e-3)


def test_the_fit_of_a_rate_is_that_of_the_time() -> None:
    trend = trend_of(curve_of(lambda n: 0.5 + n / 10, repeats=5), RATE, "agents", 4)
    assert trend is not None
    for size, low, middle, high in zip(trend.sizes, trend.low, trend.values, trend.high, strict=True):
        assert low < middle < high
        assert middle == pytest.approx(16 * size / (0.5 + size / 10), rel=0.04)


def test_too_few_sizes_are_not_fitted() -> None:
    (one,) = slices([run(record("mat", 4, update_seconds=1.0), record("mat", 8, update_seconds=2.0))], "agents")
    assert trend_of(one.curves[0], SPEED[2], "agents", 8) is None


@pytest.mark.parametrize(
    ("low", "high", "unit", "labels"),
    [
        (3e6, 9e9, "bytes", "4 MiB, 16 MiB, 64 MiB, 256 MiB, 1 GiB, 4 GiB"),
        (300 * MIB, 900 * MIB, "bytes", "320 MiB, 384 MiB, 448 MiB, 512 MiB, 640 MiB, 768 MiB, 896 MiB"),
        (900, 2e6, "rate", "1k, 10k, 100k, 1M"),
        (0.004, 0.05, "seconds", "5 ms, 10 ms, 20 ms, 50 ms"),
        (4, 64, "count", "4, 8, 16, 32, 64"),
    ],
)
def test_ticks_are_round_and_have_units(low: float, high: float, unit: str, labels: str) -> None:
    assert ", ".join(tick_label(value, unit) for value in ticks(low, high, unit)) == labels


@pytest.mark.parametrize("unit", ["bytes", "rate", "seconds", "count"])
@pytest.mark.parametrize("span", [1.001, 1.2, 3.0, 100.0, 1e9, 1e15])
def test_ticks_lie_on_the_axis_and_are_few(unit: str, span: float) -> None:
    found = ticks(7.0, 7.0 * span, unit)
    assert 2 <= len(found) <= 9
    assert found == sorted(found)
    assert 7.0 <= found[0] < found[-1] <= 7.0 * span


def test_every_curve_and_every_failure_looks_its_own_way() -> None:
    assert len(MARKERS) % len(COLOURS)
    assert len({(n % len(COLOURS), n % len(MARKERS)) for n in range(63)}) == 63
    assert {"ok", "planned", "pending", *FAILURES} == set(STATUSES)
    assert not {mark for mark, _, _ in FAILURES.values()} & {mark for mark, _, _ in MARKERS}
