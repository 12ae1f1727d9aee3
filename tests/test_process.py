"""Real child processes that die, hang, fail or use too much: every ending is an outcome, and none leaves a process."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_nvml import FakeCard, FakeDriver
from points import point

from scaleprof.errors import UserError
from scaleprof.launch.launcher import EventHandler, Outcome
from scaleprof.launch.process import WATCH_SECONDS, inspect_device, run_child
from scaleprof.launch.protocol import Task
from scaleprof.probes.nvml import Nvml

TASK = Task(point=point(), min_updates=1, warmup_updates=0, memory_limit_bytes=2 * 2**30)
LIMIT = ", under the limit of 2.00 GiB (--memory-limit)"
ON_CPU = {**os.environ, "JAX_PLATFORMS": "cpu"}

SPEAKS = """
import json, os, signal, sys, time
task = json.loads(sys.stdin.readline())
def send(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)
"""
"""The start of a script that speaks the worker's protocol and then misbehaves."""


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the kernel is about to do."""
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether a process has ended (nobody may have taken notice yet)."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def run(
    tmp_path: Path,
    code: str,
    *,
    task: Task = TASK,
    timeout_seconds: float = 60.0,
    nvml: Nvml | None = None,
    on_event: EventHandler = lambda event: None,
) -> Outcome:
    """Follow a script in place of the worker; afterwards neither it nor anything it started is alive."""
    before = set(psutil.Process().children(recursive=True))
    outcome = run_child(
        task,
        dict(os.environ),
        tmp_path / "child.log",
        timeout_seconds=timeout_seconds,
        nvml=nvml or Nvml(None),
        on_event=on_event,
        command=(sys.executable, "-c", SPEAKS + textwrap.dedent(code)),
    )
    assert set(psutil.Process().children(recursive=True)) <= before
    return outcome


def test_events_become_an_outcome(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    outcome = run(
        tmp_path,
        """
        assert task["point"]["agents"] == 2 and task["min_updates"] == 1
        send("phase", name="start")
        send("facts", platform="cpu", parameters=7)
        send("facts", parameters=8, import_seconds=0.5)
        send("phase", name="measure")
        send("samples", samples=[{"update": 0, "phase": "measure", "update_seconds": 0.25}])
        print("to the log", file=sys.stderr)
        send("done")
        """,
        on_event=events.append,
    )
    assert outcome.timeline
    assert dataclasses.replace(outcome, timeline=[]) == Outcome(
        status="ok",
        phase="measure",
        facts={"platform": "cpu", "parameters": 8, "import_seconds": 0.5},
        samples=[{"update": 0, "phase": "measure", "update_seconds": 0.25}],
    )
    assert [event["event"] for event in events] == ["phase", "facts", "facts", "phase", "samples", "done"]
    assert events[3] == {"event": "phase", "name": "measure"}
    assert (tmp_path / "child.log").read_text() == "to the log\n"


def test_what_others_print_is_no_event(tmp_path: Path) -> None:
    outcome = run(tmp_path, "print('hello'); print('{}'); print(); send('done')")
    assert outcome.status == "ok"


def test_events_in_pieces(tmp_path: Path) -> None:
    outcome = run(
        tmp_path,
        """
        whole = json.dumps({"event": "facts", "device": "x" * 200_000}) + "\\n" + json.dumps({"event": "done"}) + "\\n"
        for start in range(0, len(whole), 70_000):
            os.write(1, whole[start : start + 70_000].encode())
            time.sleep(0.01)
        """,
    )
    assert outcome.status == "ok"
    assert len(outcome.facts["device"]) == 200_000


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGTERM])
def test_killed(tmp_path: Path, number: signal.Signals) -> None:
    outcome = run(
        tmp_path,
        f"""
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        send("phase", name="compile learn")
        send("facts", parameters=7)
        print("first line", file=sys.stderr)
        print("last words  ", file=sys.stderr, flush=True)
        os.kill(os.getpid(), {int(number)})
        """,
    )
    assert (outcome.status, outcome.reason_code) == ("crashed", "signal")
    hint = " (by the kernel's out-of-memory killer, or by hand)" if number == signal.SIGKILL else ""
    assert outcome.reason == f"killed by {number.name}{hint}; stderr ends: last words [compile learn]"
    assert outcome.facts == {"parameters": 7}


def test_killed_in_the_middle_of_an_event(tmp_path: Path) -> None:
    outcome = run(
        tmp_path,
        """
        send("phase", name="measure")
        os.write(1, b'{"event": "done"')
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert (outcome.status, outcome.phase) == ("crashed", "measure")
    assert "stderr is empty" in outcome.reason


