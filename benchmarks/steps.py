"""How good `scaleprof history` is: false steps on unchanged code, and how often an injected step is found.

It simulates histories of sweeps as `benchmarks/gate.py` does: 20 points on a CPU, with the given spread between
processes and, with `--drift`, between runs. From the middle run on, all points are slower.

It prints the percentage of histories with any step of throughput or wall time if nothing was changed; else that of the
points at which a step of throughput was found at the right run, and in brackets at any run.

    python benchmarks/steps.py [--histories 100] [--spreads 2,5,15] [--drift 0] [--runs 4,10,20]
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from gate import SLOWER, one_sweep, slower

from reports.checks.policy import CheckPolicy
from reports.history.steps import Change, History, history_of
from reports.records.run import Run

REPEATS = (1, 2, 5, 8)


def simulated(
    runs: int, spread: float, drift: float, repeats: int, draw: random.Random, factor: float = 1.0
) -> History:
    """A history whose second half is slower by `factor` at all points."""
    made = []
    for place in range(runs):
        records = one_sweep(spread, drift, repeats, draw)
        if place >= runs // 2:
            records = slower(factor, points=None)(records)
        made.append((f"r{place}", Run(f"r{place}", Path(), tuple(records))))
    return history_of(made, CheckPolicy())


def steps_of(history: History, *metrics: str) -> list[Change]:
    """The certain steps of some metrics."""
    return [change for change in history.of("step") if change.series.metric.name in metrics]


def rows_of(runs: int, spread: float, drift: float, histories: int, draw: random.Random) -> list[tuple[str, list[str]]]:
    """The rows of one table, each with a cell per number of repeats."""
    false = []
    for repeats in REPEATS:
        found = [simulated(runs, spread, drift, repeats, draw) for _ in range(histories)]
        false.append(100 * sum(bool(steps_of(one, "throughput", "wall_time")) for one in found) / histories)
    rows = [("none (false steps)", [f"{share:.1f}" for share in false])]
    for factor in SLOWER[1:]:
        cells = []
        for repeats in REPEATS:
            fewer = max(histories // 10, 5)
            found = [simulated(runs, spread, drift, repeats, draw, factor) for _ in range(fewer)]
            at = [change.start for one in found for change in steps_of(one, "throughput")]
            points = fewer * 20
            cells.append(f"{100 * at.count(runs // 2) / points:.0f} ({100 * len(at) / points:.0f})")
        rows.append((f"{factor * 100 - 100:.0f} % slower, all points", cells))
    return rows


def main() -> None:
    """Print a table for each spread and number of runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--histories", type=int, default=100, help="per cell of false steps; other cells use a tenth")
    parser.add_argument("--spreads", default="2,5,15", help="spreads between processes, in percent")
    parser.add_argument("--drift", type=float, default=0.0, help="spread between runs, in percent")
    parser.add_argument("--runs", default="4,10,20", help="runs of a history")
    options = parser.parse_args()
    draw = random.Random(0)
    for runs in map(int, options.runs.split(",")):
        for percent in map(float, options.spreads.split(",")):
            print(f"\n{runs} runs; spread: processes {percent:g} %, runs {options.drift:g} %\n")
            print(f"| injected change; repeats: | {' | '.join(map(str, REPEATS))} |")
            print(f"|---|{'--:|' * len(REPEATS)}")
            for name, cells in rows_of(runs, percent / 100, options.drift / 100, options.histories, draw):
                print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
