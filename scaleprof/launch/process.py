"""One child process from start to end: its events, its limits, how it ended."""

from __future__ import annotations

import dataclasses
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from reports.text.units import format_bytes
from scaleprof.errors import INTERRUPTED, UserError
from scaleprof.launch.descendants import Descendants, starting
from scaleprof.launch.endings import judge
from scaleprof.launch.events import EventReader, ProtocolError
from scaleprof.launch.facts import missing_figures
from scaleprof.launch.launcher import EventHandler, Outcome
from scaleprof.launch.log_file import CappedLog
from scaleprof.launch.patience import Patience
from scaleprof.launch.protocol import GO, STOP, Task
from scaleprof.launch.stopping import NeverStop, Stop
from scaleprof.points.plan import PLAN
from scaleprof.probes import cgroup, watch
from scaleprof.probes.gpu_phase import GpuPhase
from scaleprof.probes.nvml import Nvml

WATCH_SECONDS = 0.05
"""How often the parent checks a child while it waits for the next event."""
GRACE_SECONDS = 5.0
"""How long a child may take to terminate before it is killed."""
CLOSED_SECONDS = 2.0
"""How long a child may live after it closed its event channel."""
CHUNK_BYTES = 1 << 16
LAST_CHUNKS = 64
"""How much is still read after a child died or its time is up, which is more than a pipe holds."""
TAIL_BYTES = 8192
TAIL_LINES = 5
START_LIMIT = "the limit for starting"
"""What messages call the time limit of a child that measures no point."""
DEVICE_FACTS = ("platform", "devices", "source", "start_rss_bytes")
"""What a child without a point must report for a sweep to begin."""
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
    limit_name: str = "--timeout",
    count_oom_kills: Callable[[], int | None] = cgroup.oom_kills,
    must_measure: bool = False,
) -> Outcome:
    """Start a fresh interpreter, give it the task and follow its events until it ends or is stopped.

    The child is gone however this function is left. A KeyboardInterrupt within `stop.raising()`, which surrounds the
    waiting, ends the child and is an outcome too. `limit_name` is what messages call the time limit. With
    `must_measure` a child that is done without the figures of its task has failed.
    """
    stop = stop or NeverStop()
    child = Child(
        task,
        variables,
        log,
        timeout_seconds,
        nvml,
        on_event,
        stop,
        command,
        limit_name=limit_name,
        count_oom_kills=count_oom_kills,
        must_measure=must_measure,
    )
    with child:
        child.follow()
    return child.outcome