def test_dead_before_the_task_is_read(tmp_path: Path) -> None:
    large = point(settings=(("ppo.clip", "1" * 200_000),))
    outcome = run_child(
        dataclasses.replace(TASK, point=large),
        dict(os.environ),
        tmp_path / "child.log",
        timeout_seconds=60.0,
        nvml=Nvml(None),
        on_event=lambda event: None,
        command=(sys.executable, "-c", "raise SystemExit('cannot go on')"),
    )
    assert (outcome.status, outcome.reason_code) == ("crashed", "exit")
    assert outcome.reason == "ended with exit code 1; stderr ends: cannot go on [start]"


def test_ended_without_a_last_word(tmp_path: Path) -> None:
    outcome = run(tmp_path, "send('phase', name='warm up'); sys.exit(7)")
    assert (outcome.status, outcome.reason_code) == ("crashed", "exit")
    assert outcome.reason == "ended with exit code 7; stderr is empty [warm up]"


@pytest.mark.parametrize(
    "words",
    [
        "RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes.",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 GiB",
        "MemoryError",
    ],
)
def test_dead_for_want_of_memory(tmp_path: Path, words: str) -> None:
    outcome = run(tmp_path, f"print({words!r}, file=sys.stderr, flush=True); os.abort()")
    assert (outcome.status, outcome.reason_code) == ("oom", "limit")
    assert outcome.reason == f"ran out of memory: {words}{LIMIT} [start]"


def test_the_end_of_a_long_log_is_quoted(tmp_path: Path) -> None:
    outcome = run(tmp_path, "sys.stderr.write('µ' * 100_000 + '\\n' + 'end ' * 200 + '\\n\\n'); os.abort()")
    assert outcome.reason.startswith("killed by SIGABRT; stderr ends: end end")
    assert len(outcome.reason) < 400


@pytest.mark.parametrize(
    ("event", "status", "reason_code"),
    [
        ({"event": "error", "reason": "ValueError: no"}, "error", "exception"),
        ({"event": "oom", "reason_code": "predicted", "reason": "ValueError: no"}, "oom", "predicted"),
    ],
)
def test_failures_that_the_child_tells_of(tmp_path: Path, event: dict[str, str], status: str, reason_code: str) -> None:
    outcome = run(tmp_path, f"send('phase', name='compile act'); send(**{event!r}); sys.exit(1)")
    assert (outcome.status, outcome.reason_code) == (status, reason_code)
    assert outcome.reason == "ValueError: no [compile act]"


def test_timeout(tmp_path: Path) -> None:
    outcome = run(tmp_path, "send('phase', name='measure'); time.sleep(600)", timeout_seconds=0.5)
    assert (outcome.status, outcome.reason_code) == ("timeout", "timeout")
    assert outcome.reason == "not finished after 0.5 s (--timeout) [measure]"


def test_timeout_of_a_child_that_never_stops_talking(tmp_path: Path) -> None:
    code = "while True: send('facts', parameters=1); time.sleep(0.001)"
    assert run(tmp_path, code, timeout_seconds=0.5).status == "timeout"


def test_a_child_that_only_closed_its_output(tmp_path: Path) -> None:
    outcome = run(tmp_path, "os.close(1); time.sleep(600)")
    assert (outcome.status, outcome.reason_code) == ("crashed", "protocol")
    assert outcome.reason == "closed its event channel while still running [start]"


def test_grandchildren_are_ended_too(tmp_path: Path) -> None:
    code = """
    import subprocess
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    send("facts", parameters=other.pid)
    time.sleep(600)
    """
    outcome = run(tmp_path, code, timeout_seconds=1.0)
    grandchild = outcome.facts["parameters"]
    until(lambda: gone(grandchild))


