"""Saved baselines to check later runs against, in the project's `.scaleprof/baselines/NAME/`.

results.csv   the records, without file names and without the output of failed processes
checksum.json the length and the checksum of that file, and what the run lacked
host.json     what a check compares of the machine and its versions, and the commit; host-2.json, … of a resumed run

A baseline appears as a whole folder or not at all. It contains no paths and no user names.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.checks.comparability import comparable_facts
from reports.records.files import file_errors, named
from reports.records.record import Record, has_result, point_key
from reports.records.run import CHECKSUM, Run, table_checksum
from reports.records.within import check_within
from scaleprof.errors import UserError, user_errors
from scaleprof.runs.public_copy import commit_of, host_names, impersonal
from scaleprof.runs.store import as_json, csv_text, read_run

FOLDER = Path(".scaleprof") / "baselines"
RUNS = Path("runs")
"""Where sweeps put their runs by default."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_MARKS = (".scaleprof", "pyproject.toml", ".git")


@dataclass(frozen=True, slots=True)
class Baseline:
    """One line of `baseline list`."""

    name: str
    points: int
    records: int
    bytes: int


def project_root(folder: Path) -> Path:
    """The nearest folder from `folder` upward that looks like a project root, else `folder`."""
    with user_errors(), file_errors(folder, "read"):
        parents = (folder, *folder.parents)
        return next((one for one in parents if any((one / mark).exists() for mark in _MARKS)), folder)


def newest_run(folder: Path) -> Path:
    """The run in `folder/runs` that was written last; raises `UserError` if there is none."""
    with user_errors(), file_errors(folder / RUNS, "read"):
        found = [path.parent for path in (folder / RUNS).glob("*/records.jsonl") if path.is_file()]
        if not found:
            raise UserError(f"there is no run in {folder / RUNS}: name a run directory")
        return max(found, key=lambda path: ((path / "records.jsonl").stat().st_mtime_ns, path.name))


def load(name: str, folder: Path) -> Run:
    """The baseline of that name in the project around `folder`."""
    path = _path_of(name, folder)
    with user_errors(), file_errors(path, "read"):
        is_saved = path.is_dir()
    if not is_saved:
        known = ", ".join(one.name for one in _folders(folder))
        hint = (
            f"choose from: {known}" if known else "none is saved yet; save one with 'scaleprof baseline save NAME RUN'"
        )
        raise UserError(f"--baseline: unknown baseline '{name}' in {path.parent}: {hint}")
    return dataclasses.replace(read_run(path), name=f"baseline {name}")


def names(folder: Path) -> list[str]:
    """The names of all baselines of the project around `folder`, sorted."""
    return [path.name for path in _folders(folder)]


def saved(folder: Path) -> tuple[list[Baseline], list[str]]:
    """All baselines of the project around `folder`, sorted by name, and what is wrong with those that are damaged."""
    found, damaged = [], []
    for path in _folders(folder):
        try:
            records = read_run(path).records
        except UserError as error:
            damaged.append(str(error))
            continue
        points = len({point_key(record) for record in records})
        found.append(Baseline(path.name, points, len(records), size_of(path)))
    return found, damaged


def size_of(path: Path) -> int:
    """The bytes of a baseline's files."""
    with user_errors(), file_errors(path, "read"):
        return sum(file.stat().st_size for file in path.iterdir())


def _folders(folder: Path) -> list[Path]:
    """The folders of all baselines of the project, sorted by name."""
    parent = project_root(folder) / FOLDER
    with user_errors(), file_errors(parent, "read"):
        files = sorted(parent.glob("*/results.csv"))
    return [file.parent for file in files if _NAME.fullmatch(file.parent.name)]


def save(name: str, run: Run, folder: Path, *, force: bool, allow_incomplete: bool = False) -> Path:
    """Save what a check needs of `run`; returns the baseline's folder.

    Of live pairs the side `new` is saved. Raises `UserError` if the name is taken (unless `force`), if the run lacks
    some of its records (unless `allow_incomplete`), if no point of it was measured, or if the folder cannot be
    written; an existing baseline then stays.
    """
    path = _path_of(name, folder)
    with user_errors():
        check_within(project_root(folder), path)
    records = [_kept(record) for record in run.records if record.side != "base"]
    if not any(map(has_result, records)):
        raise UserError(f"{run.path}: no point was measured, so there is nothing to save")
    if run.incomplete and not allow_incomplete:
        raise UserError(
            f"{run.path} is incomplete: {run.incomplete}: complete it (sweep --resume {shlex.quote(str(run.path))}), "
            "or save it with --allow-incomplete"
        )
    with user_errors(), file_errors(path, "read"):
        is_taken = path.exists()
    if is_taken and not force:
        raise UserError(f"baseline '{name}' already exists ({path}): --force replaces it")
    with user_errors(writing=path), named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as temporary:
            made = Path(temporary) / name
            made.mkdir()
            _write(made / "results.csv", csv_text(records))
            missing = {"incomplete": run.incomplete} if run.incomplete else {}
            _write(made / CHECKSUM, as_json(table_checksum(csv_text(records).encode()) | missing))
            for file, host in zip(host_names(), _distinct(run), strict=False):
                _write(made / file, as_json(host))
            _put(made, path, Path(temporary) / "before")
    return path


def _put(made: Path, path: Path, before: Path) -> None:
    """Move a folder into place; what is there is set aside first and restored if that fails."""
    if path.exists():
        path.rename(before)
        try:
            made.rename(path)
        except OSError:
            before.rename(path)
            raise
        if before.is_dir():
            shutil.rmtree(before)
    else:
        made.rename(path)


def _path_of(name: str, folder: Path) -> Path:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' is not a valid baseline name: use up to 64 letters, digits, dots, hyphens and underscores, "
            "no dot or hyphen first"
        )
    return project_root(folder) / FOLDER / name


def _kept(record: Record) -> Record:
    """A record without what a check does not need."""
    return dataclasses.replace(impersonal(record), files="", pair_id="")


def _distinct(run: Run) -> list[dict[str, Any]]:
    """The distinct host descriptions of the run, reduced to what a check compares and the commit."""
    found = {json.dumps(one): one for one in (comparable_facts(host) | commit_of(host) for host in run.hosts)}
    return list(found.values())


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
