"""Stopping a sweep: Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any, Protocol


class StopSignals:
    """Ctrl-C and SIGTERM during a sweep: the first asks the child to end, a second kills it.

    Outside `raising()` a signal is only noted, so that files are written completely.
    """

    def __init__(self) -> None:
        self.requested = False
        self.urgent = False
        """Whether a second signal came: do not wait for children."""
        self._raise = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Within this block the first signal raises KeyboardInterrupt; an earlier one raises it at once."""
        self._raise = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._raise = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.urgent = self.requested
        self.requested = True
        if self._raise:
            self._raise = False  # A second signal must not interrupt the killing of the child.
            raise KeyboardInterrupt


class Stop(Protocol):
    """Whether the user wants to stop; `StopSignals` implements it."""

    @property
    def urgent(self) -> bool:
        """Whether to kill children at once."""
        ...

    def raising(self) -> AbstractContextManager[None]:
        """A context in which a signal raises KeyboardInterrupt."""
        ...


class NeverStop:
    """For children that are never interrupted."""

    urgent = False

    def raising(self) -> AbstractContextManager[None]:
        """Raise nothing."""
        return nullcontext()
