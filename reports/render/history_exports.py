"""A history for programs: one JSON object with every series, its figures and its changes."""

from __future__ import annotations

import json
import math
from typing import Any

from reports.history.history_documents import headline_of
from reports.history.series import Series
from reports.history.steps import Change, History
from reports.records.record import POINT_FIELDS

JSON_SCHEMA = 1


def history_json(history: History) -> str:
    """The text of the object; unknown values are null."""
    names = [one.name for one in history.moments]
    content = {
        "schema": JSON_SCHEMA,
        "headline": headline_of(history),
        "by_time": history.by_time,
        "left_out": list(history.left_out),
        "runs": [
            {
                "name": one.name,
                "made": None if one.made is None else one.made.isoformat(),
                "commits": list(one.commits),
                "points": sum(bool(point.ok) for point in one.points.values()),
            }
            for one in history.moments
        ],
        "series": [_series(history, one, names) for one in history.series],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _series(history: History, series: Series, names: list[str]) -> dict[str, Any]:
    return {
        "point": {name: getattr(series.point, name) for name in POINT_FIELDS if name != "side"},
        "metric": series.metric.name,
        "source": series.title,
        "threshold": history.policy.threshold(series.metric, series.point),
        "figures": [
            {"run": names[place], "median": _finite(series.figure(place)), "values": list(series.values(place))}
            for place in series.repeats
        ],
        "not_comparable": [{"run": names[place], "reason": why} for place, why in series.breaks.items()],
        "changes": [_change(one, names) for one in history.changes if one.series is series],
    }


def _change(change: Change, names: list[str]) -> dict[str, Any]:
    finding = change.finding
    return {
        "kind": change.kind,
        "verdict": finding.verdict,
        "reason": finding.reason,
        "since": names[change.start],
        "before": [names[place] for place in change.before],
        "after": [names[place] for place in change.after],
        "ratio": _finite(finding.ratio),
        "interval": None if finding.interval is None else [_finite(end) for end in finding.interval],
        "p_value": finding.p_value,
        "p_adjusted": finding.p_adjusted,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
