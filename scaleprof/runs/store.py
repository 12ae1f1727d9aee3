"""A run directory: append-only, fsynced, readable at every instant.

lock                held by the sweep that writes here; says which process took it last
manifest.json       the grid and the options; a folder is a run from the instant that this file is there
host.json    machine, versions, devices; host-2.json, … those of each time the run was resumed
records.jsonl       one record per repeat of a point, appended and fsynced when it ended: the truth
results.csv         the same as a table, replaced as a whole after every record
logs/               stderr of each child
samples/            per-update samples of each point, CSV
timelines/          resident memory of each point's processes over time, CSV

A point that was tried again has several lines in records.jsonl. The last one counts, at the place of the first.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from reports.records.csv_file import write_records
from reports.records.files import PART, write_whole
from reports.records.mapping import record_to_mapping
from reports.records.record import Record
from reports.records.run import host_files, load_run, record_key
from scaleprof.errors import UserError
from scaleprof.runs.lock import LOCK, take_lock

SCHEMA = 1
"""Of manifest.json. A run of a newer one is refused, because what its fields mean cannot be known here."""


class RunDirectory:
    """The files of one run, locked until `close` or the end of the process. Use `create` or `open`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._records: dict[tuple[object, ...], Record] = {}

    @classmethod
    def create(cls, path: Path, manifest: dict[str, Any], host: dict[str, Any]) -> RunDirectory:
        """Make the folder of a new run; raises `UserError` if it holds something, is in use or cannot be written."""
        check_free(path)
        try:
            with ExitStack() as stack:
                path.mkdir(parents=True, exist_ok=True)
                run = cls(path, take_lock(path))
                stack.callback(run.close)
                check_free(path)  # now that nobody else can make a run here
                write_whole(path / "manifest.json", as_json({"schema": SCHEMA, **manifest}).encode())
                write_whole(path / "host.json", as_json(host).encode())
                run._complete()
                stack.pop_all()
        except OSError as error:
            raise UserError(f"--out: cannot write to {path}: {error.strerror or error}") from None
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Take up a run where it was left, with the records it has.

        A line that was being written when the run ended is cut off: its point never finished. Raises `UserError` for
        what is no run, one of a newer schema, one that is in use or damaged, or cannot be written.
        """
        read_manifest(path, "--resume")
        lines = path / "records.jsonl"
        try:
            with ExitStack() as stack:
                run = cls(path, take_lock(path))
                stack.callback(run.close)
                records = records_so_far(path)
                run._records = {record_key(record): record for record in records}
                if lines.exists():
                    _cut_torn_line(lines)
                run._complete()
                stack.pop_all()
        except OSError as error:
            raise UserError(f"--resume: cannot write to {path}: {error.strerror or error}") from None
        return run

    def close(self) -> None:
        """Let others write here."""
        os.close(self._lock)

    @property
    def run_id(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    @property
    def records(self) -> list[Record]:
        """What counts of every point that ended so far."""
        return list(self._records.values())

    def add_host(self, host: dict[str, Any]) -> None:
        """Note where the run is carried out from here on, beside what was noted before."""
        names = itertools.chain(["host"], (f"host-{number}" for number in itertools.count(2)))
        path = next(path for path in (self.path / f"{name}.json" for name in names) if not path.exists())
        try:
            write_whole(path, as_json(host).encode())
        except OSError as error:
            raise self._cannot_write(error) from None

    def append(self, record: Record) -> None:
        """Put one record on the disk before returning; raises `UserError` where the disk does not take it.

        It takes the place of an earlier record of the same repeat of a point. What the disk took of a line that it did
        not take whole is cut off again.
        """
        line = json.dumps(record_to_mapping(record), allow_nan=True) + "\n"
        try:
            _append(self.path / "records.jsonl", line.encode())
            self._records[record_key(record)] = record
            write_whole(self.path / "results.csv", csv_text(self.records).encode())
        except OSError as error:
            raise self._cannot_write(error) from None

    def host(self) -> dict[str, Any]:
        """The machine as it was when the run began; empty where that cannot be read any more."""
        try:
            first, *_ = host_files(self.path)
            found: dict[str, Any] = json.loads(first.read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def write_samples(self, name: str, samples: list[dict[str, Any]]) -> None:
        """Keep the per-update samples of one point, if it got as far as an update, in place of an earlier try's."""
        header = list(dict.fromkeys(column for sample in samples for column in sample))
        self._write_table(
            "samples", name, header, [[sample.get(column, "") for column in header] for sample in samples]
        )

    def write_timeline(self, name: str, timeline: Sequence[tuple[Any, ...]]) -> None:
        """Keep a point's resident memory over time: seconds since its process began, phase, bytes."""
        self._write_table("timelines", name, ["seconds", "phase", "rss_bytes"], timeline)

    def _write_table(self, folder: str, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write a CSV file of one point in place of an earlier try's; none where there are no rows."""
        path = self.path / folder / f"{name}.csv"
        try:
            if rows:
                write_whole(path, _table_text(header, rows).encode())
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot_write(error) from None

    def log_path(self, name: str) -> Path:
        """Where the stderr of one child goes: an empty file, so that a folder that cannot be written is found here."""
        path = self.path / "logs" / f"{name}.log"
        try:
            path.write_bytes(b"")
        except OSError as error:
            raise self._cannot_write(error) from None
        return path

    def _complete(self) -> None:
        """Make what a run has besides manifest and host, as far as it is not there; the table as a whole."""
        for folder in ("logs", "samples", "timelines"):
            (self.path / folder).mkdir(exist_ok=True)
        (self.path / "records.jsonl").touch()
        write_whole(self.path / "results.csv", csv_text(self.records).encode())

    def _cannot_write(self, error: OSError) -> UserError:
        count = f"{len(self._records)} point{'' if len(self._records) == 1 else 's'}"
        kept = f"holds {count}" if (self.path / "records.jsonl").exists() else f"held {count} and is gone"
        return UserError(f"cannot write to {self.path}: {error.strerror or error}; its records.jsonl {kept}")


def check_free(path: Path) -> None:
    """Raise `UserError` unless a new run can be put at `path`."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"--out: the name {os.fsencode(path)!r} is not UTF-8: give another one") from None
    holds_something = path.is_dir() and any(entry.name not in BEFORE_THE_MANIFEST for entry in path.iterdir())
    if holds_something and ((path / "manifest.json").exists() or (path / "records.jsonl").exists()):
        raise UserError(f"--out: {path} already holds a run: name another folder")
    if holds_something:
        raise UserError(f"--out: {path} is not empty: name a new or an empty folder")
    if path.exists() and not path.is_dir():
        raise UserError(f"--out: {path} is a file: name a folder")


BEFORE_THE_MANIFEST = (LOCK, f"manifest.json{PART}")
"""All that a sweep leaves that died before its folder was a run."""


def read_manifest(path: Path, option: str) -> dict[str, Any]:
    """The manifest of a run directory.

    Raises `UserError`, under the name of `option`, for what is no run, or one of another schema.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"{option}: {path} is a file: name the folder of a run")
    if not path.exists():
        raise UserError(f"{option}: {path} does not exist: name the folder of a run")
    file = path / "manifest.json"
    try:
        manifest = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{option}: {path} is not a run: it has no manifest.json") from None
    except OSError as error:
        raise UserError(f"{option}: cannot read {file}: {error.strerror or error}") from None
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
    """The records of a run directory; none of one that died while it was being made. Raises as `load_records` does."""
    if (path / "records.jsonl").exists() or (path / "results.csv").exists():
        return load_records(path)
    return []


def load_records(path: Path) -> list[Record]:
    """The records of a run directory or of a CSV file; raises `UserError` naming what is wrong and where."""
    try:
        return list(load_run(path).records)
    except ValueError as error:
        raise UserError(str(error)) from None


def as_json(content: dict[str, Any]) -> str:
    """The text of a JSON file that people read too."""
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
    """Add a line that is on the disk when this returns; the file is as before where it raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
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


def _cut_torn_line(path: Path) -> None:
    """Cut off what follows the last whole line, so that the next one begins on its own."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole)
            os.fsync(stream.fileno())
