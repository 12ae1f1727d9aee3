"""Python's errors become the user's line in one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reports.checks.findings import NothingToCompareError
from scaleprof.errors import UserError, user_errors


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("", "x is 3: too small"),
        ("--x", "--x: x is 3: too small"),
        (lambda message: "--" + message[0], "--x: x is 3: t"),
    ],
)
def test_a_bad_value_is_the_users(option: str | Callable[[str], str], said: str) -> None:
    with pytest.raises(UserError) as raised, user_errors(option):
        raise ValueError("x is 3: too small")
    assert str(raised.value).startswith(said)
    assert raised.value.exit_code == 2


def test_an_error_keeps_its_exit_code() -> None:
    with pytest.raises(UserError) as raised, user_errors():
        raise NothingToCompareError("no point in common")
    assert raised.value.exit_code == 4


def test_a_users_error_passes_as_it_is() -> None:
    error = UserError("--a: wrong", 3)
    with pytest.raises(UserError) as raised, user_errors("--b", writing="file"):
        raise error
    assert raised.value is error


def test_what_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "none" / "file"
    with (
        pytest.raises(UserError) as raised,
        user_errors("--out", writing=tmp_path, details=lambda: "; 3 points kept"),
    ):
        path.write_text("")
    assert str(raised.value) == f"--out: cannot write to {path}: No such file or directory; 3 points kept"


@pytest.mark.parametrize("error", [BrokenPipeError(), KeyboardInterrupt(), KeyError("a bug")])
def test_other_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)), user_errors(writing="file"):
        raise error


def test_an_error_of_reading_is_not_one_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), user_errors():
        (tmp_path / "none").read_text()
