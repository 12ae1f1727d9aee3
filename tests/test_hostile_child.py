"""Children that break the protocol, die of any signal or leave others behind: each is one failed point, told by why."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from points import point

from scaleprof.errors import UserError
from scaleprof.launch import local
from scaleprof.launch.endings import judge, signal_name
from scaleprof.launch.events import MAX_NAMES, EventReader, ProtocolError
from scaleprof.launch.launcher import Outcome
from scaleprof.launch.local import limit_name
from scaleprof.launch.local_launcher import LocalLauncher
from scaleprof.launch.log_file import CUT_BYTES, HEAD_BYTES, TAIL_BYTES, CappedLog
from scaleprof.launch.machine import Machine
from scaleprof.launch.patience import Patience
from scaleprof.launch.process import inspect_device, run_child
from scaleprof.launch.protocol import EVENTS, FACT_TYPES, MAX_LINE_BYTES, SAMPLE, Task
from scaleprof.launch.stopping import NeverStop
from scaleprof.points.plan import SweepOptions
from scaleprof.probes.nvml import Nvml
from scaleprof.probes.roofline import Rates
from scaleprof.runs.store import RunDirectory, load_records

TASK = Task(point=point(), min_updates=1, memory_limit_bytes=2 * 2**30)
WHOLE: dict[str, dict[str, Any]] = {
    "phase": {"name": "measure"},
    "facts": {"parameters": 7},
    "samples": {"samples": [{"update": 0, "phase": "measure", "update_seconds": 0.5}]},
    "ready": {},
    "oom": {"reason_code": "limit", "reason": "ran out of memory"},
    "error": {"reason": "ValueError: no"},
    "done": {},
}
"""An event of each kind that is as it should be."""
WRONG: dict[type, tuple[Any, ...]] = {
    str: (7, None, ["text"], True, "\ud800"),
    int: ("7", None, 7.5, True, [], 10**400),
    float: ("7", None, True, {}),
    bool: (1, "true", None),
    list: ({}, "text", 7, None, [7]),
}
"""Values that are not of a type, and of lists of what they hold."""


def follow(folder: Path, script: str, *, python: bool = False, timeout_seconds: float = 60.0, **rest: Any) -> Outcome:
    """What becomes of a child that runs a script of the shell, or of Python."""
    interpreter = (sys.executable, "-S", "-E", "-c") if python else ("sh", "-c")
    folder.mkdir(exist_ok=True)
    return run_child(
        TASK,
        dict(os.environ),
        folder / "child.log",
        timeout_seconds=timeout_seconds,
        nvml=Nvml(None),
        on_event=lambda event: None,
        command=(*interpreter, textwrap.dedent(script)),
        **rest,
    )


def spoken(folder: Path, sent: bytes) -> Outcome:
    """What becomes of a child that sends these bytes and stays alive."""
    folder.mkdir(exist_ok=True)
    (folder / "sent").write_bytes(sent)
    return follow(folder, f"cat {shlex.quote(str(folder / 'sent'))}; exec sleep 600")


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"event": kind, **fields}).encode() + b"\n"


def read(sent: bytes) -> list[dict[str, Any]]:
    return list(EventReader().feed(sent))


def broken_events() -> Iterator[tuple[str, bytes]]:
    """Every event with each of its keys missing, and with each of another type."""
    for kind, keys in EVENTS.items():
        for key, expected in keys.items():
            yield f"{kind} without {key}", event(kind, **{k: v for k, v in WHOLE[kind].items() if k != key})
            for value in WRONG[expected]:
                yield f"{kind} with {key} {value!r:.20}", event(kind, **WHOLE[kind] | {key: value})
    sample = WHOLE["samples"]["samples"][0]
    for key, expected in SAMPLE.items():
        yield f"sample without {key}", event("samples", samples=[{k: v for k, v in sample.items() if k != key}])
        for value in WRONG[expected]:
            yield f"sample with {key} {value!r:.20}", event("samples", samples=[sample, sample | {key: value}])
    for key, values in {
        "update": (-1,),
        "burst": (0.5, "0", [0], -1),
        "update_seconds": (0, -0.5, float("nan"), float("inf"), 1e300),
        "learn_seconds": (-1, float("nan"), "fast"),
        "loss": ("small", [], None, 10**400),
        "a name": (1,),
        "\ud800": (1,),
    }.items():
        for value in values:
            yield f"sample with {key!a} {value!r:.20}", event("samples", samples=[sample | {key: value}])
    for name, expected in FACT_TYPES.items():
        for value in WRONG[expected]:
            if value is not None:
                yield f"fact {name} {value!r:.20}", event("facts", **{name: value})
    for name, value in (
        ("parameters", -1),
        ("parameters", 1.5),
        ("xla_peak_bytes", 10**19),
        ("platform", None),
        ("update_seconds", 0),
        ("update_seconds", float("nan")),
        ("flops_per_update", float("-inf")),
        ("policy_loss", "small"),
        ("policy_loss", 10**400),
        ("\x1b[2J", 1),
        ("a" * 201, 1),
    ):
        yield f"fact {name!a:.20} {value!r:.20}", event("facts", **{name: value})
    for kind, key, longest in (("phase", "name", 200), ("error", "reason", 2000), ("oom", "reason", 2000)):
        yield f"a long {key} of {kind}", event(kind, **WHOLE[kind] | {key: "x" * (longest + 1)})
    yield "an unknown reason code", event("oom", reason_code="tired", reason="no")
    yield "too many facts", event("facts", **{f"fact_{number}": 1 for number in range(MAX_NAMES + 1)})


OTHER_LINES = {
    "an unknown event": event("surprise"),
    "an event of no name": b'{"event": null}\n',
    "an event of a list": b'{"event": ["done"]}\n',
    "half an event": b'{"event": "done"\n',
    "nonsense": b"hello\n",
    "an empty line": b"\n",
    "a list": b"[]\n",
    "a number": b"7\n",
    "another object": b'{"status": "done"}\n',
    "two events in one line": event("ready").strip() + event("done"),
    "bad UTF-8": b'{"event": "phase", "name": "\xff\xfe"}\n',
    "UTF-16": '{"event": "done"}\n'.encode("utf-16"),
    "zeros": b"\0" * 100 + b"\n",
    "deep nesting": b'{"event": "facts", "deep": ' + b"[" * 100_000 + b"\n",
    "a number of many digits": b'{"event": "facts", "parameters": ' + b"9" * 10_000 + b"}\n",
    "an endless line": b"x" * (MAX_LINE_BYTES + 1),
    "an endless event": b'{"event": "facts", "device": "' + b"x" * MAX_LINE_BYTES,
}
BROKEN = dict(broken_events()) | OTHER_LINES


def test_whole_events_are_read() -> None:
    sent = b"".join(event(kind, **fields) for kind, fields in WHOLE.items())
    assert read(sent) == [{"event": kind, **fields} for kind, fields in WHOLE.items()]
    assert WHOLE.keys() == EVENTS.keys()


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
def test_what_is_no_event(sent: bytes) -> None:
    with pytest.raises(ProtocolError) as raised:
        read(event("ready") + sent)
    said = str(raised.value)
    assert len(said) < 600
    assert said.isprintable()


@pytest.mark.parametrize("size", [1, 7, 100])
def test_events_in_pieces_of_any_size(size: int) -> None:
    sent = b"noise\n" + b"".join(event(kind, **fields) for kind, fields in WHOLE.items())
    reader = EventReader()
    found = [one for start in range(0, len(sent), size) for one in reader.feed(sent[start : start + size])]
    assert [one["event"] for one in found] == list(WHOLE)


def test_training_may_diverge() -> None:
    """Losses may be infinite or NaN; a reason is one line."""
    nan = float("nan")
    sample = {"update": 0, "phase": "measure", "update_seconds": 0.5, "loss": nan, "grad_norm": float("inf")}
    events = read(event("samples", samples=[sample]) + event("facts", policy_loss=nan, mean_reward=-1))
    assert [one["event"] for one in events] == ["samples", "facts"]
    assert read(event("error", reason="one\n\t two"))[0]["reason"] == "one two"


def test_every_kind_of_breach_is_a_crashed_point(tmp_path: Path) -> None:
    """In real processes that stay alive after it: one of each kind of event, and all that is no event."""
    kinds = {label.partition(" ")[0]: sent for label, sent in broken_events()} | OTHER_LINES
    with ThreadPoolExecutor(8) as pool:
        jobs = {
            label: pool.submit(spoken, tmp_path / str(number), event("phase", name="warm up") + sent)
            for number, (label, sent) in enumerate(kinds.items())
        }
    for label, job in jobs.items():
        outcome = job.result()
        assert (outcome.status, outcome.reason_code) == ("crashed", "protocol"), label
        assert outcome.reason.startswith("sent an invalid event: "), label
        assert outcome.reason.endswith(" [warm up]"), label


def test_an_endless_line_before_the_first_event(tmp_path: Path) -> None:
    assert follow(tmp_path, "exec cat /dev/zero").reason_code == "protocol"


def test_nothing_counts_after_the_last_word(tmp_path: Path) -> None:
    assert spoken(tmp_path, event("done") + b"nonsense\n").status == "ok"


ALL_FIGURES = {
    "host_peak_rise_bytes": 1,
    "update_seconds": 0.5,
    "agent_steps_per_second": 8.0,
    "xla_peak_bytes": 1,
}


@pytest.mark.parametrize(
    ("kind", "owed"),
    [
        ("together", ["host_peak_rise_bytes", "update_seconds", "agent_steps_per_second"]),
        ("memory", ["host_peak_rise_bytes"]),
        ("speed", ["update_seconds", "agent_steps_per_second"]),
        ("plan", ["xla_peak_bytes"]),
    ],
)
def test_a_child_that_is_done_has_measured(tmp_path: Path, kind: str, owed: list[str]) -> None:
    """All figures of what its process measures, and no others."""

    def done(**figures: Any) -> Outcome:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "sent").write_bytes(event("phase", name="measure") + event("facts", **figures) + event("done"))
        task = dataclasses.replace(TASK, measure=kind)
        command = ("cat", str(folder / "sent"))
        return run_child(
            task,
            dict(os.environ),
            folder / "child.log",
            timeout_seconds=60.0,
            nvml=Nvml(None),
            on_event=lambda event: None,
            command=command,
            must_measure=True,
        )

    assert done(**{name: ALL_FIGURES[name] for name in owed}).status == "ok"
    for name in owed:
        outcome = done(**{other: value for other, value in ALL_FIGURES.items() if other != name})
        assert (outcome.status, outcome.reason_code) == ("error", "figures"), name
        assert outcome.reason == f"the child ended without figures ({name}) [measure]"
    assert done(parameters=7).reason == f"the child ended without figures ({', '.join(owed)}) [measure]"
    unknown = done(**dict.fromkeys(owed))
    hidden = [name for name in owed if name != "host_peak_rise_bytes"]  # memory may be unknown to the kernel
    assert unknown.reason == (f"the child ended without figures ({', '.join(hidden)}) [measure]" if hidden else "")


def stub_of(sent: bytes) -> Any:
    """`run_child` with a child that sends this."""

    def run_stub(*args: Any, **kwargs: Any) -> Outcome:
        code = f"import os; os.write(1, {sent!r})"
        return run_child(*args, command=(sys.executable, "-S", "-c", code), **kwargs)

    return run_stub


@pytest.mark.parametrize("measure", [("together",), ("memory", "speed"), ("speed",), ("memory",), ("plan",)])
@pytest.mark.parametrize("figures", [{}, {"parameters": 7, "platform": "cpu"}])
def test_a_point_without_figures_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measure: tuple[str, ...], figures: dict[str, Any]
) -> None:
    sent = event("phase", name="measure") + (event("facts", **figures) if figures else b"") + event("done")
    monkeypatch.setattr(local, "run_child", stub_of(sent))
    run = RunDirectory.create(tmp_path / "run", {}, {})
    launcher = LocalLauncher(Machine(variables=dict(os.environ), nvml=Nvml(None), rates=Rates()))
    options = SweepOptions(
        measure=measure,
        min_updates=1,
        min_seconds=0.0,
        warmup_updates=0,
        timeout_seconds=60.0,
        memory_limit_bytes=2**30,
    )
    (outcome,) = launcher.measure(point(), "0000", options, run, lambda event: None, NeverStop())
    assert (outcome.status, outcome.reason_code) == ("error", "figures")
    assert outcome.reason.startswith("the child ended without figures (")
    if measure[0] == "memory":
        assert outcome.facts["speed_status"] == ("skipped" if len(measure) > 1 else "")


NOT_DEADLY = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
OF_TERMINALS = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
"""They stop no process that has no terminal."""
OF_THE_C_LIBRARY = {32, 33}
"""glibc keeps them for its threads: now and then one is held back, and the process ends as if nothing had come."""
IGNORED = {signal.SIGPIPE, signal.SIGXFSZ}
"""Ignored by Python."""


def test_every_signal_is_an_ending(tmp_path: Path) -> None:
    """Also real-time ones, for which Python has no name; a process that is stopped times out."""

    def killed(number: int) -> Outcome:
        script = f"""
        import os, resource, signal
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number, usual in ((1, signal.SIG_DFL), (2, signal.default_int_handler), (3, signal.SIG_DFL)):
            signal.signal(number, usual)  # nohup and background jobs of a shell ignore them
        os.kill(os.getpid(), {number})
        """
        return follow(
            tmp_path / str(number), script, python=True, timeout_seconds=2.0 if number == signal.SIGSTOP else 60.0
        )

    numbers = range(1, 65)
    with ThreadPoolExecutor(8) as pool:
        outcomes = dict(zip(numbers, pool.map(killed, numbers), strict=True))
    for number, outcome in outcomes.items():
        if number == signal.SIGSTOP:
            assert outcome.reason == "not finished after 2 s (--timeout); it is stopped [start]"
        elif number in NOT_DEADLY | OF_TERMINALS | IGNORED or (
            number in OF_THE_C_LIBRARY and outcome.reason_code == "exit"
        ):
            assert outcome.reason == "ended with exit code 0; stderr is empty [start]"
        elif number != signal.SIGINT:  # which Python turns into an exception
            assert (outcome.status, outcome.reason_code) == ("crashed", "signal"), number
            assert outcome.reason.startswith(f"killed by {signal_name(number)}"), number
    assert outcomes[signal.SIGINT].reason.startswith("killed by SIGINT; stderr ends: KeyboardInterrupt")


def test_names_of_signals() -> None:
    assert signal_name(9) == "SIGKILL"
    assert signal_name(40) == f"signal 40 (SIGRTMIN+{40 - signal.SIGRTMIN})"
    assert signal_name(33) == "signal 33"


# What a child leaves behind.


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


GRANDCHILD = """
import os, resource, subprocess, sys, time
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
read, write = os.pipe()
if os.fork() == 0:
    {begin}
    os.write(write, b"%d" % os.getpid())
    os.close(write)
    time.sleep(600)
