"""The options of `scaleprof plan`, `fits` and `frontier`: those of a sweep without what only measuring needs."""

from __future__ import annotations

from dataclasses import dataclass

from reports.records.record import PLAN
from scaleprof.planning.target import CPU, find_target, target_names
from scaleprof.points.axes import LIMITS, SweepRequest, axis, option
from scaleprof.points.parsing import duration, parse_size

DEFAULT_TIMEOUT_SECONDS = 1800.0
"""One point of dense attention compiles for minutes on a busy core; a TPU's compiler takes longer still."""


def choose_target(text: str, option: str = "--target") -> str:
    """Check `--target`; empty for this machine's CPU."""
    find_target(text, option)
    return "" if text == CPU else text


def _size(text: str | None, option: str) -> int | None:
    return None if text is None else parse_size(text, option)


def _targets(incomplete: str) -> list[tuple[str, str]]:
    return [(name, "") for name in target_names() if name.startswith(incomplete)]


@dataclass(frozen=True, kw_only=True)
class PlanRequest(SweepRequest):
    """What the user asked to plan, unparsed."""

    target: str = axis(
        CPU,
        "Device: cpu, h100, tpu-v5e, …, or FILE.txtpb",
        metavar="NAME",
        parse=choose_target,
        complete=_targets,
    )
    memory: str | None = option(
        None,
        "Memory to fit into",
        metavar="SIZE",
        shown="what jax may use of the target",
        panel=LIMITS,
        parse=_size,
    )
    timeout: float | None = option(
        None,
        "Time limit per point, in seconds",
        metavar="SECONDS",
        shown="1800",
        panel=LIMITS,
        parse=duration("seconds"),
    )

    # What a plan does not depend on is no option of it.
    seed: str = "0"
    repeats: int = 1
    device: str | None = None
    measure: str = PLAN
    min_updates: int = 1
    min_seconds: float = 0.0
    warmup_updates: int = 0
    plan_between: bool = False
    fresh_compile: bool = False
    against: str = ""
    memory_limit: str | None = None
    keep_going: bool = True