def test_a_child_that_cannot_end_after_its_last_word(tmp_path: Path) -> None:
    assert run(tmp_path, "send('done'); time.sleep(600)").status == "ok"


HOG = """
send("facts", platform="{platform}")
send("phase", name="measure")
held = bytearray(300 * 2**20)
time.sleep({seconds})
send("done")
"""


def test_the_watchdog(tmp_path: Path) -> None:
    task = dataclasses.replace(TASK, memory_limit_bytes=200 * 2**20)
    outcome = run(tmp_path, HOG.format(platform="cpu", seconds=600), task=task)
    assert (outcome.status, outcome.reason_code) == ("oom", "limit")
    assert re.fullmatch(r"stopped at \d{3} MiB resident, the limit is 200 MiB \[measure\]", outcome.reason)


def test_host_memory_is_not_the_limit_of_a_device(tmp_path: Path) -> None:
    task = dataclasses.replace(TASK, memory_limit_bytes=200 * 2**20)
    assert run(tmp_path, HOG.format(platform="gpu", seconds=0.3), task=task).status == "ok"


GROWS_AND_TALKS = """
send("facts", platform="cpu")
held = []
while True:
    send("facts", parameters=len(held))
    if len(held) < 300:
        held.append(bytearray(2**20))
"""


def test_the_watchdog_of_a_child_that_never_stops_talking(tmp_path: Path) -> None:
    task = dataclasses.replace(TASK, memory_limit_bytes=200 * 2**20)
    outcome = run(tmp_path, GROWS_AND_TALKS, task=task, timeout_seconds=10.0)
    assert (outcome.status, outcome.reason_code) == ("oom", "limit")
    assert "resident, the limit is 200 MiB" in outcome.reason


def test_what_the_driver_saw(tmp_path: Path) -> None:
    """The most of its memory at any time, and energy between the two ends of the measured phase."""
    card = FakeCard(millijoules=1000, utilisation=80)

    def time_passes(event: dict[str, Any]) -> None:
        if event["event"] == "facts":
            card.processes = [(event["parameters"], 70)]
            card.utilisation = 60
        elif event["event"] == "samples":
            card.processes = []
            card.millijoules += 5000

    code = """
    send("facts", parameters=os.getpid())
    send("phase", name="measure")
    send("samples", samples=[{"update": 0, "phase": "measure", "update_seconds": 0.5}])
    send("phase", name="act and environment alone")
    send("done")
    """
    outcome = run(tmp_path, code, nvml=Nvml(FakeDriver(card)), on_event=time_passes)
    assert outcome.status == "ok"
    assert outcome.facts["nvml_process_bytes"] == 70
    assert outcome.facts["nvml_device_bytes"] == card.used
    assert outcome.facts["nvml_utilisation_percent"] == 60.0
    assert outcome.facts["nvml_energy_joules"] == 5.0


def test_without_a_driver_nothing_is_said_of_cards(tmp_path: Path) -> None:
    outcome = run(tmp_path, "send('phase', name='measure'); send('done')")
    assert not [name for name in outcome.facts if name.startswith("nvml")]


def test_a_child_is_looked_at_now_and_then_while_it_talks(tmp_path: Path) -> None:
    """As often as while it is silent, not as often as it says something."""
    code = """
    start = time.monotonic()
    while time.monotonic() < start + 1.0:
        send("facts", parameters=1)
    send("done")
    """
    heard = list[float]()
    began = time.monotonic()
    outcome = run(tmp_path, code, on_event=lambda event: heard.append(time.monotonic()))
    assert outcome.status == "ok"
    assert len(heard) > 1000
    while_talking = [sample for sample in outcome.timeline if heard[0] < began + sample.seconds < heard[-1]]
    assert len(while_talking) >= 5
    assert len(outcome.timeline) <= (heard[-1] - began) / WATCH_SECONDS + 2


