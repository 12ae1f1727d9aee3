"""Titles of charts: what they say, and what they say where there is less to say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from sweeps import MODELS, failed, measured, sweep

from reports.arrange.curves import fullest_slice, slices
from reports.records.columns import COLUMNS
from reports.records.record import Record
from reports.report.titles import Title, title_of

SOME = sweep(MODELS[:1], agents=(4,))


def titled(records: Sequence[Record], field: str, axis: str = "agents") -> Title:
    run = dataclasses.replace(SOME, records=tuple(records))
    return title_of(COLUMNS[field], fullest_slice(slices([run], axis)), records)


def test_growth_names_the_least_the_first_and_the_most() -> None:
    costs = {"sable": (10, 40), "mat": (10, 160), "ippo": (10, 20), "mappo": (10, 30)}
    records = [
        measured(model, "", size, 8, 0, mebibytes=mebibytes, seconds=1)
        for model, values in costs.items()
        for size, mebibytes in zip((16, 64), values, strict=True)
    ]
    assert titled(records, "memory_bytes") == Title(
        ("Peak memory at 8 timesteps", "Peak memory"),
        (
            "4x the agents (16 to 64): ippo 2.0x, sable 4.0x, mat 16x",
            "4x the agents: ippo 2.0x, sable 4.0x, mat 16x",
            "4x the agents: ippo 2.0x, mat 16x",
        ),
    )


def test_a_curve_that_ended_early_counts_with_its_own_last_step() -> None:
    records = [measured("ippo", "", size, 8, 0, mebibytes=size, seconds=1) for size in (4, 16, 64)]
    records += [measured("mat", "", size, 8, 0, mebibytes=size**2, seconds=1) for size in (4, 16)]
    records += [measured("mappo", "", size, 8, 0, mebibytes=size**3, seconds=1) for size in (4, 8)]
    records.append(failed("mat", "", 64, 8, 0, "oom"))
    assert titled(records, "memory_bytes").answers == ("4x the agents: ippo 4.0x, mat 16x",) * 2


@pytest.mark.parametrize(
    ("field", "answers"),
    [
        ("memory_bytes", ("Least at 4 agents, about equal: ippo 5.00 MiB, mat 6.00 MiB",)),
        ("agent_steps_per_second", ("Fastest at 4 agents: mat 256, then ippo 128", "Fastest at 4 agents: mat 256")),
        ("update_seconds", ()),
    ],
)
def test_one_size(field: str, answers: tuple[str, ...]) -> None:
    records = [
        measured("ippo", "", 4, 8, 0, mebibytes=5, seconds=1),
        measured("mat", "", 4, 8, 0, mebibytes=6, seconds=0.5),
    ]
    assert titled(records, field).answers == answers


def test_one_curve() -> None:
    records = [measured("ippo", "", size, 8, 0, mebibytes=size, seconds=1) for size in (4, 16)]
    assert titled(records, "memory_bytes").answers[0] == "4x the agents (4 to 16): ippo 4.0x"
    assert titled(records, "agent_steps_per_second").answers == ("ippo 512 at 16 agents",)


def test_a_slice_speaks_of_its_own_points_only() -> None:
    records = [
        measured("ippo", "", size, length, 0, mebibytes=size * length, seconds=1)
        for size in (4, 16)
        for length in (8, 32)
    ]
    assert titled(records, "memory_bytes").names[0] == "Peak memory at 32 timesteps"
    found = titled(records, "memory_bytes", "seq_len")
    assert (found.names[0], found.answers[0]) == ("Peak memory at 16 agents", "4x the timesteps (8 to 32): ippo 4.0x")


def test_nothing_was_measured() -> None:
    records = [failed("mat", "", size, 8, 0, "oom") for size in (4, 16)]
    for field in ("memory_bytes", "agent_steps_per_second"):
        assert titled(records, field).answers == ()
