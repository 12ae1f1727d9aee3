"""One child process from start to end: its events, its limits, how it ended."""

from __future__ import annotations

import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from reports.records.redaction import redacted
from reports.text.units import format_bytes
from scaleprof.errors import INTERRUPTED, UserError
from scaleprof.launch.launcher import EventHandler, Outcome
from scaleprof.launch.protocol import GO, OOM_SIGNS, STOP, Task, under_limit
from scaleprof.launch.stopping import NeverStop, Stop
from scaleprof.probes import watch
from scaleprof.probes.gpu_phase import GpuPhase
from scaleprof.probes.nvml import Nvml

WATCH_SECONDS = 0.05
"""How often the parent checks a child while it waits for the next event."""
GRACE_SECONDS = 5.0
"""How long a child may take to terminate before it is killed."""
TAIL_BYTES = 8192
TAIL_LINES = 5
WORKER = (sys.executable, "-P", "-m", "scaleprof.worker")
"""The child's command. `-P` keeps the current folder off its import path: a `reports.py` there is not ours."""


def run_child(
    task: Task,
    variables: dict[str, str],
    log: Path,
    *,
    timeout_seconds: float,
    nvml: Nvml,
    on_event: EventHandler,
    stop: Stop | None = None,
    command: Sequence[str] = WORKER,
) -> Outcome:
    """Start a fresh interpreter, give it the task and follow its events until it ends or is stopped.

    The child is gone however this function is left. A KeyboardInterrupt within `stop.raising()`, which surrounds the
    waiting, ends the child and is an outcome too.
    """
    stop = stop or NeverStop()
    child = Child(task, variables, log, timeout_seconds, nvml, on_event, stop, command)
    try:
        with child:
            child.follow()
    except OSError as error:
        child.outcome.fail("crashed", "start", f"{command[0]} cannot be started: {error.strerror or error}")
    return child.outcome


