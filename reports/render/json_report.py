"""A report for programs: one JSON object with stable keys (docs/reports.md lists them)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.arrange.pivot import make_pivot
from reports.arrange.selection import joined
from reports.growth.laws import ALONG, Law, laws
from reports.growth.results import Fit, Slopes
from reports.records.mapping import record_to_mapping
from reports.records.record import POINT_FIELDS, SCHEMA_VERSION, Record
from reports.records.run import Run

FORMAT = 1
"""Incremented when a key changes its meaning or is removed, not when keys are added."""


def json_report(runs: Sequence[Run], records: Sequence[Sequence[Record]], reference: tuple[str, str]) -> str:
    """The text of the object: `rows`, `fits` and `failures`, each with its run.

    Args:
        runs: the runs.
        records: the records of each run to report.
        reference: model and mode that are the baseline for ratios.
    """
    everything, also = joined(runs, records)
    names = [record.run_id for record in everything] if also else [runs[0].name] * len(everything)
    content = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "reference": {"model": reference[0], "mode": reference[1]},
        "runs": [{"name": run.name, "path": str(run.path), "incomplete": run.incomplete} for run in runs],
        "rows": [
            {"run": name, **record_to_mapping(record)}
            for name, record in zip(names, (record for part in records for record in part), strict=True)
        ],
        "fits": [
            {"run": law.record.run_id if also else runs[0].name, **_law(law)}
            for along in ALONG
            for law in laws(everything, along, also=also)
        ],
        "failures": _failures(everything, also, runs[0].name),
    }
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def records_json(records: Sequence[Record]) -> str:
    """The records as a list of objects with a key per column; unknown values are null."""
    return json.dumps(_finite([record_to_mapping(record) for record in records]), indent=2, allow_nan=False) + "\n"


def _law(law: Law) -> dict[str, Any]:
    point = {name: getattr(law.record, name) for name in POINT_FIELDS if name != law.along}
    common = {
        **point,
        "device": law.record.device,
        "quantity": law.quantity,
        "field": law.field or None,
        "lower_bound": law.lower_bound,
        "along": law.along,
        "values": [{"size": size, "values": list(values)} for size, values in law.values.items()],
        "unmeasured": [{"size": size, "status": status} for size, status in law.unmeasured.items()],
    }
    plan = law.plan
    common["plan"] = None if isinstance(plan, str) else {"constant_bytes": plan.constant, "apart": plan.apart}
    fit = law.fit
    if isinstance(fit, Fit):
        per_size = law.per_size
        return common | {
            "kind": "fit",
            "offset": fit.offset,
            "linear_scale": fit.linear_scale,
            "scale": fit.scale,
            "exponent": fit.exponent,
            "exponent_low": fit.low,
            "exponent_high": fit.high,
            "family": fit.family,
            "form": fit.family if fit.family in ("linear", "quadratic") else None,
            "relative_error": fit.error,
            "left_out_error": fit.left_out_error,
            "sizes": list(fit.sizes),
            "per_size_and_environment": None if per_size is None else per_size[0],
            "reaches_80_gb_at": law.reaches,
            "memory_limit_bytes": None if law.limit is None else law.limit[0],
            "reaches_limit_at": law.reaches_limit,
        }
    if isinstance(fit, Slopes):
        return common | {"kind": "slopes", "sizes": list(fit.sizes), "slopes": list(fit.slopes), "reason": fit.reason}
    return common | {"kind": "refused", "reason": fit.reason}


def _failures(records: Sequence[Record], also: Sequence[str], name: str) -> list[dict[str, Any]]:
    """Every repeat that gave no result."""
    pivot = make_pivot(records, also=also)
    return [
        {
            "run": record.run_id if also else name,
            **{field: getattr(record, field) for field in (*POINT_FIELDS, "repeat")},
            "status": record.status,
            "reason_code": record.reason_code,
            "reason": record.reason,
            "phase": record.phase,
            "repeats": len(point.records),
        }
        for row in pivot.rows
        for point in row.points.values()
        for record in point.failed
    ]


def _finite(value: Any) -> Any:
    """`value` with null for numbers that JSON cannot represent, such as a NaN loss."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
