"""Code that a run's manifest names: it may come from elsewhere and is no command line, so `--trust` must allow it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import scenarios
from sable import models
from scaleprof.errors import UserError
from scaleprof.points.axes import SweepRequest
from scaleprof.points.plan import SweepPlan


def named_code(plan: SweepPlan, request: SweepRequest | None = None) -> list[str]:
    """The code that measuring the plan of a manifest starts and that the user's `request` does not name too."""
    given = request.given if request is not None else frozenset()
    found = []
    if "scenario" not in given and scenarios.is_custom(plan.scenario):
        found.append(f"the scenario {plan.scenario}")
    if "model" not in given:
        custom = dict.fromkeys(point.model for point in plan.all_points if models.is_custom(point.model))
        found += [f"the model {name}" for name in custom]
    against = plan.manifest["options"]["against"]
    if against and (request is None or not request.against or str(Path(request.against).absolute()) != against):
        found.append(f"the version {against}")
    return found


def trusting(folder: Path, option: str, code: Sequence[str], *, trust: bool) -> str:
    """What to say before `code`, which the run in `folder` names, is started; empty if there is none.

    Raises `UserError`, naming `option`, if the user does not trust it.
    """
    if code and not trust:
        raise UserError(f"{option}: {folder} names code of its own, {', '.join(code)}: check it; --trust then runs it")
    return f"Running code that {folder} names: {', '.join(code)}" if code else ""
