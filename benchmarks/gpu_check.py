"""All that one NVIDIA card has to confirm, in one command and one table: `make gpu-check`.

1. The golden tests, on the device.
2. A sweep of the default models at `--agents`: the allocator's peak, the driver's figure and XLA's plan side by side.
3. `mat:fused` beside `mat:dense`, in bfloat16.
4. `scaleprof frontier` for `--memory`, confirmed by running the size that fits and the next one.

It writes RESULT/table.md and keeps the runs in RESULT. Not yet run on hardware; `--device cpu` tries the steps without
a card. It needs nothing but this checkout and a jax that finds the card:

    python -m benchmarks.gpu_check [--out RESULT] [--agents 16,128,1024] [--memory 2GiB] [--target NAME] [--device cpu]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from reports.records.record import Record
from reports.render.markdown import markdown
from reports.text.section import Cell, Document, Section, TableColumn, label
from reports.text.units import UNKNOWN, format_bytes, format_rate
from scaleprof.runs.store import load_records

ROOT = Path(__file__).parent.parent
FIGURES = ("device_peak_bytes", "nvml_process_bytes", "xla_peak_bytes", "memory_bytes")


def run(name: str, *arguments: str, device: str) -> int:
    """Run a Python module from this checkout; returns its exit code."""
    platforms = {"gpu": "cuda", "cpu": "cpu"}
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    if arguments[0] == "pytest":
        variables["JAX_PLATFORMS"] = platforms[device]
    began = time.monotonic()
    code = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, env=variables, check=False).returncode
    print(f"== {name}: exit code {code}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return code


def sweep(folder: Path, device: str, *options: str) -> list[Record]:
    """The records of a sweep that is kept in `folder`."""
    code = run(folder.name, "scaleprof", "sweep", "--device", device, "--out", str(folder), *options, device=device)
    return load_records(folder) if code in (0, 3) else []


def memory_table(records: Sequence[Record]) -> Section:
    """Memory measured and planned, and the error of the plan, one row a point."""
    labels = [label("model", [f"{record.model} {record.mode}".strip() for record in records])]
    labels += [label("agents", [record.agents for record in records]), label("status", [r.status for r in records])]
    columns = [
        TableColumn(name, tuple(Cell(format_bytes(getattr(record, name))) for record in records)) for name in FIGURES
    ]
    errors = tuple(Cell(plan_error(record)) for record in records)
    rates = tuple(Cell(format_rate(record.agent_steps_per_second)) for record in records)
    columns += [TableColumn("plan's error", errors), TableColumn("agent-steps/s", rates)]
    return Section("Memory, measured and planned", labels=tuple(labels), columns=tuple(columns))


def plan_error(record: Record) -> str:
    """(plan − measured) / measured, with its sign."""
    measured = record.device_peak_bytes or record.memory_bytes
    if not measured or record.xla_peak_bytes is None or record.status != "ok":
        return UNKNOWN
    return f"{100 * (record.xla_peak_bytes / measured - 1):+.1f} %"


def confirm(folder: Path, options: argparse.Namespace) -> Section:
    """The frontier of factored Sable in `--memory`, run on both sides."""
    question = ["--model", "sable:factored", "--seq-len", "16", "--memory", options.memory, "--target", options.target]
    if run("frontier", "scaleprof", "frontier", *question, "--out", str(folder / "plans"), device=options.device):
        return Section("Frontier", lines=("It could not be planned: see above.",))
    needs = {record.agents: record for record in load_records(folder / "plans")}
    limit = next(iter(needs.values())).memory_limit_bytes or 0
    fits = max(agents for agents, record in needs.items() if (record.xla_peak_bytes or 0) <= limit)
    sizes = [fits, *sorted(agents for agents in needs if agents > fits)[:1]]
    ran = sweep(
        folder / "both-sides",
        options.device,
        *("--model", "sable:factored", "--seq-len", "16", "--memory-limit", options.memory, "--keep-going"),
        *("--agents", ",".join(map(str, sizes)), "--min-updates", "2", "--min-seconds", "0"),
    )
    return Section("Frontier, both sides", lines=tuple(f"{r.agents} agents: {r.status}: {r.reason}" for r in ran))


def main() -> int:
    """Run every step, even where one fails; exit code 1 if any did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs") / f"gpu-check-{time.strftime('%Y%m%d-%H%M%S')}")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--agents", default="16,128,1024")
    parser.add_argument("--memory", default="2GiB", help="memory of the frontier")
    parser.add_argument("--target", default="h100", help="the description that is nearest to the card")
    options = parser.parse_args()
    folder = options.out.absolute()
    folder.mkdir(parents=True)
    golden = run("golden tests", "pytest", "-q", "tests/test_golden.py", device=options.device)
    quick = ("--min-updates", "3", "--min-seconds", "0.5", "--agents", options.agents)
    default = sweep(folder / "default", options.device, *quick)
    some = options.agents.split(",")[0]
    attention = "mat:dense,mat:fused" if options.device == "gpu" else "mat:dense"
    fused = sweep(folder / "fused", options.device, "--model", attention, "--dtype", "bfloat16", "--agents", some)
    sections = [Section(lines=(f"Golden tests: {'pass' if golden == 0 else f'exit code {golden}'}.",))]
    sections += [memory_table(records) for records in (default, fused) if records]
    sections.append(confirm(folder, options))
    devices = ", ".join(sorted({record.device for record in default if record.device})) or UNKNOWN
    (folder / "table.md").write_text(markdown(Document(f"Check on {devices}", sections=tuple(sections))), "utf-8")
    print((folder / "table.md").read_text("utf-8"))
    return 0 if golden == 0 and default and fused else 1


if __name__ == "__main__":
    sys.exit(main())
