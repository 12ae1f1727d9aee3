"""A copy of a run for anybody: without host and user names, paths, variables and output of processes."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.checks.comparability import comparable_facts, without_paths
from reports.records.files import file_errors, write_whole
from reports.records.record import Record
from reports.records.record_lines import record_line
from reports.records.redaction import REMOVED, redacted
from reports.records.run import Run
from reports.records.within import read_within
from sable.models import is_custom as models_are_custom
from scaleprof.errors import UserError, user_errors
from scaleprof.runs.store import as_json, csv_text, read_manifest
from scenarios.registry import is_custom as scenarios_are_custom

FACTS = ("scaleprof", "allocator", "memory_bytes", "memory_limit_bytes", "cpu_quota", "import_seconds", "timestamp")
"""Facts of a host that are kept beside those that a check compares."""
PER_POINT = ("samples", "timelines")
OWN_REASONS = ("timeout", "larger", "few_updates", "predicted")
"""The codes of reasons that quote nothing that a model, a scenario or a process said."""
_KEPT = re.compile(
    r"killed by (the kernel, which ran out of memory|SIG\w+|signal \d+)|ended with exit code -?\d+|ran out of memory"
    r"|stopped at [\d.]+ \w+|[A-Za-z_][\w.]*(?=:|$| \[)"
)
"""What is kept of other reasons: how the process ended, or the type of its exception."""
_PLACES = ("against", "preset", "config", "out")
"""Options that name a file or a folder."""


def write_public(run: Run, folder: Path) -> None:
    """Write the copy to a new or empty folder; it reads and checks as the run itself does.

    Raises `UserError` if the folder holds something, the run is not a folder, or something cannot be written.
    """
    with user_errors("--public", writing=folder):
        is_taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if is_taken:
        raise UserError(f"--public: {folder} is not empty: name a new folder")
    manifest = read_manifest(run.path, "--public")
    records = _public_records(run.records)
    with user_errors("--public", writing=folder):
        for name in PER_POINT:
            (folder / name).mkdir(parents=True, exist_ok=True)
        write_whole(folder / "manifest.json", as_json(_manifest(manifest)).encode())
        for name, host in zip(host_names(), run.hosts, strict=False):
            write_whole(folder / name, as_json(_host(host)).encode())
        write_whole(folder / "records.jsonl", "".join(map(record_line, records)).encode())
        write_whole(folder / "results.csv", csv_text(records).encode())
        for (own, record), name in itertools.product(zip(run.records, records, strict=True), PER_POINT):
            path = run.path / name / f"{own.files}.csv"
            with file_errors(path, "read"):
                is_there = Path(own.files).name == own.files and path.is_file()
            if own.files and is_there:
                write_whole(folder / name / f"{record.files}.csv", read_within(run.path, path))


def impersonal(record: Record) -> Record:
    """A record without what its process said, and without paths, home folders and secrets in its texts.

    Of the reason for a failure what scaleprof itself says is kept, and the type of an exception.
    """
    return dataclasses.replace(
        record,
        stderr_tail="",
        reason=_own_words(record),
        settings=_public(record.settings),
    )


def commit_of(host: Mapping[str, Any]) -> dict[str, Any]:
    """The commit of a host's description and whether files differed from it; empty if not known."""
    git = host.get("git")
    if not isinstance(git, dict) or not isinstance(git.get("commit"), str):
        return {}
    return {"git": {"commit": git["commit"], "dirty": git.get("dirty") is True}}


def _own_words(record: Record) -> str:
    if record.reason_code in OWN_REASONS:
        return _public(record.reason)
    found = _KEPT.match(record.reason)
    return found[0] if found else ""


def _public(text: str) -> str:
    """A text without paths, home folders and what looks like a secret."""
    return without_paths(redacted(text))


def _public_records(records: Sequence[Record]) -> list[Record]:
    """The records as `impersonal` leaves them; a custom model or scenario keeps the name of its function alone.

    Several functions of one name are numbered, so that points stay apart.
    """
    models = _functions(record.model for record in records if models_are_custom(record.model))
    scenarios = _functions(record.scenario for record in records if scenarios_are_custom(record.scenario))
    found = []
    for number, record in enumerate(records):
        model, scenario = models.get(record.model, record.model), scenarios.get(record.scenario, record.scenario)
        renamed = (model, scenario) != (record.model, record.scenario)
        files = f"{number:04d}-{model}" if renamed and record.files else record.files
        names: dict[str, Any] = {"model": model, "scenario": scenario, "target": _public(record.target), "files": files}
        found.append(dataclasses.replace(impersonal(record), **names))
    return found


def _functions(names: Iterable[str]) -> dict[str, str]:
    """The function of every `module:function`."""
    found: dict[str, str] = {}
    for name in names:
        if name not in found:
            function = name.rpartition(":")[2]
            taken = sum(one.rpartition(":")[2] == function for one in found)
            found[name] = f"{function}-{taken + 1}" if taken else function
    return found


def host_names() -> itertools.chain[str]:
    """`host.json`, `host-2.json`, …"""
    return itertools.chain(["host.json"], (f"host-{number}.json" for number in itertools.count(2)))


def _manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    options = manifest.get("options")
    kept: dict[str, Any] = options if isinstance(options, dict) else {}
    return {
        "schema": manifest["schema"],
        "points": manifest.get("points"),
        "options": {name: _plain(name, value) for name, value in kept.items()},
    }


def _host(host: dict[str, Any]) -> dict[str, Any]:
    facts = comparable_facts(host) | {name: host.get(name) for name in FACTS} | commit_of(host)
    return {name: value for name, value in facts.items() if name != "variables"}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(name, one) for one in value]
    if not isinstance(value, str):
        return value
    if name in _PLACES:
        return REMOVED if value else value
    if name in ("model", "scenario"):
        is_custom = models_are_custom if name == "model" else scenarios_are_custom
        value = ",".join(one.rpartition(":")[2] if is_custom(one) else one for one in value.split(","))
    return _public(value)
