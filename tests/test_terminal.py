"""Whole tables as they are printed, without colour, against the files in tests/snapshots."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from reports.arrange.pivot import best_cells, make_pivot, memory_of, rate_of, varying_axes
from reports.records.record import Record
from reports.render.terminal import print_document, render_grid, render_summary
from reports.text.section import Cell, Document, Section, TableColumn, label

SNAPSHOTS = Path(__file__).parent / "snapshots"
MIB = 2**20
GIB = 2**30


def _record(model: str, mode: str, agents: int, **fields: Any) -> Record:
    usual: dict[str, Any] = {
        "scenario": "neom",
        "seq_len": 128,
        "envs": 4,
        "embed_dim": 64,
        "heads": 4,
        "blocks": 2,
        "epochs": 4,
        "minibatches": 2,
        "dtype": "float32",
        "status": "ok",
        "platform": "cpu",
        "device": "cpu (8 cores)",
    }
    return Record(model=model, mode=mode, agents=agents, **(usual | fields))


def _sweep() -> list[Record]:
    """Four models and modes at three agent counts; one point too large to run, one that took too long."""
    records = []
    for agents, mebibytes, rate in ((16, 312, 12_300.0), (128, 790, 9820.0), (1024, 5210, 4410.0)):
        rows = (("sable", "chunkwise", 1.0, 1.0), ("sable", "recurrent", 0.8, 0.2), ("sable", "parallel", 3.0, 0.9))
        for model, mode, memory, speed in (*rows, ("mat", "dense", 2.0, 1.4)):
            cost = {"host_peak_rise_bytes": int(mebibytes * memory) * MIB, "agent_steps_per_second": rate * speed}
            chunk = 16 if mode == "chunkwise" else None
            records.append(_record(model, mode, agents, chunk=chunk, **cost))
    return [_too_large(record) if record.mode == "parallel" else _too_slow(record) for record in records]


def _too_large(record: Record) -> Record:
    if record.agents < 1024:
        return record
    return _failed(
        record,
        "oom",
        "predicted",
        "the compiled update needs 34.2 GiB and 7.5 GiB are free; use --mode chunkwise or fewer environments",
        xla_peak_bytes=int(34.2 * GIB),
    )


def _too_slow(record: Record) -> Record:
    if record.model != "mat" or record.agents < 1024:
        return record
    return _failed(record, "timeout", "point_timeout", "no update ended within 600 s; raise --timeout")


def _failed(record: Record, status: str, code: str, reason: str, **fields: Any) -> Record:
    nothing = {"host_peak_rise_bytes": None, "device_peak_bytes": None, "agent_steps_per_second": None}
    return dataclasses.replace(record, status=status, reason_code=code, reason=reason, **(nothing | fields))


def _printed(show: Any, records: list[Record], width: int, **options: Any) -> str:
    stream = io.StringIO()
    show(records, Console(file=stream, width=width, color_system=None), **options)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def _snapshot(name: str) -> str:
    return (SNAPSHOTS / f"{name}.txt").read_text(encoding="utf-8")


def _varied() -> list[Record]:
    """The sweep at two sequence lengths, with three repeats of which one crashed at one point."""
    records = [
        dataclasses.replace(record, seq_len=length, repeat=repeat)
        for record in _sweep()
        if record.agents < 1024
        for length in (128, 32)
        for repeat in range(3)
    ]
    crashing = next(index for index, record in enumerate(records) if record.repeat == 2)
    records[crashing] = _failed(records[crashing], "crashed", "signal", "the process ended by signal 11")
    return records


def _many_agents() -> list[Record]:
    return [
        _record(
            "sable", mode, 2**power, host_peak_rise_bytes=(power + add) * 100 * MIB, agent_steps_per_second=1e3 * add
        )
        for power in range(13)
        for mode, add in (("chunkwise", 2), ("recurrent", 1))
    ]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("name", "records"), [("summary", _sweep()), ("varied", _varied()), ("many_agents", _many_agents())]
)
def test_summary_looks_as_agreed(name: str, records: list[Record], width: int) -> None:
    assert _printed(render_summary, records, width, title="scaleprof sweep") == _snapshot(f"{name}_{width}")


@pytest.mark.parametrize("width", [80, 120])
def test_grid_looks_as_agreed(width: int) -> None:
    pending = [dataclasses.replace(record, status="pending") for record in _varied() if record.agents == 16]
    assert _printed(render_grid, [*pending, *_sweep()], width) == _snapshot(f"grid_{width}")


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 120])
def test_no_line_is_wider_than_the_console_and_no_number_is_lost(width: int) -> None:
    records = [dataclasses.replace(record, settings="decay_scaling=0.5" * 3) for record in _many_agents()]
    text = _printed(render_summary, [*records, *_many_agents()], width)
    assert max(map(len, text.splitlines())) <= width
    for power in range(13):
        assert f" {2**power}" in text
        assert f"{(power + 2) * 100} MiB" in text or power >= 8
    assert "…" not in text


def test_long_labels_are_folded_to_keep_the_agents_side_by_side() -> None:
    long = [dataclasses.replace(record, settings="decay_scaling=0.5;" * 4) for record in _sweep()]
    text = _printed(render_summary, [*_sweep(), *long], 80)
    assert text.count("model  mode       settings") == 2
    assert "decay_scaling=0.5;d" in text


def test_matched_widths_are_shown_once_for_each_that_was_asked() -> None:
    matched = [("sable", 64, 64, 97_045), ("mat", 64, 72, 97_708), ("sable", 32, 32, 25_749), ("mat", 32, 36, 25_780)]
    sable = {64: 97_045, 32: 25_749}
    records = [
        _record(
            model,
            mode,
            agents,
            match="params",
            embed_dim=asked,
            matched_embed_dim=width,
            parameters=parameters,
            reference_parameters=sable[asked],
        )
        for model, asked, width, parameters in matched
        for mode in ("a", "b")
        for agents in (16, 128)
    ]
    text = _printed(render_summary, records, 80)
    assert (
        "Widths matched to Sable's parameter count:\n"
        "  sable, embed_dim=64: embed_dim 64 (97,045 parameters, sable has 97,045)\n"
        "  mat, embed_dim=64: embed_dim 72 (97,708 parameters, sable has 97,045)\n"
        "  sable, embed_dim=32: embed_dim 32 (25,749 parameters, sable has 25,749)\n"
        "  mat, embed_dim=32: embed_dim 36 (25,780 parameters, sable has 25,749)\n\n"
        "Scenario: neom"
    ) in text
    one = [record for record in records if record.embed_dim == 64]
    assert "  mat: embed_dim 72 (97,708 parameters, sable has 97,045)\n\n" in _printed(render_summary, one, 80)
    assert "matched" not in _printed(render_summary, _sweep(), 80)


def test_nothing_to_show() -> None:
    assert _printed(render_summary, [], 80) == "Summary\nNo records.\n"
    assert _printed(render_grid, _sweep(), 80) == "No points.\n"


def test_bold_marks_the_best_in_a_terminal() -> None:
    stream = io.StringIO()
    render_summary(_sweep(), Console(file=stream, width=80, force_terminal=True, color_system="standard"))
    assert "\x1b[1m*249 MiB\x1b[0m" in stream.getvalue()


def test_markup_and_control_characters_in_data_are_text() -> None:
    record = _record("[red]a[/red]", "m[/]", 4, device="[bold]cpu", scenario="s[x]")
    hostile = _failed(record, "error", "", "bad\n[blink]line\x1b[31m :smile:")
    text = _printed(render_summary, [hostile], 120, title="[i]t")
    assert text.startswith("[i]t\n")
    assert "[red]a[/red] m[/], agents=4: error: bad [blink]line [31m :smile:" in text
    assert "Scenario: s[x] | Device: [bold]cpu | 1 point: 0 ok, 1 failed (1 error)" in text


def test_tables_are_ascii_if_the_stream_is() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    render_summary(_sweep(), Console(file=stream, width=80, color_system=None))
    stream.flush()
    assert b"oom: needs 34.2 GiB" in raw.getvalue()


def test_device_memory_is_preferred_and_mixed_sources_are_marked() -> None:
    host = _record("a", "x", 4, host_peak_rise_bytes=MIB)
    device = _record("b", "x", 4, host_peak_rise_bytes=9 * MIB, device_peak_bytes=2 * MIB)
    assert "Peak memory by number of agents\ndevice allocator\n\n" in _printed(render_summary, [device], 80)
    text = _printed(render_summary, [host, device], 120)
    assert "device allocator; r = resident memory rise" in text
    assert "*r 1.00 MiB" in text
    assert "*2.00 MiB" in text


def test_few_updates_are_marked_and_a_timeout_shows_its_plan() -> None:
    few = _record("a", "x", 4, host_peak_rise_bytes=MIB, agent_steps_per_second=5.0, reason_code="few_updates")
    late = _record("b", "x", 4, status="timeout", xla_peak_bytes=2 * GIB)
    text = _printed(render_summary, [few, late], 100)
    assert text.count("few updates") == 1
    assert "timeout: needs 2.00 GiB" in text
    assert (late.memory_bytes, late.memory_source) == (2 * GIB, "XLA's plan")
    assert dataclasses.replace(late, phase="warm up").memory_bytes == 2 * GIB
    early = _record("b", "x", 4, status="timeout", xla_peak_bytes=2 * GIB, phase="compile learn")
    assert early.memory_bytes is None  # a plan of some of its programs


def test_what_the_idle_process_holds_is_said_once() -> None:
    records = [_record(model, "x", 4, host_base_bytes=base * MIB) for model, base in (("a", 300), ("b", 310))]
    text = _printed(render_summary, records, 100)
    assert text.endswith("\nPeak memory leaves out what the compiled, idle process holds: 305 MiB (median).\n")


def test_an_unknown_figure_differs_from_a_missing_point() -> None:
    records = [_record("a", "x", 4), _record("b", "x", 8)]
    assert "a      x     n/a    -" in _printed(render_summary, records, 80)


def test_repeats_are_shown_as_their_median() -> None:
    records = [_record("a", "x", 4, repeat=n, agent_steps_per_second=rate) for n, rate in enumerate((1.0, 9.0, 2.0))]
    ((row,),) = (make_pivot(records).rows,)
    reading = rate_of(row.points[4])
    assert reading is not None
    assert reading.value == 2.0


def test_best_is_marked_among_rows_of_the_same_work() -> None:
    records = [
        _record(model, "x", 4, envs=envs, host_peak_rise_bytes=size * MIB)
        for model, envs, size in (("a", 1, 1), ("b", 1, 2), ("a", 8, 9), ("b", 8, 8), ("c", 2, 1))
    ]
    pivot = make_pivot(records)
    best = best_cells(pivot, memory_of, lower_is_better=True)
    named = {(pivot.rows[index].model, pivot.rows[index].values) for index, _ in best}
    assert named == {("a", (1,)), ("b", (8,))}


def test_an_axis_varies_only_if_it_distinguishes_points() -> None:
    chunked, whole = _record("a", "x", 4, chunk=16), _record("a", "y", 4, device="")
    assert varying_axes([chunked, whole]) == ()
    assert varying_axes([chunked, dataclasses.replace(chunked, chunk=None)]) == ("chunk",)
    assert varying_axes([chunked, dataclasses.replace(whole, settings="k=1")]) == ("settings",)
    assert varying_axes([chunked, dataclasses.replace(chunked, device="gpu", seed=1)]) == ("seed", "device")


@pytest.mark.parametrize("repeats", [1, 3])
def test_contended_points_are_marked(repeats: int) -> None:
    """One repeat is enough; memory does not depend on it."""
    usual = {"host_rss_peak_bytes": 300 * MIB, "agent_steps_per_second": 4000.0}
    records = [
        _record(model, "dense", agents, repeat=repeat, contended=int((agents, repeat) == (32, 0)), **usual)
        for model in ("mat", "mat-rms")
        for agents in (16, 32)
        for repeat in range(repeats)
    ]
    records[-1] = dataclasses.replace(records[-1], agent_steps_per_second=5000.0)
    text = _printed(render_summary, records, 80)
    memory, speed = text.split("Agent-steps per second")
    assert "!" not in memory
    assert "* = highest; ! = contended: other processes competed for the CPU" in speed
    assert speed.count("!4.00k") >= 1
    assert speed.count("!") == 3
    quiet = [dataclasses.replace(record, contended=0) for record in records]
    assert "!" not in _printed(render_summary, quiet, 80)


@pytest.mark.parametrize("width", [24, 30, 40, 60, 80])
def test_no_word_of_a_heading_or_a_name_is_cut(width: int) -> None:
    labels = (label("accumulate", ["auto", "1"]), label("update_metric", ["throughput", "env_steps_per_second"]))
    columns = (TableColumn("base", (Cell("111k"), Cell("1.14 ms"))), TableColumn("new", (Cell("9.1k"), Cell("2 ms"))))
    stream = io.StringIO()
    print_document(Console(file=stream, width=width), Document(sections=(Section(labels=labels, columns=columns),)))
    words = stream.getvalue().replace(":", " ").split()
    assert {"throughput", "1.14"} <= set(words)
    assert "accumulate" in words or width < 40  # a list names its rows by their values alone
    assert {"env_steps_per_second"} <= set(words) or {"env_", "steps_", "second"} <= {
        part for word in words for part in word.replace("_", "_ ").split()
    }
