"""A run directory: nothing that was appended is lost, and what stands there can be read at every instant."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from reports import Record, read_records, write_records
from scaleprof.errors import UserError
from scaleprof.store import RunDirectory, check_free, csv_text, load_records

MANIFEST = {"points": 2, "options": {"agents": "2,3"}}
ENVIRONMENT = {"python": "3.11.7", "git": None}
RECORDS = [
    Record(run_id="r", scenario="neom", model="sable", mode="chunkwise", agents=2, status="ok", update_seconds=0.1),
    Record(run_id="r", scenario="neom", model="mat", agents=3, status="oom", reason='needs 3 GiB, "much"\nmore µ'),
    Record(run_id="r", scenario="neom", model="mat", agents=4, status="ok", entropy=math.inf, seed=2**32 - 1),
]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs" / "first", MANIFEST, ENVIRONMENT)


def test_a_new_run(run: RunDirectory) -> None:
    assert sorted(path.name for path in run.path.iterdir()) == [
        "environment.json",
        "logs",
        "manifest.json",
        "records.jsonl",
        "results.csv",
        "samples",
    ]
    assert json.loads((run.path / "manifest.json").read_text()) == MANIFEST
    assert json.loads((run.path / "environment.json").read_text()) == ENVIRONMENT
    assert load_records(run.path) == []
    assert read_records(run.path / "results.csv") == []


def test_records_survive(run: RunDirectory) -> None:
    for record in RECORDS:
        run.append(record)
    assert run.records == RECORDS
    assert load_records(run.path) == RECORDS
    assert load_records(run.path / "results.csv") == RECORDS


def test_not_a_number_survives(run: RunDirectory) -> None:
    run.append(dataclasses.replace(RECORDS[0], entropy=math.nan))
    for path in (run.path, run.path / "results.csv"):
        (record,) = load_records(path)
        assert record.entropy is not None
        assert math.isnan(record.entropy)


def test_records_are_only_ever_appended(run: RunDirectory) -> None:
    lines = run.path / "records.jsonl"
    before = lines.read_bytes()
    file = lines.stat().st_ino
    for record in RECORDS:
        run.append(record)
        after = lines.read_bytes()
        assert after.startswith(before)
        assert after[len(before) :].count(b"\n") == 1
        assert after.endswith(b"\n")
        assert lines.stat().st_ino == file
        before = after


def test_the_table_is_whole_after_every_record(run: RunDirectory) -> None:
    for count, record in enumerate(RECORDS, start=1):
        run.append(record)
        assert (run.path / "results.csv").read_bytes().decode() == csv_text(RECORDS[:count])
        assert not list(run.path.glob("*.part"))


def test_the_table_is_replaced_and_never_partly_written(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    run.append(RECORDS[0])
    written = []

    def no_rename(self: Path, target: Path) -> Path:
        written.append(self.read_bytes())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_rename)
    with pytest.raises(UserError) as raised:
        run.append(RECORDS[1])
    assert str(raised.value) == (
        f"cannot write to {run.path}: No space left on device; 2 points are in its records.jsonl"
    )
    assert written == [csv_text(RECORDS[:2]).encode()]
    assert read_records(run.path / "results.csv") == RECORDS[:1]
    assert load_records(run.path) == RECORDS[:2]
    assert not list(run.path.glob("*.part"))


def test_a_record_is_synced_before_the_table_is_touched(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []

    def fsync(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        synced.append((name, os.fstat(descriptor).st_size, len(read_records(run.path / "results.csv"))))

    monkeypatch.setattr(os, "fsync", fsync)
    run.append(RECORDS[0])
    size = (run.path / "records.jsonl").stat().st_size
    table_size = (run.path / "results.csv").stat().st_size
    assert synced == [("records.jsonl", size, 0), ("results.csv.part", table_size, 0)]


@pytest.mark.parametrize("torn", ['{"schema_version": 1, "run', "{", '"µ'])
def test_a_torn_last_line_is_left_out(run: RunDirectory, torn: str) -> None:
    run.append(RECORDS[0])
    with (run.path / "records.jsonl").open("ab") as stream:
        stream.write(torn.encode()[:-1])
    assert load_records(run.path) == RECORDS[:1]


def test_any_cut_leaves_whole_records(run: RunDirectory) -> None:
    for record in RECORDS:
        run.append(record)
    lines = run.path / "records.jsonl"
    whole = lines.read_bytes()
    for length in range(0, len(whole) + 1, 97):
        lines.write_bytes(whole[:length])
        assert load_records(run.path) == RECORDS[: whole[:length].count(b"\n")]


def test_samples(run: RunDirectory) -> None:
    samples: list[dict[str, Any]] = [
        {"update": 0, "phase": "warm up", "update_seconds": 0.25, "entropy": math.nan},
        {"update": 0, "phase": "measure", "update_seconds": 0.125, "entropy": 0.5},
    ]
    run.write_samples("0000-sable", samples)
    with (run.path / "samples" / "0000-sable.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows == [{name: str(value) for name, value in sample.items()} for sample in samples]


def test_no_samples_no_file(run: RunDirectory) -> None:
    run.write_samples("0000-sable", [])
    assert list((run.path / "samples").iterdir()) == []


def test_logs(run: RunDirectory) -> None:
    assert run.log_path("0000-sable") == run.path / "logs" / "0000-sable.log"


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    check_free(tmp_path)
    check_free(tmp_path / "not" / "there" / "yet")
    assert RunDirectory.create(tmp_path, MANIFEST, ENVIRONMENT).path == tmp_path


def test_a_folder_with_a_run_is_refused(run: RunDirectory) -> None:
    before = (run.path / "manifest.json").stat()
    with pytest.raises(UserError, match=r"^--out: .*first already holds a run: name another folder$"):
        RunDirectory.create(run.path, {}, {})
    assert (run.path / "manifest.json").stat() == before
    (run.path / "manifest.json").unlink()
    with pytest.raises(UserError, match="already holds a run"):
        check_free(run.path)


def test_other_folders_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(UserError, match=r"^--out: .* is not empty: name a new or an empty folder$"):
        RunDirectory.create(tmp_path, MANIFEST, ENVIRONMENT)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match=r"^--out: .*notes.txt is a file: name a folder$"):
        RunDirectory.create(tmp_path / "notes.txt", MANIFEST, ENVIRONMENT)
    with pytest.raises(UserError, match=r"^--out: cannot write to .*notes.txt/run: Not a directory$"):
        RunDirectory.create(tmp_path / "notes.txt" / "run", MANIFEST, ENVIRONMENT)


def test_paths_that_hold_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: name a run directory or its results.csv$"):
        load_records(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"is not a run: it has no records.jsonl$"):
        load_records(tmp_path)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"other.csv, row 1: no column 'schema_version'"):
        load_records(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"not json", "line 2 is not a JSON object: the file was edited or damaged"),
        (b"", "line 2 is not a JSON object"),
        (b"3", "line 2 is not a JSON object"),
        (b"null", "line 2 is not a JSON object"),
        (b"[1]", "line 2 is not a JSON object"),
        (b"\xff\xfe", "line 2 is not a JSON object"),
        (b"\0\0\0\0", "line 2 is not a JSON object"),
        (b"{}", "line 2: no 'schema_version'"),
        (b'{"schema_version": 999}', "line 2: 'schema_version' is 999, this scaleprof reads up to"),
        (b'{"schema_version": 2}', "line 2: 'run_id' is missing"),
    ],
)
def test_damaged_lines_are_named(run: RunDirectory, line: bytes, said: str) -> None:
    run.append(RECORDS[0])
    with (run.path / "records.jsonl").open("ab") as stream:
        stream.write(line + b"\n")
    with pytest.raises(UserError) as raised:
        load_records(run.path)
    assert said in str(raised.value)
    assert "records.jsonl" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_text_is_what_reports_writes(tmp_path: Path) -> None:
    with (tmp_path / "results.csv").open("w", encoding="utf-8", newline="") as stream:
        write_records(RECORDS, stream)
    assert (tmp_path / "results.csv").read_bytes() == csv_text(RECORDS).encode()
