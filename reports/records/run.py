"""Results as reports read them: a run directory with all that it keeps, or a CSV file with the records alone."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.records.csv_file import read_records
from reports.records.mapping import record_from_mapping
from reports.records.record import Record, point_key


@dataclass(frozen=True, slots=True)
class Run:
    """The records of one sweep and, where they came from a run directory, its hosts and per-point files."""

    name: str
    """The folder's name, or the file's."""
    path: Path
    """As it was given: a folder or a CSV file."""
    records: tuple[Record, ...]
    """The last record of every repeat of a point, at the place of the first; in a CSV file, of every run in it."""
    hosts: tuple[dict[str, Any], ...] = ()
    """Where it was carried out: when it began, and each time it was resumed. Empty for a CSV file."""

    def samples(self, record: Record) -> list[dict[str, str]]:
        """What every update of `record` took and reached: a row each, cells as text, empty where not known."""
        return self._table("samples", record)

    def timeline(self, record: Record) -> list[dict[str, str]]:
        """Resident memory of `record`'s processes: rows of `seconds`, `phase` and `rss_bytes`."""
        return self._table("timelines", record)

    def _table(self, folder: str, record: Record) -> list[dict[str, str]]:
        path = self.path / folder / f"{record.files}.csv"
        if not record.files or Path(record.files).name != record.files or not path.is_file():
            return []
        with io.StringIO(_text(path), newline="") as stream:
            try:
                return list(csv.DictReader(stream))
            except csv.Error as error:
                raise ValueError(f"{path}: not valid CSV ({error}); correct or delete the file") from error


def load_run(path: str | os.PathLike[str]) -> Run:
    """Read a run directory, a folder with its results.csv alone (a baseline), or the CSV file.

    A last line of records.jsonl that was torn off while it was being written is left out: its point never finished.

    Raises:
        ValueError: there is nothing, or something that is neither, or it is damaged or of a newer version. The message
            is one line that names file, row or line, and remedy.
    """
    path = Path(path)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: name a run directory or its results.csv") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if not is_folder:
        return Run(path.stem, path, tuple(latest_of_each_run(read_records(path))))
    lines, table = path / "records.jsonl", path / "results.csv"
    if not lines.is_file() and (not table.is_file() or (path / "manifest.json").exists()):
        raise ValueError(f"{path} is not a run: it has no records.jsonl")
    records = latest_records(_read_lines(lines)) if lines.is_file() else latest_of_each_run(read_records(table))
    return Run(path.resolve().name, path, tuple(records), tuple(_hosts(path)))


def record_key(record: Record) -> tuple[object, ...]:
    """What there is one record of in a run: a repeat of a point, on one side of a comparison."""
    return (*point_key(record), record.repeat)


def latest_records(records: Iterable[Record]) -> list[Record]:
    """The last record of every repeat of a point, at the place of its first."""
    return list({record_key(record): record for record in records}.values())


def latest_of_each_run(records: Iterable[Record]) -> list[Record]:
    """The same of records of several runs, which are told apart by `run_id`."""
    return list({(record.run_id, *record_key(record)): record for record in records}.values())


def host_files(path: Path) -> list[Path]:
    """The host descriptions of a run folder in the order in which they were written.

    `host.json`, then `host-2.json`, … of each time the run was resumed. Runs of scaleprof 0.1 call them
    `environment.json`, `environment-2.json`, …, which come first where such a run was resumed by a later version.
    """
    found = []
    for name in ("environment", "host"):
        numbered = sorted(path.glob(f"{name}-*.json"), key=lambda file: (len(file.name), file))
        found += [file for file in (path / f"{name}.json", *numbered) if file.is_file()]
    return found


def _hosts(path: Path) -> Iterable[dict[str, Any]]:
    for file in host_files(path):
        yield _json_object(_text(file), str(file))


def _read_lines(path: Path) -> list[Record]:
    *lines, _ = _text(path).split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        source = f"{path}, line {number}"
        records.append(record_from_mapping(_json_object(line, source), source=source))
    return records


def _json_object(text: str, source: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or nested a thousand times
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{source} is not a JSON object: the file was edited or damaged")
    return content


def _text(path: Path) -> str:
    """What a file says; bytes that are no UTF-8 become marks that no parser takes for anything else."""
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check the path") from error