os.close(write)
pid = int(os.read(read, 20))
os.write(1, b'{{"event": "facts", "parameters": %d}}\\n' % pid)
{end}
"""
BEGINNINGS = {
    "in its session": "pass",
    "in a group of its own": "os.setpgid(0, 0)",
    "in a session of its own": "os.setsid()",
    "as a daemon": "os.setsid(); os.fork() and os._exit(0)",
    "without the pipe": "os.setsid(); os.close(1)",
}
ENDS = {
    "segfaults": ("os.kill(os.getpid(), 11)", "crashed", "killed by SIGSEGV; stderr is empty [start]"),
    "exits": ("os._exit(7)", "crashed", "ended with exit code 7; stderr is empty [start]"),
    "is done": ('os.write(1, b\'{"event": "done"}\\n\'); time.sleep(600)', "ok", ""),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("begin", BEGINNINGS)
def test_grandchildren_hold_nothing_up_and_are_ended(tmp_path: Path, begin: str, end: str) -> None:
    code, status, reason = ENDS[end]
    began = time.monotonic()
    outcome = follow(tmp_path, GRANDCHILD.format(begin=BEGINNINGS[begin], end=code), python=True)
    assert time.monotonic() - began < 5.0
    assert (outcome.status, outcome.reason) == (status, reason)
    assert gone(outcome.facts["parameters"])


def test_a_grandchild_that_never_stops_talking(tmp_path: Path) -> None:
    code = GRANDCHILD.format(begin="pass", end="os.kill(os.getpid(), 9)").replace(
        "time.sleep(600)", "[os.write(1, b'\\n' * 10) for _ in iter(int, 1)]"
    )
    outcome = follow(tmp_path, code, python=True)
    assert outcome.status == "crashed"


def test_a_child_that_reads_nothing(tmp_path: Path) -> None:
    """Nor does its parent wait for it: a task may be longer than a pipe holds."""
    large = Task(point=point(settings=(("ppo.clip", "1" * 200_000),)))
    outcome = run_child(
        large,
        dict(os.environ),
        tmp_path / "child.log",
        timeout_seconds=0.5,
        nvml=Nvml(None),
        on_event=lambda event: None,
        command=("sleep", "600"),
    )
    assert outcome.status == "timeout"


def test_a_long_task_arrives_whole(tmp_path: Path) -> None:
    large = Task(point=point(settings=(("ppo.clip", "1" * 200_000),)))
    outcome = run_child(
        large,
        dict(os.environ),
        tmp_path / "child.log",
        timeout_seconds=60.0,
        nvml=Nvml(None),
        on_event=lambda event: None,
        command=(
            "sh",
            "-c",
            """sleep 0.3; read -r line; echo "{\\"event\\": \\"facts\\", \\"parameters\\": ${#line}}";
                 echo '{"event": "done"}'""",
        ),
    )
    assert outcome.status == "ok", outcome.reason
    assert outcome.facts["parameters"] > 200_000


# Which deaths are for want of memory.

WORDS = "terminate called after throwing an instance of 'std::bad_alloc'"


@pytest.mark.parametrize(
    ("code", "lines", "kills", "status"),
    [
        (-9, [], 1, "oom"),
        (137, [], 1, "oom"),
        (-9, [], 0, "crashed"),
        (-11, [], 1, "crashed"),
        (0, [], 1, "crashed"),
        (-6, [WORDS], 0, "oom"),
        (-11, ["RESOURCE_EXHAUSTED", "a stack"], 0, "oom"),
        (-15, [WORDS], 0, "crashed"),
        (-2, ["out of memory"], 0, "crashed"),
        (-40, ["out of memory"], 0, "crashed"),
        (0, ["out of memory"], 0, "crashed"),
        (1, ["out of memory"], 0, "oom"),
        (1, ["out of memory", "cannot go on"], 0, "crashed"),
        (1, ["ValueError: the replay is out of memory"], 0, "crashed"),
        (1, ["MemoryError"], 0, "oom"),
        (1, ["numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 GiB"], 0, "oom"),
        (1, ["jaxlib._jax.XlaRuntimeError: RESOURCE_EXHAUSTED: no"], 0, "oom"),
    ],
)
def test_evidence_of_memory_that_ran_out(code: int, lines: list[str], kills: int, status: str) -> None:
    assert judge(code, lines, kills, TASK)[0] == status


@pytest.mark.parametrize(("counts", "status"), [((3, 4), "oom"), ((3, 3), "crashed"), ((None, 4), "crashed")])
def test_the_kernels_counter_tells_memory_from_a_crash(
    tmp_path: Path, counts: tuple[int | None, int], status: str
) -> None:
    counted = iter(counts)
    outcome = follow(tmp_path, "kill -9 $$", count_oom_kills=lambda: next(counted))
    assert outcome.status == status
    assert outcome.reason.startswith("killed by the kernel, which ran" if status == "oom" else "killed by SIGKILL")


@pytest.mark.parametrize("words", [WORDS, "out of memory", "MemoryError"])
def test_words_do_not_overrule_what_a_child_reports(tmp_path: Path, words: str) -> None:
    script = f"""
    echo {shlex.quote(words)} >&2
    echo '{{"event": "error", "reason": "ValueError: no"}}'
    kill -6 $$
    """
    outcome = follow(tmp_path, script)
    assert (outcome.status, outcome.reason) == ("error", "ValueError: no [start]")


# Time.


def test_time_in_which_the_parent_was_stopped_does_not_count() -> None:
    now = 0.0
    patience = Patience(10.0, lambda: now)
    for now in (1.0, 2.0, 3000.0, 3001.0):  # noqa: B007
        assert not patience.is_over()
    assert patience.left_seconds == 6.0
    assert patience.stopped_seconds == 2997.0
    now = 5000.0
    patience.start()
    assert not patience.is_over()
    assert patience.left_seconds == 6.0
    assert patience.stopped_seconds == 2997.0  # a turn of the other child is no stop
    for step in range(6):
        now = 5001.0 + step
        assert not patience.is_over()
    now += 0.1
    assert patience.is_over()


@pytest.mark.parametrize("ending", ['echo \'{"event": "done"}\'; exec sleep 600', "kill -11 $$", "exit 3"])
def test_a_child_that_ends_while_its_parent_is_stopped(tmp_path: Path, ending: str) -> None:
    """The parent is stopped for longer than the time limit, with what the child says in the pipe."""
    code = """
    import sys
    from pathlib import Path
    from points import point
    from scaleprof.launch.process import run_child
    from scaleprof.launch.protocol import Task
    from scaleprof.probes.nvml import Nvml
    def begun(event):
        print("begun", flush=True)
    outcome = run_child(Task(point=point()), {}, Path(sys.argv[1]), timeout_seconds=2.0, nvml=Nvml(None),
                        on_event=begun, command=("/bin/sh", "-c", sys.argv[2]))
    print(outcome.stopped_seconds, outcome.status)
    """
    script = f"""echo '{{"event": "ready"}}'; sleep 0.7; {ending}"""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "log"), script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])},
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "begun\n"
        parent.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        parent.send_signal(signal.SIGCONT)
        said = parent.stdout.read().split()
    assert said[-1] == ("ok" if "done" in ending else "crashed")
    assert 0.5 < float(said[-2]) < 2.5


@pytest.mark.parametrize(
    ("stopped", "worked", "seconds", "overhead"),
    [(0.0, 1.0, 60.0, 59.0), (50.0, 4.0, 10.0, None), (50.0, 15.0, 15.0, None), (0.0, 1e18, 60.0, 0.0)],
)
def test_the_time_of_a_point_leaves_out_stops(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stopped: float,
    worked: float,
    seconds: float,
    overhead: float | None,
) -> None:
    """A child works on meanwhile; whatever it claims, no time is negative or longer than what passed."""
    now = iter((0.0, 60.0))
    monkeypatch.setattr("scaleprof.launch.local.time", SimpleNamespace(monotonic=lambda: next(now)))
    ended = Outcome(status="ok", facts={"worked_seconds": worked}, stopped_seconds=stopped)
    monkeypatch.setattr(local, "run_child", lambda *_, **__: ended)
    run = RunDirectory.create(tmp_path / "run", {}, {})
    machine = Machine(variables={}, nvml=Nvml(None), rates=Rates())
    options = SweepOptions(
        min_updates=1, min_seconds=0.0, warmup_updates=0, timeout_seconds=60.0, memory_limit_bytes=2**30
    )
    outcome = local.measure_point(point(), "0000", options, machine, run, lambda event: None, NeverStop())
    assert (outcome.facts["point_seconds"], outcome.facts.get("overhead_seconds")) == (seconds, overhead)


def test_what_lies_in_the_pipe_counts_before_the_deadline(tmp_path: Path) -> None:
    """The parent is busy with an event until the time is up; the child's last word came in time."""
    outcome = run_child(
        TASK,
        dict(os.environ),
        tmp_path / "child.log",
        timeout_seconds=0.2,
        nvml=Nvml(None),
        on_event=lambda event: time.sleep(0.5 if event["event"] == "ready" else 0.0),
        command=("sh", "-c", 'echo \'{"event": "ready"}\'; sleep 0.1; echo \'{"event": "done"}\'; exec sleep 600'),
    )
    assert outcome.status == "ok"


