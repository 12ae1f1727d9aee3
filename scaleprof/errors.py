"""The one exception that a user sees, and the one place where Python's exceptions become it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reports.records.files import culprit

INTERRUPTED = 130
"""The exit code after Ctrl-C, by shell convention: 128 + SIGINT."""


class UserError(Exception):
    """Something the user can fix, in one line: what is wrong, where, and what would be right.

    `exit_code` is the process's exit code: 2 usage or configuration, 3 every point failed (under `--strict`, any),
    4 nothing to compare, `INTERRUPTED`; 1 and 5 are verdicts of `check` and no errors.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def user_errors(
    option: str | Callable[[str], str] = "",
    *,
    writing: str | os.PathLike[str] | None = None,
    details: Callable[[], str] = str,
) -> Iterator[None]:
    """Within this block a `ValueError` becomes a `UserError`; with `writing`, an `OSError` does too.

    `option` names the command-line option at fault, or finds it from the message. An error with an `exit_code` of its
    own keeps it. `writing` is the file or the folder that the block writes to; the message names the file that the
    error is of, if that is known, and `details` adds to it. What the block reads says so itself, by
    `reports.records.files.file_errors`. A broken pipe passes: the reader of the output has left.
    """
    try:
        yield
    except ValueError as error:
        raise UserError(_prefixed(option, str(error)), getattr(error, "exit_code", 2)) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        if writing is None:
            raise
        what = f"cannot write to {culprit(error, writing)}: {error.strerror or error}{details()}"
        raise UserError(_prefixed(option, what)) from None


def _prefixed(option: str | Callable[[str], str], message: str) -> str:
    name = option if isinstance(option, str) else option(message)
    return f"{name}: {message}" if name else message
