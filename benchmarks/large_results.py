"""How long large results take to read, write, report, compare and check: CPU seconds per phase.

It makes up runs of `--rows` records, written as a sweep writes them: a results.csv and a folder with records.jsonl.
Points differ in model, mode, agents, sequence length, environments and width; each has `--repeats`. CPU time is that of
the process that does the phase, imports included for commands, so other processes on the machine hardly matter.

    python benchmarks/large_results.py [--rows 100000] [--repeats 10] [--shuffle] [--folder DIR]
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reports.records.csv_file import read_records, write_records
from reports.records.record import Record
from reports.records.record_lines import record_line
from reports.records.run import load_run

MODES = (
    ("sable", "factored"),
    ("sable", "chunkwise"),
    ("sable", "recurrent"),
    ("mat", "dense"),
    ("mat", "linear"),
    ("ippo", ""),
)
AGENTS = tuple(2**power for power in range(1, 13))
LENGTHS = (8, 16, 32, 64)
ENVS = (4, 8, 16, 32, 64)
MIB = 2**20
GRID = {"scenario": "neom", "heads": 4, "blocks": 2, "epochs": 2, "minibatches": 4, "dtype": "float32"}
BIGGER = 1.01
"""By how much the second run differs from the first."""


def points(count: int) -> Iterator[dict[str, Any]]:
    """The axes of `count` points: agents vary fastest, and widths are as many as are needed."""
    widths = itertools.count(32, 8)
    grid = (
        (width, envs, length, mode, agents)
        for width in widths
        for envs in ENVS
        for length in LENGTHS
        for mode in MODES
        for agents in AGENTS
    )
    for width, envs, length, (model, mode), agents in itertools.islice(grid, count):
        yield {"model": model, "mode": mode, "agents": agents, "seq_len": length, "envs": envs, "embed_dim": width}


def records(rows: int, repeats: int, factor: float, seed: int) -> Iterator[Record]:
    """One run: what a CPU's records hold, with noise of 2 %; one point in fifty did not fit."""
    draw = random.Random(seed)
    for number, point in enumerate(points(math.ceil(rows / repeats))):
        for repeat in range(min(repeats, rows - number * repeats)):
            place = {**GRID, **point, "run_id": f"run-{seed}", "repeat": repeat, "files": f"{number:05}-r{repeat}"}
            yield failed(place) if number % 50 == 49 else measured(place, factor, draw)


def failed(place: dict[str, Any]) -> Record:
    """A point that was predicted not to fit."""
    why = "the learn program needs 24.8 GiB by XLA's analysis; the limit is 8.00 GiB"
    return Record(**place, status="oom", reason_code="predicted", reason=why, phase="compile", platform="cpu")


def measured(place: dict[str, Any], factor: float, draw: random.Random) -> Record:
    """A measured repeat: all fields that a sweep on a CPU fills, floats with all their digits."""
    size = place["agents"] * place["seq_len"] * place["envs"] * place["embed_dim"]
    need = 20 * MIB + 4 * size
    noise = math.exp(draw.gauss(0, 0.02))
    seconds = factor * (0.01 + size * 2e-7) * noise
    steps = place["envs"] * place["seq_len"] / seconds
    plans = {
        f"xla_{program}_{part}_bytes": need // share + number
        for number, (program, share) in enumerate((("act", 8), ("rollout", 2), ("learn", 1)))
        for part in ("argument", "output", "alias", "temp")
    }
    floats = {
        column.name: seconds * draw.random()
        for column in dataclasses.fields(Record)
        if column.name.endswith("_seconds") and column.name != "update_seconds"
    }
    return Record(
        **place,
        **plans,
        **floats,
        timestamp=f"2026-11-25T{draw.randrange(24):02}:{draw.randrange(60):02}:{draw.randrange(60):02}+00:00",
        status="ok",
        measure="together",
        memory_status="ok",
        speed_status="ok",
        platform="cpu",
        device="cpu",
        batched_by="vmap",
        learn_groups=1,
        segment_timesteps=place["seq_len"],
        parameters=place["embed_dim"] ** 2 * 24,
        xla_peak_bytes=need,
        xla_bound="lower",
        host_rss_start_bytes=180 * MIB + draw.randrange(MIB),
        host_compile_peak_bytes=600 * MIB + draw.randrange(MIB),
        host_base_bytes=480 * MIB + draw.randrange(MIB),
        host_rss_peak_bytes=480 * MIB + int(need * noise),
        host_peak_rise_bytes=int(need * noise * factor),
        host_memory_quality="repeatable",
        memory_limit_bytes=8 * 1024 * MIB,
        compiling="together",
        compile_cache="off",
        update_seconds=seconds,
        update_cv=draw.random() / 20,
        env_steps_per_second=steps,
        agent_steps_per_second=steps * place["agents"],
        warmup_updates=2,
        warmup="steady",
        measured_updates=5,
        others_cpu_share=draw.random() / 10,
        contended=0,
        parent_cpu_share=draw.random() / 100,
        flops_per_update=float(size * 1000),
        traffic_bytes_per_update=float(size * 100),
        matmul_fraction=draw.random(),
        copy_fraction=draw.random(),
        bound_by="arithmetic",
        policy_loss=draw.gauss(0, 0.01),
        value_loss=draw.random(),
        entropy=draw.random(),
        grad_norm=draw.random(),
        mean_reward=draw.random(),
        mean_return=draw.random(),
        decoder_steps=float(place["agents"]),
        parameters_moved=draw.random(),
    )