def test_the_name_of_a_limit(tmp_path: Path) -> None:
    outcome = follow(tmp_path, "exec sleep 600", timeout_seconds=0.1, limit_name="the limit for starting")
    assert outcome.reason == "not finished after 0.1 s (the limit for starting) [start]"
    with pytest.raises(UserError, match=r"could not start: not finished after 0\.1 s \(the limit for starting\)"):
        inspect_device(dict(os.environ), tmp_path / "log", 0.1, command=("sleep", "600"))


@pytest.mark.parametrize(
    ("seconds", "grows", "name"),
    [
        (3.0, False, "--timeout"),
        (600.0, False, "--timeout"),
        (120.0, True, "the default; see --timeout"),
        (480.0, True, "twice what was expected; see --timeout"),
    ],
)
def test_names_of_the_limits_of_points(seconds: float, grows: bool, name: str) -> None:
    options = SweepOptions(
        min_updates=1,
        min_seconds=0.0,
        warmup_updates=0,
        timeout_seconds=seconds,
        timeout_grows=grows,
        memory_limit_bytes=2**30,
    )
    assert limit_name(options) == name


def test_a_first_child_that_says_nothing_of_its_device(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"did not report platform, devices, source, start_rss_bytes$"):
        inspect_device(dict(os.environ), tmp_path / "log", 60.0, command=("sh", "-c", 'echo \'{"event": "done"}\''))


