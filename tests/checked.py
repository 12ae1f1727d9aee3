"""Records, runs and results files for tests of checks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reports import Record, record_to_mapping, write_records
from reports.records.run import CHECKSUM, table_checksum

NOISE = (1.00, 1.01, 0.99, 1.02, 0.98, 1.015, 0.985, 1.005)
"""Relative times of the repeats of an undisturbed point."""
HOST: dict[str, Any] = {
    "command": ["scaleprof", "--out", "/home/joe/run"],
    "cpu": "Abacus 3",
    "cores": 4,
    "governor": "performance",
    "affinity": [0, 1],
    "cards": [],
    "platform": "cpu",
    "devices": ["cpu"],
    "packages": {"jax": "0.10.2", "jaxlib": "0.10.2", "numpy": "2.4"},
    "variables": {"together": {"XLA_FLAGS": "--xla_dump_to=/home/joe/dump", "PYTHONPATH": "/home/joe/code"}},
    "source": "/home/joe/code/scaleprof",
}


def record(**changes: Any) -> Record:
    """One measured repeat of a small point on a CPU, with `changes`."""
    fields: dict[str, Any] = {
        "run_id": "run",
        "scenario": "neom",
        "model": "sable",
        "mode": "chunkwise",
        "agents": 16,
        "seq_len": 10,
        "envs": 2,
        "status": "ok",
        "platform": "cpu",
        "device": "cpu",
        "host_memory_quality": "noisy",
        "xla_peak_bytes": 1_000_000,
        "update_cpu_seconds": 0.1,
    }
    return Record(**(fields | changes))


def repeats(count: int = 5, *, slower: float = 1.0, **changes: Any) -> list[Record]:
    """Repeats of one point that take `slower` times as long as usual."""
    return [record(repeat=i, update_cpu_seconds=0.1 * slower * NOISE[i], **changes) for i in range(count)]


def several(count: int, points: int = 4, **changes: Any) -> list[Record]:
    """Repeats of points of 16, 32, … agents."""
    return [one for i in range(points) for one in repeats(count, agents=16 * (i + 1), **changes)]


def table(path: Path, *records: Record) -> str:
    """Write a results file; returns its path."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        write_records(records, stream)
    return str(path)


def saved(path: Path, *records: Record) -> str:
    """Write a folder as a baseline has it, which tells that no record is missing; returns its path."""
    path.mkdir(exist_ok=True)
    written = table(path / "results.csv", *records)
    (path / CHECKSUM).write_text(json.dumps(table_checksum(Path(written).read_bytes())))
    return str(path)


def run_folder(
    path: Path,
    records: Sequence[Record],
    host: dict[str, Any] | None = None,
    samples: dict[str, str] | None = None,
) -> str:
    """Write a run directory as a sweep does; returns its path."""
    (path / "samples").mkdir(parents=True)
    lines = [json.dumps(record_to_mapping(one)) for one in records]
    (path / "records.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (path / "host.json").write_text(json.dumps(HOST if host is None else host))
    for name, text in (samples or {}).items():
        (path / "samples" / f"{name}.csv").write_text(text)
    return str(path)


def verdicts(content: dict[str, Any]) -> set[tuple[int, str, str]]:
    """Agents, metric and verdict of every finding in a check's JSON."""
    return {(found["point"]["agents"], found["metric"], found["verdict"]) for found in content["findings"]}
