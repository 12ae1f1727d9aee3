"""What a plan adds to a summary: whether each point fits, and the parts of its memory."""

from __future__ import annotations

from collections.abc import Sequence

from reports.arrange.pivot import Pivot, Repeats, Row, row_labels
from reports.records.record import PLAN, Record
from reports.text.section import Cell, Section, TableColumn
from reports.text.units import UNKNOWN, format_bytes, format_seconds

PARTS = (
    ("parameters", "state_parameters_bytes"),
    ("optimiser", "state_optimiser_bytes"),
    ("environments", "state_environment_bytes"),
    ("trajectory", "trajectory_bytes"),
    ("activations and temporaries", "xla_learn_temp_bytes"),
)
"""The parts of the memory of learning, with their columns."""
ESTIMATE = {
    "cpu": "An estimate by XLA's compiler; a process of Python and JAX takes a few hundred MiB on top.",
    "gpu": "An estimate by XLA's compiler: no autotuning, no workspace of cuDNN, not validated on hardware.",
    "tpu": "An estimate by the TPU's compiler, not validated on hardware.",
}


def is_plan(records: Sequence[Record]) -> bool:
    """Whether these are the records of a plan: nothing of them ran."""
    return bool(records) and all(record.measure == PLAN for record in records)


def share(record: Record) -> str:
    """`19 %` of the limit, or `6.9x: too large`; empty where either is not known."""
    if record.xla_peak_bytes is None or not record.memory_limit_bytes:
        return ""
    part = record.xla_peak_bytes / record.memory_limit_bytes
    if part > 1:
        return f"{part:.3g}x: too large" if part >= 1.005 else "just too large"
    return "under 1 %" if part < 0.01 else f"{100 * part:.0f} %"


def share_details(_: Row, size: int, point: Repeats) -> tuple[str, ...]:
    """The second lines of a cell: its share of the limit, and what XLA trimmed."""
    record = point.outcome
    trimmed = record.xla_wanted_bytes is not None and record.xla_wanted_bytes > (record.xla_peak_bytes or 0)
    lines = (share(record), f"untrimmed {format_bytes(record.xla_wanted_bytes)}" if trimmed else "")
    return tuple(line for line in lines if line)


def limit_words(records: Sequence[Record]) -> str:
    """What a share is a share of: `; % of 63.3 GiB`."""
    limits = {record.memory_limit_bytes for record in records}
    return f"; % of {format_bytes(limits.pop())}" if len(limits) == 1 else "; % of each point's limit"


def parts_section(pivot: Pivot) -> Section | None:
    """The parts of learning's memory, and the time to compile, at each row's largest planned size."""
    chosen = [max((size for size, point in row.points.items() if point.measured), default=None) for row in pivot.rows]
    records = [
        None if size is None else row.points[size].measured[0] for row, size in zip(pivot.rows, chosen, strict=True)
    ]
    if not any(records):
        return None

    def cells(name: str) -> tuple[Cell, ...]:
        return tuple(Cell(UNKNOWN if record is None else format_bytes(getattr(record, name))) for record in records)

    sizes = tuple(Cell(UNKNOWN if size is None else str(size)) for size in chosen)
    compiled = tuple(Cell(UNKNOWN if record is None else format_seconds(record.compile_seconds)) for record in records)
    columns = (
        TableColumn(pivot.across, sizes),
        *(TableColumn(title, cells(name)) for title, name in PARTS),
        TableColumn("compiling", compiled),
    )
    return Section(
        "Parts of learning's memory, largest planned size",
        labels=row_labels(pivot),
        columns=columns,
        caption="The trajectory and the state are inputs of learning; activations and temporaries are what it adds.",
    )


def estimate_section(records: Sequence[Record]) -> Section:
    """What kind of figure a plan is."""
    platforms = dict.fromkeys(record.platform for record in records if record.platform)
    return Section(lines=tuple(ESTIMATE[platform] for platform in platforms if platform in ESTIMATE))
