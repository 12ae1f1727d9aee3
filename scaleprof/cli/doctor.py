"""`scaleprof doctor`: what can be measured on this machine, or whether a scenario keeps its contract."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleprof.cli.arguments import Text, option
from scaleprof.errors import UserError


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(short_help="Say what can be measured on this machine, or check a scenario.")(doctor)


def doctor(
    device: Annotated[Text, option("--device", "cpu, gpu or gpu:i.", "what jax finds", metavar="DEVICE")] = None,
    scenario: Annotated[
        Text,
        typer.Option(
            "--scenario", metavar="NAME", help="Play this environment, or your own module:function, and check it."
        ),
    ] = None,
    agents: Annotated[
        int | None, option("--agents", "Its number of agents.", "4, or what it needs", metavar="N")
    ] = None,
) -> int:
    """Say what is installed, which devices there are, and what can be measured here.

    With --scenario, say what is wrong with that scenario instead, a line each; exit with 2 if anything is.
    """
    from scaleprof.cli.diagnosis import check_scenario, diagnose
    from scaleprof.points.choices import check_device

    device = check_device(device)
    if scenario is not None:
        return check_scenario(scenario, agents, device)
    if agents is not None:
        raise UserError("--agents: there is no scenario to check: name one with --scenario")
    return diagnose(device)
