"""What runs were to measure and do not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.arrange.selection import run_names
from reports.records.run import Run
from reports.text.section import Section, shown


@dataclass(frozen=True, slots=True)
class Missing:
    """Which runs are incomplete, and what all of them were to measure."""

    lines: tuple[str, ...] = ()
    """One for each incomplete run."""
    sizes: dict[str, tuple[int, ...]] | None = None
    """By axis, the sizes that were to be measured; None where that is not known or not the same for all records."""
    modes: tuple[tuple[str, str], ...] = ()

    def at(self, across: str) -> tuple[int, ...]:
        """The sizes along an axis that were to be measured, as far as they are known."""
        return () if self.sizes is None else self.sizes.get(across, ())

    def section(self) -> Section | None:
        """The lines as a paragraph; None if nothing is missing."""
        return Section(lines=self.lines) if self.lines else None


NOTHING_MISSING = Missing()


def missing_of(runs: Sequence[Run], *, selected: bool = False) -> Missing:
    """What `runs` lack; of several runs, or if only some records are `selected`, only which of them are incomplete."""
    lines = tuple(
        f"{'' if len(runs) == 1 else f'{shown(name)}: '}Incomplete: {run.incomplete}."
        for name, run in zip(run_names(runs), runs, strict=True)
        if run.incomplete
    )
    asked = runs[0].asked if len(runs) == 1 and not selected else None
    if asked is None:
        return Missing(lines)
    return Missing(lines, dict(asked.sizes), asked.modes)
