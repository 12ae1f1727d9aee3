"""`scaleprof doctor`: what can be measured on this machine, or whether a scenario keeps its contract."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleprof.cli.arguments import GroupedCommand
from scaleprof.errors import UserError

_HOST, _SCENARIO = "Host", "Check a scenario instead"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=GroupedCommand, short_help="Show what can be measured here, or check a scenario.")(doctor)


def doctor(
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="Device: cpu, gpu or gpu:i",
            show_default="what jax finds",
            rich_help_panel=_HOST,
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario", metavar="NAME", help="Environment to check, or module:function", rich_help_panel=_SCENARIO
        ),
    ] = None,
    agents: Annotated[
        int | None,
        typer.Option(
            "--agents",
            metavar="N",
            help="Number of agents",
            show_default="4, or what it needs",
            rich_help_panel=_SCENARIO,
        ),
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
