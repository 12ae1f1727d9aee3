"""How accurate the memory figures are: programs of known footprint and the project's models, in fresh processes.

Each program's footprint is known by construction. It is compared with XLA's static figure (arguments + outputs −
aliases + temporaries) and with the measured rise (VmHWM over the base after compiling), both taken as
`scaleprof sweep --measure memory` takes them. The models' true footprint is unknown: their measured rise is compared
with the static figure, compiled by default and with YNNPACK fusions off, where that figure claims to be exact.

    python benchmarks/memory_truth.py [--repeats 3] [--only NAME] [--models]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from reports.records.csv_file import read_records
from scaleprof.launch.local import ALLOCATOR, child_variables
from scaleprof.probes import host, xla

MB = 10**6
NO_YNN = "--xla_cpu_experimental_ynn_fusion_type="
MODELS = (("sable:factored", 256), ("sable:chunkwise", 512), ("mat:dense", 512), ("mat:blockwise", 512), ("ippo", 4096))


class Program(NamedTuple):
    """A function, its input shapes, the donated inputs, and the bytes it must hold at its peak."""

    function: Callable[..., Any]
    shapes: tuple[tuple[tuple[int, ...], str], ...]
    donated: tuple[int, ...]
    truth_bytes: int


def programs() -> dict[str, Program]:
    """Programs of 0.1 to 4 GB, by name."""
    import jax
    import jax.numpy as jnp

    def rows(megabytes: int, kind: str = "float32") -> tuple[tuple[int, ...], str]:
        size = jnp.dtype(kind).itemsize
        return (megabytes * MB // (1000 * size), 1000), kind

    def kept(x: Any) -> Any:
        """A temporary that cannot be fused away."""
        return jax.lax.optimization_barrier(x)

    def stacked(x: Any) -> Any:
        """A scan whose 500 results are stacked."""
        return jax.lax.scan(lambda h, _: (h + 1.0, h * 2.0), x, length=500)

    def two_temporaries(x: Any) -> Any:
        first = kept(x * 2.0)
        second = kept(jnp.flip(first, axis=0) + 1.0)
        return (first * second).sum()

    def residuals(x: Any) -> Any:
        """A gradient that keeps one array for every step of a scan."""

        def loss(x: Any) -> Any:
            return jax.lax.scan(lambda h, _: (jnp.sin(h), None), x, length=300)[0].sum()

        return jax.grad(loss)(x)

    return {
        "copy, 0.1 GB": Program(lambda x: x + 1.0, (rows(50),), (), 100 * MB),
        "copy, 0.5 GB": Program(lambda x: x + 1.0, (rows(250),), (), 500 * MB),
        "copy, 4 GB": Program(lambda x: x + 1.0, (rows(2000),), (), 4000 * MB),
        "donated in place, 1 GB": Program(lambda x: x + 1.0, (rows(1000),), (0,), 1000 * MB),
        "concatenation, 0.75 GB": Program(lambda x: jnp.concatenate([x, x]), (rows(250),), (), 750 * MB),
        "transposition, 0.8 GB": Program(lambda x: kept(x.T), (rows(400),), (), 800 * MB),
        "two temporaries, 1.5 GB": Program(two_temporaries, (rows(500),), (), 1500 * MB),
        "stacked scan, 2 GB": Program(stacked, (rows(4),), (), (500 + 2) * 4 * MB),
        "residuals of a scan, 1.2 GB": Program(residuals, (rows(4),), (), (300 + 2) * 4 * MB),
        "three into one, 3 GB": Program(lambda x, y, z: x + y * z, (rows(750),) * 3, (), 3000 * MB),
        "bytes to floats, 0.25 GB": Program(lambda x: x.astype(jnp.float32), (rows(50, "int8"),), (), 250 * MB),
        "product, 0.3 GB": Program(lambda x, y: x @ y, (((5000, 5000), "float32"),) * 2, (), 300 * MB),
    }


def measure(name: str) -> dict[str, Any]:
    """In a child: one program's static figure and measured rise."""
    import jax
    import jax.numpy as jnp

    program = programs()[name]
    shapes = [jax.ShapeDtypeStruct(shape, kind) for shape, kind in program.shapes]
    compiled = jax.jit(program.function, donate_argnums=program.donated).lower(*shapes).compile()
    makers = [jax.jit(lambda s=s: jnp.ones(s.shape, s.dtype)).lower().compile() for s in shapes]
    static = xla.program_memory(compiled)
    assert static is not None
    bound = "lower" if xla.has_unseen_memory(compiled) else "exact"
    host.release_free_memory()
    host.reset_peak()
    base = host.rss_bytes()
    for _ in range(2):
        inputs = [jax.block_until_ready(make()) for make in makers]
        result = jax.block_until_ready(compiled(*inputs))
        del inputs, result
        wait_until_freed(base)
    peak = host.peak_rss_bytes()
    assert peak is not None
    return {"static": static.peak_bytes, "bound": bound, "measured": peak - base, "truth": program.truth_bytes}


