"""A run directory: nothing that was appended is lost, and what stands there can be read at every instant."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports import Record, read_records, write_records
from reports.records.record import SCHEMA_VERSION
from scaleprof.errors import UserError
from scaleprof.runs import store
from scaleprof.runs.lock import take_lock
from scaleprof.runs.store import SCHEMA, RunDirectory, check_free, csv_text, load_records

MANIFEST = {"points": 2, "options": {"agents": "2,3"}}
ENVIRONMENT = {"python": "3.11.7", "git": None}
GRID: dict[str, Any] = {"run_id": "r", "scenario": "neom", "seq_len": 8, "envs": 4}
RECORDS = [
    Record(**GRID, model="sable", mode="chunkwise", agents=2, status="ok", update_seconds=0.1),
    Record(**GRID, model="mat", agents=3, status="oom", reason='needs 3 GiB, "much"\nmore µ'),
    Record(**GRID, model="mat", agents=4, status="ok", entropy=math.inf, seed=2**32 - 1),
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    run = RunDirectory.create(tmp_path / "runs" / "first", MANIFEST, ENVIRONMENT)
    yield run
    run.close()


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A run with all records, that nobody writes to any more."""
    run = RunDirectory.create(tmp_path / "runs" / "first", MANIFEST, ENVIRONMENT)
    for record in RECORDS:
        run.append(record)
    run.close()
    return run.path


def test_a_new_run(run: RunDirectory) -> None:
    assert sorted(path.name for path in run.path.iterdir()) == [
        "host.json",
        "lock",
        "logs",
        "manifest.json",
        "records.jsonl",
        "results.csv",
        "samples",
        "timelines",
    ]
    assert json.loads((run.path / "manifest.json").read_text()) == {"schema": SCHEMA, **MANIFEST}
    assert json.loads((run.path / "host.json").read_text()) == ENVIRONMENT
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
        f"cannot write to {run.path / 'results.csv'}: No space left on device; its records.jsonl holds 2 points"
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
        (b'{"schema_version": 999}', "line 2: 'schema_version' is 999, but this scaleprof reads up to"),
        (f'{{"schema_version": {SCHEMA_VERSION}}}'.encode(), "line 2: 'run_id' is missing"),
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


def test_going_on(left: Path) -> None:
    run = RunDirectory.open(left)
    assert run.records == RECORDS
    another = dataclasses.replace(RECORDS[0], agents=5)
    run.append(another)
    run.close()
    assert load_records(left) == load_records(left / "results.csv") == [*RECORDS, another]
    assert json.loads((left / "manifest.json").read_text()) == {"schema": SCHEMA, **MANIFEST}


def test_the_last_record_of_a_repeat_counts(left: Path) -> None:
    run = RunDirectory.open(left)
    other_repeat = dataclasses.replace(RECORDS[1], repeat=1)
    other_side = dataclasses.replace(RECORDS[1], side="base")
    again = dataclasses.replace(RECORDS[1], status="ok", reason="", update_seconds=0.5, memory_limit_bytes=7)
    for record in (other_repeat, other_side, again):
        run.append(record)
    run.close()
    expected = [RECORDS[0], again, RECORDS[2], other_repeat, other_side]
    assert run.records == load_records(left) == load_records(left / "results.csv") == expected
    assert RunDirectory.open(left).records == expected
    assert (left / "records.jsonl").read_bytes().count(b"\n") == 6


def test_a_torn_line_is_cut_off_before_the_next(left: Path) -> None:
    lines = left / "records.jsonl"
    whole = lines.read_bytes()
    lines.write_bytes(whole[:-5])
    run = RunDirectory.open(left)
    assert run.records == RECORDS[:2]
    assert lines.read_bytes() == b"".join(whole.splitlines(keepends=True)[:2])
    assert read_records(left / "results.csv") == RECORDS[:2]
    run.append(RECORDS[2])
    run.close()
    assert lines.read_bytes() == whole


def test_damage_is_refused_and_nothing_changed(left: Path) -> None:
    lines = left / "records.jsonl"
    lines.write_bytes(b"{}\n" + lines.read_bytes() + b"torn")
    before = {path: path.read_bytes() for path in left.glob("*.*")}
    for _ in range(2):  # not in use the second time
        with pytest.raises(UserError, match="line 1: no 'schema_version'"):
            RunDirectory.open(left)
    assert {path: path.read_bytes() for path in left.glob("*.*")} == before


def test_lost_records_are_not_begun_anew(left: Path) -> None:
    (left / "records.jsonl").unlink()
    with pytest.raises(UserError, match=r"first is not a run: it has no records.jsonl$"):
        RunDirectory.open(left)
    assert read_records(left / "results.csv") == RECORDS


