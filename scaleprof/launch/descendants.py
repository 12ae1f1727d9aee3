"""Ends whatever a child has started, also what has left its session or outlived it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from scaleprof.probes import host

KILL_SECONDS = 5.0
"""How long to wait for killed processes to be gone."""
_lock = threading.Lock()
_children: set[int] = set()
"""The children that run now."""


class Descendants:
    """The processes that descend from one child, which leads a session of its own.

    This process adopts those whose parents have died (Linux), so that they can still be found. While another child
    runs, adopted processes are left alone: they may be that one's.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._began = psutil.Process(process.pid).create_time()
        self._seen: set[psutil.Process] = set()

    def child_is_stopped(self) -> bool:
        """Whether the child waits for SIGCONT."""
        with suppress(psutil.Error):
            return bool(psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED)
        return False

    def look(self) -> None:
        """Note the living descendants, while the child can still be asked."""
        with suppress(psutil.Error):
            self._seen |= set(psutil.Process(self._process.pid).children(recursive=True))

    def kill(self) -> None:
        """Kill the child and its descendants, and wait until the latter are gone. The child is not reaped before."""
        self.look()
        with _lock:
            _children.discard(self._process.pid)
            deadline = time.monotonic() + KILL_SECONDS
            while time.monotonic() < deadline:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                found = {process for process in self._seen if process.is_running()} | set(self._orphans())
                for process in found:
                    with suppress(psutil.Error):
                        process.kill()
                psutil.wait_procs(found, timeout=0.5)
                self._seen.clear()
                if not found:
                    break

    def _orphans(self) -> Iterator[psutil.Process]:
        """Adopted processes that are not older than the child, and what they have started."""
        if _children:
            return
        own = os.getsid(0)
        for process in psutil.Process().children():
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                ours = process.pid == self._process.pid or os.getsid(process.pid) == own
                if not ours and process.create_time() >= self._began:
                    yield process
                    yield from process.children(recursive=True)


@contextmanager
def starting() -> Iterator[set[int]]:
    """Surrounds the start of a child, whose number is to be added to the set: it is no orphan."""
    host.adopt_orphans()
    with _lock:
        yield _children
