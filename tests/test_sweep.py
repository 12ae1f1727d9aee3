"""Real sweeps through the command line: one that meets points that cannot fit, and some that are stopped."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from compiler import QUICK_FLAGS

from reports import FIELD_NAMES, Record, read_records
from reports.text.units import format_bytes
from scaleprof import __version__
from scaleprof.runs.store import load_records

POINT = "scenario model mode agents seq_len envs chunk embed_dim heads blocks epochs minibatches dtype seed repeat"
XLA = "act_temp rollout_temp learn_temp learn_argument learn_output"
SECONDS = "import compile act rollout learn update update_min update_p90 update_cpu"
COLUMNS = (
    *("schema_version", "run_id", "timestamp", *POINT.split(), "status", "reason_code", "reason"),
    *("platform", "device", "parameters", *(f"xla_{name}_bytes" for name in XLA.split())),
    *("device_peak_bytes", "nvml_process_bytes"),
    *("host_rss_start_bytes", "host_rss_peak_bytes", "host_peak_rise_bytes"),
    *(f"{name}_seconds" for name in SECONDS.split()),
    *("env_steps_per_second", "agent_steps_per_second"),
    *("policy_loss", "value_loss", "entropy", "grad_norm", "mean_return", "parameters_moved"),
)
"""What a results file holds at least."""

SIZES = ["--seq-len", "2", "--envs", "2", "--embed-dim", "8", "--heads", "2"]
TINY = [*SIZES, "--warmup-updates", "1", "--memory-limit", "2GiB", "--device", "cpu"]
UPDATES = ["--min-updates", "2", "--min-seconds", "0"]
GRID = ["--agents", "2,3,16384", "--model", "sable:chunkwise,mat:dense", *UPDATES, "--set", "ppo.clip=0.3"]


@dataclass(frozen=True)
class Sweep:
    """A finished sweep: its folder, and what it printed."""

    path: Path
    done: subprocess.CompletedProcess[str]

    @property
    def records(self) -> list[Record]:
        return load_records(self.path)

    @property
    def ok(self) -> list[Record]:
        return [record for record in self.records if record.status == "ok"]

    def json(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.path / name).read_text())
        return content


def scaleprof(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command, run in `folder`."""
    environment = {**os.environ, "XLA_FLAGS": QUICK_FLAGS, "COLUMNS": "80", **variables}
    return subprocess.run(
        [sys.executable, "-m", "scaleprof", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Two models at three sizes, the last of which needs more memory than it may have."""
    folder = tmp_path_factory.mktemp("sweep")
    done = scaleprof(folder, "sweep", *GRID, *TINY, "--out", "run", "--csv", "-", "--strict")
    return Sweep(folder / "run", done)


def test_points_and_how_they_ended(sweep: Sweep) -> None:
    assert [(record.model, record.mode, record.agents, record.status) for record in sweep.records] == [
        (model, mode, agents, status)
        for agents, status in ((2, "ok"), (3, "ok"), (16384, "oom"))
        for model, mode in (("sable", "chunkwise"), ("mat", "dense"))
    ], sweep.done.stderr


def test_strict_tells_of_failed_points(sweep: Sweep) -> None:
    assert sweep.done.returncode == 3


def test_stdout_is_the_csv_and_nothing_else(sweep: Sweep) -> None:
    assert sweep.done.stdout == (sweep.path / "results.csv").read_text()
    assert read_records(io.StringIO(sweep.done.stdout, newline="")) == sweep.records


def test_columns(sweep: Sweep) -> None:
    header, *rows = csv.reader(io.StringIO(sweep.done.stdout))
    assert set(COLUMNS) <= set(header)
    assert header == list(FIELD_NAMES)
    assert len(rows) == 6


def test_what_was_measured(sweep: Sweep) -> None:
    empty_on_a_cpu = {"device_peak_bytes", "nvml_process_bytes"}
    empty_when_well = {"reason_code", "reason"}
    resets = sweep.json("host.json")["peak_can_be_reset"]
    for record in sweep.ok:
        empty = {name for name in COLUMNS if getattr(record, name) in (None, "")}
        assert empty == (
            empty_on_a_cpu
            | empty_when_well
            | ({"chunk"} if record.model == "mat" else set())
            | (set() if resets else {"host_rss_peak_bytes", "host_peak_rise_bytes"})
        )
        assert record.phase == ""
        assert record.settings == "ppo.clip=0.3"
        assert (record.seq_len, record.envs, record.embed_dim, record.heads) == (2, 2, 8, 2)
        memory = 2 if record.host_memory_quality == "repeatable" else 0  # those that memory was measured with
        assert (record.warmup_updates, record.measured_updates) == (1 + memory, 2)
        assert record.memory_limit_bytes == 2 * 2**30
        assert (record.platform, record.run_id) == ("cpu", "run")


def test_every_figure_is_above_nothing(sweep: Sweep) -> None:
    may_be_zero = {"seed", "repeat", "policy_loss", "mean_return", "xla_act_temp_bytes", "host_peak_rise_bytes"}
    for record in sweep.ok:
        for name in COLUMNS:
            value = getattr(record, name)
            if isinstance(value, (int, float)) and name not in may_be_zero:
                assert value > 0, name


def test_the_rise_is_above_what_the_process_holds_anyway(sweep: Sweep) -> None:
    if not sweep.json("host.json")["peak_can_be_reset"]:
        pytest.skip("this kernel cannot reset a process's peak")
    for record in sweep.ok:
        assert record.host_rss_start_bytes is not None
        assert record.host_rss_peak_bytes is not None
        assert record.host_peak_rise_bytes is not None
        assert record.host_peak_rise_bytes <= record.host_rss_peak_bytes - record.host_rss_start_bytes


def test_throughput_follows_from_the_time_of_an_update(sweep: Sweep) -> None:
    for record in sweep.ok:
        assert record.update_seconds is not None
        assert record.update_min_seconds is not None
        assert record.update_p90_seconds is not None
        assert record.env_steps_per_second == pytest.approx(record.envs * record.seq_len / record.update_seconds)
        assert record.agent_steps_per_second == pytest.approx(
            record.agents * record.envs * record.seq_len / record.update_seconds
        )
        assert record.update_min_seconds <= record.update_seconds <= record.update_p90_seconds


def test_larger_teams_need_more(sweep: Sweep) -> None:
    for model in ("sable", "mat"):
        two, three = (record for record in sweep.ok if record.model == model)
        assert (two.xla_learn_argument_bytes or 0) < (three.xla_learn_argument_bytes or 0)
        assert two.device == three.device


def test_points_that_cannot_fit_are_not_run(sweep: Sweep) -> None:
    too_large = sweep.records[4:]
    # Softmax attention pairs all agents even when acting; retention acts by its state and pairs them to learn.
    assert [record.phase for record in too_large] == ["compile", "compile"]
    assert too_large[0].reason.startswith("the learn program needs")
    for record in too_large:
        assert record.reason_code == "predicted"
        assert record.xla_peak_bytes is not None
        assert record.xla_peak_bytes > 2 * 2**30
        assert "by XLA's analysis" in record.reason
        assert f"the limit is 2.00 GiB [{record.phase}]" in record.reason
        assert record.parameters is not None
        assert record.compile_seconds is None, "not all was compiled"
        assert record.update_seconds is None
        assert record.agent_steps_per_second is None


def test_samples(sweep: Sweep) -> None:
    names = [f"000{2 * i + j}-{model}-n{i + 2}-t2-r0" for i in (0, 1) for j, model in enumerate(MODEL_SLUGS)]
    assert sorted(path.name for path in (sweep.path / "samples").iterdir()) == [f"{name}.csv" for name in names]
    for name, record in zip(names, sweep.ok, strict=True):
        with (sweep.path / "samples" / f"{name}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        told = [(row["update"], row["phase"]) for row in rows if row["phase"] != "memory"]
        assert told == [("0", "warm up"), ("0", "measure"), ("1", "measure")]
        for row in rows:
            assert float(row["update_seconds"]) == pytest.approx(
                float(row["rollout_seconds"]) + float(row["learn_seconds"])
            )
        seconds = [float(row["update_seconds"]) for row in rows if row["phase"] == "measure"]
        assert record.update_seconds == pytest.approx(sum(seconds) / 2)
        assert record.update_min_seconds == min(seconds)
        for metric in ("policy_loss", "value_loss", "entropy", "grad_norm", "mean_return"):
            assert getattr(record, metric) == float(rows[-1][metric])


MODEL_SLUGS = ("sable-chunkwise", "mat-dense")


def test_files_of_a_run(sweep: Sweep) -> None:
    assert sorted(path.name for path in sweep.path.iterdir()) == [
        "host.json",
        "lock",
        "logs",
        "manifest.json",
        "records.jsonl",
        "results.csv",
        "samples",
        "timelines",
    ]
    assert sorted(path.name for path in (sweep.path / "logs").iterdir()) == [
        f"000{2 * i + j}-{model}-n{agents}-t2-r0.log"
        for i, agents in enumerate((2, 3, 16384))
        for j, model in enumerate(MODEL_SLUGS)
    ]
    assert (sweep.path / "records.jsonl").read_text().count("\n") == 6


def test_manifest(sweep: Sweep) -> None:
    manifest = sweep.json("manifest.json")
    assert manifest["points"] == 6
    assert manifest["options"]["agents"] == "2,3,16384"
    assert manifest["options"]["memory_limit"] == 2 * 2**30
    assert manifest["options"]["set"] == ["ppo.clip=0.3"]


def test_environment(sweep: Sweep) -> None:
    environment = sweep.json("host.json")
    assert environment["scaleprof"] == __version__
    assert environment["command"][1:] == ["sweep", *GRID, *TINY, "--out", "run", "--csv", "-", "--strict"]
    assert environment["packages"]["jax"]
    assert (environment["platform"], environment["allocator_statistics"]) == ("cpu", False)
    assert environment["variables"]["together"]["XLA_FLAGS"] == QUICK_FLAGS
    assert environment["variables"]["together"]["JAX_PLATFORMS"] == "cpu"
    assert environment["variables"]["together"]["JAX_ENABLE_COMPILATION_CACHE"] == "false"
    assert environment["memory_bytes"] == psutil.virtual_memory().total
    assert {"python", "os", "cpu", "cores", "affinity", "git", "start_rss_bytes"} <= set(environment)


def test_progress_without_a_terminal(sweep: Sweep) -> None:
    lines = [line for line in sweep.done.stderr.splitlines() if "may spoil the measurement" not in line]
    assert lines.pop(0) == "6 points, up to 2.00 GiB each; run folder run"
    assert [line.partition(" ")[0] for line in lines[:6]] == [f"[{number}/6]" for number in range(1, 7)]
    assert lines[0].startswith("[1/6] sable:chunkwise · 2 agents · T 2: ")
    assert " agent-steps/s, " in lines[0]
    assert lines[4].startswith("[5/6] sable:chunkwise · 16384 agents · T 2: oom: the learn program needs ")
    assert lines[-1] == "Written to run"


@pytest.mark.parametrize("what", ["run", "run/results.csv"])
def test_report_of_a_sweep(sweep: Sweep, what: str) -> None:
    done = scaleprof(sweep.path.parent, "report", what)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Run {what}\n")
    for record in sweep.ok:
        assert format_bytes(record.host_peak_rise_bytes) in done.stdout
    assert "sable chunkwise: oom at 16384 agents (largest that ran: 3): needs " in done.stdout
    assert "sable chunkwise  1.5x the agents: " in done.stdout
    assert "6 points: 4 ok, 2 failed (2 oom)" in done.stdout


def test_export_gives_back_the_csv_of_the_sweep(sweep: Sweep) -> None:
    done = scaleprof(sweep.path.parent, "export", "run", "--csv", "-")
    assert (done.returncode, done.stdout, done.stderr) == (0, sweep.done.stdout, "")


def test_the_folder_is_taken_now(sweep: Sweep) -> None:
    before = (sweep.path / "records.jsonl").read_bytes()
    done = scaleprof(sweep.path.parent, "sweep", *GRID, *TINY, "--out", "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "scaleprof: --out: run already holds a run: name another folder\n"
    assert (sweep.path / "records.jsonl").read_bytes() == before


# Real processes with a model that fails at 2 agents and never ends at 3, so that nothing is compiled.


@pytest.fixture
def stuck(tmp_path: Path) -> dict[str, str]:
    """Variables that put such a model into every worker."""
    code = """
        import sys, time, types
        def programs(point, batching):
            if point.agents == 2:
                raise ValueError("two are not a team")
            time.sleep(600)
        fake = types.ModuleType("scaleprof.worker.programs")
        fake.Programs = programs
        sys.modules["scaleprof.worker.programs"] = fake
        """
    (tmp_path / "injected").mkdir()
    (tmp_path / "injected" / "sitecustomize.py").write_text(textwrap.dedent(code))
    path = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path / "injected"), *([path] if path else [])])}


def test_failures_and_timeouts_are_rows(tmp_path: Path, stuck: dict[str, str]) -> None:
    arguments = ["--agents", "2,3", "--model", "mat", "--timeout", "3", "--scenario", "neom:quick-flip"]
    done = scaleprof(tmp_path, "sweep", *arguments, *TINY, "--csv", "copy.csv", **stuck)
    assert done.returncode == 3  # every point failed
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.endswith("-neom-quick-flip")
    records = load_records(run)
    assert [(record.status, record.reason_code, record.reason) for record in records] == [
        ("error", "exception", "ValueError: two are not a team [start]"),
        ("timeout", "timeout", "not finished after 3 s (--timeout) [start]"),
    ]
    assert (tmp_path / "copy.csv").read_bytes() == (run / "results.csv").read_bytes()
    assert "2 points: 0 ok, 2 failed (1 timeout, 1 error)" in " ".join(done.stdout.split())
    assert done.stderr.splitlines()[-1] == f"Written to runs/{run.name}"
    assert "Traceback" in next((run / "logs").glob("0000-*")).read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle(tmp_path: Path, stuck: dict[str, str], number: signal.Signals) -> None:
    command = [sys.executable, "-m", "scaleprof", "sweep", "--agents", "2,3,4", "--model", "mat", *TINY]
    with subprocess.Popen(
        [*command, "--out", "run"],
        cwd=tmp_path,
        env={**os.environ, **stuck},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 120.0
        while not list(tmp_path.glob("run/logs/0001-*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert [record.status for record in load_records(tmp_path / "run")] == ["error"]
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, number)  # as a terminal does: everybody in the foreground gets it
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not [child for child in children if child.is_running()]
    records = load_records(tmp_path / "run")
    assert [(record.agents, record.status, record.reason_code) for record in records] == [
        (2, "error", "exception"),
        (3, "interrupted", "signal"),
    ]
    assert read_records(tmp_path / "run" / "results.csv") == records
    assert "2 points: 0 ok, 2 failed (1 error, 1 interrupted)" in " ".join(output.split())
    how_to_go_on = "Interrupted after 1 of 3 points; resume with: scaleprof sweep --resume run"
    assert errors.splitlines()[-2:] == ["Written to run", how_to_go_on]
    report = scaleprof(tmp_path, "report", "run")
    assert report.returncode == 0
    assert output.splitlines()[-1] == report.stdout.splitlines()[-1]


def test_batching_is_tried_once_and_takes_nothing_from_what_is_measured(tmp_path: Path) -> None:
    """Of two repeats in two processes each, the first process tries; compiling stays its own."""
    sizes = "--agents 2 --model ippo --envs 2 --seq-len 2 --embed-dim 8 --min-updates 1 --min-seconds 0"
    options = "--batching auto --repeats 2 --measure memory,speed --device cpu --memory-limit 4GiB --out run"
    done = subprocess.run(
        [sys.executable, "-m", "scaleprof", "sweep", *sizes.split(), *options.split()],
        cwd=tmp_path,
        env={**os.environ, "XLA_FLAGS": QUICK_FLAGS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = load_records(tmp_path / "run")
    assert (first.status, second.status) == ("ok", "ok")
    assert first.batched_by == second.batched_by != ""
    assert (first.compile_cache, second.compile_cache) == ("written", "read")
    assert first.host_peak_rise_bytes is not None
    phases = [path.read_text() for path in sorted((tmp_path / "run" / "timelines").iterdir())]
    assert [text.count("memory: try") > 0 for text in phases] == [True, False]
    assert "speed: try" not in "".join(phases)
