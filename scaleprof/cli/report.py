"""The commands that show results: report and export."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaleprof.cli.arguments import GroupedCommand, option
from scaleprof.cli.formats import ExportFormat, ReportFormat, choose_format
from scaleprof.cli.output import tell, write
from scaleprof.errors import UserError, user_errors

if TYPE_CHECKING:
    from reports import Record, Run
    from reports.report.missing import Missing
    from reports.text.section import Document
    from scaleprof.runs.waiting import WaitingLine

Text = str | None

WHAT, DETAILS, OUTPUT = "What to show", "Details", "Output"

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)x([0-9]+(?:\.[0-9]+)?)")
_INCHES = (1, 40)
"""The least and the largest width and height of a figure."""

_MANY = 10_000
"""Records that take long enough to say so."""

_RUNS = typer.Argument(metavar="RUN", help="Run directories or CSV files; several runs are labelled by name")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(cls=GroupedCommand, short_help="Show how cost grew, in words, tables and charts.")(report)
    app.command(cls=GroupedCommand, short_help="Write a run's results as CSV or JSON.")(export)


def report(
    runs: Annotated[list[Path], _RUNS],
    reference: Annotated[
        Text,
        option("--reference", "Baseline for ratios", panel=WHAT, metavar="MODEL[:MODE]", shown="sable, else the first"),
    ] = None,
    where: Annotated[
        list[str] | None,
        option("--where", "Only these records: model=sable, agents=16,128", panel=WHAT, metavar="COLUMN=VALUE"),
    ] = None,
    full: Annotated[bool, option("--full", "Add every curve, formula, failure and repeat", panel=DETAILS)] = False,
    columns: Annotated[
        Text, option("--columns", "Add a table of all repeats with these columns", panel=DETAILS, metavar="LIST")
    ] = None,
    sort: Annotated[
        Text, option("--sort", "Sort that table; -COLUMN is descending", panel=DETAILS, metavar="COLUMN")
    ] = None,
    plot: Annotated[
        bool, option("--plot", "Same as --format plot: adds log-log charts, as text", panel=DETAILS)
    ] = False,
    format_: ReportFormat = None,
    markdown: Annotated[
        bool, option("--markdown", "Same as --format markdown, for a pull request", panel=OUTPUT)
    ] = False,
    json: Annotated[bool, option("--json", "Same as --format json: rows, fits and failures", panel=OUTPUT)] = False,
    png: Annotated[Path | None, option("--png", "Also draw a figure: FILE.png", panel=OUTPUT, metavar="FILE")] = None,
    svg: Annotated[Path | None, option("--svg", "Also draw it as FILE.svg", panel=OUTPUT, metavar="FILE")] = None,
    pdf: Annotated[Path | None, option("--pdf", "Also draw it as FILE.pdf", panel=OUTPUT, metavar="FILE")] = None,
    size: Annotated[
        Text,
        option(
            "--size",
            "Size of the figure in inches, such as 7x4",
            panel=OUTPUT,
            metavar="WxH",
            shown="11 wide, as high as needed",
        ),
    ] = None,
    html: Annotated[
        Path | None, option("--html", "Also write one page with everything: FILE.html", panel=OUTPUT, metavar="FILE")
    ] = None,
) -> int:
    """Show how memory and throughput scale with agents and sequence length, and where each mode stopped.

    The report starts with the answers: which mode is best at the largest size, and how each grows. Tables follow that
    mark the best value of each column. --full, --columns and --sort add details.
    """
    from scaleprof.runs.waiting import waiting_line

    with waiting_line() as line:
        request = _read(runs, reference, where or [], line, full=full, columns=columns, sort=sort)
        chosen = choose_format("report", format_, {"--plot": plot, "--markdown": markdown, "--json": json})
        if len(request.records) >= _MANY:
            line.say(f"reporting on {len(request.records)} records")
        document = None if chosen == "json" else request.document()
    pictures = {"--png": png, "--svg": svg, "--pdf": pdf}
    _write_files(request, pictures, html, _inches(size, drawn=any(pictures.values())))
    if chosen == "json":
        from reports.render.json_report import json_report

        write(json_report(request.runs, request.parts, request.reference))
    elif chosen == "markdown" and document is not None:
        from reports.render.markdown import markdown as as_markdown

        write(as_markdown(document))
    elif document is not None:
        _print(request, document, plot=chosen == "plot")
    return 0


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory or CSV file")],
    csv: Annotated[
        Text, option("--csv", "CSV file to write; - is stdout", panel=OUTPUT, metavar="FILE", shown="-")
    ] = None,
    format_: ExportFormat = None,
    public: Annotated[
        Path | None,
        option("--public", "Copy the run to DIR without names, paths and variables", panel=OUTPUT, metavar="DIR"),
    ] = None,
) -> int:
    """Write the results of a run: one row per repeat of a point, one column per field; or a copy for an issue.

    --format bencher and github-action-benchmark write the figures that check compares for these services: the median
    of each point. The latter is for its tool customSmallerIsBetter: only bytes and seconds, so throughput stands in it
    as the time of an update. Points without figures are left out.
    """
    from scaleprof.cli.output import check_csv, write_csv, write_data
    from scaleprof.runs.store import csv_text, read_run

    if public is not None:
        from scaleprof.runs.public_copy import write_public

        if csv is not None or format_:
            raise UserError("--public: it copies the whole run: omit --csv and --format")
        write_public(read_run(run), public)
        tell(f"Written to {public}", stderr=True)
        return 0
    chosen = choose_format("export", format_, {"--csv": csv is not None})
    check_csv(csv)
    records = read_run(run).records
    if chosen == "json":
        from reports.render.json_report import records_json

        write_data(records_json(records))
    elif chosen in ("bencher", "github-action-benchmark"):
        from reports.render import tracker_exports

        writers = {
            "bencher": tracker_exports.as_bencher,
            "github-action-benchmark": tracker_exports.as_github_action_benchmark,
        }
        with user_errors(str(run)):
            text = writers[chosen](records)
        missing = tracker_exports.left_out(records)
        if missing:
            tell(f"{run}: {missing}", stderr=True)
        write_data(text)
    else:
        write_csv(csv or "-", csv_text(records))
    return 0


@dataclass(frozen=True, slots=True)
class _Request:
    """A requested report with all options checked, so that no error follows the first line of output."""

    runs: Sequence[Run]
    parts: Sequence[Sequence[Record]]
    """The records of each run that `--where` selects."""
    records: Sequence[Record]
    also: tuple[str, ...]
    reference: tuple[str, str]
    missing: Missing
    full: bool
    columns: tuple[str, ...]
    sort: str

    @property
    def title(self) -> str:
        return f"Run{'' if len(self.runs) == 1 else 's'} {', '.join(str(run.path) for run in self.runs)}"

    def document(self) -> Document:
        from reports.records.run import without_collections
        from reports.report.sections import Wanted, report_sections
        from reports.text.section import Document

        reference = ":".join(part for part in self.reference if part)
        wanted = Wanted(reference, self.full, self.columns, self.sort, self.missing)
        with without_collections():
            return Document(self.title, sections=tuple(report_sections(self.records, self.also, wanted)))


def _read(
    paths: Sequence[Path],
    reference: str | None,
    where: Sequence[str],
    line: WaitingLine,
    *,
    full: bool,
    columns: str | None,
    sort: str | None,
) -> _Request:
    from reports.arrange import selection
    from reports.arrange.selection import joined, reference_row
    from reports.report.missing import missing_of
    from scaleprof.runs.store import say_lacking
    from scaleprof.runs.waiting import read_patiently

    with user_errors():
        runs = [read_patiently(path, line) for path in dict.fromkeys(paths)]
    for run in runs:
        say_lacking(run.path, run.incomplete)
    with user_errors("--columns"):
        shown = selection.columns(columns) if columns is not None else ()
    with user_errors("--sort"):
        if sort is not None:
            selection.known_column(sort.removeprefix("-"))
    with user_errors("--where"):
        kept = {id(record) for record in selection.where([r for run in runs for r in run.records], where)}
    parts = [[record for record in run.records if id(record) in kept] for run in runs]
    records, also = joined(runs, parts)
    with user_errors("--reference"):
        chosen = reference_row(records, reference if reference is not None else _default_reference(records))
    missing = missing_of(runs, selected=bool(where))
    return _Request(runs, parts, records, also, chosen, missing, full, shown, sort or "")


def _default_reference(records: Sequence[Record]) -> str:
    """The reference model in its first default mode that was measured, else in any mode; without it, the first row."""
    from sable.models import MODELS, REFERENCE

    modes = {record.mode for record in records if record.model == REFERENCE}
    default = next((mode for mode in MODELS[REFERENCE].default_modes if mode in modes), "")
    return f"{REFERENCE}:{default}" if default else REFERENCE if modes else ""


def _print(request: _Request, document: Document, *, plot: bool) -> None:
    from reports.records.run import without_collections
    from reports.render.console import open_console
    from reports.render.terminal import print_document
    from reports.render.text_plot import charts

    console = open_console()
    ascii_only = not console.encoding.startswith("utf")
    drawn = charts(request.records, console.width, also=request.also, ascii_only=ascii_only) if plot else ""
    with without_collections():
        print_document(console, document)
    if drawn:
        console.print()
        console.print(drawn, markup=False, soft_wrap=True)


def _inches(size: str | None, *, drawn: bool) -> tuple[float, float] | None:
    """The value of `--size`, which needs a figure that is `drawn`."""
    if size is None:
        return None
    if not drawn:
        raise UserError("--size: there is no figure to draw: add --png, --pdf or --svg")
    found = _SIZE.fullmatch(size.strip().lower())
    least, most = _INCHES
    if found is None or not all(least <= float(side) <= most for side in found.groups()):
        raise UserError(f"--size: '{size}' is no size: write WxH with {least} to {most} inches each, as in 7x4")
    width, height = map(float, found.groups())
    return width, height


def _write_files(
    request: _Request, pictures: Mapping[str, Path | None], html: Path | None, size: tuple[float, float] | None
) -> None:
    """Write the requested figures and page, after checking all file names and folders."""
    from scaleprof.cli.targets import check_target

    given = {flag: path for flag, path in {**pictures, "--html": html}.items() if path is not None}
    for flag, path in given.items():
        ending = flag.replace("--", ".")
        if path.suffix.lower() != ending:
            raise UserError(f"{flag}: '{path}' does not end in {ending}: rename the file")
        check_target(flag, path)
    shown = [replace(run, records=tuple(part)) for run, part in zip(request.runs, request.parts, strict=True)]
    for flag, path in given.items():
        with user_errors(flag):
            if path is html:
                from reports.render.page import write_page

                write_page(shown, path)
            else:
                from reports.render.figures import write_figure

                write_figure(shown, path, size)
        tell(f"Written to {path}", stderr=True)