def test_the_timeline_holds_what_a_child_started(tmp_path: Path) -> None:
    """Its own children are looked for every two seconds."""
    code = """
    import subprocess
    send("phase", name="measure")
    other = subprocess.Popen([sys.executable, "-c", "x = bytearray(200 * 2**20); import time; time.sleep(600)"])
    time.sleep(4.5)
    send("done")
    """
    outcome = run(tmp_path, code)
    assert max(sample.rss_bytes for sample in outcome.timeline) > 200 * 2**20
    assert outcome.timeline[-1].phase == "measure"
    assert [sample.seconds for sample in outcome.timeline] == sorted(sample.seconds for sample in outcome.timeline)


IGNORES_SIGTERM = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
send("phase", name="measure")
while True:
    time.sleep(600)
"""


def test_a_child_that_ignores_being_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaleprof.launch.process.GRACE_SECONDS", 0.3)
    outcome = run(tmp_path, IGNORES_SIGTERM, timeout_seconds=1.0)
    assert (outcome.status, outcome.reason_code) == ("timeout", "timeout")


def test_a_child_that_is_asked_to_end_may_tidy_up(tmp_path: Path) -> None:
    code = f"""
    def tidy(number, frame):
        open({str(tmp_path / "tidied")!r}, "w").close()
        sys.exit()
    signal.signal(signal.SIGTERM, tidy)
    time.sleep(600)
    """
    assert run(tmp_path, code, timeout_seconds=1.0).status == "timeout"
    assert (tmp_path / "tidied").exists()


def test_the_end_of_stderr_is_kept(tmp_path: Path) -> None:
    code = "print('one', 'two', '', 'three', sep='\\n', file=sys.stderr, flush=True); os.abort()"
    assert run(tmp_path, code).stderr_tail == "one | two | three"
    assert run(tmp_path, "print('one', file=sys.stderr); send('done')").stderr_tail == ""


def test_an_observer_that_fails_leaves_no_process(tmp_path: Path) -> None:
    def fail(event: dict[str, Any]) -> None:
        raise RuntimeError("the display broke")

    before = set(psutil.Process().children())
    with pytest.raises(RuntimeError, match="the display broke"):
        run_child(
            TASK,
            dict(os.environ),
            tmp_path / "child.log",
            timeout_seconds=60.0,
            nvml=Nvml(None),
            on_event=fail,
            command=(sys.executable, "-c", SPEAKS + "send('phase', name='start'); time.sleep(600)"),
        )
    assert set(psutil.Process().children()) <= before


# The real worker, with faults put into the modules that it imports.


def inject(tmp_path: Path, code: str) -> dict[str, str]:
    """The environment of a worker whose `scaleprof.worker.programs`, where jax comes in, is replaced by `code`."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, types\n"
        "fake = types.ModuleType('scaleprof.worker.programs')\n"
        f"exec({textwrap.dedent(code)!r}, fake.__dict__)\n"
        "sys.modules['scaleprof.worker.programs'] = fake\n"
    )
    return {**ON_CPU, "PYTHONPATH": str(tmp_path)}


def work(tmp_path: Path, environment: dict[str, str], *, task: Task = TASK, timeout_seconds: float = 60.0) -> Outcome:
    return run_child(
        task,
        environment,
        tmp_path / "child.log",
        timeout_seconds=timeout_seconds,
        nvml=Nvml(None),
        on_event=lambda event: None,
    )


def test_the_worker_tells_of_an_exception(tmp_path: Path) -> None:
    code = "def Programs(point, batching):\n    raise ValueError(f'no room for\\n {point.agents} agents')"
    outcome = work(tmp_path, inject(tmp_path, code))
    assert (outcome.status, outcome.reason_code) == ("error", "exception")
    assert outcome.reason == "ValueError: no room for 2 agents [start]"
    assert outcome.facts["platform"] == "cpu", "the watchdog must know it before anything is traced"
    assert "Traceback" in (tmp_path / "child.log").read_text()


@pytest.mark.parametrize(
    ("exception", "said"),
    [
        ("MemoryError()", "ran out of memory (MemoryError)"),
        ("RuntimeError('RESOURCE_EXHAUSTED: out of it.')", "RuntimeError: RESOURCE_EXHAUSTED: out of it."),
    ],
)
def test_the_worker_tells_of_memory_that_ran_out(tmp_path: Path, exception: str, said: str) -> None:
    outcome = work(tmp_path, inject(tmp_path, f"def Programs(point, batching):\n    raise {exception}"))
    assert (outcome.status, outcome.reason_code) == ("oom", "limit")
    assert outcome.reason == f"{said}{LIMIT} [start]"