# Logs.


def test_a_flood_of_the_log_is_capped(tmp_path: Path) -> None:
    script = """
    import os, sys
    sys.stderr.write("the first line\\n")
    for _ in range(100):
        sys.stderr.write("x" * (2**20 - 1) + "\\n")
    sys.stderr.write("the last line\\n")
    sys.stderr.flush()
    os.kill(os.getpid(), 9)
    """
    outcome = follow(tmp_path, script, python=True)
    assert "stderr ends: the last line" in outcome.reason
    log = (tmp_path / "child.log").read_text()
    assert len(log) < HEAD_BYTES + TAIL_BYTES + 200
    assert log.startswith("the first line\nxxx")
    assert log.endswith("xxx\nthe last line\n")
    assert "[scaleprof: 98.0 MiB of this log are left out here]" in log


def test_a_log_that_grows_is_cut_again_and_again(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "log")
    descriptor = log.open()
    written = 0
    for number in range(40):
        written += os.write(descriptor, f"{number:02d}".encode() * 2**18)
        log.look()
        assert log.path.stat().st_size <= CUT_BYTES
    log.close()
    os.close(descriptor)
    text = log.path.read_bytes()
    head, note, tail = text[:HEAD_BYTES], text[HEAD_BYTES:-TAIL_BYTES], text[-TAIL_BYTES:]
    assert head == b"00" * 2**18 + b"01" * 2**18
    assert tail == b"38" * 2**18 + b"39" * 2**18
    assert written == 40 * 2**19
    assert note == b"\n[scaleprof: 18.0 MiB of this log are left out here]\n"


