"""The commands that show and hand on what was measured: report and export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaleprof.cli.output import write
from scaleprof.errors import UserError

if TYPE_CHECKING:
    from reports import Record, Run
    from reports.text.section import Document

Text = str | None

_RUNS = typer.Argument(metavar="RUN", help="Run directories, or their results.csv; several are told apart by name.")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(short_help="Show how cost grew, in words, tables and charts.")(report)
    app.command(short_help="Write a run's results as CSV.")(export)


def report(
    runs: Annotated[list[Path], _RUNS],
    reference: Annotated[
        Text,
        typer.Option(
            "--reference", metavar="MODEL[:MODE]", help="What factors refer to. [default: sable, else the first]"
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COLUMN=VALUE", help="Only such records: model=sable, agents=16,128."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Also every fit, failure and repeat.")] = False,
    columns: Annotated[
        Text, typer.Option("--columns", metavar="LIST", help="Also a table of every repeat, with these columns.")
    ] = None,
    sort: Annotated[
        Text, typer.Option("--sort", metavar="COLUMN", help="The order of that table; -COLUMN is descending.")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Also log-log charts, as text.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write Markdown, for a pull request.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write JSON, for programs: rows, fits and failures.")] = False,
    png: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Also draw a picture: FILE.png.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="The same picture as FILE.svg.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write one page with everything: FILE.html.")
    ] = None,
) -> int:
    """Show how memory and throughput grew with agents and with sequence length, and where each mode stopped.

    Answers come first: tables with the best of each column marked and factors against a reference, fitted exponents
    in words. --full, --columns and --sort add details.
    """
    asked = _read(runs, reference, where or [], full=full, columns=columns, sort=sort)
    if sum((plot, markdown, json)) > 1:
        raise UserError("--plot, --markdown, --json: these are three kinds of output: give one of them")
    _write_files(asked, png=png, svg=svg, html=html)
    if json:
        from reports.render.json_report import json_report

        write(json_report(asked.runs, asked.parts, asked.reference))
    elif markdown:
        from reports.render.markdown import markdown as as_markdown

        write(as_markdown(asked.document()))
    else:
        _print(asked, plot=plot)
    return 0


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, or its results.csv.")],
    csv: Annotated[str, typer.Option("--csv", metavar="FILE", help="Where to write it; - is stdout.")] = "-",
) -> int:
    """Write the results of a run as CSV: one row per repeat of a point, one column per field."""
    from scaleprof.cli.output import check_csv, write_csv
    from scaleprof.runs.store import csv_text, load_records

    check_csv(csv)
    write_csv(csv, csv_text(load_records(run)))
    return 0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A report that was asked for, every text of it understood: what is wrong was found before a line is out."""

    runs: Sequence[Run]
    parts: Sequence[Sequence[Record]]
    """The records of each run that it is about."""
    records: Sequence[Record]
    also: tuple[str, ...]
    reference: tuple[str, str]
    full: bool
    columns: tuple[str, ...]
    sort: str

    @property
    def title(self) -> str:
        return f"Run{'' if len(self.runs) == 1 else 's'} {', '.join(str(run.path) for run in self.runs)}"

    def document(self) -> Document:
        from reports.report.sections import Wanted, report_sections
        from reports.text.section import Document

        wanted = Wanted(":".join(part for part in self.reference if part), self.full, self.columns, self.sort)
        return Document(self.title, sections=tuple(report_sections(self.records, self.also, wanted)))


def _read(
    paths: Sequence[Path],
    reference: str | None,
    where: Sequence[str],
    *,
    full: bool,
    columns: str | None,
    sort: str | None,
) -> _Asked:
    from reports import load_run
    from reports.arrange import selection
    from reports.arrange.selection import joined, reference_row

    with _said():
        runs = [load_run(path) for path in dict.fromkeys(paths)]
    with _said("--columns"):
        shown = selection.columns(columns) if columns is not None else ()
    with _said("--sort"):
        if sort is not None:
            selection.known_column(sort.removeprefix("-"))
    with _said("--where"):
        kept = {id(record) for record in selection.where([r for run in runs for r in run.records], where)}
    parts = [[record for record in run.records if id(record) in kept] for run in runs]
    records, also = joined(runs, parts)
    with _said("--reference"):
        chosen = reference_row(records, reference if reference is not None else _default_reference(records))
    return _Asked(runs, parts, records, also, chosen, full, shown, sort or "")


def _default_reference(records: Sequence[Record]) -> str:
    """The reference model, in the first default mode that was measured or else in any; without it, the first row."""
    from sable.models import MODELS, REFERENCE

    modes = {record.mode for record in records if record.model == REFERENCE}
    default = next((mode for mode in MODELS[REFERENCE].default_modes if mode in modes), "")
    return f"{REFERENCE}:{default}" if default else REFERENCE if modes else ""


def _print(asked: _Asked, *, plot: bool) -> None:
    from rich.console import Console

    from reports.render.terminal import print_document
    from reports.render.text_plot import charts

    console = Console(highlight=False)
    document = asked.document()
    ascii_only = not console.encoding.startswith("utf")
    drawn = charts(asked.records, console.width, also=asked.also, ascii_only=ascii_only) if plot else ""
    print_document(console, document)
    if drawn:
        console.print()
        console.print(drawn, markup=False, soft_wrap=True)


def _write_files(asked: _Asked, *, png: Path | None, svg: Path | None, html: Path | None) -> None:
    """The pictures and the page that were asked for; what is wrong with a name or its folder is said before any."""
    from scaleprof.cli.targets import check_target

    named = {"--png": png, "--svg": svg, "--html": html}
    given = {option: path for option, path in named.items() if path is not None}
    for option, path in given.items():
        ending = option.replace("--", ".")
        if path.suffix.lower() != ending:
            raise UserError(f"{option}: '{path}' does not end in {ending}: name the file so")
        check_target(option, path)
    shown = [replace(run, records=tuple(part)) for run, part in zip(asked.runs, asked.parts, strict=True)]
    for option, path in given.items():
        with _said(option):
            if path is html:
                from reports.render.page import write_page

                write_page(shown, path)
            else:
                from reports.render.figures import write_figure

                write_figure(shown, path)
        typer.echo(f"Written to {path}", err=True)


@contextmanager
def _said(option: str = "") -> Iterator[None]:
    """What `reports` says of bad input, as the user's error."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{option}: {error}" if option else str(error)) from None
