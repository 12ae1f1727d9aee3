"""The command line whose child processes keep compiled programs in the suite's cache.

For tests that look at no time, memory or cache of compiling: a child's cache is off otherwise, because compile time is
measured. Imports no jax, as the command line does not.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scaleprof.cli import diagnosis
from scaleprof.launch import preflight
from scaleprof.launch.local import child_variables
from scaleprof.probes.nvml import Nvml

if TYPE_CHECKING:
    import pytest

STARTERS, NAME = (preflight, diagnosis), child_variables.__name__
"""The modules that start children, and what they know the function by that gives variables."""
COMMAND = (sys.executable, "-m", "children")
"""Stands for `python -m scaleprof`, with the variables of `variables`."""


def variables(*paths: Path) -> dict[str, str]:
    """This process's variables for `COMMAND`; modules are looked for in `paths` first."""
    from compiler import QUICK_FLAGS, cache_folder

    found = [*map(str, paths), os.environ.get("PYTHONPATH"), str(Path(__file__).parent)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, found)),
        "XLA_FLAGS": QUICK_FLAGS,
        "JAX_COMPILATION_CACHE_DIR": str(cache_folder() / "children"),
        "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**29),  # with a limit, processes that share the folder lock it
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def cached(device: str | None, nvml: Nvml | None = None) -> dict[str, str]:
    """The variables of a child that uses the cache."""
    return child_variables(device, nvml) | {"JAX_ENABLE_COMPILATION_CACHE": "true"}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sweeps in this process start such children."""
    for name, value in variables().items():
        monkeypatch.setenv(name, value)
    for module in STARTERS:
        monkeypatch.setattr(module, NAME, cached)


if __name__ == "__main__":
    from scaleprof.cli import run

    del sys.path[0]  # the current folder, as `python -m scaleprof` does
    for starter in STARTERS:
        setattr(starter, NAME, cached)
    run()
