"""Machine, versions and git state of a run, recorded once. Runs in the parent: device facts come from a child."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from scaleprof import __version__
from scaleprof.probes import host

PACKAGES = ("jax", "jaxlib", "flax", "optax", "jumanji", "numpy", "rich", "typer", "psutil")
VARIABLES = ("XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "MALLOC_MMAP_THRESHOLD_", "OMP_NUM_THREADS")
PREFIXES = ("JAX_", "XLA_")


def describe(command: list[str], child_env: dict[str, str], devices: dict[str, Any]) -> dict[str, Any]:
    """Everything that a figure of this run may depend on, as plain JSON values; unknown is None.

    `child_env` is the environment that children get, `devices` what a first child found.
    """
    return {
        "scaleprof": __version__,
        "command": command,
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "os": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_bytes": host.total_memory_bytes(),
        "variables": {
            name: value for name, value in sorted(child_env.items()) if name in VARIABLES or name.startswith(PREFIXES)
        },
        "git": git_state(Path(__file__).parent),
        **devices,
    }


def package_version(name: str) -> str | None:
    """The installed version of a package, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_model() -> str | None:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether tracked files differ from it; None outside a git checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None or git("ls-files", "--error-unmatch", __file__) is None:
        return None
    return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}


def command_line() -> list[str]:
    """How this process was called, the program's path reduced to its name."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
