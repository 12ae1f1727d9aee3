"""Set-up of the whole suite: array shapes are checked while tests run, and compilations are shared."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

SHAPE_CHECKED = [
    "sable.distributions",
    "sable.layers",
    "sable.mixers",
    "sable.networks",
    "sable.policies",
    "sable.training",
    "scenarios.cleaner",
    "scenarios.connector",
    "scenarios.episodes",
    "scenarios.jumanji_adapter",
    "scenarios.lbf",
    "scenarios.neom",
    "scenarios.pattern_memory",
    "scenarios.reset_pool",
    "scenarios.rware",
    "scenarios.search_rescue",
    "scenarios.turn_taking",
    "scenarios.wrappers",
]

install_import_hook(SHAPE_CHECKED, "beartype.beartype")

# One folder for all processes of a run: the first makes it, the others inherit its name.
if "SCALEPROF_TEST_CACHE" not in os.environ:
    os.environ["SCALEPROF_TEST_CACHE"] = tempfile.mkdtemp(prefix="scaleprof-tests-")
_cache = os.environ["SCALEPROF_TEST_CACHE"]
jax.config.update("jax_compilation_cache_dir", _cache)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which commands run, before a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"COLUMNS": "80", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove what was compiled, once the whole run is over."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(_cache, ignore_errors=True)
