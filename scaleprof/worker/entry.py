"""The child process: one point, from import to measured updates, told to the parent event by event.

Run as `python -m scaleprof.worker` with a task (`scaleprof.launch.protocol.Task`) on stdin. Events go to what was
stdout when the process began; anything that libraries print goes to stderr. Events are

    phase   {name}                  a phase begins
    facts   {field: value, …}       fields of the record that are known from here on
    samples {samples: […]}          finished updates, each {update, phase, …}
    ready   {}                      a burst is over, the next one waits for the word on stdin
    oom     {reason_code, reason}   the point cannot fit, or ran out of memory
    error   {reason}                the last line of an exception
    done    {}                      all measured
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

from scaleprof.launch.protocol import OOM_SIGNS, Task, send, under_limit
from scaleprof.probes import host
from scaleprof.worker.compiling import PredictedOomError
from scaleprof.worker.tasks import inspect_device, measure


def main() -> int:
    """Read one task from stdin, carry it out and tell of it; returns the exit code."""
    task = Task.from_json(sys.stdin.readline())
    host.die_with_parent(signal.SIGKILL, task.parent)
    # Ctrl-C is for the parent, which decides what becomes of its children.
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
    except Exception as error:  # Whatever a model or a scenario raises becomes a row; the log keeps the traceback.
        traceback.print_exc()
        reason = last_line(error)
        if reason.startswith("MemoryError") or any(sign in reason for sign in OOM_SIGNS):
            send(events, "oom", reason_code="limit", reason=reason + under_limit(task))
        else:
            send(events, "error", reason=reason)
        return 1
    else:
        send(events, "done")
    return 0


def last_line(error: BaseException) -> str:
    """`Type: message` on one line of readable length.

    An exception that carries another's whole traceback in its message (jax's, of a function that it called back) is
    known by that one's last line; what jax notes below an exception about its traceback is left out.
    """
    name, message = type(error).__name__, str(error)
    if "Traceback (most recent call last)" in message:
        return message.strip().splitlines()[-1].strip().rstrip(":")[:500]
    return " ".join(f"{name}: {message}".split())[:500] if message else name
