"""Writes `docs/columns.md`: `python -m reports.records.columns_document > docs/columns.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from reports.records.columns import COLUMNS, Column
from reports.records.describe import SOURCES
from reports.records.record import SCHEMA_VERSION

GROUPS = {
    "schema_version": "Run and point",
    "status": "Outcome",
    "platform": "Device and model",
    "xla_act_argument_bytes": "Memory",
    "import_seconds": "Time",
    "policy_loss": "Learning",
}
"""The first column of every group, and its heading."""
_UNITS = {"text": "", "rate": "per second", "flag": "0 or 1", "flops": "FLOP"}
_INTRODUCTION = f"""\
# Columns of a results file

Each row of `results.csv`, each line of `records.jsonl` and each row of `report --json` is one repeat of a point
and has these columns (schema {SCHEMA_VERSION}). An unknown value is an empty cell (`null` in JSON), never 0.
[measuring.md](measuring.md) explains how values are measured.

**Process** is the process that a column is read from when two measure a point (`--measure memory,speed`). By default
one process measures everything. `any`: both report it, and speed comes last. `parent` is the sweep itself.

**Bold** columns identify a point: records that agree in all of them are repeats of one point.

A live pair cannot attribute these to a side, so they are empty there:
{", ".join(f"`{column.name}`" for column in COLUMNS.values() if not column.per_side)}.
"""


def document() -> str:
    """The text of `docs/columns.md`: a table for each group of columns, and what their sources are."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    for column in COLUMNS.values():
        if column.name in GROUPS:
            if column.name != next(iter(COLUMNS)):
                yield ""
            yield f"## {GROUPS[column.name]}\n"
            yield "| column | title | unit | what it is | source | process |"
            yield "|---|---|---|---|---|---|"
        yield _row(column)
    yield "\n## Sources\n"
    yield "| source | what it is |"
    yield "|---|---|"
    yield from (f"| {name} | {words} |" for name, words in SOURCES.items())
    yield ""


def _row(column: Column) -> str:
    unit = _UNITS.get(column.unit, column.unit)
    process = column.writer.removesuffix(" process")
    name = f"**`{column.name}`**" if column.identity else f"`{column.name}`"
    cells = (name, column.title, unit, column.description, column.source, process)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(document())
