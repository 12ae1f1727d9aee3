"""How good `scaleprof check` is: false alarms on unchanged code, and detection of injected changes.

It simulates sweeps of 20 points on a CPU. Each process (repeat) has a lognormal speed with the given spread. Wall time
adds half of that spread, the rise of memory varies by 0.5 %, one repeat compiles and the others read its programs, and
XLA's bytes never vary. With `--drift`, all points of a run share a further factor of that spread, as on a machine that
is faster on some days. With `--pairs` the sides are live pairs: the given spread is the machine's from burst to burst,
which both sides share; the ratio of two processes has a spread of 2.5 %, plus 1 % per process in each of 16 bursts.

Given recorded runs of the same code, it pools their repeats by point and deals them out to two sides again and again,
so that the noise is real.

It prints the percentage of checks that found a regression: any at all if nothing was changed; otherwise one of
throughput (or XLA's bytes) at a changed point and, for changes of all points, the mean share of them that was found.

    python benchmarks/gate.py [--checks 300] [--threshold 10%] [--alpha 0.05] [--spreads 2,5,15] [--drift 0 | --pairs]
        [RUN ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from reports.checks.compare import compare_runs, compare_sides
from reports.checks.findings import REGRESSED, Comparison
from reports.checks.policy import CheckPolicy, parse_threshold
from reports.records.record import Record, point_key
from reports.records.run import Run, load_run

REPEATS = (1, 2, 3, 5, 8)
POINTS = 20
SLOWER = (1.05, 1.10, 1.20)
MORE_MEMORY = 1.02
PAIR_SPREAD = 0.025
"""Of the ratio of two processes that take turns, as `benchmarks/steadiness.py` measured it."""
BURST_SPREAD = 0.01
BURSTS = 16
TIMES = ("update_cpu_seconds", "update_seconds")

Sides = tuple[list[Record], list[Record]]
Check = Callable[[Sides], Comparison]


def simulated(spread: float, drift: float, repeats: int, draw: random.Random) -> Sides:
    """Two sweeps of the same code."""
    return one_sweep(spread, drift, repeats, draw), one_sweep(spread, drift, repeats, draw)


def one_sweep(spread: float, drift: float, repeats: int, draw: random.Random) -> list[Record]:
    """All repeats of all points of one run."""
    day = math.exp(draw.gauss(0, drift))
    records = []
    for agents in range(1, POINTS + 1):
        for repeat in range(repeats):
            cpu = 0.1 * day * math.exp(draw.gauss(0, spread))
            compiling = math.exp(draw.gauss(0, spread)) if repeat == 0 else None
            records.append(
                Record(
                    model="sable",
                    mode="chunkwise",
                    agents=agents,
                    envs=4,
                    seq_len=16,
                    repeat=repeat,
                    status="ok",
                    platform="cpu",
                    xla_peak_bytes=10**8,
                    host_memory_quality="repeatable",
                    host_peak_rise_bytes=int(10**8 * math.exp(draw.gauss(0, 0.005))),
                    update_cpu_seconds=cpu,
                    update_seconds=cpu * math.exp(draw.gauss(0, spread / 2)),
                    compile_act_seconds=compiling,
                    compile_rollout_seconds=compiling,
                    compile_learn_seconds=compiling,
                )
            )
    return records


@dataclasses.dataclass(frozen=True, slots=True)
class LivePairs(Run):
    """A run of live pairs whose samples are drawn on request, one update per burst."""

    machine_spread: float = 0.0
    """Of the machine's speed from burst to burst."""

    def samples(self, record: Record) -> list[dict[str, str]]:
        """The bursts of `record`: its own time × the machine's factor, shared by both sides × its own noise."""
        machine, own = random.Random(record.pair_id), random.Random(record.files)
        rows = []
        for burst in range(BURSTS):
            factor = math.exp(machine.gauss(0, self.machine_spread) + own.gauss(0, BURST_SPREAD))
            times = {name: str(factor * (getattr(record, name) or math.nan)) for name in TIMES}
            rows.append({"phase": "measure", "burst": str(burst), **times})
        return rows


def simulated_pairs(repeats: int, draw: random.Random) -> Sides:
    """Live pairs of the same code."""
    run = draw.random()
    base, new = (
        [
            dataclasses.replace(
                record,
                side=side,
                pair_id=f"{run}/{record.agents}/{record.repeat}",
                files=f"{run}/{record.agents}/{record.repeat}/{side}",
            )
            for record in one_sweep(PAIR_SPREAD / math.sqrt(2), 0, repeats, draw)
        ]
        for side in ("base", "new")
    )
    return base, new


def dealt(pools: Sequence[Sequence[Record]], repeats: int, draw: random.Random) -> Sides:
    """Recorded repeats of every point, dealt out to two sides."""
    base: list[Record] = []
    new: list[Record] = []
    for pool in pools:
        chosen = draw.sample(pool, 2 * repeats)
        for side, some in ((base, chosen[:repeats]), (new, chosen[repeats:])):
            side += [dataclasses.replace(record, repeat=number, run_id="") for number, record in enumerate(some)]
    return base, new


