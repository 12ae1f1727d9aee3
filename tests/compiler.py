"""How XLA compiles in tests: quickly, except where a test needs fully optimised programs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jaxlib.version

QUICK_FLAGS = " ".join(
    [
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    ]
)
"""Compiles in about a third of the time. Tests of logic need no fast programs."""

OPTIMISED: dict[str, Any] = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_use_fusion_emitters": True,
    "xla_cpu_parallel_codegen_split_count": 32,
}
"""XLA's defaults: compiler options that take precedence over the flags."""


def optimised_jit(function: Callable[..., Any], **options: Any) -> jax.stages.Wrapped:
    """`jax.jit` with full optimisation, for golden numbers and figures of compiled programs."""
    return jax.jit(function, compiler_options=OPTIMISED, **options)


def cache_folder() -> Path:
    """Where compiled programs are kept: one folder per jaxlib version, XLA flags and kind of CPU."""
    cpu = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    lines = [line for line in cpu if line.startswith(("model name", "flags", "Features", "CPU part"))]
    key = hashlib.sha256("\n".join([os.environ["XLA_FLAGS"], *lines]).encode()).hexdigest()[:12]
    return Path(__file__).parents[1] / ".cache" / "tests" / f"jaxlib-{jaxlib.version.__version__}-{key}"
