"""`scaleprof.load` and the example of docs/reports.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest

import scaleprof
from reports import FIELD_NAMES, Record, write_records

DOCUMENT = Path(__file__).parents[1] / "docs" / "reports.md"
SIZE: dict[str, Any] = {"seq_len": 8, "envs": 4}
RECORDS = [
    Record(
        **SIZE, model="sable", mode="chunkwise", agents=agents, status="ok", update_seconds=agents / 8, repeat=repeat
    )
    for agents in (16, 128)
    for repeat in (0, 1)
] + [Record(**SIZE, model="mat", mode="dense", agents=128, status="oom", reason="no, not 'enough'\nmemory")]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_records(RECORDS, stream)
    return path


def test_records_are_loaded(run: Path) -> None:
    records = scaleprof.load(run)
    assert list(records) == RECORDS
    assert scaleprof.load(str(run)) == records


def test_a_data_frame_of_them(run: Path) -> None:
    frame = scaleprof.load(run).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(FIELD_NAMES)
    assert frame.groupby("agents").update_seconds.median().to_dict() == {16: 2.0, 128: 16.0}
    assert frame.update_seconds.isna().tolist() == [False] * 4 + [True]
    assert frame.reason.iloc[-1] == RECORDS[-1].reason


def test_without_pandas_it_says_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = scaleprof.load(run)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"to_pandas\(\) needs pandas, which is not installed: pip install pandas"):
        records.to_pandas()


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere does not exist: name a run directory or its results\.csv"):
        scaleprof.load(tmp_path / "nowhere")


def test_importing_loads_nothing_of_it() -> None:
    code = (
        "import sys, scaleprof; print([n for n in ('reports', 'numpy', 'pandas', 'typer', 'jax') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_documented_example_runs(run: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert '"runs/mine"' in code
    code = code.replace('"runs/mine"', repr(str(run)))
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "128 16.0"