@pytest.mark.parametrize("size", [0, 1, HEAD_BYTES + TAIL_BYTES])
def test_a_short_log_is_kept_whole(tmp_path: Path, size: int) -> None:
    log = CappedLog(tmp_path / "log")
    descriptor = log.open()
    os.write(descriptor, b"x" * size)
    os.close(descriptor)
    log.look()
    log.close()
    assert log.path.read_bytes() == b"x" * size


# A whole sweep.

WRECKS = """
import os, resource, sys, types
def everywhere(text):
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, text)
        except OSError:
            continue
def programs(point, batching):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if point.agents == 2:
        everywhere(b"nonsense\\n")
    elif point.agents == 3:
        os.kill(os.getpid(), 40)
    elif point.agents == 4:
        if os.fork():
            os.kill(os.getpid(), 11)
        os.setsid()
    elif point.agents == 5:
        everywhere(b'{"event": "facts", "parameters": "many"}\\n')
    elif point.agents == 6:
        everywhere(b'{"event": "done"}\\n')
    elif point.agents == 7:
        print("the table of hosts is out of memory", file=sys.stderr, flush=True)
        raise ValueError("the table of hosts is out of memory")
    elif point.agents == 8:
        everywhere(b'{"event": "facts", "update_seconds": 1, "agent_steps_per_second": 8}\\n')
        everywhere(b'{"event": "facts", "host_peak_rise_bytes": null}\\n')
        everywhere(b'{"event": "done"}\\n')
    import time
    time.sleep(600)
fake = types.ModuleType("scaleprof.worker.programs")
fake.Programs = programs
sys.modules["scaleprof.worker.programs"] = fake
"""


