"""Runs as one HTML page that needs nothing else: charts, table, points, environment; from a file, without a network.

Text from data is on one line without control characters, and escaped where it becomes HTML (Jinja's autoescape) and
where it becomes a script's data; scripts other than the two of the page are refused by its Content-Security-Policy, and
so is every request.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.arrange.curves import (
    AXIS_TITLES,
    DRAWN,
    Curve,
    Slice,
    fullest_slice,
    known_measures,
    memory_limits,
    slices,
)
from reports.arrange.pivot import make_pivot, varying_axes
from reports.arrange.selection import run_names
from reports.growth.trends import trend_of
from reports.records.columns import COLUMNS, MEMORY, SPEED, Column, Value
from reports.records.csv_file import write_records
from reports.records.files import write_whole
from reports.records.mapping import record_to_mapping
from reports.records.record import POINT_FIELDS, STATUSES, Record
from reports.records.run import Run
from reports.text.section import one_line
from reports.text.style import COLOURS, DASHES, FAILURES, MARKERS, ON_DARK

TIMELINE_POINTS = 400
"""The most looks at memory that the page keeps of a point; of those between two, the highest."""
_SAMPLE_DIGITS = 6
_FIRST_COLUMNS = ("run", "model", "mode", "agents", "seq_len")
_COST_COLUMNS = (
    "repeat",
    "status",
    "agent_steps_per_second",
    "update_seconds",
    "device_peak_bytes",
    "host_peak_rise_bytes",
    "host_rss_peak_bytes",
    "xla_peak_bytes",
    "mean_return",
    "episode_return",
    "reason",
)
_UNSAFE_IN_SCRIPTS = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def write_page(runs: Sequence[Run], path: str | os.PathLike[str]) -> None:
    """Write the page of `runs` to the file `path`. Equal runs give equal files.

    Raises:
        ValueError: there is no record in `runs`, or the file cannot be written; what was there stays.
    """
    text = make_page(runs)
    try:
        write_whole(path, text.encode("utf-8", "replace"))
    except OSError as error:
        raise ValueError(f"{os.fspath(path)}: cannot be written ({error.strerror}); check the path") from error


def make_page(runs: Sequence[Run]) -> str:
    """The page as a text.

    Raises:
        ValueError: there is no record in `runs`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    records = [record for run in runs for record in run.records]
    if not records:
        raise ValueError(f"{', '.join(str(run.path) for run in runs)}: no records, so there is nothing to show")
    loader = PackageLoader("reports.render")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    plotly = get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")
    script = loader.get_source(templates, "page.js")[0]
    statuses = Counter(record.status for record in records)
    return templates.get_template("page.html").render(
        title=_shown(", ".join(run.name for run in runs)),
        subtitle=_shown(_subtitle(records)),
        counts=[(status, statuses[status]) for status in STATUSES if statuses[status]],
        failures=_shown(_failures(runs)),
        hosts=_shown(_hosts(runs)),
        data=Markup(script_json(_shown(_data(runs)) | {"csv": _table(records)})),
        plotly=Markup(plotly),
        script=Markup(script),
        script_hashes=[Markup(_hash(plotly)), Markup(_hash(script))],
    )


def _shown(value: Any) -> Any:
    """`value` with every text in it, keys among them, on one line without control characters, as in a terminal."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, Mapping):
        return {_shown(key): _shown(inner) for key, inner in value.items()}
    return [_shown(inner) for inner in value] if isinstance(value, list | tuple) else value


def script_json(value: Any) -> str:
    """`value` as JSON that may stand inside a script element: no `<`, `>`, `&` and no line separators."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_UNSAFE_IN_SCRIPTS)


def _hash(script: str) -> str:
    """A script as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _subtitle(records: Iterable[Record]) -> str:
    """Scenario, device and jobs, with every value that occurs."""
    listed = list(records)
    parts = []
    for name in ("scenario", "device", "envs", "embed_dim", "dtype"):
        values = dict.fromkeys(str(getattr(record, name)) for record in listed if getattr(record, name))
        parts += [f"{name} {', '.join(values)}"] if values else []
    return " · ".join(parts)


def _failures(runs: Sequence[Run]) -> list[dict[str, str]]:
    """One row for each way in which a point gave no result."""
    rows = []
    for run in runs:
        pivot = make_pivot(run.records)
        for row in pivot.rows:
            axes = [f"{name} {value}" for name, value in zip(pivot.axes, row.values, strict=True) if value is not None]
            for agents, point in sorted(row.points.items()):
                ways = Counter((record.status, record.reason or record.reason_code) for record in point.failed)
                name = ", ".join([":".join(filter(None, (row.model, row.mode))), f"agents {agents}", *axes])
                for (status, reason), count in ways.items():
                    rows.append(
                        {
                            "point": f"{name} ({run.name})" if len(runs) > 1 else name,
                            "status": status,
                            "repeats": f"{count} of {len(point.records)}",
                            "reason": reason,
                        }
                    )
    return rows


def _hosts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What is known of the machine, one entry each time that a run was begun or resumed."""
    return [
        {"name": run.name + (f", resumed {number}" if number else ""), "facts": list(_flat(host))}
        for run in runs
        for number, host in enumerate(run.hosts)
    ]


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested facts as lines: `packages.jax`, `0.10.2`; what is not known is left out."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{key}.")
        elif isinstance(inner, list) and all(isinstance(item, str | int | float) for item in inner):
            if inner:
                yield f"{prefix}{key}", " ".join(map(str, inner))
        elif inner is not None:
            yield f"{prefix}{key}", inner if isinstance(inner, str) else json.dumps(inner)