def test_the_worker_keeps_within_its_data_limit(tmp_path: Path) -> None:
    """Once it has compiled, an allocation that is too large fails at once."""
    code = """
    Programs = lambda point, batching: types.SimpleNamespace(facts=dict)
    import types, sys
    compiling = types.ModuleType("scaleprof.worker.compiling")
    measuring = types.ModuleType("scaleprof.worker.measuring")
    compiling.PredictedOomError = type("PredictedOomError", (Exception,), {})
    compiling.plan_between = None
    compiling.compile_programs = lambda *_: types.SimpleNamespace(seconds=0.0, here=True)
    measuring.run_programs = lambda *_, **__: bytearray(3 * 2**30)
    sys.modules |= {"scaleprof.worker.compiling": compiling, "scaleprof.worker.measuring": measuring}
    """
    outcome = work(tmp_path, inject(tmp_path, code))
    assert (outcome.status, outcome.reason_code) == ("oom", "limit")
    assert "MemoryError" in outcome.reason


def test_a_worker_that_compiles_is_ended_above_its_limit(tmp_path: Path) -> None:
    """No allocation of a compiler's fails: it would die in ways that tell nothing."""
    code = "def Programs(point, batching):\n    bytearray(800 * 2**20), __import__('time').sleep(60)"
    outcome = work(tmp_path, inject(tmp_path, code), task=dataclasses.replace(TASK, memory_limit_bytes=700 * 2**20))
    assert (outcome.status, outcome.reason_code) == ("oom", "limit")
    assert outcome.reason.startswith("stopped at ")


def test_what_libraries_print_goes_to_the_log(tmp_path: Path) -> None:
    code = """
    import os, subprocess
    def Programs(point, batching):
        print('{"event": "done"}', flush=True)
        subprocess.run(["echo", "from a child"], check=True)
        os.abort()
    """
    outcome = work(tmp_path, inject(tmp_path, code))
    assert (outcome.status, outcome.reason_code) == ("crashed", "signal")
    log = (tmp_path / "child.log").read_text()
    assert '{"event": "done"}' in log
    assert "from a child" in log


def test_the_worker_leaves_interrupts_to_its_parent(tmp_path: Path) -> None:
    code = """
    import os, signal
    def Programs(point, batching):
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("went on")
    """
    assert work(tmp_path, inject(tmp_path, code)).reason == "ValueError: went on [start]"


def test_the_folder_that_the_user_is_in_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("reports", "scenarios", "scaleprof"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not ours')")
    monkeypatch.chdir(tmp_path)
    environment = inject(tmp_path, "def Programs(point, batching):\n    raise ValueError('reached')")
    environment.pop("PYTHONPATH")
    assert inspect_device(environment, tmp_path / "child.log", 60.0)["platform"] == "cpu"


def test_a_child_that_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['jax'] = None\n")
    environment = {**ON_CPU, "PYTHONPATH": str(tmp_path)}
    with pytest.raises(UserError, match=r"^a child process could not start: ModuleNotFoundError: .*jax"):
        inspect_device(environment, tmp_path / "child.log", 60.0)


def test_the_worker_dies_with_its_parent(tmp_path: Path) -> None:
    environment = inject(tmp_path, "import time\ndef Programs(point, batching):\n    time.sleep(600)")
    code = textwrap.dedent(f"""
        import dataclasses, os, subprocess, sys
        from scaleprof.launch.process import WORKER
        from scaleprof.launch.protocol import Task
        child = subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        task = dataclasses.replace(Task.from_json({TASK.to_json()!r}), parent=os.getpid())
        child.stdin.write(task.to_json().encode() + b"\\n")
        child.stdin.flush()
        child.stdout.readline()
        print(child.pid, flush=True)
        os.kill(os.getpid(), 9)
        """)
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    pid = int(parent.stdout)
    until(lambda: gone(pid))
