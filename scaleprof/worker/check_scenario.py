"""The child process of `scaleprof doctor --scenario`: it builds, plays and checks one environment.

Run as `python -m scaleprof.worker.check_scenario` with a task on stdin, whose point names the scenario and the number
of agents. Its events are those of `scaleprof.worker`; the fact `defects` is a list of lines.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback

import scenarios
from scaleprof.launch.protocol import Task, send
from scaleprof.points.point import Point
from scaleprof.probes import host
from scaleprof.worker.entry import last_line


def main() -> int:
    """Read one task from stdin, check the scenario of its point and report; returns the exit code."""
    task = Task.from_json(sys.stdin.readline())
    assert task.point is not None
    host.die_with_parent(signal.SIGKILL, task.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    host.prefer_for_oom_kill()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if scenarios.is_custom(task.point.scenario):
        sys.path.insert(0, os.getcwd())  # as in a sweep
    send(events, "phase", name="check")
    try:
        importlib.import_module("jax").devices()
    except Exception as error:  # not a defect of the scenario
        send(events, "error", reason=last_line(error))
        return 1
    send(events, "facts", defects=defects(task.point))
    send(events, "done")
    return 0


def defects(point: Point) -> list[str]:
    """The defects of a point's scenario, one line each."""
    from scenarios.checks import check_scenario

    try:
        return check_scenario(point.scenario, point.agents, point.scenario_options())
    except Exception as error:  # Anything a factory raises is its defect; the log keeps the traceback.
        traceback.print_exc()
        return [last_line(error)]


if __name__ == "__main__":
    sys.exit(main())
