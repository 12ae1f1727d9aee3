"""How steady a point's figures are, and what measuring costs, through the command line.

The same code is measured against itself: `--pairs` times as two processes one after the other (like a sweep's
repeats), and as often as live pairs that take turns (`--against` this checkout). It prints the spread of the log ratio
of the two, in wall time and CPU time, for the median and the 25th percentile of the updates. Then it prints the
overhead per point, next to that of a bare `import jax`, and the share of a core that the sweep itself uses.

    python benchmarks/steadiness.py [--agents 64] [--model sable:chunkwise] [--pairs 6]
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from reports.records.csv_file import read_records

ROOT = Path(__file__).resolve().parent.parent
Times = dict[str, list[float]]


def sweep(folder: Path, options: argparse.Namespace, *arguments: str) -> Path:
    """Run a sweep in a new folder; return the run directory."""
    run = folder / f"run{len(list(folder.iterdir()))}"
    command = [sys.executable, "-m", "scaleprof", "sweep", "--agents", str(options.agents), "--model", options.model]
    command += ["--device", "cpu", "--min-seconds", str(options.seconds), "--out", str(run), *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return run


def measured(file: Path) -> Times:
    """Wall and CPU seconds of every measured update in a samples file, and its burst if it has one."""
    with file.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["phase"] == "measure"]
    names = ("update_seconds", "update_cpu_seconds", "burst")
    return {name: [float(row[name]) for row in rows] for name in names if name in rows[0]}


def first_quartile(values: Sequence[float]) -> float:
    """The 25th percentile."""
    return statistics.quantiles(values, n=4, method="inclusive")[0]


def in_bursts(times: Times, name: str, statistic: Callable[[Sequence[float]], float]) -> list[float]:
    """`statistic` of each burst's values."""
    bursts: dict[float, list[float]] = {}
    for burst, value in zip(times["burst"], times[name], strict=True):
        bursts.setdefault(burst, []).append(value)
    return [statistic(values) for values in bursts.values()]


def spread(ratios: Sequence[float]) -> str:
    """Standard deviation and largest magnitude of log ratios."""
    return f"sd {statistics.stdev(ratios):6.2%}  largest {max(abs(ratio) for ratio in ratios):6.2%}"


def steadiness(options: argparse.Namespace, folder: Path) -> Path:
    """Print the spreads; return the run of single processes."""
    single = sweep(folder, options, "--repeats", str(2 * options.pairs))
    singles = [measured(file) for file in sorted((single / "samples").glob("*.csv"))]
    paired = sweep(folder, options, "--repeats", str(options.pairs), "--against", str(ROOT))
    pairs = [
        (measured(file), measured(file.with_name(file.name.replace("-new", "-base"))))
        for file in sorted((paired / "samples").glob("*-new.csv"))
    ]
    for name in ("update_seconds", "update_cpu_seconds"):
        for label, statistic in (("median", statistics.median), ("p25", first_quartile)):
            apart = [
                math.log(statistic(one[name]) / statistic(other[name]))
                for one, other in zip(singles[::2], singles[1::2], strict=True)
            ]
            turns = [
                statistics.median(
                    math.log(one / other)
                    for one, other in zip(in_bursts(a, name, statistic), in_bursts(b, name, statistic), strict=False)
                )
                for a, b in pairs
            ]
            print(
                f"{name:20s} {label:6s}  one after the other: {spread(apart)}   in turns: {spread(turns)}", flush=True
            )
    return single


def bare_import() -> float:
    """Median wall time of a process that only imports jax."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import jax"], check=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> int:
    """Print spreads, overhead and the sweep's own CPU use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=64, help="number of agents")
    parser.add_argument("--model", default="sable:chunkwise", help="model or model:mode")
    parser.add_argument("--pairs", type=int, default=6, help="pairs of each kind")
    parser.add_argument("--seconds", type=float, default=3.0, help="minimum measured seconds per point")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        records = read_records(steadiness(options, Path(folder)) / "results.csv")
    overhead = statistics.median(record.overhead_seconds for record in records if record.overhead_seconds is not None)
    share = statistics.median(record.parent_cpu_share for record in records if record.parent_cpu_share is not None)
    print(f"overhead per point {overhead:.2f} s, a bare import jax {bare_import():.2f} s")
    print(f"CPU time of the sweep itself while updates are measured: {share:.2%} of a core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