def slower(factor: float, *, points: int | None) -> Callable[[list[Record]], list[Record]]:
    """Multiplies the times of the first `points` points, or of all."""

    def change(records: list[Record]) -> list[Record]:
        keys = list(dict.fromkeys(map(point_key, records)))[:points]
        return [
            dataclasses.replace(record, **{name: factor * (getattr(record, name) or math.nan) for name in TIMES})
            if point_key(record) in keys
            else record
            for record in records
        ]

    return change


def larger(records: list[Record]) -> list[Record]:
    """Multiplies XLA's bytes of all points."""
    return [dataclasses.replace(one, xla_peak_bytes=round(MORE_MEMORY * (one.xla_peak_bytes or 0))) for one in records]


def check_runs(sides: Sides, policy: CheckPolicy) -> Comparison:
    """Compare two runs as `scaleprof check` does."""
    base, new = (Run("run", Path(), tuple(records)) for records in sides)
    return compare_runs(base, new, policy)


def check_pairs(sides: Sides, policy: CheckPolicy, machine_spread: float) -> Comparison:
    """Compare the sides of live pairs as `scaleprof check` does."""
    return compare_sides(LivePairs("run", Path(), (*sides[0], *sides[1]), machine_spread=machine_spread), policy)


def found(comparison: Comparison, metric: str, points: int | None = None) -> float:
    """The share of the changed points at which the metric regressed."""
    changed = [finding for finding in comparison.findings if finding.metric == metric][:points]
    return sum(finding.verdict == REGRESSED for finding in changed) / len(changed)


def print_table(title: str, make: Callable[[int], Sides], check: Check, repeats: Iterable[int], checks: int) -> None:
    """Print one table: a row per injected change, a column per number of repeats."""
    repeats = list(repeats)
    print(f"\n{title}\n")
    print(f"| injected change; repeats: | {' | '.join(map(str, repeats))} |")
    print(f"|---|{'--:|' * len(repeats)}")
    alarms = [100 * sum(bool(check(make(n)).of(REGRESSED)) for _ in range(checks)) / checks for n in repeats]
    print(f"| none (false alarms) | {' | '.join(f'{share:.1f}' for share in alarms)} |", flush=True)
    fewer = max(checks // 3, 20)
    rows: list[tuple[str, Callable[[list[Record]], list[Record]], str, int | None]] = [
        *(
            (f"{round(factor * 100 - 100)} % slower, {where}", slower(factor, points=points), "throughput", points)
            for points, where in ((None, "all points"), (1, "one point"))
            for factor in SLOWER
        ),
        ("2 % more memory, all points", larger, "xla_peak", None),
    ]
    for name, change, metric, points in rows:
        cells = []
        for count in repeats:
            shares = []
            for _ in range(fewer):
                base, new = make(count)
                shares.append(found(check((base, change(new))), metric, points))
            any_found = 100 * sum(share > 0 for share in shares) / fewer
            each = f" ({100 * sum(shares) / fewer:.0f})" if points is None else ""
            cells.append(f"{any_found:.0f}{each}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print a table for each spread, or for the given runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, help="recorded runs of the same code, instead of simulated ones")
    parser.add_argument("--checks", type=int, default=300, help="false-alarm checks per cell; other cells use a third")
    parser.add_argument("--threshold", default="10%", help="threshold of throughput")
    parser.add_argument("--alpha", type=float, default=0.05, help="the false discovery rate")
    parser.add_argument("--spreads", default="2,5,15", help="spreads between processes, in percent")
    parser.add_argument("--drift", type=float, default=0.0, help="spread between runs, in percent")
    parser.add_argument("--pairs", action="store_true", help="simulate live pairs")
    options = parser.parse_args()
    draw = random.Random(0)
    policy = CheckPolicy(dict([parse_threshold(f"throughput={options.threshold}")]), alpha=options.alpha)
    if options.runs:
        pools: dict[tuple[object, ...], list[Record]] = {}
        for record in (record for run in options.runs for record in load_run(run).records):
            if record.status == "ok":
                pools.setdefault(point_key(record), []).append(record)
        most = min(map(len, pools.values())) // 2
        repeats = [count for count in REPEATS if count <= most]
        title = f"Recorded runs: {len(pools)} points; threshold {options.threshold}"
        deal = partial(dealt, list(pools.values()), draw=draw)
        print_table(title, deal, partial(check_runs, policy=policy), repeats, options.checks)
        return
    for percent in map(float, options.spreads.split(",")):
        if options.pairs:
            title = f"Live pairs; spread: bursts {percent:g} %; threshold {options.threshold}"
            make = partial(simulated_pairs, draw=draw)
            check: Check = partial(check_pairs, policy=policy, machine_spread=percent / 100)
        else:
            title = f"Spread: processes {percent:g} %, runs {options.drift:g} %; threshold {options.threshold}"
            make = partial(simulated, percent / 100, options.drift / 100, draw=draw)
            check = partial(check_runs, policy=policy)
        print_table(title, make, check, REPEATS, options.checks)


if __name__ == "__main__":
    main()
