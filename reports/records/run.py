"""Loads results for reports: a whole run directory, or only the records from a CSV file."""

from __future__ import annotations

import csv
import gc
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.records.csv_file import read_records
from reports.records.files import file_errors, is_open_file
from reports.records.record import Record, point_key, was_run
from reports.records.record_lines import json_object, read_lines
from reports.records.redaction import redacted_values
from reports.records.within import check_within, read_within

_SIZES = ("agents", "seq_len")
CHECKSUM = "checksum.json"
"""The file of a baseline with the checksum of its results.csv."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sweep was to measure: every one of these models and modes at every one of these sizes."""

    modes: tuple[tuple[str, str], ...]
    sizes: Mapping[str, tuple[int, ...]]
    """By axis, `agents` and `seq_len`, ascending."""


@dataclass(frozen=True, slots=True)
class Run:
    """The records of one sweep and, if loaded from a run directory, its hosts and per-point files."""

    name: str
    """The folder's name, or the file's."""
    path: Path
    """The given folder or CSV file."""
    records: tuple[Record, ...]
    """One record per repeat of a point (in a CSV file, per run): the last one wins, in the position of the first."""
    hosts: tuple[dict[str, Any], ...] = ()
    """The host at the start and after each resume; empty for a CSV file."""
    left_out: tuple[str, ...] = ()
    """What reading left out, in a few words each: `1 torn line`."""
    incomplete: str = ""
    """What the folder lacks: `11 of 12 records, 1 torn line left out`; empty if nothing is known to be missing."""
    is_counted: bool = False
    """Whether it is known how many records there should be, by a run's manifest or a baseline's checksum."""
    asked: Asked | None = None
    """What the run was to measure; None for a CSV file, a baseline and a run of an earlier version."""

    def samples(self, record: Record) -> list[dict[str, str]]:
        """One row per update of `record`: times and metrics as text, empty if unknown."""
        return self._table("samples", record)

    def timeline(self, record: Record) -> list[dict[str, str]]:
        """Resident memory of `record`'s processes over time: rows of `seconds`, `phase` and `rss_bytes`."""
        return self._table("timelines", record)

    def _table(self, folder: str, record: Record) -> list[dict[str, str]]:
        path = self.path / folder / f"{record.files}.csv"
        with file_errors(path, "read"):
            if not record.files or Path(record.files).name != record.files or not path.is_file():
                return []
        with io.StringIO(_text(path, self.path), newline="") as stream:
            try:
                return list(csv.DictReader(stream))
            except csv.Error as error:
                raise ValueError(f"{path}: not valid CSV ({error}); correct or delete the file") from error


def load_run(path: str | os.PathLike[str], progress: Callable[[int], object] = lambda _: None) -> Run:
    """Read a run directory, a folder with only a results.csv (a baseline), or a CSV file.

    An incomplete last line of records.jsonl is left out, and `Run.left_out` says so.

    Args:
        path: of the run.
        progress: called for every `batches.ROWS` records with their number.

    Raises:
        ValueError: the path does not exist or is not a run, or a file is damaged or of a newer version. The message is
            one line with file, row or line, and remedy.
    """
    with file_errors(path, "read"), without_collections():
        return _load(Path(path), progress)


def _load(path: Path, progress: Callable[[int], object]) -> Run:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: name a run directory or its results.csv") from None
    if not stat.S_ISDIR(mode):
        if not stat.S_ISREG(mode) and not is_open_file(path):  # it may never end, or never begin
            raise ValueError(f"{path} is neither a file nor a folder: name a run directory or its results.csv")
        return Run(path.stem, path, tuple(latest_of_each_run(read_records(path, progress))))
    lines, table = path / "records.jsonl", path / "results.csv"
    if not lines.is_file() and (not table.is_file() or (path / "manifest.json").exists()):
        raise ValueError(f"{path} is not a run: it has no records.jsonl")
    name = path.resolve().name
    if not lines.is_file():
        records, checksum = _read_table(table, progress)
        incomplete = str(checksum.get("incomplete", ""))
        hosts = tuple(_hosts(path))
        return Run(
            name, path, tuple(latest_of_each_run(records)), hosts, incomplete=incomplete, is_counted=bool(checksum)
        )
    check_within(path, lines)
    with file_errors(lines, "read"), lines.open("rb") as stream:
        found, left_out = read_lines(stream, str(lines), progress)
    records = latest_records(found)
    manifest = _manifest(path)
    expected = _expected(manifest)
    return Run(
        name,
        path,
        tuple(records),
        tuple(_hosts(path)),
        tuple(left_out),
        _incomplete(records, left_out, expected),
        is_counted=expected is not None,
        asked=asked_of(manifest),
    )


