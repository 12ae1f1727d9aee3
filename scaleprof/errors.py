"""The one exception that a user may see."""

from __future__ import annotations

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


class UserError(Exception):
    """Something the user can put right: one line that says what was wrong, where, and what would be right.

    `exit_code` is what the process ends with: 2 usage or configuration, 3 some points failed under `--strict`,
    4 nothing comparable, `INTERRUPTED`.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
