"""`scaleprof list`: the models, the scenarios and the presets."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from scaleprof.cli.arguments import GroupedCommand
from scaleprof.errors import UserError
from scaleprof.points.completions import listed as listable

if TYPE_CHECKING:
    from scenarios import ScenarioEntry


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("list", cls=GroupedCommand, short_help="List models, scenarios or presets.")(list_)


def list_(
    what: Annotated[
        str, typer.Argument(metavar="models|scenarios|presets", help="What to list", autocompletion=listable)
    ],
) -> int:
    """List the models with their modes, the scenarios with their tasks, or the presets with what they sweep."""
    from reports.text.hints import nearest

    shown = {"models": _models, "scenarios": _scenarios, "presets": _presets}
    if what not in shown:
        raise UserError(f"list: cannot list '{what}': {nearest(what, shown)}")
    shown[what]()
    return 0


def _models() -> None:
    from sable.models import MODELS

    for model in MODELS.values():
        _echo_entry(
            f"{model.name}: {model.summary}",
            f"modes: {', '.join(model.modes) or 'none'}",
            f"parameters on neom with --embed-dim 64, 4 heads, 1 block: {model.parameters:,}",
            *model.complexity,
        )


def _scenarios() -> None:
    from scenarios import SCENARIOS

    for scenario in SCENARIOS.values():
        _echo_entry(
            f"{scenario.name}: {scenario.summary}",
            f"tasks: {', '.join(_task(scenario, task) for task in scenario.tasks)}",
            f"agents: {scenario.min_agents} to {scenario.max_agents}, sensible up to "
            f"{scenario.sensible_agents or scenario.max_agents}",
            f"scaling rule: {scenario.scaling_rule}",
            f"observation: {scenario.observation}",
            f"actions: {scenario.actions}",
        )


def _presets() -> None:
    from scaleprof.points.option_files import listed, load_preset, preset_names, preset_text

    for name in preset_names():
        summary = preset_text(name).partition("\n")[0].removeprefix("# ").rstrip(".")
        _echo_entry(f"{name}: {summary}", f"options: {listed(load_preset(name))}")


def _task(scenario: ScenarioEntry, task: str) -> str:
    """A task, with its agent count if that is fixed."""
    agents = dict(scenario.fixed_agents).get(task)
    return task if agents is None else f"{task} ({agents} agents)"


def _echo_entry(head: str, *details: str) -> None:
    """Print an entry with its details indented, wrapped to the terminal (80 columns if there is none)."""
    width = max(shutil.get_terminal_size().columns, 20)
    for line in (head, *(f"    {detail}" for detail in details)):
        typer.echo("\n".join(textwrap.wrap(line, width, subsequent_indent=" " * 8, break_on_hyphens=False)))
