"""Results for use in Python: the records of a run as a list or a data frame."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reports import FIELD_NAMES, Record, load_run, record_to_mapping

if TYPE_CHECKING:
    import pandas


class Records(list[Record]):
    """The records of a run, one per repeat of a point, in the order in which they were measured."""

    def to_pandas(self) -> pandas.DataFrame:
        """One row per record, one column per field. Unknown values are missing (NaN).

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas, which is not installed: pip install pandas") from error
        return pandas.DataFrame([record_to_mapping(record) for record in self], columns=list(FIELD_NAMES))


def load(path: str | os.PathLike[str]) -> Records:
    """The records of a run directory or a CSV file.

    Raises:
        ValueError: it does not exist, is damaged, or is of a newer version; one line says what and where.
    """
    return Records(load_run(path).records)
