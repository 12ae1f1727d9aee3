"""A run directory: append-only, fsynced, readable at every instant.

manifest.json       the grid and the options
environment.json    machine, versions, devices
records.jsonl       one record per repeat of a point, appended and fsynced when it ended: the truth
results.csv         the same as a table, replaced as a whole after every record
logs/               stderr of each child
samples/            per-update samples of each point, CSV
timelines/          resident memory of each point's processes over time, CSV
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from reports.csv_file import read_records, write_records
from reports.mapping import record_from_mapping, record_to_mapping
from reports.record import Record
from scaleprof.errors import UserError


class RunDirectory:
    """The files of one run. Use `create` for a new run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []

    @classmethod
    def create(cls, path: Path, manifest: dict[str, Any], environment: dict[str, Any]) -> RunDirectory:
        """Make the folder of a new run; raises `UserError` if it already holds something or cannot be written."""
        check_free(path)
        try:
            for folder in (path, path / "logs", path / "samples", path / "timelines"):
                folder.mkdir(parents=True, exist_ok=True)
            _replace(path / "manifest.json", json.dumps(manifest, indent=2) + "\n")
            _replace(path / "environment.json", json.dumps(environment, indent=2) + "\n")
            run = cls(path)
            (path / "records.jsonl").touch()
            _replace(path / "results.csv", csv_text([]))
        except OSError as error:
            raise UserError(f"--out: cannot write to {path}: {error.strerror or error}") from None
        return run

    def append(self, record: Record) -> None:
        """Put one record on the disk before returning; raises `UserError` where the disk does not take it."""
        line = json.dumps(record_to_mapping(record), allow_nan=True) + "\n"
        try:
            with (self.path / "records.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
            self.records.append(record)
            _replace(self.path / "results.csv", csv_text(self.records))
        except OSError as error:
            raise self._cannot_write(error) from None

    def write_samples(self, name: str, samples: list[dict[str, Any]]) -> None:
        """Keep the per-update samples of one point, if it got as far as an update."""
        if samples:
            self._write_table("samples", name, list(samples[0]), [list(sample.values()) for sample in samples])

    def write_timeline(self, name: str, timeline: Sequence[tuple[Any, ...]]) -> None:
        """Keep a point's resident memory over time: seconds since its process began, phase, bytes."""
        if timeline:
            self._write_table("timelines", name, ["seconds", "phase", "rss_bytes"], timeline)

    def _write_table(self, folder: str, name: str, header: list[str], rows: Sequence[Sequence[Any]]) -> None:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        try:
            _replace(self.path / folder / f"{name}.csv", buffer.getvalue())
        except OSError as error:
            raise self._cannot_write(error) from None

    def _cannot_write(self, error: OSError) -> UserError:
        kept = f"{len(self.records)} points are in its records.jsonl"
        return UserError(f"cannot write to {self.path}: {error.strerror or error}; {kept}")

    def log_path(self, name: str) -> Path:
        """Where the stderr of one child goes."""
        return self.path / "logs" / f"{name}.log"


def check_free(path: Path) -> None:
    """Raise `UserError` unless a new run can be put at `path`."""
    if (path / "manifest.json").exists() or (path / "records.jsonl").exists():
        raise UserError(f"--out: {path} already holds a run: name another folder")
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"--out: {path} is not empty: name a new or an empty folder")
    if path.exists() and not path.is_dir():
        raise UserError(f"--out: {path} is a file: name a folder")


def load_records(path: Path) -> list[Record]:
    """The records of a run directory or of a CSV file; raises `UserError` naming what is wrong and where.

    A last line that was torn off while it was being written is left out: its point never finished.
    """
    if path.is_dir():
        lines = path / "records.jsonl"
        if not lines.is_file():
            raise UserError(f"{path} is not a run: it has no records.jsonl")
        return _read_lines(lines)
    if not path.exists():
        raise UserError(f"{path} does not exist: name a run directory or its results.csv")
    try:
        return read_records(path)
    except ValueError as error:
        raise UserError(str(error)) from None


def csv_text(records: Iterable[Record]) -> str:
    """The records as the text of a CSV file."""
    buffer = io.StringIO(newline="")
    write_records(records, buffer)
    return buffer.getvalue()


def _read_lines(path: Path) -> list[Record]:
    *lines, _ = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            mapping = json.loads(line)
        except ValueError:  # not JSON, or not even UTF-8
            mapping = None
        if not isinstance(mapping, dict):
            raise UserError(f"{path}, line {number} is not a JSON object: the file was edited or damaged")
        try:
            records.append(record_from_mapping(mapping, source=f"{path}, line {number}"))
        except ValueError as error:
            raise UserError(str(error)) from None
    return records


def _replace(path: Path, text: str) -> None:
    """Write a whole file so that a reader sees the old one or the new one, never a part."""
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
