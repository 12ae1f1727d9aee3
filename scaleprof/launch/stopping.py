"""How a sweep is stopped: Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any, Protocol


class StopSignals:
    """Ctrl-C and SIGTERM during a sweep: the first ends the wait for a child and asks it to end, a second kills it.

    Outside `raising()` a signal is only noted, so that what is being written is written whole.
    """

    def __init__(self) -> None:
        self.requested = False
        self.urgent = False
        """A second signal came: nobody is to be waited for."""
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
        """Within this block the first signal raises KeyboardInterrupt; one that came before it does so at once."""
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
            self._raise = False  # A second signal must not break into the killing of the child.
            raise KeyboardInterrupt


class Stop(Protocol):
    """What a child has to know of the user's wish to stop; see `scaleprof.sweep.loop.StopSignals`."""

    @property
    def urgent(self) -> bool:
        """Whether children are to be killed without grace."""
        ...

    def raising(self) -> AbstractContextManager[None]:
        """A context in which that wish raises KeyboardInterrupt."""
        ...


class NeverStop:
    """For children that nobody interrupts."""

    urgent = False

    def raising(self) -> AbstractContextManager[None]:
        """Nothing is raised."""
        return nullcontext()
