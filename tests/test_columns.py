"""Every column is described, once, and everything that shows columns reads that."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from reports import FIELD_NAMES, POINT_FIELDS, Record
from reports.arrange.pivot import ROW_AXES, SAME_WORK
from reports.records.columns import COLUMNS, MEMORY, SPEED, Column, column, format_value, formatter, shown_in
from reports.records.columns_document import GROUPS, document
from reports.records.describe import KEY, SOURCES, Place, described

ROOT = Path(__file__).parent.parent
EVERY = pytest.mark.parametrize("one", COLUMNS.values(), ids=COLUMNS)
SUFFIXES = {
    "_bytes": "bytes",
    "_bytes_per_update": "bytes",
    "_seconds": "seconds",
    "_per_second": "rate",
    "_fraction": "fraction",
    "_share": "fraction",
    "_percent": "percent",
    "_watts": "watts",
    "_mhz": "MHz",
    "_joules": "joules",
}
"""How a name ends that says its unit."""


def test_columns_are_the_fields_in_order() -> None:
    assert tuple(COLUMNS) == FIELD_NAMES
    assert all(name == one.name for name, one in COLUMNS.items())
    assert column("agents") is COLUMNS["agents"]
    assert set(POINT_FIELDS) == {one.name for one in COLUMNS.values() if one.identity}


@EVERY
def test_a_column_is_fully_described(one: Column) -> None:
    assert one.title
    assert one.title[0].isupper()
    assert len(one.title) <= 40
    assert one.short
    assert one.description.endswith(".")
    assert len(one.description) <= 120
    assert one.source in SOURCES
    assert one.writer in ("parent", "memory process", "speed process", "planning process", "any process")


def test_no_two_columns_are_described_alike() -> None:
    for aspect in ("title", "description", "short"):
        said = [getattr(one, aspect) for one in COLUMNS.values()]
        assert len(said) == len(set(said)), aspect


@EVERY
def test_the_unit_is_that_of_the_name_and_the_type(one: Column) -> None:
    named = {unit for suffix, unit in SUFFIXES.items() if one.name.endswith(suffix)}
    if named:
        assert {one.unit} == named
    else:
        assert one.unit not in SUFFIXES.values() or one.name == "update_cv"
    assert (one.unit == "text") == one.is_text
    if one.unit == "flag":
        assert one.kind is int


def test_the_values_of_a_record_are_of_their_columns_types() -> None:
    for name, value in dataclasses.asdict(Record()).items():
        assert COLUMNS[name].optional if value is None else type(value) is COLUMNS[name].kind, name


def test_values_are_formatted_by_unit() -> None:
    assert format_value("host_rss_peak_bytes", 2**20) == "1.00 MiB"
    assert format_value("traffic_bytes_per_update", 2.0**20) == "1.00 MiB"
    assert format_value("update_seconds", 0.5) == "500 ms"
    assert format_value("env_steps_per_second", 12345.6) == "12.3k"
    assert format_value("agents", 1024) == "1024"
    assert format_value("update_cv", 0.012345) == "0.0123"
    assert format_value("model", "sable\n") == "sable"
    assert format_value("chunk", None) == format_value("mode", "") == "-"
    assert formatter("bytes")(2**20) == "1.00 MiB"
    with pytest.raises(KeyError):
        format_value("nothing", 1)


def test_a_made_up_column_is_shown_by_its_description() -> None:
    """What a column is called has no part in it."""

    @dataclasses.dataclass
    class Made:
        weight: float | None = described(None, "seconds", "Weight", "How heavy it is.", "clock", "parent")

    (field,) = dataclasses.fields(Made)
    made = Column(name="weight", kind=float, optional=True, **field.metadata[KEY])
    assert made.format(0.5) == "500 ms"
    assert made.short == "Weight"
    assert not made.exact


def test_noise_is_a_matter_of_the_source() -> None:
    assert COLUMNS["xla_peak_bytes"].exact
    assert not COLUMNS["host_peak_rise_bytes"].exact
    assert not COLUMNS["update_seconds"].exact


def test_rows_are_told_apart_by_what_identifies_a_point() -> None:
    assert (*(name for name in POINT_FIELDS if name not in ("model", "mode", "agents")), "device") == ROW_AXES
    assert set(SAME_WORK) == {"scenario", "agents", "seq_len", "envs", "epochs", "minibatches", "target", "device"}
    assert set(SAME_WORK) <= {"agents", *ROW_AXES}


def test_measures_of_charts() -> None:
    assert {one.unit for one in MEMORY} == {"bytes"}
    assert {one.unit for one in SPEED} == {"rate", "seconds"}
    for place in typing.get_args(Place):
        assert len(shown_in(place)) > 2
    assert shown_in("heading") == ("scenario", "envs", "embed_dim", "dtype", "target", "device")


def test_the_document_is_current() -> None:
    """`python -m reports.records.columns_document > docs/columns.md` brings it up to date."""
    assert (ROOT / "docs" / "columns.md").read_text() == document()
    headings = [line for line in document().splitlines() if line.startswith("## ")]
    assert headings == [f"## {name}" for name in (*GROUPS.values(), "Sources")]
    rows = [line for line in document().splitlines() if line.startswith(("| `", "| **`"))]
    assert [row.split("`")[1] for row in rows] == list(COLUMNS)
    assert all(row.count(" | ") == 5 for row in rows)
    assert [row.split("`")[1] for row in rows if "**" in row] == list(POINT_FIELDS)


def test_the_document_can_be_written() -> None:
    command = [sys.executable, "-W", "error", "-m", "reports.records.columns_document"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == document()


def test_importing_columns_is_cheap() -> None:
    code = "import sys, reports.records.columns; print(sorted({'numpy', 'rich', 'jax', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