class Child:
    """One child process, a context manager: it runs inside the block and is gone after it.

    Sleeps between events; every `WATCH_SECONDS` it compares the child's resident memory with the task's limit.
    """

    def __init__(
        self,
        task: Task,
        variables: dict[str, str],
        log: Path,
        timeout_seconds: float,
        nvml: Nvml,
        on_event: EventHandler,
        stop: Stop,
        command: Sequence[str] = WORKER,
    ) -> None:
        self.outcome = Outcome(status="", phase="start")
        self._task = dataclasses.replace(task, parent=os.getpid())
        self._log = log
        self._timeout_seconds = timeout_seconds
        self._left_seconds = timeout_seconds
        self._nvml = nvml
        self._card = nvml.card(variables)
        self._gpu = GpuPhase()
        self._on_event = on_event
        self._stop = stop
        self._pending = b""
        self._at = time.monotonic(), time.process_time()
        self._command = command
        self._variables = variables

    def __enter__(self) -> Child:
        """Start the process and give it its task; raises `OSError` if it cannot start."""
        with self._log.open("wb") as stderr:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self._variables,
                start_new_session=True,
            )
        self._timeline = watch.Timeline(self._process.pid)
        self.outcome.timeline = self._timeline.samples
        self._timeline.look(self.outcome.phase)  # it waits for its task, so even the shortest process is sampled once
        self._say(dataclasses.replace(self._task, deadline=self._deadline()).to_json())
        return self

    def __exit__(self, *_: object) -> None:
        """End the child: terminate it if it was interrupted or timed out, wait `GRACE_SECONDS`, then kill it."""
        if self._process.poll() is None and self.outcome.status in ("interrupted", "timeout"):
            self._process.terminate()
            deadline = time.monotonic() + GRACE_SECONDS
            while self._process.poll() is None and time.monotonic() < deadline and not self._stop.urgent:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(WATCH_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()
        if self.outcome.status not in ("ok", "skipped", "") and self.outcome.reason_code != "predicted":
            self.outcome.stderr_tail = " | ".join(self._last_lines()[-TAIL_LINES:])[-500:]

    def _deadline(self) -> float:
        """When a child that measures must be done; one that takes turns is not told, because waiting is free."""
        measures = self._task.point is not None and not self._task.burst
        return time.monotonic() + self._timeout_seconds if measures else 0.0

    def go(self) -> None:
        """Let a waiting child of a live pair do a burst of updates."""
        self._say(GO)

    def finish(self) -> None:
        """Tell a waiting child of a live pair that there are no more bursts."""
        self._say(STOP)

    def follow(self, until: str = "") -> None:
        """Read events until the one named `until`, or to the end; stops the child at a limit.

        Only the time in here counts against the time limit: a child that waits for its turn does not use it up.
        """
        started = time.monotonic()
        deadline = started + self._left_seconds
        try:
            with self._stop.raising():
                self._follow(until, deadline)
        except KeyboardInterrupt:
            self.outcome.fail("interrupted", "signal", "the sweep was stopped")
        self._left_seconds -= time.monotonic() - started

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # already dead: the end of its output says how
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def _follow(self, until: str, deadline: float) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        next_look = time.monotonic()
        seen = False
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not (self.outcome.status or seen):
                if selector.select(WATCH_SECONDS):
                    data = os.read(descriptor, 1 << 16)
                    if not data:
                        self._ended(deadline)
                        return
                    *lines, self._pending = (self._pending + data).split(b"\n")
                    for line in lines:
                        if line.startswith(b'{"event"'):  # before the worker starts, other output may arrive here
                            seen = self._take(json.loads(line)) == until or seen
                now = time.monotonic()
                if now >= next_look:
                    next_look = now + WATCH_SECONDS
                    self._watch()
                if now > deadline:
                    self._timed_out()

    def _take(self, event: dict[str, Any]) -> str:
        kind: str = event.pop("event")
        if kind == "phase":
            self._phase_begins(event["name"])
        elif kind == "facts":
            self.outcome.facts |= event
        elif kind == "samples":
            self.outcome.samples += event["samples"]
        elif kind == "oom":
            self.outcome.fail("oom", event["reason_code"], event["reason"])
        elif kind == "error":
            self.outcome.fail("error", "exception", event["reason"])
        elif kind == "done":
            self.outcome.status = "ok"
        self._on_event({"event": kind, **event})
        return kind

    def _phase_begins(self, name: str) -> None:
        """Note the phase, and at the end of the measured one this process's share of a core."""
        now = time.monotonic(), time.process_time()
        if self.outcome.phase == "measure":
            self._look_at_card()  # also at both ends of the measured phase, so that its energy is complete
            self.outcome.facts["parent_cpu_share"] = (now[1] - self._at[1]) / max(now[0] - self._at[0], 1e-9)
        self.outcome.phase, self._at = name, now
        if name == "measure":
            self._look_at_card()

    def _watch(self) -> None:
        """Sample the child's memory, on the host and by the driver, and enforce the limit."""
        resident = self._timeline.look(self.outcome.phase)
        self._look_at_card()
        limit = self._task.memory_limit_bytes
        on_host = self.outcome.facts.get("platform") == "cpu"
        if on_host and limit and resident is not None and resident > limit:
            used = f"{format_bytes(resident)} resident, the limit is {format_bytes(limit)}"
            self.outcome.fail("oom", "limit", f"stopped at {used}")

    def _look_at_card(self) -> None:
        if self._nvml.available:
            reading = self._nvml.sample(self._process.pid, self._card)
            self._gpu.add(reading, measured=self.outcome.phase == "measure")
            self.outcome.facts |= self._gpu.fields()

    def _timed_out(self) -> None:
        self.outcome.fail("timeout", "timeout", f"not finished after {self._timeout_seconds:g} s (--timeout)")

    def _ended(self, deadline: float) -> None:
        """Record why the child's output ended without a final event: it died."""
        try:
            code = self._process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self._timed_out()
            return
        lines = self._last_lines()
        said = lines[-1][:300] if lines else "nothing on stderr"
        if any(sign in line for sign in (*OOM_SIGNS, "Unable to allocate", "MemoryError") for line in lines):
            self.outcome.fail("oom", "limit", f"ran out of memory: {said}{under_limit(self._task)}")
        elif code < 0:
            name = signal.Signals(-code).name
            hint = " (by the kernel's out-of-memory killer, or by hand)" if -code == signal.SIGKILL else ""
            self.outcome.fail("crashed", "signal", f"killed by {name}{hint}; stderr ends: {said}")
        else:
            self.outcome.fail("crashed", "exit", f"ended with exit code {code}; stderr ends: {said}")

    def _last_lines(self) -> list[str]:
        """The last lines that the child wrote to stderr, without empty ones and without secrets."""
        with self._log.open("rb") as stream:
            stream.seek(max(0, self._log.stat().st_size - TAIL_BYTES))
            tail = stream.read().decode(errors="replace")
        return [redacted(line.strip()) for line in tail.splitlines() if line.strip()]


def inspect_device(
    variables: dict[str, str],
    log: Path,
    timeout_seconds: float,
    *,
    pin: tuple[int, ...] = (),
    rates: bool = False,
    command: Sequence[str] = WORKER,
) -> dict[str, Any]:
    """Device facts and start-up memory, from a child that only imports, and with `rates` the machine's rates.

    Raises `UserError` if it cannot start.
    """
    outcome = run_child(
        Task(pin=pin, measure_rates=rates),
        variables,
        log,
        timeout_seconds=timeout_seconds,
        nvml=Nvml(None),
        on_event=lambda event: None,
        command=command,
    )
    if outcome.status == "interrupted":
        raise UserError("interrupted before the first point", INTERRUPTED)
    if outcome.status != "ok":
        if variables.get("JAX_PLATFORMS") == "cuda":
            raise UserError(
                f"--device: jax finds no usable GPU ({outcome.reason}): install scaleprof's extra 'cuda' and check the "
                "driver; see scaleprof doctor"
            )
        raise UserError(f"a child process could not start: {outcome.reason}")
    return outcome.facts
