"""Parse command-line text into values; one clear line says what is wrong with it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from reports.text.hints import nearest
from scaleprof.errors import UserError

Parser = Callable[[Any, str], Any]
"""What was given and the option's name → the checked value; raises `UserError`."""

MAX_AXIS_VALUES = 100_000

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*$")
_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}


def unchecked(value: Any, option: str) -> Any:
    """The value as it is: something else checks it."""
    return value


def whole_numbers(minimum: int = 1, maximum: int | None = None) -> Parser:
    """A parser of lists and ranges of whole numbers, see `parse_axis`."""
    return lambda value, option: parse_axis(str(value), option, minimum=minimum, maximum=maximum)


def numbers_or_words(*words: str) -> Parser:
    """A parser of lists that mix whole numbers of at least 1 with `words`: `1,4,auto`; it returns texts."""

    def parse(value: Any, option: str) -> tuple[str, ...]:
        found: list[str] = []
        for part in parse_names(str(value), option):
            if part.isalpha():
                check_choice(part, option, ("a whole number", *words))
            found += [part] if part in words else map(str, parse_axis(part, option))
        return tuple(dict.fromkeys(found))

    return parse


def whole_number(minimum: int) -> Parser:
    """A parser of one whole number; None stays None."""

    def parse(value: Any, option: str) -> int | None:
        if value is None:
            return None
        if int(value) < minimum:
            raise UserError(f"{option}: {value} is too small: give a whole number of at least {minimum}")
        return int(value)

    return parse


def parse_repeats(value: Any, option: str) -> range:
    """Read a number of repeats; returns their numbers, from 0."""
    return range(whole_number(1)(value, option))


def parse_flag(value: Any, option: str) -> bool | None:
    """A flag that sets a config field: None where it is off, so that the config keeps its default."""
    return True if value else None


def parse_seconds(value: Any, option: str) -> float:
    """Read a number of seconds, 0 included."""
    if not 0 <= value < float("inf"):
        raise UserError(f"{option}: {value:g} is not a duration: give at least 0 seconds")
    return float(value)


def duration(unit: str) -> Parser:
    """A parser of a number above 0 of this unit; None stays None."""

    def parse(value: Any, option: str) -> float | None:
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"{option}: {value:g} is not a duration: give more than 0 {unit}")
        return value if value is None else float(value)

    return parse


def check_choice(value: str, option: str, choices: Iterable[str]) -> str:
    """Check a word against those that are known; the empty text, an option not given, stays empty."""
    if value and value not in choices:
        raise UserError(f"{option}: unknown value '{value}': {nearest(value, choices)}")
    return value


def parse_axis(text: str, option: str, *, minimum: int = 1, maximum: int | None = None) -> tuple[int, ...]:
    """Read a list of whole numbers and ranges: `16,128`, `1:10:3`, `16:4096:x2`.

    A range is `first:last:step` or `first:last:xfactor` and includes its last value. Duplicates are dropped.
    """
    values: list[int] = []
    for part in text.split(","):
        values += _range(part, option) if ":" in part else [_whole(part, option)]
    for value in values:
        if value < minimum:
            raise UserError(f"{option}: {value} is too small: give whole numbers of at least {minimum}")
        if maximum is not None and value > maximum:
            raise UserError(f"{option}: {value} is too large: give whole numbers of at most {maximum}")
    return tuple(dict.fromkeys(values))


def _whole(text: str, option: str) -> int:
    try:
        if not re.fullmatch(r"\s*[-+]?[0-9]+\s*", text):
            raise ValueError
        return int(text)
    except ValueError:
        example = "such as 16, 16,128,1024 or 16:4096:x2"
        raise UserError(f"{option}: '{text.strip()}' is not a whole number: give a list or a range {example}") from None


def _range(text: str, option: str) -> list[int]:
    parts = text.split(":")
    if len(parts) != 3:
        raise UserError(
            f"{option}: range '{text}' needs a step: write first:last:step (1:10:3) or first:last:xfactor (16:4096:x2)"
        )
    first, last = _whole(parts[0], option), _whole(parts[1], option)
    factor = parts[2].startswith("x")
    step = _whole(parts[2].removeprefix("x"), option)
    if last < first:
        raise UserError(f"{option}: range '{text}' runs backwards: the last value must be at least the first")
    if step < (2 if factor else 1) or (factor and first < 1):
        rule = "start at 1 or more and grow by a factor of at least 2" if factor else "have a step of at least 1"
        raise UserError(f"{option}: range '{text}' never ends: it must {rule}")
    values = []
    value = first
    while value < last:
        values.append(value)
        value = value * step if factor else value + step
        if len(values) > MAX_AXIS_VALUES:
            raise UserError(f"{option}: range '{text}' has more than {MAX_AXIS_VALUES} values: use a larger step")
    return [*values, last]


def parse_names(text: str, option: str) -> tuple[str, ...]:
    """Read a list of names separated by commas."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(names):
        raise UserError(f"{option}: '{text}' has an empty entry: give names separated by commas")
    return names


def parse_size(text: str, option: str) -> int:
    """Read a memory size with its unit, `8GiB` or `512 MB`; returns bytes."""
    match = _SIZE.match(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise UserError(f"{option}: '{text}' is not a memory size: give a number and a unit, such as 8GiB or 512MiB")
    size = int(Decimal(match[1]) * unit)
    if size < 1:
        raise UserError(f"{option}: '{text}' is too small: it must be at least 1 byte")
    return size


def parse_setting(text: str, groups: dict[str, type[Any]], axes: Mapping[str, str]) -> tuple[str, str]:
    """Read `--set group.field=value` against the frozen config classes in `groups`.

    `axes` maps each field that has its own option to that option. Returns ("group.field", value as text). The value's
    type is checked here, its range by the config class.
    """
    name, equals, value = text.partition("=")
    group, dot, field = name.strip().partition(".")
    if not (equals and dot):
        raise UserError(f"--set: '{text}' does not have the form group.field=value, such as ppo.clip=0.1")
    if group not in groups:
        raise UserError(f"--set: unknown group '{group}': {nearest(group, groups)}")
    fields = {f.name: f for f in dataclasses.fields(groups[group]) if f.name not in axes and f.default is not None}
    if field in axes:
        raise UserError(f"--set: {name} has its own option: use {axes[field]}")
    if field not in fields:
        raise UserError(f"--set: {group} has no field '{field}': {nearest(field, fields)}")
    convert_setting(f"{group}.{field}", value.strip(), groups[group])
    return f"{group}.{field}", value.strip()


def convert_setting(name: str, text: str, config: type[Any]) -> Any:
    """The value of a setting, converted to the type of the config's field."""
    field = name.partition(".")[2]
    kind: type[Any] = type(getattr(config, field))  # a dataclass keeps its defaults as class attributes
    if kind is bool:
        words = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
        if text.lower() not in words:
            raise UserError(f"--set: {name} is '{text}': it must be true or false")
        return words[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"--set: {name} is '{text}': it must be {_KIND_NAMES[kind]}") from None


_KIND_NAMES = {int: "a whole number", float: "a number"}
