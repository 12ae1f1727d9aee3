"""A copy of a run for anybody: without host and user names, paths, variables and output of processes."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

from reports.checks.comparability import comparable_facts, without_paths
from reports.records.files import file_errors, write_whole
from reports.records.record import Record
from reports.records.record_lines import record_line
from reports.records.redaction import redacted
from reports.records.run import Run
from reports.records.within import read_within
from scaleprof.errors import UserError, user_errors
from scaleprof.runs.store import as_json, csv_text, read_manifest

FACTS = ("scaleprof", "allocator", "memory_bytes", "memory_limit_bytes", "cpu_quota", "import_seconds", "timestamp")
"""Facts of a host that are kept beside those that a check compares."""
PER_POINT = ("samples", "timelines")


def write_public(run: Run, folder: Path) -> None:
    """Write the copy to a new or empty folder; it reads and checks as the run itself does.

    Raises `UserError` if the folder holds something, the run is not a folder, or something cannot be written.
    """
    with user_errors("--public", writing=folder):
        is_taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if is_taken:
        raise UserError(f"--public: {folder} is not empty: name a new folder")
    manifest = read_manifest(run.path, "--public")
    records = [impersonal(record) for record in run.records]
    with user_errors("--public", writing=folder):
        for name in PER_POINT:
            (folder / name).mkdir(parents=True, exist_ok=True)
        write_whole(folder / "manifest.json", as_json(_manifest(manifest)).encode())
        for name, host in zip(host_names(), run.hosts, strict=False):
            write_whole(folder / name, as_json(_host(host)).encode())
        write_whole(folder / "records.jsonl", "".join(map(record_line, records)).encode())
        write_whole(folder / "results.csv", csv_text(records).encode())
        for record, name in itertools.product(records, PER_POINT):
            path = run.path / name / f"{record.files}.csv"
            with file_errors(path, "read"):
                is_there = Path(record.files).name == record.files and path.is_file()
            if record.files and is_there:
                write_whole(folder / name / path.name, read_within(run.path, path))


def impersonal(record: Record) -> Record:
    """A record without the output of its process, and without paths, home folders and secrets in its texts."""
    return dataclasses.replace(
        record,
        stderr_tail="",
        reason=without_paths(redacted(record.reason)),
        settings=without_paths(redacted(record.settings)),
    )


def host_names() -> itertools.chain[str]:
    """`host.json`, `host-2.json`, …"""
    return itertools.chain(["host.json"], (f"host-{number}.json" for number in itertools.count(2)))


def _manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    options = manifest.get("options")
    kept: dict[str, Any] = options if isinstance(options, dict) else {}
    return {
        "schema": manifest["schema"],
        "points": manifest.get("points"),
        "options": {name: _plain(value) for name, value in kept.items()},
    }


def _host(host: dict[str, Any]) -> dict[str, Any]:
    facts = comparable_facts(host) | {name: host.get(name) for name in FACTS}
    return {name: value for name, value in facts.items() if name != "variables"}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return without_paths(redacted(value)) if isinstance(value, str) else value
