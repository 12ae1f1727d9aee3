"""Why a point needs its memory: one child compiles its learning step, further ones the variants that may need less."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from reports.report.live_buffers import Explanation, LiveBuffer, Variant
from sable.models import find
from scaleprof.errors import INTERRUPTED, UserError
from scaleprof.launch.launcher import Outcome
from scaleprof.launch.local import child_variables
from scaleprof.launch.pairs import ROOT, python_path
from scaleprof.launch.process import run_child
from scaleprof.launch.protocol import EXPLAIN, Task
from scaleprof.launch.scratch import scratch_log
from scaleprof.planning.planner import one_point, plan_points
from scaleprof.planning.target import VARIABLES
from scaleprof.points.axes import COMMAND_LINE
from scaleprof.points.plan import SweepPlan
from scaleprof.points.plan_request import PlanRequest
from scaleprof.probes.nvml import Nvml

FAILED = 3
MOST_GROUPS = 8
"""The most gradient groups that are tried."""
Say = Callable[[str], None]
"""Receives a line of progress."""


def explain(request: PlanRequest, say: Say, *, advice: bool = True) -> Explanation:
    """The peak of a request's only point; with `advice`, also those of variants of it.

    Raises `UserError` if the request makes several points, or the point cannot be compiled for the target.
    """
    plan = plan_points(request)
    one_point(plan, "explain")
    point = plan.points[0]
    say(f"Compiling learn of {point.label}")
    outcome = compiled(plan)
    if outcome.status != "ok":
        raise UserError(f"{point.label} could not be planned: {outcome.status}: {outcome.reason}", FAILED)
    facts = outcome.facts
    return Explanation(
        label=point.label,
        device=facts["device"],
        peak_bytes=facts["xla_peak_bytes"],
        buffers=buffers_of(facts),
        variants=tuple(tried(request, say)) if advice else (),
        compile_seconds=facts["compile_learn_seconds"],
    )


def buffers_of(facts: dict[str, Any]) -> tuple[LiveBuffer, ...]:
    """The buffers that a child reported; raises `UserError` if it sent anything else."""
    try:
        return tuple(LiveBuffer.from_json(text) for text in facts["live_buffers"])
    except ValueError:
        raise UserError("the compiling process sent what is no live buffer", FAILED) from None


def compiled(plan: SweepPlan) -> Outcome:
    """How a child ended that compiled the plan's only point."""
    variables = child_variables("cpu") | VARIABLES
    variables["PYTHONPATH"] = python_path(first=ROOT)
    options = plan.options
    with scratch_log() as log:
        outcome = run_child(
            Task(point=plan.points[0], measure=EXPLAIN, memory_limit_bytes=options.memory_limit_bytes, pin=options.pin),
            variables,
            log,
            timeout_seconds=options.timeout_seconds,
            nvml=Nvml(None),
            on_event=lambda event: None,
        )
    if outcome.status == "interrupted":
        raise UserError("interrupted", INTERRUPTED)
    missing = {"device", "xla_peak_bytes", "live_buffers", "compile_learn_seconds"} - outcome.facts.keys()
    if outcome.status == "ok" and missing:
        outcome.status, outcome.reason = "error", f"the process ended without {', '.join(sorted(missing))}"
    return outcome


def tried(request: PlanRequest, say: Say) -> Iterator[Variant]:
    """Every variant with its planned peak, or why it has none."""
    for option, changes in variants(request):
        say(f"Compiling with {option}")
        origins = {**request.origins, **dict.fromkeys(changes, COMMAND_LINE)}
        try:
            outcome = compiled(plan_points(dataclasses.replace(request, origins=origins, **changes)))
        except UserError as error:
            if error.exit_code == INTERRUPTED:
                raise
            yield Variant(option=option, peak_bytes=None, reason=str(error))
            continue
        peak = outcome.facts.get("xla_peak_bytes") if outcome.status == "ok" else None
        yield Variant(option=option, peak_bytes=peak, reason="" if peak is not None else outcome.reason)


def variants(request: PlanRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    """What may need less memory, as on the command line, and the fields of the request that it changes."""
    point = plan_points(request).points[0]
    config, timesteps = point.ppo_config(), point.seq_len
    if request.segment == "all" and timesteps > 1:
        length = str(max(timesteps // 4, 1))
        yield f"--segment {length}", {"segment": length}
    envs = config.envs // config.minibatches
    groups = max(number for number in range(1, min(envs, MOST_GROUPS) + 1) if envs % number == 0)
    if request.accumulate == "1" and groups > 1:
        yield f"--accumulate {groups}", {"accumulate": str(groups)}
    if not request.remat:
        yield "--remat", {"remat": True}
    linear = find(point.model).linear_mode
    if linear not in ("", point.mode):
        yield f"--model {point.model}:{linear}", {"model": f"{point.model}:{linear}", "mode": ""}
