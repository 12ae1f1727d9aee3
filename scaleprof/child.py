"""One child process from start to end: its events, its limits, how it ended."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaleprof.errors import INTERRUPTED, UserError
from scaleprof.probes import watch
from scaleprof.probes.device import Nvml
from scaleprof.protocol import OOM_SIGNS, Task, under_limit

WATCH_SECONDS = 0.05
"""How often the parent looks at a child while it waits for its next event."""
TAIL_BYTES = 8192
WORKER = (sys.executable, "-P", "-m", "scaleprof.worker")
"""The child. `-P` keeps the folder that the user is in off its import path: a `reports.py` there is not ours."""

EventHandler = Callable[[dict[str, Any]], None]


@dataclass
class Outcome:
    """How a child ended and what it told."""

    status: str
    reason_code: str = ""
    reason: str = ""
    phase: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    nvml_process_bytes: int | None = None

    def fail(self, status: str, reason_code: str, reason: str) -> None:
        """Note a failure in the phase that is running, unless the end is already known."""
        if not self.status:
            self.status = status
            self.reason_code = reason_code
            self.reason = f"{reason} [{self.phase}]"


def child_environment(device: str | None) -> dict[str, str]:
    """The environment of every child: the parent's, with the chosen device and nothing that would falsify a figure.

    The persistent compilation cache is off, because compile time is measured. On a GPU the allocator does not take the
    whole card at the start, so that what the driver shows means something.
    """
    environment = dict(os.environ)
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if device is not None:
        kind, _, index = device.partition(":")
        environment["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda"}[kind]
        if index:
            environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
            environment["CUDA_VISIBLE_DEVICES"] = index
    return environment


def run_child(
    task: Task,
    environment: dict[str, str],
    log: Path,
    *,
    timeout_seconds: float,
    nvml: Nvml,
    on_event: EventHandler,
    interruptible: Callable[[], AbstractContextManager[None]] = nullcontext,
    command: Sequence[str] = WORKER,
) -> Outcome:
    """Start a fresh interpreter, hand it the task and follow its events until it ends or must be ended.

    Sleeps between events; every `WATCH_SECONDS` it compares the child's resident memory with the task's limit. The
    child is killed on every way out of this function. A KeyboardInterrupt within `interruptible`, which is entered
    while there is nothing to do but wait, ends the child and is an outcome too.
    """
    outcome = Outcome(status="", phase="start")
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            start_new_session=True,
        )
        try:
            with interruptible():
                _Follower(process, task, log, timeout_seconds, nvml, on_event, outcome).follow()
        except KeyboardInterrupt:
            outcome.fail("interrupted", "signal", "the sweep was stopped")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()
    return outcome


class _Follower:
    def __init__(
        self,
        process: subprocess.Popen[bytes],
        task: Task,
        log: Path,
        timeout_seconds: float,
        nvml: Nvml,
        on_event: EventHandler,
        outcome: Outcome,
    ) -> None:
        self.process = process
        self.task = task
        self.log = log
        self.timeout_seconds = timeout_seconds
        self.deadline = time.monotonic() + timeout_seconds
        self.next_look = time.monotonic() + WATCH_SECONDS
        self.nvml = nvml
        self.on_event = on_event
        self.outcome = outcome

    def follow(self) -> None:
        """Read events to the end of the stream; ends the child at a limit."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            with self.process.stdin as stdin:
                stdin.write(self.task.to_json().encode() + b"\n")
        except BrokenPipeError:
            self._ended()
            return
        descriptor = self.process.stdout.fileno()
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not self.outcome.status:
                if selector.select(WATCH_SECONDS):
                    data = os.read(descriptor, 1 << 16)
                    if not data:
                        self._ended()
                        return
                    *lines, pending = (pending + data).split(b"\n")
                    for line in lines:
                        if line.startswith(b'{"event"'):  # before the worker runs, anybody's print may come this way
                            self._take(json.loads(line))
                now = time.monotonic()
                if now >= self.next_look:
                    self.next_look = now + WATCH_SECONDS
                    self._watch()
                if now > self.deadline:
                    self._timed_out()

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.pop("event")
        if kind == "phase":
            self.outcome.phase = event["name"]
        elif kind == "facts":
            self.outcome.facts |= event
        elif kind == "sample":
            self.outcome.samples.append(event)
        elif kind == "oom":
            self.outcome.fail("oom", event["reason_code"], event["reason"])
        elif kind == "error":
            self.outcome.fail("error", "exception", event["reason"])
        elif kind == "done":
            self.outcome.status = "ok"
        self.on_event({"event": kind, **event})

    def _watch(self) -> None:
        """Compare the child's memory with its limit, on the host and as the driver sees it."""
        if self.nvml.available:
            seen = self.nvml.process_bytes(self.process.pid)
            if seen is not None:
                self.outcome.nvml_process_bytes = max(seen, self.outcome.nvml_process_bytes or 0)
        limit = self.task.memory_limit_bytes
        on_host = self.outcome.facts.get("platform") == "cpu"
        resident = watch.rss_bytes(self.process.pid) if on_host else None
        if limit and resident is not None and resident > limit:
            used = f"{resident / 2**30:.1f} GiB resident, the limit is {limit / 2**30:.1f} GiB"
            self.outcome.fail("oom", "limit", f"ended while it had {used}")

    def _timed_out(self) -> None:
        self.outcome.fail("timeout", "timeout", f"not finished after {self.timeout_seconds:g} s (--timeout)")

    def _ended(self) -> None:
        """The stream ended without a last word: the child died."""
        try:
            code = self.process.wait(max(self.deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self._timed_out()
            return
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            tail = stream.read().decode(errors="replace")
        said = next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "nothing on stderr")[:300]
        if any(sign in tail for sign in (*OOM_SIGNS, "Unable to allocate", "MemoryError")):
            self.outcome.fail("oom", "limit", f"ran out of memory: {said}{under_limit(self.task)}")
        elif code < 0:
            name = signal.Signals(-code).name
            hint = " (by the kernel's out-of-memory killer, or by hand)" if -code == signal.SIGKILL else ""
            self.outcome.fail("crashed", "signal", f"killed by {name}{hint}; stderr ends: {said}")
        else:
            self.outcome.fail("crashed", "exit", f"ended with exit code {code}; stderr ends: {said}")


def look_around(environment: dict[str, str], log: Path, timeout_seconds: float) -> dict[str, Any]:
    """Device facts and start-up memory, from a child that only imports; raises `UserError` if it cannot start."""
    outcome = run_child(
        Task(),
        environment,
        log,
        timeout_seconds=timeout_seconds,
        nvml=Nvml(None),
        on_event=lambda event: None,
    )
    if outcome.status == "interrupted":
        raise UserError("interrupted before the first point", INTERRUPTED)
    if outcome.status != "ok":
        if environment.get("JAX_PLATFORMS") == "cuda":
            raise UserError(
                f"--device: jax finds no usable GPU ({outcome.reason}): install scaleprof's extra 'cuda' and check the "
                "driver; 'scaleprof doctor' shows what there is"
            )
        raise UserError(f"a child process could not start: {outcome.reason}")
    return outcome.facts
