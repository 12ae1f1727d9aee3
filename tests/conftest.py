"""Set-up of the whole suite: array shapes are checked while tests run, and compilations are shared."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import jax
from jaxtyping import install_import_hook

SHAPE_CHECKED = [
    "sable.acting",
    "sable.advantages",
    "sable.losses",
    "sable.mixers",
    "sable.networks",
    "sable.policies",
    "sable.ppo",
    "sable.rollout",
    "scenarios.neom",
    "scenarios.wrappers",
]

install_import_hook(SHAPE_CHECKED, "beartype.beartype")

# One folder for all workers of a run: xdist tells them apart from other runs.
_run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
jax.config.update("jax_compilation_cache_dir", str(Path(tempfile.gettempdir()) / f"scaleprof-tests-{_run}"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
