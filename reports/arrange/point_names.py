"""The lasting name of a point, the same in every run: for tools that follow its figures over commits."""

from __future__ import annotations

import dataclasses

from reports.records.record import POINT_FIELDS, Record
from reports.text.plain import one_line

_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Record)}
_UNNAMED = ("scenario", "model", "mode", "side")
"""Parts of the name that stand without their own name in front, and the side of a live pair."""


def lasting_name(record: Record) -> str:
    """`neom sable:chunkwise agents=16 seq_len=10 envs=2`: everything that identifies the point of `record`.

    What has its default is left out, so that the name stays the same when points get another option.
    """
    variant = f"{record.model}:{record.mode}" if record.mode else record.model
    others = [name for name in POINT_FIELDS if name not in _UNNAMED and getattr(record, name) != _DEFAULTS[name]]
    parts = [record.scenario, variant, *(f"{name}={getattr(record, name)}" for name in others)]
    return one_line(" ".join(filter(None, parts)))
