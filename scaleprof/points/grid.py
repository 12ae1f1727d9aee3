"""How axes multiply into a grid of points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import scenarios
from sable.models import find
from scaleprof.points.axes import Axis, config_options
from scaleprof.points.point import Point, check

MAX_POINTS = 10_000
Value = int | float | str | bool | None
Chosen = tuple[tuple[Axis, Value], ...]
"""One value of each axis."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A grid: every combination of the values of its axes is a point."""

    scenario: str
    variants: tuple[tuple[str, str], ...]
    """(model, mode) pairs."""
    values: tuple[tuple[Axis, Sequence[Value]], ...]
    """All other axes, each with its values; one that does not multiply has one."""
    settings: tuple[tuple[str, str], ...] = ()
    """Config fields set for all points, as ("ppo.clip", "0.1") pairs."""
    published: bool = False
    """Whether each model trains with its own published settings; else all train with the same."""

    @property
    def size(self) -> int:
        """The number of points, repeats included."""
        always, by_variant = self._split()
        variants = sum(
            math.prod(len(values) for _, values in _applicable(by_variant, *variant)) for variant in self.variants
        )
        return variants * math.prod(len(values) for _, values in always)

    def points(self) -> list[Point]:
        """All points, checked: repeats vary slowest (A B C A B C), then seeds, then agent counts from small to large.

        Raises `UserError` for the first point whose options do not fit together.
        """
        always, by_variant = self._split()
        options = config_options() | {axis.field: axis.flag for axis, _ in self.values}
        points = []
        for outer in _combinations(sorted(always, key=lambda pair: -pair[0].slowest)):
            for model, mode in self.variants:
                for inner in _combinations(_applicable(by_variant, model, mode)):
                    point = self._point(model, mode, outer + inner)
                    check(point, options)
                    points.append(point)
        return points

    def _split(self) -> tuple[list[tuple[Axis, Sequence[Value]]], list[tuple[Axis, Sequence[Value]]]]:
        """The axes that every model has, and those that depend on model and mode."""
        always = [(axis, values) for axis, values in self.values if axis.applies is None]
        return always, [(axis, values) for axis, values in self.values if axis.applies is not None]

    def _point(self, model: str, mode: str, chosen: Chosen) -> Point:
        published, scenario = find(model).published, scenarios.find(self.scenario)
        own: Mapping[str, Value] = {
            "epochs": published.epochs,
            "minibatches": published.minibatches,
            "batching": scenario.batching,
            "reset": scenario.reset,
        }
        fields: dict[str, Any] = {axis.fills: value for axis, value in chosen if not axis.sets}
        own_settings = published.settings if self.published else ()
        always = {f"ppo.{name}": str(value) for name, value in own_settings} | dict(self.settings)
        settings = {axis.sets: _setting_text(axis, value) for axis, value in chosen if axis.sets and value is not None}
        columns = [
            (axis.fills, axis.sets)
            for axis, _ in chosen
            if axis.sets in settings and axis.fills != "settings" and not axis.words
        ]
        return Point(
            scenario=self.scenario,
            model=model,
            mode=mode,
            **fields | {name: value for name, value in own.items() if fields.get(name) in (None, "")},
            settings=tuple(sorted((always | settings).items())),
            columns=tuple(columns),
        )


def _applicable(
    axes: Sequence[tuple[Axis, Sequence[Value]]], model: str, mode: str
) -> list[tuple[Axis, Sequence[Value]]]:
    """The axes that depend on model and mode, without a value where they do not apply."""
    return [(axis, values if axis.applies is None or axis.applies(model, mode) else (None,)) for axis, values in axes]


def _combinations(axes: Sequence[tuple[Axis, Sequence[Value]]]) -> Iterator[Chosen]:
    names = [axis for axis, _ in axes]
    for chosen in itertools.product(*(values for _, values in axes)):
        yield tuple(zip(names, chosen, strict=True))


def _setting_text(axis: Axis, value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else axis.setting(str(value))
