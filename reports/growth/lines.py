"""Laws in words: one line per curve, and the details behind it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports.arrange.pivot import SIZE_NAMES
from reports.growth.laws import ALONG, Law, curves_of, factor, fullest_curves, law_of_curve, step
from reports.growth.plan_law import PlanLaw
from reports.growth.results import SO_FAR, Fit, Refusal
from reports.records.columns import COLUMNS
from reports.records.record import Record
from reports.text.section import shown
from reports.text.units import format_bytes, format_rate, format_seconds

_LEAST_PERCENT = 0.1
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Growth:
    """How memory and time of all curves grow along one axis."""

    along: str
    lines: tuple[str, ...]
    """One per curve, in columns."""
    step: tuple[int, int] | None
    """The two sizes that the factors of most curves are between; None without lines. Lines name others."""
    is_common: bool
    """Whether the factors of all curves are between these sizes."""
    is_whole: bool
    """Whether every curve has a line; else only the longest of each model and mode."""
    laws: tuple[Law, ...]
    """The laws that the lines are of."""

    def heading(self, hint: str = "") -> str:
        """`How cost grows with the number of agents (from 128 to 1024 unless noted):`.

        `hint` follows where only the longest curve of each mode has a line.
        """
        between = f"from {self.step[0]} to {self.step[1]}" if self.step else ""
        between += "" if self.is_common else " unless noted"
        some = "" if self.is_whole else f"; longest curve of each mode{hint}"
        return f"How cost grows with the {SIZE_NAMES[self.along]} ({between}{some}):"


def growth(records: Sequence[Record], also: Sequence[str] = (), *, full: bool = False) -> list[Growth]:
    """The growth along every axis; only curves with two sizes or more have a line.

    Args:
        records: of one run, or of several that `also` distinguishes.
        also: fields that separate curves in addition to those of a point.
        full: a line for every curve, not for the longest of each model and mode only.
    """
    made = []
    for along in ALONG:
        found = curves_of(records, along, also=also)
        chosen = found if full else fullest_curves(found)
        if chosen:
            made.append(_growth(list(map(law_of_curve, chosen)), along, is_whole=len(chosen) == len(found)))
    return made


def _growth(chosen: Sequence[Law], along: str, *, is_whole: bool) -> Growth:
    curves: dict[str, list[Law]] = {}
    for law in chosen:
        curves.setdefault(law.name, []).append(law)
    steps = {name: sizes for name, curve in curves.items() if (sizes := step(curve)) is not None}
    often = Counter(steps.values())
    common = max(often, key=lambda sizes: (often[sizes], sizes), default=None)
    return Growth(along, _columns(curves, along, steps, common), common, len(often) == 1, is_whole, tuple(chosen))


def _columns(
    curves: Mapping[str, Sequence[Law]],
    along: str,
    steps: Mapping[str, tuple[int, int]],
    common: tuple[int, int] | None,
) -> tuple[str, ...]:
    """One line per curve: its name, the factors of its last step, and its law."""
    rows = [
        (name, _factors(curves[name], along, sizes, named=sizes != common), _word(curves[name]))
        for name, sizes in steps.items()
    ]
    names = max((len(name) for name, _, _ in rows), default=0)
    aligned = [factors for name, factors, word in rows if word and steps[name] == common]
    width = max(map(len, aligned), default=0)
    return tuple(_GAP.join((name.ljust(names), factors.ljust(width), word)).rstrip() for name, factors, word in rows)


def _factors(curve: Sequence[Law], along: str, sizes: tuple[int, int], *, named: bool) -> str:
    """`8x the agents: 7.9x memory, 8.1x time`; with the sizes if they are to be named."""
    known = [(law.quantity, factor(law, sizes)) for law in curve]
    parts = ", ".join(f"{short_factor(value)} {quantity}" for quantity, value in known if value is not None)
    between = f" ({sizes[0]} to {sizes[1]})" if named else ""
    return f"{sizes[1] / sizes[0]:.3g}x the {ALONG[along][1]}{between}: {parts}"


def short_factor(value: float) -> str:
    """A factor with two significant digits, whole from 10 on: `0.99x`, `7.9x`, `53x`."""
    if value < 0.995:
        return f"{value:.2f}x"
    return f"{value:.1f}x" if value < 9.95 else f"{value:.0f}x"


def _word(curve: Sequence[Law]) -> str:
    """The laws of memory and time: one word if they agree, `linear (time so far)` if time only seems to agree.

    It also says why there is none if the settings differ by size.
    """
    words = {law.quantity: "" if isinstance(law.fit, Refusal) else law.fit.word for law in curve}
    if len(words) > 1 and len(set(words.values())) == 1:
        said = next(iter(words.values()))
    elif words.get("memory") and words.get("time") == f"about {words['memory']}{SO_FAR}":
        said = f"{words['memory']} (time{SO_FAR})"
    else:
        said = ", ".join(f"{quantity} {word}" for quantity, word in words.items() if word)
        if said.count(SO_FAR) == said.count(",") + 1 > 1:
            said = said.replace(SO_FAR, "", said.count(SO_FAR) - 1)
    differing = dict.fromkeys(law.pieces for law in curve if law.pieces)
    return "; ".join(filter(None, (said, *(f"no law: {words}" for words in differing))))


def in_words(law: Law) -> str:
    """One line of details: the formula, its error, and what follows from it."""
    what = "update time" if law.quantity == "time" else "memory"
    if law.quantity == "memory" and law.field:
        source = law.record.memory_source if law.field == "memory_bytes" else COLUMNS[law.field].short
        what += f" ({_planned(law.plan) or source}{', lower bound' if law.lower_bound else ''})"
    why_unplanned = [law.plan] if isinstance(law.plan, str) and law.plan else []
    return "; ".join([f"{what} {_formula(law)}", *_consequences(law), *_missing(law), *why_unplanned])


def _planned(plan: PlanLaw | str) -> str:
    """`XLA's plan + 15.6 MiB at 7 sizes, within 3% of what was measured`; empty without a law of the plan."""
    if isinstance(plan, str):
        return ""
    constant = f" + {format_bytes(plan.constant)}" if plan.constant else ""
    apart = "" if plan.apart is None else f", within {max(math.ceil(100 * plan.apart), 1)}% of what was measured"
    return f"XLA's plan{constant} at {len(plan.fit.sizes)} sizes{apart}"


def _formula(law: Law) -> str:
    fit = law.fit
    if isinstance(fit, Refusal):
        return f"has no law: {fit.reason}"
    if not isinstance(fit, Fit):
        word = f"is {fit.word}" if fit.word else "has no law"
        return f"{word}: {fit.reason}"
    if fit.family == "constant":
        return f"is constant, {_shown(law, fit.scale)}"
    power = {"linear": "N", "N log N": "N·log2(N)", "quadratic": "N^2"}.get(fit.family, f"N^{fit.exponent:.2f}")
    parts = [(fit.offset, ""), (fit.linear_scale, "·N"), (fit.scale, f"·{power}")]
    terms = " + ".join(f"{_shown(law, value)}{basis}" for value, basis in parts if value)
    interval = fit.word.partition(" ")[2] if fit.family == "power" else ""
    return f"= {terms}{f' {interval}' if interval else ''}"


def _shown(law: Law, value: float) -> str:
    return format_bytes(value) if law.quantity == "memory" else format_seconds(value)


def _consequences(law: Law) -> list[str]:
    if not isinstance(law.fit, Fit):
        return []
    parts = [_error(law.fit)]
    one, many = ALONG[law.along]
    if law.per_size is not None:
        cost, size = law.per_size
        at = "" if law.fit.family == "linear" else f" at {size}"
        parts.append(f"{_shown(law, cost)} per additional {one} and environment{at}")
    if law.limit is not None and law.reaches_limit is not None:
        parts.append(f"passes {format_bytes(law.limit[0])} near {about(law.reaches_limit)} {many}")
    if law.reaches is not None:
        parts.append(f"passes 80 GB near {about(law.reaches)} {many}")
    return parts


def about(size: int) -> str:
    """A size to two digits: an extrapolation is not more precise."""
    return format_rate(size) if size >= 10**6 else f"{float(f'{size:.2g}'):.0f}"


def _missing(law: Law) -> Iterable[str]:
    if law.unmeasured:
        yield "no result: " + ", ".join(f"{size} ({shown(status)})" for size, status in law.unmeasured.items())


def _error(fit: Fit) -> str:
    percent = 100 * fit.error
    return "RMS error under 0.1%" if percent < _LEAST_PERCENT else f"RMS error {percent:.2g}%"
