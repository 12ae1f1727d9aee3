"""A time limit that only runs while this process does."""

from __future__ import annotations

import time
from collections.abc import Callable

STALL_SECONDS = 1.0
"""The most that counts of the time between two looks, which are far shorter unless this process was stopped."""


class Patience:
    """How much of a time limit is left.

    The time in which this process was stopped (Ctrl-Z) does not count: a child that finishes meanwhile cannot be heard.
    Nor does that in which the machine sleeps, which the clock leaves out.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.left_seconds = seconds
        self.stopped_seconds = 0.0
        """The time so far in which this process was stopped."""
        self._clock = clock
        self._looked = clock()

    def start(self) -> None:
        """Begin to count, after a pause that does not."""
        self._looked = self._clock()

    def is_over(self) -> bool:
        """Count the time since the last look; returns whether none is left."""
        now = self._clock()
        passed = now - self._looked
        self.left_seconds -= min(passed, STALL_SECONDS)
        self.stopped_seconds += max(passed - STALL_SECONDS, 0.0)
        self._looked = now
        return self.left_seconds < 0