def wait_until_freed(base: int) -> None:
    """Wait until freed arrays are gone: jax frees them in another thread, during the next allocation."""
    deadline = time.monotonic() + 5.0
    while host.rss_bytes() > base + 20 * MB and time.monotonic() < deadline:
        time.sleep(0.01)


def in_child(name: str) -> dict[str, Any]:
    """One program's figures from a fresh process with a repeatable allocator."""
    variables = {**child_variables("cpu"), **ALLOCATOR}
    command = [sys.executable, __file__, "--child", name]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def known_programs(repeats: int, only: str | None) -> None:
    """Print a line per program."""
    names = ("program", "truth MB", "static", "error", "bound", "measured", "error", "spread")
    print("{:30s} {:>9s} {:>8s} {:>7s} {:5s} {:>9s} {:>7s} {:>7s}".format(*names))
    for name in programs():
        if only is not None and only not in name:
            continue
        found = [in_child(name) for _ in range(repeats)]
        truth, static = found[0]["truth"], found[0]["static"]
        measured = [one["measured"] for one in found]
        middle = statistics.median(measured)
        print(
            f"{name:30s} {truth / MB:9.1f} {static / MB:8.1f} {static / truth - 1:+7.2%} {found[0]['bound']:5s} "
            f"{middle / MB:9.1f} {middle / truth - 1:+7.2%} {(max(measured) - min(measured)) / middle:7.2%}",
            flush=True,
        )


def project_models(repeats: int) -> None:
    """Print a line per model and compiler flag, measured through the command line."""
    names = ("model", "agents", "fusions", "static MB", "bound", "measured", "static/measured", "spread")
    print("\n{:17s} {:>6s} {:8s} {:>9s} {:5s} {:>9s} {:>15s} {:>7s}".format(*names))
    for model, agents in MODELS:
        for fusions, flags in (("default", ""), ("off", NO_YNN)):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "scaleprof", "sweep", "--agents", str(agents), "--model", model]
                command += [
                    "--measure",
                    "memory",
                    "--repeats",
                    str(repeats),
                    "--out",
                    f"{folder}/run",
                    "--device",
                    "cpu",
                ]
                flags_before = os.environ.get("XLA_FLAGS", "")
                variables = {**os.environ, "XLA_FLAGS": f"{flags_before} {flags}".strip()}
                subprocess.run(command, env=variables, capture_output=True, check=True)
                records = read_records(Path(folder) / "run" / "results.csv")
            rises = [record.host_peak_rise_bytes for record in records if record.host_peak_rise_bytes is not None]
            if not rises or records[0].xla_peak_bytes is None:
                print(f"{model:17s} {agents:6d} {fusions:8s} {records[0].status}: {records[0].reason}")
                continue
            middle, static = statistics.median(rises), records[0].xla_peak_bytes
            print(
                f"{model:17s} {agents:6d} {fusions:8s} {static / MB:9.1f} {records[0].xla_bound:5s} {middle / MB:9.1f} "
                f"{static / middle - 1:+15.2%} {(max(rises) - min(rises)) / middle:7.2%}",
                flush=True,
            )


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes per row")
    parser.add_argument("--only", metavar="NAME", help="only programs whose name contains NAME")
    parser.add_argument("--models", action="store_true", help="only the project's models")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child)))
        return 0
    if not options.models:
        known_programs(options.repeats, options.only)
    if options.only is None:
        project_models(options.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
