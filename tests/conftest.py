"""Setup of the whole suite: shapes are checked, programs compile quickly and are cached between runs."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from compiler import QUICK_FLAGS, cache_folder
from jax._src.lru_cache import LRUCache
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

# XLA reads its flags once, when jax first uses it. Child processes inherit them.
os.environ.setdefault("XLA_FLAGS", QUICK_FLAGS)

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
jax.config.update("jax_compilation_cache_max_size", 2**30)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

evict = LRUCache._evict_if_needed
evicted: list[LRUCache] = []


def evict_at_the_first_write(cache: LRUCache, *, additional_size: int = 0) -> None:
    """Reading the age of every entry at every write, as jax does, takes minutes of a first run."""
    if not evicted:
        evicted.append(cache)
        evict(cache, additional_size=additional_size)


LRUCache._evict_if_needed = evict_at_the_first_write  # type: ignore[method-assign, assignment]

# Traced programs leave millions of objects: with Python's thresholds, collecting them takes a large part of the time.
gc.set_threshold(200_000, 50, 1000)


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps in this process do not say what spoils measurements on this machine: that differs by machine and time."""
    monkeypatch.setattr("scaleprof.cli.run_sweep.spoilers", lambda variables, pin: [])


@pytest.fixture(scope="module", autouse=True)
def forget_programs() -> Iterator[None]:
    """Programs are shared within a file. Kept longer, they take gigabytes."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which commands run, before a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"COLUMNS": "80", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path
