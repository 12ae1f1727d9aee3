"""Records survive a CSV file and a mapping bit by bit, and every fault in a file is named."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports import (
    FIELD_NAMES,
    SCHEMA_VERSION,
    STATUSES,
    Record,
    read_records,
    record_from_mapping,
    record_to_mapping,
    write_records,
)
from reports.records.columns import COLUMNS, Column
from reports.records.record import POSITIVE
from reports.records.record_lines import read_lines, record_line

RECORD = Record(agents=16, seq_len=8, envs=4)
TEXTS = st.one_of(st.text(max_size=20), st.text("='+-@\t\r\n\",;ab", max_size=6))
OF_KIND: dict[type, st.SearchStrategy[Any]] = {int: st.integers(-(10**30), 10**30), float: st.floats(), str: TEXTS}
AT_LEAST_ZERO: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(0, 10**30),
    float: st.floats(min_value=0.0) | st.just(math.nan),
}


def _value_of(column: Column) -> st.SearchStrategy[Any]:
    found = (OF_KIND if column.is_text or column.unit == "number" else AT_LEAST_ZERO)[column.kind]
    found = found.filter(bool) if column.name in POSITIVE else found
    return st.none() | found if column.optional else found


def _records() -> st.SearchStrategy[Record]:
    fields = {column.name: _value_of(column) for column in COLUMNS.values()}
    fields["schema_version"] = st.just(SCHEMA_VERSION)
    fields["status"] = st.sampled_from(STATUSES)
    fields |= dict.fromkeys(("agents", "seq_len", "envs"), st.integers(1, 10**30))
    return st.builds(Record, **fields)


def _text_of(*records: Record) -> str:
    stream = io.StringIO(newline="")
    write_records(records, stream)
    return stream.getvalue()


def _read(text: str) -> list[Record]:
    return read_records(io.StringIO(text, newline=""))


def _with_cell(name: str, cell: str) -> str:
    """A file of one record in which one cell is replaced."""
    header, row = _text_of(RECORD).splitlines()
    cells = row.split(",")
    cells[FIELD_NAMES.index(name)] = cell
    return f"{header}\n{','.join(cells)}\n"


def _changed_header(change: Callable[[list[str], list[str]], None]) -> str:
    header, row = (line.split(",") for line in _text_of(RECORD).splitlines())
    change(header, row)
    return f"{','.join(header)}\n{','.join(row)}\n"


@settings(max_examples=20, deadline=None)
@given(st.lists(_records(), max_size=3))
def test_csv_round_trip_is_exact(records: list[Record]) -> None:
    # By repr, in which nan equals nan and -0.0 differs from 0.0.
    assert repr(_read(_text_of(*records))) == repr(records)


@settings(max_examples=20, deadline=None)
@given(_records())
def test_json_round_trip_is_exact(record: Record) -> None:
    line = json.dumps(record_to_mapping(record))
    assert repr(record_from_mapping(json.loads(line))) == repr(record)
    (read,), left_out = read_lines(record_line(record), "records.jsonl")
    assert repr(read) == repr(record)
    assert left_out == []


def test_a_checksum_that_is_none_is_damage() -> None:
    line = record_line(RECORD)
    for wrong in (line.replace('"crc": "', '"crc": "x'), line.replace('"crc": "', '"crc": null, "was": "')):
        with pytest.raises(ValueError, match="line 1: the checksum is wrong"):
            read_lines(wrong, "records.jsonl")
    content = json.loads(line)
    del content["crc"]
    assert read_lines(json.dumps(content) + "\n", "records.jsonl") == ([RECORD], []), "as earlier versions wrote it"


def _refused(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@given(_records(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_line_is_strict_json_and_no_flipped_bit_passes(record: Record, data: st.DataObject) -> None:
    line = record_line(record)
    json.loads(line, parse_constant=_refused)
    raw = bytearray(line.encode())
    place = data.draw(st.integers(0, len(raw) - 2))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        records, left_out = read_lines(raw.decode(errors="replace"), "records.jsonl")
    except ValueError:
        return
    assert left_out or repr(records) == repr([record]), "only the name of the checksum's own field may change"


@given(_records(), _records(), st.data())
@settings(max_examples=50, deadline=None)
def test_what_is_torn_off_is_said(first: Record, second: Record, data: st.DataObject) -> None:
    whole, last = record_line(first), record_line(second)
    kept = data.draw(st.integers(1, len(last) - 1))
    records, left_out = read_lines(whole + last[:kept], "records.jsonl")
    if kept == len(last) - 1:
        assert (repr(records), left_out) == (repr([first, second]), []), "only the line feed is missing"
    else:
        assert (repr(records), left_out) == (repr([first]), ["1 torn line"])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("update_seconds", -0.5),
        ("host_peak_rise_bytes", -1),
        ("agent_steps_per_second", -2.0),
        ("learn_groups", -1),
        ("update_cv", -0.1),
    ],
)
def test_what_cannot_be_negative_is_damage(column: str, value: float) -> None:
    mapping = record_to_mapping(RECORD) | {column: value}
    with pytest.raises(ValueError, match=f"'{column}' is {value}, which cannot be negative; correct the value"):
        record_from_mapping(mapping)


def test_columns_are_the_fields_in_order_and_unknown_is_empty() -> None:
    header, row = _text_of(dataclasses.replace(RECORD, update_seconds=0.1)).splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert tuple(cells) == FIELD_NAMES
    assert (cells["agents"], cells["update_seconds"], cells["device_peak_bytes"]) == ("16", "0.1", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "'"])
def test_text_that_a_spreadsheet_would_run_is_guarded(start: str) -> None:
    record = dataclasses.replace(RECORD, reason=f"{start}1+2")
    assert f"'{start}1+2" in _text_of(record)
    assert _read(_text_of(record)) == [record]


def test_an_apostrophe_that_guards_nothing_stays() -> None:
    assert _read(_with_cell("reason", "'tis"))[0].reason == "'tis"


@pytest.mark.parametrize("column", sorted(POSITIVE))
def test_what_cannot_be_zero_is_damage(column: str) -> None:
    mapping = record_to_mapping(RECORD) | {column: 0}
    with pytest.raises(ValueError, match=f"'{column}' is 0, which is impossible; correct the value or leave it empty"):
        record_from_mapping(mapping)
    with pytest.raises(ValueError, match=f"'{column}' is 0"):
        _read(_with_cell(column, "0"))


def test_negative_numbers_are_not_guarded() -> None:
    assert ",-0.5," in _text_of(dataclasses.replace(RECORD, policy_loss=-0.5))


def test_reads_a_path_with_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    record = dataclasses.replace(RECORD, model="sable")
    path.write_bytes(b"\xef\xbb\xbf" + _text_of(record).replace("\n", "\r\n").encode() + b"\r\n")
    assert read_records(path) == read_records(str(path)) == [record]


def test_blank_lines_before_the_header(tmp_path: Path) -> None:
    record = Record(model="sable", agents=3, seq_len=1, envs=1)
    assert _read("\n\n" + _text_of(record)) == [record]
    with pytest.raises(ValueError, match=r"row 3: no column 'schema_version', so this is not a scaleprof results file"):
        _read("\n\nname,price\n")


def test_a_file_with_a_header_only_holds_no_records() -> None:
    assert _read(_text_of()) == []


def test_columns_of_others_are_ignored() -> None:
    def add(header: list[str], row: list[str]) -> None:
        header.append("my note")
        row.append("looks fine")

    assert _read(_changed_header(add)) == [RECORD]


def test_an_older_schema_may_lack_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.records.mapping.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    assert _read("schema_version,agents\n1,16\n") == [
        Record(schema_version=1, agents=16, accumulate="auto", segment="auto")
    ]


@pytest.mark.parametrize(
    ("cells", "memory"),
    [
        ("7,5,3,gpu", (7, "device allocator")),
        (",5,3,cpu", (5, "resident memory rise")),
        (",5,3,gpu", (3, "XLA's plan")),
        (",,3,cpu", (3, "XLA's plan")),
        (",,,cpu", (None, "")),
    ],
)
def test_earlier_schemas_have_peak_memory_too(cells: str, memory: tuple[int | None, str]) -> None:
    names = "device_peak_bytes,host_peak_rise_bytes,xla_peak_bytes,platform"
    (record,) = _read(f"schema_version,agents,seq_len,envs,{names}\n3,16,4,2,{cells}\n")
    assert (record.memory_bytes, record.memory_source) == memory


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        ("", ("auto", "auto", "")),
        ("model.window=4", ("auto", "auto", "model.window=4")),
        ("model.segment=16;model.window=4;ppo.accumulate=1", ("1", "16", "model.window=4")),
        ("model.segment=0", ("auto", "auto", "")),
    ],
)
def test_earlier_schemas_say_in_their_settings_how_learning_was_split(
    settings: str, read: tuple[str, str, str]
) -> None:
    (record,) = _read(f"schema_version,agents,seq_len,envs,settings\n3,16,4,2,{settings}\n")
    assert (record.accumulate, record.segment, record.settings) == read
    assert record_from_mapping(record_to_mapping(record)) == record


@pytest.mark.parametrize(("version", "status"), [(1, "pending"), (5, "pending")])
def test_what_earlier_schemas_called_planned_is_pending(version: int, status: str) -> None:
    mapping = record_to_mapping(Record(agents=16, seq_len=4, envs=2)) | {"schema_version": version, "status": "planned"}
    assert record_from_mapping(mapping).status == status


def _drop_agents(header: list[str], row: list[str]) -> None:
    del row[header.index("agents")]
    header.remove("agents")


def _repeat_agents(header: list[str], row: list[str]) -> None:
    header.append("agents")
    row.append("1")


FAULTS = {
    "empty file": ("", "the input: the file is empty; a results file starts with a row of column names"),
    "foreign file": (
        "a,b\n1,2\n",
        "the input, row 1: no column 'schema_version', so this is not a scaleprof results file; check the path",
    ),
    "semicolons": (
        "schema_version;agents\n1;2\n",
        "the input, row 1: cells are separated by ';'; save the file with commas",
    ),
    "column twice": (
        _changed_header(_repeat_agents),
        "the input, row 1, column 'agents': appears twice; remove one of them",
    ),
    "column missing": (
        _changed_header(_drop_agents),
        f"the input, row 2: 'agents' is missing; schema {SCHEMA_VERSION} needs every field, "
        "so use the file that the sweep wrote",
    ),
    "newer schema": (
        _with_cell("schema_version", str(SCHEMA_VERSION + 1)).replace("pending", "3"),
        f"the input, row 2: 'schema_version' is {SCHEMA_VERSION + 1}, but this scaleprof reads up to {SCHEMA_VERSION}; "
        "update scaleprof",
    ),
    "schema zero": (
        _with_cell("schema_version", "0"),
        "the input, row 2: 'schema_version' is 0, expected a whole number of at least 1; correct it",
    ),
    "text for a whole number": (
        _with_cell("agents", "many"),
        "the input, row 2, column 'agents': expected a whole number, found 'many'; correct the cell",
    ),
    "fraction for a whole number": (
        _with_cell("agents", "16.0"),
        "the input, row 2, column 'agents': expected a whole number, found '16.0'; correct the cell",
    ),
    "nothing for a whole number": (
        _with_cell("agents", ""),
        "the input, row 2, column 'agents': expected a whole number, found an empty cell; correct the cell",
    ),
    "text for a number": (
        _with_cell("update_seconds", "1_0"),
        "the input, row 2, column 'update_seconds': expected a number or an empty cell, found '1_0'; correct the cell",
    ),
    "no agents": (
        _with_cell("agents", "0"),
        "the input, row 2: 'agents' is 0, expected a whole number of at least 1; correct the value",
    ),
    "unknown status": (
        _with_cell("status", "fine"),
        f"the input, row 2: status 'fine' is not one of {', '.join(STATUSES)}; correct the value or remove this record",
    ),
    "row cut off": (
        _text_of(RECORD) + "1,run,2026\n",
        f"the input, row 3: 3 cells, but the header has {len(FIELD_NAMES)}; "
        "the row was cut off or edited, so correct or delete it",
    ),
    "open quote": (
        _text_of(RECORD) + '1,"run',
        "the input, row 3: not valid CSV (unexpected end of data); correct or delete this row",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_with_file_row_column_and_remedy(fault: str) -> None:
    text, message = FAULTS[fault]
    with pytest.raises(ValueError, match=r"^the input") as caught:
        _read(text)
    assert str(caught.value) == message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.csv"
    with pytest.raises(ValueError, match=r"nowhere\.csv: cannot be read \(No such file or directory\); check the path"):
        read_records(path)


def test_text_that_is_not_utf8_is_named_in_files_and_streams(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(_text_of(RECORD).encode() + b"\xe9\n")
    with pytest.raises(ValueError, match=r"latin\.csv, row 3: not UTF-8 text; save the file as CSV in UTF-8"):
        read_records(path)
    with path.open(encoding="utf-8", newline="") as stream, pytest.raises(ValueError, match=r"latin\.csv, row \d: not"):
        read_records(stream)


WRONG_VALUES: list[tuple[str, object, str]] = [
    ("agents", "16", "line 3: 'agents' is '16', expected a whole number; correct the value"),
    ("agents", 16.0, "line 3: 'agents' is 16.0, expected a whole number; correct the value"),
    ("agents", True, "line 3: 'agents' is True, expected a whole number; correct the value"),
    ("agents", None, "line 3: 'agents' is None, expected a whole number; correct the value"),
    ("agents", 0, "line 3: 'agents' is 0, expected a whole number of at least 1; correct the value"),
    ("seq_len", -8, "line 3: 'seq_len' is -8, expected a whole number of at least 1; correct the value"),
    ("envs", 0, "line 3: 'envs' is 0, expected a whole number of at least 1; correct the value"),
    ("model", 3, "line 3: 'model' is 3, expected text; correct the value"),
    (
        "act_seconds",
        "fast",
        "line 3: 'act_seconds' is 'fast', expected a number or null; correct the value",
    ),
    ("agents", 10**400, "line 3: 'agents' has 401 digits; correct the value"),
    ("act_seconds", -(10**400), "line 3: 'act_seconds' has 401 digits; correct the value"),
    ("schema_version", "1", "line 3: 'schema_version' is '1', expected a whole number of at least 1; correct it"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG_VALUES)
def test_mappings_are_checked_as_strictly(name: str, value: object, message: str) -> None:
    mapping: dict[str, object] = dict(record_to_mapping(RECORD))
    mapping[name] = value
    with pytest.raises(ValueError, match=r"^line 3") as caught:
        record_from_mapping(mapping, source="line 3")
    assert str(caught.value) == message


def test_half_a_surrogate_pair_becomes_a_mark() -> None:
    """JSON can hold one; no file and no terminal can."""
    mapping = dict(record_to_mapping(Record(agents=1, seq_len=1, envs=1))) | json.loads('{"reason": "no \\ud800 luck"}')
    assert record_from_mapping(mapping).reason == "no ? luck"


def test_a_mapping_without_schema_is_no_record() -> None:
    with pytest.raises(ValueError, match="no 'schema_version', so this is not a"):
        record_from_mapping({"agents": 1})


def test_a_whole_number_is_a_number_and_unknown_names_are_ignored() -> None:
    mapping = {**record_to_mapping(RECORD), "act_seconds": 2, "note": [1]}
    record = record_from_mapping(mapping)
    assert record == dataclasses.replace(RECORD, act_seconds=2.0)
    assert isinstance(record.act_seconds, float)


def test_importing_reports_is_light() -> None:
    code = "import sys, reports; print(*{'jax', 'rich', 'numpy', 'sable', 'scenarios', 'scaleprof'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