class Child:
    """One child process, a context manager: it runs inside the block and is gone after it, with all it has started.

    Sleeps between events; every `WATCH_SECONDS` it looks whether the child lives (others may hold its event channel
    open), compares its resident memory with the task's limit, and cuts its log. It trusts nothing that the child sends.
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
        *,
        limit_name: str = "--timeout",
        count_oom_kills: Callable[[], int | None] = cgroup.oom_kills,
        must_measure: bool = False,
    ) -> None:
        self.outcome = Outcome(status="", phase="start")
        self._task = dataclasses.replace(task, parent=os.getpid())
        self._log = CappedLog(log)
        self._timeout_seconds = timeout_seconds
        self._limit_name = limit_name
        self._must_measure = must_measure
        self._patience = Patience(timeout_seconds)
        self._nvml = nvml
        self._card = nvml.card(variables)
        self._gpu = GpuPhase()
        self._on_event = on_event
        self._stop = stop
        self._events = EventReader()
        self._unsaid = b""
        self._at = time.monotonic(), time.process_time()
        self._command = command
        self._variables = variables
        self._count_oom_kills = count_oom_kills
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Child:
        """Start the process and give it its task; one that cannot start has ended."""
        self._oom_kills = self._count_oom_kills()
        stderr = self._log.open()
        try:
            with starting() as children:
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=self._variables,
                    start_new_session=True,
                )
                children.add(process.pid)
        except OSError as error:
            reason = f"{self._command[0]} cannot be started: {error.strerror or error}"
            self.outcome.fail("crashed", "start", reason)
            return self
        finally:
            os.close(stderr)
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._input, self._output = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        self._descendants = Descendants(process)
        self._timeline = watch.Timeline(process.pid)
        self.outcome.timeline = self._timeline.samples
        self._timeline.look(self.outcome.phase)  # it waits for its task, so even the shortest process is sampled once
        self._say(dataclasses.replace(self._task, deadline=self._deadline()).to_json())
        return self

    def __exit__(self, *_: object) -> None:
        """End the child: terminate it if it was interrupted or timed out, wait `GRACE_SECONDS`, then kill it."""
        if self._process is None:
            return
        self._descendants.look()
        if self._end() is None and self.outcome.status in ("interrupted", "timeout"):
            for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped process hears nothing but the second
                os.kill(self._process.pid, number)
            self._wait(GRACE_SECONDS)
        self._descendants.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._log.close()
        if self.outcome.status not in ("ok", "skipped", "") and self.outcome.reason_code != "predicted":
            self.outcome.stderr_tail = " | ".join(self._log.last_lines(TAIL_BYTES)[-TAIL_LINES:])[-500:]

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
        if self._process is None:
            return
        self._patience.start()
        try:
            with self._stop.raising():
                self._follow(until)
        except KeyboardInterrupt:
            self.outcome.fail("interrupted", "signal", "the sweep was stopped")
        finally:
            self.outcome.stopped_seconds = self._patience.stopped_seconds

    def _say(self, line: str) -> None:
        """Send a line; what the child does not read at once is sent while it is followed."""
        if self._process is not None:
            self._unsaid += line.encode() + b"\n"
            self._send()

    def _send(self) -> None:
        try:
            self._unsaid = self._unsaid[os.write(self._input, self._unsaid) :]
        except BlockingIOError:
            return  # it has not read what was sent before
        except BrokenPipeError:
            self._unsaid = b""  # already dead: how it ended says why

    def _follow(self, until: str) -> None:
        next_look = time.monotonic()
        seen, chunks_left = False, LAST_CHUNKS
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while not (self.outcome.status or seen):
                end = self._end()  # before reading: all that a dead child wrote is there to be read
                if self._unsaid:
                    self._send()
                selector.select(WATCH_SECONDS if end is None else 0.0)
                data = self._read()
                if data == b"":
                    self._closed()
                elif data is not None:
                    seen = self._hear(data, until)
                is_over = self._patience.is_over()
                chunks_left -= is_over or end is not None
                if end is not None and (data is None or chunks_left <= 0):
                    self._died(end)
                elif is_over and (data is None or chunks_left <= 0):
                    self._timed_out()
                now = time.monotonic()
                if now >= next_look:
                    next_look = now + WATCH_SECONDS
                    self._watch()

    def _read(self) -> bytes | None:
        """What the child has sent; None if that is nothing yet, empty if nothing can come any more."""
        try:
            return os.read(self._output, CHUNK_BYTES)
        except BlockingIOError:
            return None

    def _hear(self, data: bytes, until: str) -> bool:
        """Take the events that these bytes complete, up to a last word; returns whether one is named `until`."""
        seen = False
        try:
            for event in self._events.feed(data):
                seen = self._take(event) == until or seen
                if self.outcome.status:
                    break
        except ProtocolError as error:
            self.outcome.fail("crashed", "protocol", f"sent an invalid event: {error}")
        return seen

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
            self._done()
        self._on_event({"event": kind, **event})
        return kind

    def _done(self) -> None:
        missing = missing_figures(self.outcome.facts, self._task.measure) if self._must_measure else []
        if missing:
            self.outcome.fail("error", "figures", f"the child ended without figures ({', '.join(missing)})")
        else:
            self.outcome.status = "ok"

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
        """Sample the child's memory, on the host and by the driver, enforce the limit, and keep its log short."""
        resident = self._timeline.look(self.outcome.phase)
        self._look_at_card()
        self._log.look()
        limit = self._task.memory_limit_bytes
        on_host = self.outcome.facts.get("platform") == "cpu" and self._task.measure != PLAN  # its limit is a target's
        if on_host and limit and resident is not None and resident > limit:
            used = f"{format_bytes(resident)} resident, the limit is {format_bytes(limit)}"
            self.outcome.fail("oom", "limit", f"stopped at {used}")

    def _look_at_card(self) -> None:
        if self._process is not None and self._nvml.available:
            reading = self._nvml.sample(self._process.pid, self._card)
            self._gpu.add(reading, measured=self.outcome.phase == "measure")
            self.outcome.facts |= self._gpu.fields()

    def _timed_out(self) -> None:
        stopped = "; it is stopped" if self._descendants.child_is_stopped() else ""
        reason = f"not finished after {self._timeout_seconds:g} s ({self._limit_name}){stopped}"
        self.outcome.fail("timeout", "timeout", reason)

    def _closed(self) -> None:
        """Record why the child's output ended without a last word: it dies, or has closed it."""
        end = self._wait(CLOSED_SECONDS)
        if end is None:
            self.outcome.fail("crashed", "protocol", "closed its event channel while still running")
        else:
            self._died(end)

    def _died(self, code: int) -> None:
        kills = self._count_oom_kills()
        more = 0 if kills is None or self._oom_kills is None else kills - self._oom_kills
        self.outcome.fail(*judge(code, self._log.last_lines(TAIL_BYTES), more, self._task))

    def _wait(self, seconds: float) -> int | None:
        """Wait for the child to end by itself, but not after a second Ctrl-C; returns what `_end` does."""
        deadline = time.monotonic() + seconds
        while self._end() is None and time.monotonic() < deadline and not self._stop.urgent:
            time.sleep(WATCH_SECONDS / 5)
        return self._end()

    def _end(self) -> int | None:
        """The exit code of a child that has ended, minus the signal that killed it; None while it lives.

        It is not reaped, so that no other process gets its number before its group is killed.
        """
        assert self._process is not None
        found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def inspect_device(
    variables: dict[str, str],
    log: Path,
    timeout_seconds: float,
    *,
    pin: tuple[int, ...] = (),
    rates: bool = False,
    command: Sequence[str] = WORKER,
    needed: Collection[str] = DEVICE_FACTS,
    limit_name: str = START_LIMIT,
) -> dict[str, Any]:
    """Device facts and start-up memory, from a child that only imports, and with `rates` the machine's rates.

    Raises `UserError` if it cannot start, or leaves out one of the facts that are needed.
    """
    outcome = run_child(
        Task(pin=pin, measure_rates=rates),
        variables,
        log,
        timeout_seconds=timeout_seconds,
        nvml=Nvml(None),
        on_event=lambda event: None,
        command=command,
        limit_name=limit_name,
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
    missing = [name for name in needed if name not in outcome.facts]
    if missing:
        raise UserError(f"a child process started, but did not report {', '.join(missing)}")
    return outcome.facts
