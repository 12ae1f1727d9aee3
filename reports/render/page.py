"""Runs as one self-contained HTML page: charts, table, points and host, from a file and without a network.

Text from data is put on one line without control characters and escaped, as HTML (by Jinja) and as a script's data. The
Content-Security-Policy of the page refuses all requests, and all scripts except its own two.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.arrange.pivot import AxisValue, curve_name, make_pivot, memory_of
from reports.arrange.selection import conditions, joined
from reports.records.csv_file import write_records
from reports.records.files import file_errors, write_whole
from reports.records.record import STATUSES, Record
from reports.records.run import Run
from reports.render.page_data import page_data
from reports.report.answer import answer_section, growth_sections
from reports.report.missing import missing_of
from reports.report.sections import Wanted, report_sections
from reports.report.summary import point_count
from reports.text.plain import one_line
from reports.text.section import Cell, Section, TableColumn
from reports.text.units import format_bytes, format_rate, format_seconds

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPTS = ("core", "charts", "table", "point", "start")
"""The parts of the page's script, in order; they share one scope."""
_UNITS: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("bytes_per_second", lambda value: f"{format_bytes(value)}/s"),
    ("flops_per_second", lambda value: f"{format_rate(value)} FLOP/s"),
    ("_bytes", format_bytes),
    ("_seconds", format_seconds),
)
"""How facts of the host are shown, by the end of their names."""
_UNSAFE_IN_SCRIPTS = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def write_page(runs: Sequence[Run], path: str | os.PathLike[str]) -> None:
    """Write the page of `runs` to the file `path`. Equal runs give equal files.

    Raises:
        ValueError: `runs` hold no record, or the file cannot be written; an existing file is then unchanged.
    """
    text = make_page(runs)
    with file_errors(path, "written"):
        write_whole(path, text.encode("utf-8", "replace"))


def make_page(runs: Sequence[Run]) -> str:
    """The page as text.

    Raises:
        ValueError: `runs` hold no record.
    """
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    records = [record for run in runs for record in run.records]
    if not records:
        raise ValueError(f"{', '.join(str(run.path) for run in runs)}: no records, so there is nothing to show")
    templates = page_templates()
    plotly = get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")
    loader = templates.loader
    assert loader is not None
    parts = (loader.get_source(templates, f"scripts/{name}.js")[0] for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{"".join(parts)}}})();\n'
    statuses = Counter(record.status for record in records)
    return templates.get_template("page.html").render(
        title=_shown(", ".join(run.name for run in runs)),
        subtitle=_shown(conditions(records)),
        total=_total(runs),
        counts=[(status, statuses[status]) for status in STATUSES if statuses[status]],
        answer=_shown([*missing_of(runs).lines, *_answer(runs)]),
        growth=[(section.heading, section.lines) for section in growth_sections(*joined(runs), hint="")],
        tables=_shown_tables(runs),
        failures=_failures(runs),
        hosts=[(_shown(name), table) for name, table in _hosts(runs)],
        data=Markup(script_json(_shown(page_data(runs)) | {"csv": _results_file(records)})),
        plotly=Markup(plotly),
        script=Markup(script),
        script_hashes=[Markup(script_hash(plotly)), Markup(script_hash(script))],
    )


def page_templates() -> Environment:
    """The templates of pages, which escape whatever is put into them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("reports.render")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)


def _shown(value: Any) -> Any:
    """`value` with every text in it, keys included, on one line without control characters, as in a terminal."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, Mapping):
        return {_shown(key): _shown(inner) for key, inner in value.items()}
    return [_shown(inner) for inner in value] if isinstance(value, list | tuple) else value


def _shown_tables(runs: Sequence[Run]) -> list[Section]:
    """The tables of the report: memory and throughput, with the best of each column and ratios to the first row."""
    wanted = Wanted(missing=missing_of(runs))
    return [section for section in report_sections(*joined(runs), wanted) if section.columns]


def _total(runs: Sequence[Run]) -> str:
    """The number of points, and of their repeats."""
    records, also = joined(runs)
    return point_count(sum(len(row.points) for row in make_pivot(records, also=also).rows), len(records))


def _answer(runs: Sequence[Run]) -> Sequence[str]:
    records, also = joined(runs)
    section = answer_section(records, memory_of, also)
    return section.lines if section is not None else ()


def script_json(value: Any) -> str:
    """`value` as JSON that may stand inside a script element: no `<`, `>`, `&` and no line separators."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_UNSAFE_IN_SCRIPTS)


def script_hash(script: str) -> str:
    """The hash by which a Content-Security-Policy allows a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _failures(runs: Sequence[Run]) -> Section | None:
    """One row per point and way of failing."""
    rows: list[tuple[str, str, str, str]] = []
    for run in runs:
        pivot = make_pivot(run.records)
        for row in pivot.rows:
            axes = list(zip(pivot.axes, row.values, strict=True))
            run_name: list[tuple[str, AxisValue]] = [("run", run.name)] if len(runs) > 1 else []
            for agents, point in sorted(row.points.items()):
                ways = Counter((record.status, record.reason or record.reason_code) for record in point.failed)
                name = curve_name(row.model, row.mode, [*run_name, ("agents", agents), *axes])
                for (status, reason), count in ways.items():
                    rows.append((name, status, f"{count} of {len(point.records)}", reason))
    if not rows:
        return None
    names, statuses, counts, reasons = zip(*rows, strict=True)
    return Section(
        "Not measured",
        labels=(_text_column("point", names),),
        columns=(
            _text_column("status", statuses),
            TableColumn("repeats", tuple(map(Cell, counts))),
            _text_column("reason", reasons, below=True),
        ),
    )


def _hosts(runs: Sequence[Run]) -> list[tuple[str, Section]]:
    """The facts of the host, for each time that a run was started or resumed."""
    found = []
    for run in runs:
        for number, host in enumerate(run.hosts):
            facts = list(_flat(host))
            table = Section(
                labels=(_text_column("", [name for name, _ in facts]),),
                columns=(_text_column("", [value for _, value in facts]),),
            )
            found.append((run.name + (f", resumed {number}" if number else ""), table))
    return found


def _text_column(header: str, texts: Iterable[str], *, below: bool = False) -> TableColumn:
    return TableColumn(header, tuple(Cell(one_line(text)) for text in texts), right=False, below=below)


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested facts as lines: `packages.jax`, `0.10.2`; unknown ones are left out."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{key}.")
        elif isinstance(inner, list) and all(isinstance(item, str | int | float) for item in inner):
            if inner:
                yield f"{prefix}{key}", " ".join(map(str, inner))
        elif inner is not None:
            yield f"{prefix}{key}", _fact(key, inner)


def _fact(name: str, value: object) -> str:
    """A fact with the unit that its name ends in: `memory_bytes` as `23.5 GiB`."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = next((show for ending, show in _UNITS if name.endswith(ending)), None)
        return json.dumps(value) if shown is None else shown(value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else json.dumps(value)


def _results_file(records: Iterable[Record]) -> str:
    """The text of results.csv."""
    text = io.StringIO(newline="")
    write_records(records, text)
    return text.getvalue()