def write_run(folder: Path, made: Sequence[Record]) -> None:
    """A run folder, with the results.csv beside it as `FOLDER.csv`."""
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_text("".join(map(record_line, made)), encoding="utf-8")
    manifest = {"schema": 1, "points": len(made), "options": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "host.json").write_text(json.dumps({"scaleprof": "0", "jax": "0", "host": "made up"}), encoding="utf-8")
    with folder.with_suffix(".csv").open("w", encoding="utf-8", newline="") as stream:
        write_records(made, stream)


def cpu_seconds(work: Callable[[], object]) -> float:
    """The CPU time of `work` in this process."""
    before = time.process_time()
    work()
    return time.process_time() - before


def command_seconds(*arguments: str | Path) -> tuple[float, float]:
    """The CPU time of a command, and the most memory in MiB that any command so far has used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "scaleprof", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(map(str, arguments))}: exit code {done.returncode}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, after.ru_maxrss / 1024


def phases(folder: Path) -> Iterable[tuple[str, Callable[[], object]]]:
    """What is timed inside this process."""
    base = folder / "base"
    yield "read records.jsonl", lambda: load_run(base)
    yield "read results.csv", lambda: read_records(base.with_suffix(".csv"))


def commands(folder: Path) -> Iterable[tuple[str, tuple[str | Path, ...]]]:
    """The commands that are timed."""
    base, new = folder / "base", folder / "new"
    yield "report RUN", ("report", base)
    yield "report CSV", ("report", base.with_suffix(".csv"))
    yield "report --full", ("report", base, "--full")
    yield "report --json", ("report", base, "--json")
    yield "export csv", ("export", base)
    yield "export json", ("export", base, "--format", "json")
    yield "compare", ("compare", base, new)
    yield "check", ("check", base, new)
    yield "check, other points", ("check", base, folder / "other")


def make(folder: Path, options: argparse.Namespace) -> None:
    """Write the runs: `base`, `new` with the same points, and `other`, which lacks every second point."""
    for name, factor, seed in (("base", 1.0, 1), ("new", BIGGER, 2)):
        if (folder / name).exists():
            continue
        made = list(records(options.rows, options.repeats, factor, seed))
        if options.shuffle:
            random.Random(0).shuffle(made)
        write_run(folder / name, made)
        if name == "new":
            write_run(folder / "other", [one for one in made if one.agents in AGENTS[::2]])


def main() -> None:
    """Make the runs, then print a line for each phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="records of a run")
    parser.add_argument("--repeats", type=int, default=10, help="repeats of a point")
    parser.add_argument("--shuffle", action="store_true", help="records in any order")
    parser.add_argument("--folder", type=Path, help="where the runs are kept, for another call")
    parser.add_argument("--only", default="", help="only phases whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{'write':<22}{cpu_seconds(lambda: make(folder, options)):8.2f} s", flush=True)
        size = os.stat(folder / "base.csv").st_size / 1e6, os.stat(folder / "base" / "records.jsonl").st_size / 1e6
        print(f"{options.rows} rows: {size[0]:.0f} MB of CSV, {size[1]:.0f} MB of JSON lines", flush=True)
        for name, work in phases(folder):
            if options.only in name:
                print(f"{name:<22}{cpu_seconds(work):8.2f} s", flush=True)
        for name, arguments in commands(folder):
            if options.only in name:
                seconds, memory = command_seconds(*arguments)
                print(f"{name:<22}{seconds:8.2f} s   at most {memory:.0f} MiB so far", flush=True)


if __name__ == "__main__":
    main()
