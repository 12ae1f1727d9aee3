"""Many records are read column by column, with the same values and the same errors as one by one."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reports import Record, load_run, read_records, write_records
from reports.records import csv_file, record_lines
from reports.records.batches import ROWS, UnusualError
from reports.records.record import SCHEMA_VERSION
from reports.records.record_lines import read_lines, record_line
from scaleprof.cli.app import main
from scaleprof.runs import waiting

COUNT = ROWS + 3
RECORDS = [
    Record(
        model="sable",
        mode="chunkwise" if number % 2 else "recurrent",
        agents=number + 1,
        seq_len=8,
        envs=4,
        status="ok" if number % 7 else "oom",
        update_seconds=0.1 * number if number % 7 else None,
        policy_loss=-0.5,
        platform="cpu",
        host_peak_rise_bytes=number,
        reason="a; b, c" if number % 7 else "",
    )
    for number in range(COUNT)
]


def lines_of(records: list[Record]) -> list[str]:
    return list(map(record_line, records))


def table_of(records: list[Record]) -> str:
    stream = io.StringIO(newline="")
    write_records(records, stream)
    return stream.getvalue()


LINES, TABLE = lines_of(RECORDS), table_of(RECORDS)


def read_table(text: str) -> list[Record]:
    return read_records(io.StringIO(text, newline=""))


def no_batches(*_: object) -> list[Record]:
    raise UnusualError


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each batch had that was refused."""
    found: list[int] = []

    def count(original: Callable[..., Record]) -> Callable[..., Record]:
        def one(*given: object) -> Record:
            found.append(1)
            return original(*given)

        return one

    monkeypatch.setattr(record_lines, "_record", count(record_lines._record))
    monkeypatch.setattr(csv_file._Reader, "_record", count(csv_file._Reader._record))
    return found


def test_usual_records_are_read_at_once(refused: list[int]) -> None:
    odd = [
        dataclasses.replace(RECORDS[0], reason="'=1+1", settings="'tis", policy_loss=math.inf, flops_per_update=2.0),
        dataclasses.replace(RECORDS[0], reason="µ\n\r", policy_loss=-math.inf, seed=10**30, chunk=3),
        dataclasses.replace(RECORDS[0], update_seconds=math.nan),
    ]
    records = [*odd, *RECORDS]
    assert repr(read_lines("".join(lines_of(records)), "x")[0]) == repr(records)
    assert refused == []
    assert repr(read_table(table_of(records))) == repr(records)
    assert len(refused) in (0, ROWS), "numbers of 30 digits are read one by one"


def test_the_same_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    text, table = "".join(LINES), TABLE
    at_once = read_lines(text, "x"), read_table(table)
    for module in (record_lines, csv_file):
        monkeypatch.setattr(module, "records_of_columns", no_batches)
    assert (read_lines(text, "x"), read_table(table)) == at_once == ((RECORDS, []), RECORDS)


DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "flipped": (lambda line: line.replace('"agents": ', '"agents": 1'), "the checksum is wrong"),
    "checksum": (lambda line: line.replace('"crc": "', '"crc": "x'), "the checksum is wrong"),
    "blank": (lambda _: "\n", "is not a JSON object"),
    "cut": (lambda line: line[:40] + "\n", "is not a JSON object"),
    "two": (lambda line: f"{line[:-1]},{line}", "is not a JSON object"),
    "deep": (lambda _: "[" * 10**6 + "\n", "is not a JSON object"),
    "long": (
        lambda _: f'{{"schema_version": {SCHEMA_VERSION}, "reason": "' + "x" * 10**7 + '"}\n',
        "'run_id' is missing",
    ),
    "digits": (lambda _: '{"schema_version": ' + "9" * 10**6 + "}\n", "is not a JSON object"),
    "bytes": (lambda line: line.replace("sable", "sab\ufffd"), "the checksum is wrong"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("place", [0, ROWS - 1, ROWS])
def test_the_damaged_line_is_named(damage: str, place: int) -> None:
    change, said = DAMAGE[damage]
    lines = list(LINES)
    lines[place] = change(lines[place])
    with pytest.raises(ValueError, match=rf"^x, line {place + 1}\b.*{said}"):
        read_lines("".join(lines), "x")


CELLS = {
    "agents": ("many", "0", "1_0", "+5", "１", "9" * 41),
    "update_seconds": ("-1", "1_0", "infinity", " 1", "0x1", "-inf"),
    "status": ("fine",),
    "schema_version": (str(SCHEMA_VERSION + 1), "0", ""),
}


@pytest.mark.parametrize(("column", "cell"), [(column, cell) for column, cells in CELLS.items() for cell in cells])
def test_the_damaged_row_is_named(column: str, cell: str) -> None:
    header, *rows = TABLE.splitlines()
    place = header.split(",").index(column)
    cells = rows[ROWS].replace('"a; b, c"', "a").split(",")
    cells[place] = cell
    rows[ROWS] = ",".join(cells)
    with pytest.raises(ValueError, match=rf"^the input, row {ROWS + 2}\b"):
        read_table("\n".join([header, *rows, "cut off"]))


def test_lines_of_others_are_read_too() -> None:
    """Spaces, order and further fields differ in lines that were edited by hand; they have no checksum then."""
    lines = [json.loads(line) for line in lines_of(RECORDS[:3])]
    for line in lines:
        del line["crc"]
    lines[1] = dict(reversed(lines[1].items())) | {"note": 1}
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    assert read_lines(text, "x") == (RECORDS[:3], [])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.0)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    path.write_text(TABLE, encoding="utf-8", newline="")
    return path


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", ["report", "export"])
def test_what_takes_long_is_said_once_outside_a_terminal(
    command: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(table)]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"scaleprof: reading {table}: {ROWS} records so far\n"
    assert "so far\n" not in captured.out.partition("\n")[0]


@pytest.mark.usefixtures("impatient")
def test_on_a_terminal_the_line_is_redrawn_and_cleared(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["export", str(table)]) == 0
    assert capsys.readouterr().err == f"\r\x1b[Kscaleprof: reading {table}: {ROWS} records so far\r\x1b[K"


def test_what_is_quick_is_not_said(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(table)]) == 0
    assert capsys.readouterr().err == ""
    counted: list[int] = []
    assert len(load_run(table, counted.append).records) == COUNT
    assert counted == [ROWS]


def test_a_cell_of_ten_megabytes_is_refused() -> None:
    header, row, *_ = TABLE.splitlines()
    with pytest.raises(ValueError, match=r"^the input, row 3: not valid CSV \(field larger than field limit"):
        read_table(f"{header}\n{row}\n{row.replace('sable', 'x' * 10**7)}\n")