def test_a_sweep_survives_its_points(tmp_path: Path) -> None:
    (tmp_path / "injected").mkdir()
    (tmp_path / "injected" / "sitecustomize.py").write_text(WRECKS)
    path = os.pathsep.join([str(tmp_path / "injected"), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = ["sweep", "--agents", "2,3,4,5,6,7,8", "--model", "mat", "--envs", "2", "--seq-len", "4"]
    done = subprocess.run(
        [sys.executable, "-m", "scaleprof", *command, "--device", "cpu", "--out", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    assert "Written to run" in done.stderr, done.stderr
    records = load_records(tmp_path / "run")
    assert [(record.agents, record.status, record.reason_code) for record in records] == [
        (2, "crashed", "protocol"),
        (3, "crashed", "signal"),
        (4, "crashed", "signal"),
        (5, "crashed", "protocol"),
        (6, "error", "figures"),
        (7, "error", "exception"),
        (8, "ok", ""),
    ]
    assert "signal 40" in records[1].reason
    assert done.returncode == 0
    left = [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(tmp_path)]
    assert left == []
    for format_name in ("table", "json"):
        report = [sys.executable, "-m", "scaleprof", "report", "run", "--format", format_name]
        assert subprocess.run(report, cwd=tmp_path, capture_output=True, check=False).returncode == 0
