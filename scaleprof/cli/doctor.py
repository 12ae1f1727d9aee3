"""`scaleprof doctor`: what can be measured on this machine, or whether a scenario keeps its contract."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleprof.cli.arguments import GroupedCommand, option
from scaleprof.errors import UserError
from scaleprof.points.completions import scenarios

_HOST, _SCENARIO = "Host", "Check a scenario instead"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=GroupedCommand, short_help="Show what can be measured here, or check a scenario.")(doctor)


def doctor(
    device: Annotated[
        str | None,
        option("--device", "Device: cpu, gpu or gpu:i", panel=_HOST, metavar="DEVICE", shown="what jax finds"),
    ] = None,
    scenario: Annotated[
        str | None,
        option(
            "--scenario",
            "Environment to check, or module:function",
            panel=_SCENARIO,
            metavar="NAME",
            complete=scenarios,
        ),
    ] = None,
    agents: Annotated[
        int | None, option("--agents", "Number of agents", panel=_SCENARIO, metavar="N", shown="4, or what it needs")
    ] = None,
) -> int:
    """Show installed versions, devices, and what can be measured here.

    With --scenario, check that scenario instead: print its defects, one per line, and exit with 2 if there are any.
    """
    from scaleprof.cli.diagnosis import check_scenario, diagnose
    from scaleprof.points.choices import choose_device

    device = choose_device(device)
    if scenario is not None:
        return check_scenario(scenario, agents, device)
    if agents is not None:
        raise UserError("--agents: needs a scenario to check: add --scenario NAME")
    return diagnose(device)
