"""A run directory: append-only, fsynced, readable at any time.

lock            held by the sweep that writes here; contains its process number
manifest.json   the grid and the options; a folder with this file is a run
host.json       machine, versions, devices; host-2.json, … one for each time the run was resumed
records.jsonl   one record per repeat of a point, appended and fsynced when it ended: the source of truth
results.csv     the same as a table, replaced as a whole after every record
logs/           stderr of each child
samples/        per-update samples of each point, CSV
timelines/      resident memory of each point's processes over time, CSV
compiled/       programs that later repeats read instead of compiling them

A run may come from elsewhere: none of these is ever a link (`reports.records.within`).

A retried point has several lines in records.jsonl: the last one wins, in the position of the first.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import typer

from reports.records.csv_file import write_records
from reports.records.files import PART, file_errors, named
from reports.records.record import Record
from reports.records.record_lines import is_whole, record_line
from reports.records.run import Run, host_files, record_key
from reports.records.within import check_within, read_within, write_within
from reports.text.plain import one_line
from reports.text.units import counted
from scaleprof.errors import UserError, user_errors
from scaleprof.runs.lock import LOCK, take_lock
from scaleprof.runs.waiting import read_patiently, waiting_line

COMPILED = "compiled"
"""The folder of compiled programs, where repeats read those of the first."""
SCHEMA = 1
"""Of manifest.json. Runs of a newer schema are refused: this version cannot know what their fields mean."""


class RunDirectory:
    """The files of one run, locked until `close` or the end of the process. Use `create` or `open`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._records: dict[tuple[object, ...], Record] = {}

    @classmethod
    def create(cls, path: Path, manifest: dict[str, Any], host: dict[str, Any]) -> RunDirectory:
        """Make the folder of a new run; raises `UserError` if it is not empty, in use or not writable."""
        check_free(path)
        with user_errors("--out", writing=path), ExitStack() as stack:
            path.mkdir(parents=True, exist_ok=True)
            _check_own_files(path)
            run = cls(path, take_lock(path))
            stack.callback(run.close)
            check_free(path)  # again, now that no other process can make a run here
            write_within(path, path / "manifest.json", as_json({"schema": SCHEMA, **manifest}).encode())
            write_within(path, path / "host.json", as_json(host).encode())
            run._complete()
            stack.pop_all()
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open an existing run to continue it.

        A half-written last line is cut off: its point never finished. Compiled programs are deleted: they are code, and
        nothing says who made them. Raises `UserError` if this is not a run, has a newer schema, is in use, damaged or
        not writable.
        """
        read_manifest(path, "--resume")
        lines = path / "records.jsonl"
        with user_errors("--resume", writing=path), ExitStack() as stack:
            _check_own_files(path)
            run = cls(path, take_lock(path))
            stack.callback(run.close)
            if (path / COMPILED).exists():
                shutil.rmtree(path / COMPILED)
            run._records = {record_key(record): record for record in records_so_far(path)}
            if lines.exists():
                _cut_torn_line(lines)
            run._complete()
            stack.pop_all()
        return run

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)

    @property
    def run_id(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    @property
    def records(self) -> list[Record]:
        """The records so far, one per repeat of a point: the last one wins."""
        return list(self._records.values())

    def add_host(self, host: dict[str, Any]) -> None:
        """Add the description of the host that the run continues on."""
        names = itertools.chain(["host"], (f"host-{number}" for number in itertools.count(2)))
        path = next(path for path in (self.path / f"{name}.json" for name in names) if not path.exists())
        with self._writing():
            write_within(self.path, path, as_json(host).encode())

    def append(self, record: Record) -> None:
        """Write one record to disk before returning; raises `UserError` if that fails.

        It replaces an earlier record of the same repeat of a point. A partly written line is cut off again.
        """
        with self._writing():
            _append(self.path / "records.jsonl", record_line(record).encode())
            self._records[record_key(record)] = record
            write_within(self.path, self.path / "results.csv", csv_text(self.records).encode())

    def host(self) -> dict[str, Any]:
        """The host as it was when the run began; empty if it can no longer be read."""
        try:
            first, *_ = host_files(self.path)
            found: dict[str, Any] = json.loads(read_within(self.path, first))
        except (OSError, ValueError):
            return {}
        return found

    def write_samples(self, name: str, samples: list[dict[str, Any]]) -> None:
        """Write the per-update samples of one point, if it has any, replacing those of an earlier attempt."""
        header = list(dict.fromkeys(column for sample in samples for column in sample))
        self._write_table(
            "samples", name, header, [[sample.get(column, "") for column in header] for sample in samples]
        )

    def write_timeline(self, name: str, timeline: Sequence[tuple[Any, ...]]) -> None:
        """Write a point's resident memory over time: seconds since its process began, phase, bytes."""
        self._write_table("timelines", name, ["seconds", "phase", "rss_bytes"], timeline)

    def _write_table(self, folder: str, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write one point's CSV file, replacing that of an earlier attempt; without rows there is no file."""
        path = self.path / folder / f"{name}.csv"
        with self._writing():
            check_within(self.path, path)
            if rows:
                write_within(self.path, path, _table_text(header, rows).encode())
            else:
                path.unlink(missing_ok=True)

    def log_path(self, name: str) -> Path:
        """The file for the stderr of one child, created empty so that a read-only folder is found here."""
        path = self.path / "logs" / f"{name}.log"
        with self._writing():
            check_within(self.path, path)
            path.unlink(missing_ok=True)
            path.touch()
        return path

    def _complete(self) -> None:
        """Create what a run has besides manifest and host, where it is missing; the table is always rewritten."""
        for folder in ("logs", "samples", "timelines"):
            check_within(self.path, self.path / folder)
            (self.path / folder).mkdir(exist_ok=True)
        (self.path / "records.jsonl").touch()
        write_within(self.path, self.path / "results.csv", csv_text(self.records).encode())

    def _writing(self) -> AbstractContextManager[None]:
        return user_errors(writing=self.path, details=self._kept)

    def _kept(self) -> str:
        """What a failure to write has left of the records."""
        count = counted(len(self._records), "point")
        kept = f"holds {count}" if (self.path / "records.jsonl").exists() else f"held {count} and is gone"
        return f"; its records.jsonl {kept}"


def check_free(path: Path) -> None:
    """Raise `UserError` unless a new run can be created at `path`."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"--out: the name {os.fsencode(path)!r} is not UTF-8: give another one") from None
    with user_errors("--out", writing=path):
        holds_something = path.is_dir() and any(entry.name not in BEFORE_THE_MANIFEST for entry in path.iterdir())
        is_run = holds_something and any((path / name).exists() for name in ("manifest.json", "records.jsonl"))
        is_file = path.exists() and not path.is_dir()
    if is_run:
        raise UserError(f"--out: {path} already holds a run: name another folder")
    if holds_something:
        raise UserError(f"--out: {path} is not empty: name a new or an empty folder")
    if is_file:
        raise UserError(f"--out: {path} is a file: name a folder")


BEFORE_THE_MANIFEST = (LOCK, f"manifest.json{PART}")
"""What a sweep leaves behind if it died before its folder was a run."""


def read_manifest(path: Path, option: str) -> dict[str, Any]:
    """The manifest of a run directory.

    Raises `UserError`, naming `option`, if this is not a run or has another schema.
    """
    file = path / "manifest.json"
    with user_errors(option), file_errors(path, "read"):
        if path.exists() and not path.is_dir():
            raise UserError(f"{option}: {path} is a file: name the folder of a run")
        if not path.exists():
            raise UserError(f"{option}: {path} does not exist: name the folder of a run")
        if not file.exists():
            raise UserError(f"{option}: {path} is not a run: it has no manifest.json")
        content = read_within(path, file)
    try:
        manifest = json.loads(content)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        raise UserError(f"{option}: {file} is not a JSON object: the file was edited or damaged")
    schema = manifest.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise UserError(f"{option}: {file} has no 'schema': an older scaleprof made it, so start a new run")
    if schema > SCHEMA:
        raise UserError(f"{option}: {file} has schema {schema}, this scaleprof knows up to {SCHEMA}: update scaleprof")
    return manifest


def records_so_far(path: Path) -> list[Record]:
    """The records of a run directory; none if it died while it was created. Raises as `load_records` does."""
    with user_errors(), file_errors(path, "read"):
        is_run = (path / "records.jsonl").exists() or (path / "results.csv").exists()
    return load_records(path) if is_run else []


def read_run(path: Path) -> Run:
    """A run directory, a CSV file or the folder of a baseline; raises `UserError` saying what is wrong and where.

    What it lacks is said on stderr.
    """
    with user_errors(), waiting_line() as line:
        run = read_patiently(path, line)
    say_lacking(path, run.incomplete)
    return run


def load_records(path: Path) -> list[Record]:
    """The records so far of what `read_run` reads; only what reading left out is said on stderr."""
    with user_errors(), waiting_line() as line:
        run = read_patiently(path, line)
    say_lacking(path, run.incomplete if run.left_out else "")
    return list(run.records)


def say_lacking(path: Path, what: str) -> None:
    """Say on stderr what a run lacks, if anything."""
    if what:
        typer.echo(f"scaleprof: {one_line(str(path))}: {what}", err=True)


def as_json(content: dict[str, Any]) -> str:
    """Indented JSON, for files that people read too."""
    return json.dumps(content, indent=2) + "\n"


def csv_text(records: Iterable[Record]) -> str:
    """The records as the text of a CSV file."""
    buffer = io.StringIO(newline="")
    write_records(records, buffer)
    return buffer.getvalue()


def _table_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def _append(path: Path, line: bytes) -> None:
    """Append a line and fsync it; if that raises `OSError`, the file is unchanged."""
    with named(path):
        _append_to(path, line)


def _append_to(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    try:
        before = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(descriptor, line[written:])
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _check_own_files(path: Path) -> None:
    """Raise `ValueError` if a file that a sweep writes to would lead out of the run's folder."""
    for name in (LOCK, "manifest.json", "records.jsonl", "results.csv", COMPILED):
        check_within(path, path / name)


def _cut_torn_line(path: Path) -> None:
    """Cut off a half-written last line, or end one that is whole, so that the next one starts on its own."""
    with file_errors(path, "read"):
        content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with named(path), path.open("r+b") as stream:
            if is_whole(content[whole:].decode(errors="replace")):
                stream.seek(0, os.SEEK_END)
                stream.write(b"\n")
            else:
                stream.truncate(whole)
            stream.flush()
            os.fsync(stream.fileno())