def _data(runs: Sequence[Run]) -> dict[str, Any]:
    """Everything that the page's script shows, but for the table to download."""
    owned = [(name, run, record) for name, run in zip(run_names(runs), runs, strict=True) for record in run.records]
    records = [record for _, _, record in owned]
    rows = [record_to_mapping(record) for record in records]
    known = [name for name in COLUMNS if any(row[name] not in (None, "") for row in rows)]
    run = ["run"] if len(runs) > 1 else []
    columns = [*run, *dict.fromkeys((*POINT_FIELDS, "repeat", "status", "reason", *known))]
    varying = varying_axes(records)
    shown = dict.fromkeys((*_FIRST_COLUMNS, *varying, *_COST_COLUMNS))
    places = {id(record): place for place, record in enumerate(records)}
    memory, speed = known_measures(records, MEMORY), known_measures(records, SPEED)
    return {
        "columns": columns,
        "shown": [name for name in shown if name in columns and name in (*run, *known)],
        "numeric": [column.name for column in COLUMNS.values() if not column.is_text],
        "units": {column.name: _unit(column) for column in COLUMNS.values()},
        "identity": [*run, *POINT_FIELDS],
        "records": [
            [owner if name == "run" else _plain(row[name]) for name in columns]
            for (owner, _, _), row in zip(owned, rows, strict=True)
        ],
        "files": [_files(run, record) for _, run, record in owned],
        "axes": AXIS_TITLES,
        "drawn": DRAWN,
        "slices": _slices(runs, places, (*memory, *speed)),
        "memory": [_measure(column) for column in memory],
        "speed": [_measure(column) for column in speed],
        "limits": {measure.name: memory_limits(records, measure) for measure in memory},
        "look": {
            "colours": COLOURS,
            "dark": ON_DARK,
            "markers": [name for _, name, _ in MARKERS],
            "swatches": [path for _, _, path in MARKERS],
            "dashes": [",".join(f"{length}px" for length in dashes) or "solid" for dashes in DASHES],
            "failures": {status: name for status, (_, name, _) in FAILURES.items()},
        },
    }


def _measure(column: Column) -> dict[str, str]:
    return {"field": column.name, "title": column.title, "unit": column.unit}


def _unit(column: Column) -> str:
    """How the page formats a column: by its unit where that has a format of its own, else by its type."""
    if column.unit in ("bytes", "rate", "seconds"):
        return column.unit
    return "" if column.is_text else "whole" if column.kind is int else "number"


def _table(records: Iterable[Record]) -> str:
    """The results file, as it stands in a run directory."""
    text = io.StringIO(newline="")
    write_records(records, text)
    return text.getvalue()


def _slices(runs: Sequence[Run], places: Mapping[int, int], measures: Sequence[Column]) -> list[dict[str, Any]]:
    made = []
    for axis in AXIS_TITLES:
        found = slices(runs, axis)
        for one in found:
            curves = [_curve(curve, one, places, measures) for curve in one.curves]
            chosen = one is fullest_slice(found)
            made.append({"axis": axis, "title": one.title, "chosen": chosen, "sizes": one.sizes, "curves": curves})
    return made


def _curve(curve: Curve, one: Slice, places: Mapping[int, int], measures: Sequence[Column]) -> dict[str, Any]:
    trends = {}
    for measure in measures:
        trend = trend_of(curve, measure, one.axis, one.sizes[-1])
        if trend is not None:
            trends[measure.name] = {
                "sizes": _short(trend.sizes),
                "values": _short(trend.values),
                "low": _short(trend.low),
                "high": _short(trend.high),
                "words": trend.words,
            }
    points = {size: [places[id(record)] for record in point.records] for size, point in curve.points.items()}
    return {"label": curve.label, "style": curve.style, "points": points, "trends": trends}


def _files(run: Run, record: Record) -> dict[str, Any] | None:
    """What every update of `record` took, and its memory over time, as columns; None where neither is known."""
    found = {"samples": _columns(run.samples(record)), "timeline": _columns(_thinned(run.timeline(record)))}
    known = {name: columns for name, columns in found.items() if columns}
    return known or None


def _columns(rows: Sequence[Mapping[str, str]]) -> dict[str, list[Any]]:
    """A table by columns: texts in `phase`, numbers elsewhere, None where a cell is no finite number."""
    names = [name for name in rows[0] if name] if rows else []
    return {
        name: [row[name] or "" for row in rows] if name == "phase" else _short([_number(row[name]) for row in rows])
        for name in names
    }


def _thinned(timeline: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """At most `TIMELINE_POINTS` rows: of as many neighbours as it takes, the one with the most memory."""
    every = math.ceil(len(timeline) / TIMELINE_POINTS)
    kept: list[Mapping[str, str]] = []
    for start in range(0, len(timeline), max(every, 1)):
        group = timeline[start : start + every]
        kept.append(max(group, key=lambda row: _number(row.get("rss_bytes")) or 0.0))
    return kept


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _short(values: Iterable[float | None]) -> list[float | None]:
    """Numbers with as many digits as a chart can show; whole ones as they are."""
    return [None if value is None or not math.isfinite(value) else _rounded(value) for value in values]


def _rounded(value: float) -> float:
    return int(value) if value == int(value) else float(f"{value:.{_SAMPLE_DIGITS}g}")


def _plain(value: Value) -> Value:
    """A value of a record as JSON has it: a number that is not finite becomes a text, never nothing."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
