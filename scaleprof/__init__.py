"""The tool: sweeps agent counts and sequence lengths, one fresh process per point, and records what each costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from scaleprof.runs.loading import Records

__all__ = ["__version__", "load"]

__version__ = "0.1.0"


def load(path: str | os.PathLike[str]) -> Records:
    """The records of a run directory or a CSV file: a list, with `to_pandas()`.

    Raises:
        ValueError: it does not exist, is damaged, or is of a newer version; one line says what and where.
    """
    from scaleprof.runs import loading

    return loading.load(path)