@contextmanager
def without_collections() -> Iterator[None]:
    """Within this block Python does not look for cycles: records hold none, and many of them take long to search."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def run_so_far(path: Path, records: Sequence[Record], manifest: Mapping[str, Any]) -> Run:
    """The run in a folder that is being written, by its records so far."""
    lacking = _incomplete(records, (), _expected(manifest))
    return Run(path.name, path, tuple(records), incomplete=lacking, is_counted=True, asked=asked_of(manifest))


def record_key(record: Record) -> tuple[object, ...]:
    """The identity of a record within a run: its point, including the side of a live pair, and its repeat."""
    return (*point_key(record), record.repeat)


def latest_records(records: Iterable[Record]) -> list[Record]:
    """One record per repeat of a point: the last one wins, in the position of the first."""
    return list({record_key(record): record for record in records}.values())


def latest_of_each_run(records: Iterable[Record]) -> list[Record]:
    """`latest_records` of each run; runs are distinguished by `run_id`."""
    return list({(record.run_id, *record_key(record)): record for record in records}.values())


def host_files(path: Path) -> list[Path]:
    """The host descriptions of a run folder, oldest first.

    `host.json`, then `host-2.json`, … for each resume. Runs of scaleprof 0.1 have `environment.json`,
    `environment-2.json`, … instead; these come first if a later version resumed the run.
    """
    found = []
    for name in ("environment", "host"):
        numbered = sorted(path.glob(f"{name}-*.json"), key=lambda file: (len(file.name), file))
        found += [file for file in (path / f"{name}.json", *numbered) if file.is_file()]
    return found


def _hosts(path: Path) -> Iterable[dict[str, Any]]:
    for file in host_files(path):
        yield redacted_values(json_object(_text(file), str(file)))


def _read_table(path: Path, progress: Callable[[int], object]) -> tuple[list[Record], dict[str, Any]]:
    """The records of a results.csv, and what the file beside it in a baseline says of it; empty without one."""
    check_within(path.parent, path)
    beside = path.with_name(CHECKSUM)
    if not beside.is_file():
        return read_records(path, progress), {}
    checksum = json_object(_text(beside), str(beside))
    if not table_checksum(read_within(path.parent, path)).items() <= checksum.items():
        raise ValueError(f"{path}: it is not what {CHECKSUM} beside it says, so it was edited or damaged; restore it")
    return read_records(path, progress), checksum


def table_checksum(content: bytes) -> dict[str, Any]:
    """What `CHECKSUM` holds of a results.csv: its length and its CRC-32."""
    return {"bytes": len(content), "crc32": f"{zlib.crc32(content):08x}"}


def _incomplete(records: Sequence[Record], left_out: Sequence[str], expected: int | None) -> str:
    ended = sum(was_run(record) and record.status != "interrupted" for record in records)
    parts = [f"{ended} of {expected} records"] if expected is not None and ended < expected else []
    return ", ".join([*parts, *(f"{what} left out" for what in left_out)])


def _manifest(path: Path) -> dict[str, Any]:
    """What the manifest of a run's folder holds; nothing without one."""
    manifest = path / "manifest.json"
    return json_object(_text(manifest), str(manifest)) if manifest.is_file() else {}


def asked_of(manifest: Mapping[str, Any]) -> Asked | None:
    """What a run was to measure, by its manifest; None if that does not say so."""
    grid = manifest.get("grid")
    if not isinstance(grid, dict):
        return None
    modes, *sizes = ([*found] if isinstance(found := grid.get(name), list) else [] for name in ("modes", *_SIZES))
    pairs = (pair for pair in modes if isinstance(pair, list) and list(map(type, pair)) == [str, str])
    known = (tuple(sorted({size for size in some if isinstance(size, int) and size > 0})) for some in sizes)
    return Asked(tuple((model, mode) for model, mode in pairs), dict(zip(_SIZES, known, strict=True)))


def _expected(manifest: Mapping[str, Any]) -> int | None:
    """The records of a complete run: one per point, or two of a live pair."""
    points, options = manifest.get("points"), manifest.get("options")
    if not isinstance(points, int) or isinstance(points, bool):
        return None
    return points * (2 if isinstance(options, dict) and options.get("against") else 1)


def _text(path: Path, folder: Path | None = None) -> str:
    """The text of a file of a run, whose folder is `folder`, by default the one that the file is in.

    Bytes that are not UTF-8 become replacement characters, which no parser accepts.
    """
    return read_within(path.parent if folder is None else folder, path).decode(errors="replace")
