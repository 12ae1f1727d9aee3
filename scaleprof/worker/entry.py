"""The child process: it measures one point and reports to the parent event by event.

Run as `python -m scaleprof.worker` with a task (`scaleprof.launch.protocol.Task`) on stdin. Events go to the original
stdout; everything that libraries print goes to stderr. Events are

    phase   {name}                  a phase begins
    facts   {field: value, …}       fields of the record that have become known
    samples {samples: […]}          finished updates, each {update, phase, …}
    ready   {}                      a burst is over; the next one waits for a line on stdin
    oom     {reason_code, reason}   the point does not fit, or ran out of memory
    error   {reason}                the last line of an exception
    done    {}                      everything is measured
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback

from scaleprof.launch.protocol import Task, is_memory_error, send, under_limit
from scaleprof.probes import host
from scaleprof.worker.compiling import PredictedOomError
from scaleprof.worker.tasks import inspect_device, measure


def main() -> int:
    """Read one task from stdin, carry it out and report; returns the exit code."""
    task = Task.from_json(sys.stdin.readline())
    host.die_with_parent(signal.SIGKILL, task.parent)
    # The parent handles Ctrl-C and decides when its children end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    host.prefer_for_oom_kill()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        host.pin(task.pin)
        if task.point is None:
            send(events, "facts", **inspect_device(task))
        else:
            measure(task, events)
    except PredictedOomError as error:
        send(events, "oom", reason_code="predicted", reason=str(error))
    except MemoryError:
        send(events, "oom", reason_code="limit", reason=f"ran out of memory (MemoryError){under_limit(task)}")
    except Exception as error:  # Anything a model or a scenario raises becomes a record; the log keeps the traceback.
        traceback.print_exc()
        if ran_out_of_memory(error):
            send(events, "oom", reason_code="limit", reason=last_line(error) + under_limit(task))
        else:
            send(events, "error", reason=last_line(error))
        return 1
    else:
        send(events, "done")
    return 0


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one that it was raised from, is of a type that says so."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
            return True
        if is_memory_error(last_line(cause)):
            return True
        cause = cause.__cause__
    return False


def last_line(error: BaseException) -> str:
    """`Type: message` on one line of at most 500 characters.

    If the message holds the whole traceback of another exception (jax's callbacks do that), it is the last line of
    that. Notes that jax adds about its own traceback are left out.
    """
    name, message = type(error).__name__, str(error)
    if "Traceback (most recent call last)" in message:
        return message.strip().splitlines()[-1].strip().rstrip(":")[:500]
    return " ".join(f"{name}: {message}".split())[:500] if message else name
