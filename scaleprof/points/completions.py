"""What the shell offers for an option that is being typed: names, found without importing what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

Completer = Callable[[str], list[str]]
"""What was typed so far → the words that it may become."""


def models(incomplete: str) -> list[str]:
    """Models; once something is typed, pairs such as `sable:chunkwise` too. A list is completed at its last entry."""
    from sable.models import MODELS

    pairs = [f"{entry.name}:{mode}" for entry in MODELS.values() for mode in entry.modes]
    typed = incomplete.rpartition(",")[2]
    return _last_of_list(incomplete, [*MODELS, *(pairs if typed else ())])


def modes(incomplete: str) -> list[str]:
    """The modes of all models; a list is completed at its last entry."""
    from sable.models import MODELS

    return _last_of_list(incomplete, dict.fromkeys(mode for entry in MODELS.values() for mode in entry.modes))


def scenarios(incomplete: str) -> list[str]:
    """Scenarios; after a colon the tasks of one."""
    from scenarios import SCENARIOS

    tasks = [f"{entry.name}:{task}" for entry in SCENARIOS.values() for task in entry.tasks]
    return [word for word in (tasks if ":" in incomplete else SCENARIOS) if word.startswith(incomplete)]


def presets(incomplete: str) -> list[str]:
    """The presets that ship with the project."""
    from scaleprof.points.option_files import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


def baselines(incomplete: str) -> list[str]:
    """The baselines of the project around the current folder."""
    from scaleprof.runs.baselines import names

    return [name for name in names(Path.cwd()) if name.startswith(incomplete)]


def listed(incomplete: str) -> list[str]:
    """What `scaleprof list` can list."""
    return [word for word in ("models", "scenarios", "presets") if word.startswith(incomplete)]


def _last_of_list(incomplete: str, words: Iterable[str]) -> list[str]:
    """The words that the last entry of a list may become, each behind the entries before it, without repeating one."""
    before, comma, typed = incomplete.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{word}" for word in words if word.startswith(typed) and word not in given]
