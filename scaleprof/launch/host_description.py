"""Describe the host of a run: hardware, versions, git state. Runs in the parent; device facts come from a child."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from reports.records.redaction import is_secret, redacted, redacted_values
from scaleprof import __version__
from scaleprof.launch.kept_variables import VARIABLES
from scaleprof.probes import cgroup, host
from scaleprof.probes.kernel_files import kernel_text
from scaleprof.probes.nvml import hash_of

PACKAGES = ("jax", "jaxlib", "flax", "optax", "jumanji", "numpy", "rich", "typer", "psutil")


def describe(
    command: list[str],
    child_variables: Mapping[str, Mapping[str, str]],
    devices: dict[str, Any],
    cards: list[dict[str, Any]],
) -> dict[str, Any]:
    """Everything that the measurements of a run may depend on, as JSON values; None is unknown.

    `child_variables` holds the variables of each kind of child, `devices` the facts that a first child found, `cards`
    the driver's description of the GPUs. Secrets and home folders are left out.
    """
    described = {
        "scaleprof": __version__,
        "command": command,
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "os": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "affinity": list(host.usable_cpus()),
        "governor": governor(),
        "memory_bytes": host.total_memory_bytes(),
        "memory_limit_bytes": cgroup.memory_limit_bytes(),
        "cpu_quota": cgroup.cpu_quota(),
        "allocator": platform.libc_ver(),
        "cards": cards,
        "variables": {kind: relevant(variables) for kind, variables in child_variables.items()},
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git_state(Path(devices["source"])) if "source" in devices else None,
        **devices,
    }
    return {name: redacted_values(value) for name, value in described.items()}


def this_machine() -> dict[str, Any]:
    """The fields of a description that tell this machine from others, without starting a process."""
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "affinity": list(host.usable_cpus())}


def relevant(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that measurements may depend on, without secrets.

    A card's UUID, a serial number, is replaced by its hash, a home folder by `~`.
    """
    chosen = {
        name: redacted(value) for name, value in sorted(variables.items()) if name in VARIABLES and not is_secret(name)
    }
    return {
        name: ",".join(hash_of(part) if part.startswith(("GPU-", "MIG-")) else part for part in value.split(","))
        for name, value in chosen.items()
    }


def governor() -> str | None:
    """The CPU frequency governor of the first core; None if unknown, as on most virtual machines."""
    return kernel_text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))


def package_version(name: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_model() -> str | None:
    """The CPU's name; None if unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit, and whether tracked files differ from it; None outside a git checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None or git("ls-files", "--error-unmatch", str(folder / "__init__.py")) is None:
        return None
    return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}


def command_line() -> list[str]:
    """This process's command line, with the program's path reduced to its name, without secrets."""
    return [redacted(part) for part in (Path(sys.argv[0]).name, *sys.argv[1:])]
