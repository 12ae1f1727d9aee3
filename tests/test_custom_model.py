"""Somebody's own model by its module and function, through the real command line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import children
import pytest

from reports.records.csv_file import read_records
from sable.config import ModelConfig
from sable.models import CONTRACT, build_policy, find, is_custom
from sable.types import Policy, Space

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
SMALL = [
    "--agents",
    "3",
    "--envs",
    "2",
    "--seq-len",
    "4",
    "--min-updates",
    "1",
    "--min-seconds",
    "0",
    "--warmup-updates",
    "0",
    "--out",
]


def sweep(model: str, out: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*children.COMMAND, "sweep", "--model", model, *SMALL, str(out)]
    environment = children.variables(EXAMPLES.parents[1])
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_example_is_measured(tmp_path: Path) -> None:
    done = sweep("custom_model:linear", tmp_path / "run", EXAMPLES)
    assert done.returncode == 0, done.stderr
    (record,) = read_records(tmp_path / "run" / "results.csv")
    assert (record.model, record.mode, record.status) == ("custom_model:linear", "", "ok")
    assert record.parameters == 15 * 5 + 15
    assert record.update_seconds


def test_a_factory_that_is_not_there_or_builds_no_policy_is_a_row_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "other: object\n\ndef built(config, space):\n    return object()\n", encoding="utf-8"
    )
    done = sweep("mine:built,mine:other", tmp_path / "run", tmp_path)
    assert "Traceback" not in done.stderr
    built, other = read_records(tmp_path / "run" / "results.csv")
    assert built.status == other.status == "error"
    assert "it returned object, which is not a policy: it has no init, init_carry" in built.reason
    assert "module 'mine' has no function 'other'" in other.reason


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("sabel:chunkwise", "there is no model and no module 'sabel': did you mean 'sable'?"),
        ("mine:biult", "module 'mine' has no function 'biult': did you mean 'built'?"),
        ("empty:built", "module 'empty' has no function 'built'"),
    ],
)
def test_what_is_surely_not_there_is_an_error_of_usage(tmp_path: Path, model: str, said: str) -> None:
    (tmp_path / "mine.py").write_text("raise AssertionError\n\ndef built(config, space): ...\n", encoding="utf-8")
    (tmp_path / "empty.py").touch()
    done = sweep(model, tmp_path / "run", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"scaleprof: --model: {said}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_names() -> None:
    assert is_custom("mypackage.module:factory")
    assert not is_custom("sable:factored")
    assert not is_custom("sable")
    assert find("mypackage.module:factory").modes == ()
    with pytest.raises(ValueError, match="there is no module 'mypackage'"):
        build_policy(ModelConfig(model="mypackage.module:factory", mode=""), Space(2, 3, 4))


def test_the_contract_is_the_protocol() -> None:
    assert set(CONTRACT) == {name for name in vars(Policy) if not name.startswith("_")}