@pytest.mark.parametrize("there", [["manifest.json"], ["manifest.json", "host.json", "logs", "records.jsonl"]])
def test_a_run_that_died_while_it_was_made(left: Path, there: list[str]) -> None:
    """What `create` makes, it makes in this order."""
    for path in left.iterdir():
        if path.is_dir() and path.name not in there:
            path.rmdir()
        elif path.is_file() and path.name not in there:
            path.unlink()
    if "records.jsonl" in there:
        (left / "records.jsonl").write_bytes(b"")
    run = RunDirectory.open(left)
    run.append(RECORDS[0])
    run.write_samples("0000-sable", [{"update": 0}])
    assert run.log_path("0000-sable").read_bytes() == b""
    assert load_records(left) == load_records(left / "results.csv") == RECORDS[:1]


def test_a_sweep_that_died_before_there_was_a_run(tmp_path: Path) -> None:
    for name in ("lock", "manifest.json.part"):
        (tmp_path / name).write_text("1234")
    RunDirectory.create(tmp_path, MANIFEST, ENVIRONMENT).close()
    assert RunDirectory.open(tmp_path).records == []


def test_hosts(left: Path) -> None:
    run = RunDirectory.open(left)
    for number in (2, 3):
        run.add_host({"python": number})
    found = [json.loads((left / f"host{end}.json").read_text()) for end in ("", "-2", "-3")]
    assert found == [ENVIRONMENT, {"python": 2}, {"python": 3}]


def test_samples_are_those_of_the_last_try(run: RunDirectory) -> None:
    path = run.path / "samples" / "0000-sable.csv"
    for update in (1, 2):
        run.write_samples("0000-sable", [{"update": update}])
        assert path.read_text() == f"update\n{update}\n"
    run.write_samples("0000-sable", [])
    assert not path.exists()


def test_a_run_belongs_to_one_process(run: RunDirectory) -> None:
    assert (run.path / "lock").read_text() == f"{os.getpid()}\n"
    in_use = rf"first is in use by another sweep \(process {os.getpid()}\): wait for it, or name another folder$"
    with pytest.raises(UserError, match=in_use):
        RunDirectory.open(run.path)
    assert load_records(run.path) == []
    (run.path / "lock").write_text("")
    with pytest.raises(UserError, match=r"first is in use by another sweep: wait for it"):
        RunDirectory.open(run.path)


HOLDER = """
import os, signal, sys
from pathlib import Path
from scaleprof.runs.store import RunDirectory
run = RunDirectory.open(Path(sys.argv[1]))
print("open", flush=True)
if sys.stdin.readline():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_dead_process_holds_nothing(left: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(left)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(UserError, match=rf"in use by another sweep \(process {process.pid}\)"):
            RunDirectory.open(left)
        process.stdin.write("die\n")
    assert process.returncode == -9
    assert (left / "lock").read_text() == f"{process.pid}\n"
    RunDirectory.open(left).close()


def test_one_of_many_makes_the_run(tmp_path: Path) -> None:
    """Eight at the same instant, again and again."""
    made: list[tuple[int, int]] = []
    refused: list[str] = []
    barrier = threading.Barrier(8)

    def create(number: int) -> None:
        for turn in range(10):
            barrier.wait()
            try:
                RunDirectory.create(tmp_path / str(turn), {"number": number}, {}).close()
                made.append((turn, number))
            except UserError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turn for turn, _ in made) == list(range(10))
    for turn, number in made:
        assert json.loads((tmp_path / str(turn) / "manifest.json").read_text())["number"] == number
    assert len(refused) == 70
    assert all("is in use by another sweep" in text or "already holds a run" in text for text in refused)


def test_a_run_that_was_made_just_before_the_lock_was_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(folder: Path) -> int:
        (folder / "manifest.json").write_text("another's")
        return take_lock(folder)

    monkeypatch.setattr(store, "take_lock", late)
    with pytest.raises(UserError, match=r"already holds a run"):
        RunDirectory.create(tmp_path, MANIFEST, ENVIRONMENT)
    assert (tmp_path / "manifest.json").read_text() == "another's"


def test_a_line_that_is_not_taken_whole_is_cut_off(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    run.append(RECORDS[0])
    before = (run.path / "records.jsonl").read_bytes()

    def no_sync(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_sync)
        with pytest.raises(UserError, match=r"Input/output error; its records.jsonl holds 1 point$"):
            run.append(RECORDS[1])
    assert (run.path / "records.jsonl").read_bytes() == before
    assert run.records == RECORDS[:1]
    run.append(RECORDS[1])
    assert load_records(run.path) == RECORDS[:2]


def test_a_folder_without_its_records_is_not_written_to(run: RunDirectory) -> None:
    run.append(RECORDS[0])
    (run.path / "records.jsonl").unlink()
    with pytest.raises(UserError, match=r"No such file or directory; its records.jsonl held 1 point and is gone$"):
        run.append(RECORDS[1])
    assert not (run.path / "records.jsonl").exists()
