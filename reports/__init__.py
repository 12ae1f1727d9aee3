"""Results: their schema, storage, analysis and rendering.

This package never runs a model and imports neither jax nor the other packages of this project. Importing it is cheap:
modules that need a drawing library, such as `reports.render.terminal`, are imported where they are used.
"""

from reports.records.csv_file import read_records, write_records
from reports.records.mapping import record_from_mapping, record_to_mapping
from reports.records.record import FIELD_NAMES, POINT_FIELDS, SCHEMA_VERSION, STATUSES, Record, point_key
from reports.records.run import Run, load_run
from reports.text.units import format_bytes, format_rate, format_seconds

__all__ = [
    "FIELD_NAMES",
    "POINT_FIELDS",
    "SCHEMA_VERSION",
    "STATUSES",
    "Record",
    "Run",
    "format_bytes",
    "format_rate",
    "format_seconds",
    "load_run",
    "point_key",
    "read_records",
    "record_from_mapping",
    "record_to_mapping",
    "write_records",
]
