"""Axis lists and ranges, names, amounts of memory and settings: what can be read, and what is said where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.text.hints import nearest
from scaleprof.errors import UserError
from scaleprof.points.parsing import (
    MAX_AXIS_VALUES,
    convert_setting,
    parse_axis,
    parse_names,
    parse_setting,
    parse_size,
)


@dataclass(frozen=True)
class Options:
    rate: float = 0.5
    count: int = 3
    fast: bool = False
    kind: str = "plain"
    width: int = 8


GROUPS: dict[str, type[Options]] = {"ppo": Options, "model": Options}
AXES = {"width": "--width"}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("16", (16,)),
        ("16,128,1024", (16, 128, 1024)),
        (" 16 , 128 ", (16, 128)),
        ("128,16", (128, 16)),
        ("16,16,8,16", (16, 8)),
        ("1:10:3", (1, 4, 7, 10)),
        ("1:9:3", (1, 4, 7, 9)),
        ("1:10:1", (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)),
        ("5:5:1", (5,)),
        ("3:5:100", (3, 5)),
        ("16:4096:x2", (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)),
        ("16:100:x2", (16, 32, 64, 100)),
        ("7:7:x3", (7,)),
        ("2,4:16:x2,5:7:1,4", (2, 4, 8, 16, 5, 6, 7)),
    ],
)
def test_axis(text: str, values: tuple[int, ...]) -> None:
    assert parse_axis(text, "--agents") == values


@given(first=st.integers(1, 200), more=st.integers(0, 500), step=st.integers(1, 60))
def test_a_range_holds_both_ends_and_steps_evenly(first: int, more: int, step: int) -> None:
    values = parse_axis(f"{first}:{first + more}:{step}", "--agents")
    assert values[0] == first
    assert values[-1] == first + more
    assert all(later - earlier == step for earlier, later in pairwise(values[:-1]))
    assert more == 0 or 0 < values[-1] - values[-2] <= step


@given(first=st.integers(1, 200), more=st.integers(0, 5000), factor=st.integers(2, 9))
def test_a_range_by_a_factor_holds_both_ends(first: int, more: int, factor: int) -> None:
    values = parse_axis(f"{first}:{first + more}:x{factor}", "--agents")
    assert values[0] == first
    assert values[-1] == first + more
    assert all(later == earlier * factor for earlier, later in pairwise(values[:-1]))
    assert more == 0 or values[-2] < values[-1] <= values[-2] * factor


def test_limits_of_an_axis() -> None:
    assert parse_axis("0:2:1", "--seed", minimum=0, maximum=2) == (0, 1, 2)
    with pytest.raises(UserError, match=r"^--seed: -1 is too small: give whole numbers of at least 0$"):
        parse_axis("-1", "--seed", minimum=0)
    with pytest.raises(UserError, match=r"^--seed: 3 is too large: give whole numbers of at most 2$"):
        parse_axis("0,3", "--seed", minimum=0, maximum=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", "0 is too small: give whole numbers of at least 1"),
        ("4,-3", "-3 is too small"),
        ("0:4:1", "0 is too small"),
        ("abc", "'abc' is not a whole number: give a list or a range such as"),
        ("", "'' is not a whole number"),
        ("16,", "'' is not a whole number"),
        ("1.5", "'1.5' is not a whole number"),
        ("1e3", "'1e3' is not a whole number"),
        ("9" * 5000, "is not a whole number"),
        ("1:2", "range '1:2' needs a step: write first:last:step (1:10:3) or first:last:xfactor (16:4096:x2)"),
        ("1:2:3:4", "needs a step"),
        ("a:4:1", "'a' is not a whole number"),
        ("1::1", "'' is not a whole number"),
        ("1:4:x", "'' is not a whole number"),
        ("4:1:1", "range '4:1:1' runs backwards"),
        ("1:4:0", "range '1:4:0' never ends: it must have a step of at least 1"),
        ("1:4:-1", "range '1:4:-1' never ends"),
        ("1:4:x1", "range '1:4:x1' never ends: it must start at 1 or more and grow by a factor of at least 2"),
        ("0:4:x2", "range '0:4:x2' never ends"),
        ("1:1000000000000:1", f"has more than {MAX_AXIS_VALUES} values"),
    ],
)
def test_axes_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_axis(text, "--agents")
    message = str(raised.value)
    assert message.startswith("--agents: ")
    assert said in message
    assert "\n" not in message
    assert raised.value.exit_code == 2


def test_names() -> None:
    assert parse_names("sable, mat,sable", "--model") == ("sable", "mat")


@pytest.mark.parametrize("text", ["", " ", "sable,", ",mat", "sable,,mat"])
def test_empty_names(text: str) -> None:
    with pytest.raises(UserError, match=r"^--model: '.*' has an empty entry: give names separated by commas$"):
        parse_names(text, "--model")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GiB", 8 * 2**30),
        ("512 MB", 512 * 10**6),
        ("1.5 gib", 3 * 2**29),
        (" 2TiB ", 2 * 2**40),
        ("7kB", 7000),
        ("3KIB", 3 * 1024),
        ("100b", 100),
        ("1tb", 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, "--memory-limit") == size


@pytest.mark.parametrize("text", ["", "8", "GiB", "8 Gi", "-1GiB", "8,5GiB", "8GiB!", "1e3MiB", "many"])
def test_amounts_that_are_none(text: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_size(text, "--memory-limit")
    rule = "is not a memory size: give a number and a unit, such as 8GiB or 512MiB"
    assert str(raised.value) == f"--memory-limit: '{text}' {rule}"


@pytest.mark.parametrize("text", ["0GiB", "0.4B"])
def test_no_memory_at_all(text: str) -> None:
    with pytest.raises(UserError, match="is too small: it must be at least 1 byte"):
        parse_size(text, "--memory-limit")


def test_a_size_has_no_upper_end() -> None:
    assert parse_size("9" * 400 + "GiB", "--memory-limit") > 10**400


def test_nearest() -> None:
    assert nearest("sabel", ["mat", "sable"]) == "did you mean 'sable'? Choose from: mat, sable"
    assert nearest("zzz", ["mat", "sable"]) == "choose from: mat, sable"


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("ppo.rate=0.25", ("ppo.rate", "0.25")),
        (" model.kind = a=b ", ("model.kind", "a=b")),
        ("ppo.fast=ON", ("ppo.fast", "ON")),
    ],
)
def test_settings(text: str, setting: tuple[str, str]) -> None:
    assert parse_setting(text, GROUPS, AXES) == setting


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ppo.rate", "'ppo.rate' does not have the form group.field=value, such as ppo.clip=0.1"),
        ("rate=1", "does not have the form group.field=value"),
        ("", "does not have the form group.field=value"),
        ("pop.rate=1", "unknown group 'pop': did you mean 'ppo'? Choose from: ppo, model"),
        ("ppo.rat=1", "ppo has no field 'rat': did you mean 'rate'? Choose from: rate, count, fast, kind"),
        ("ppo.=1", "ppo has no field ''"),
        ("ppo.width=1", "ppo.width has its own option: use --width"),
        ("ppo.rate=high", "ppo.rate is 'high': it must be a number"),
        ("ppo.count=1.5", "ppo.count is '1.5': it must be a whole number"),
        ("ppo.fast=maybe", "ppo.fast is 'maybe': it must be true or false"),
    ],
)
def test_settings_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_setting(text, GROUPS, AXES)
    assert str(raised.value).startswith("--set: ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ppo.rate", "1e-3", 1e-3),
        ("ppo.count", "7", 7),
        ("ppo.kind", "other", "other"),
        ("ppo.fast", "true", True),
        ("ppo.fast", "1", True),
        ("ppo.fast", "Off", False),
        ("ppo.fast", "0", False),
    ],
)
def test_a_setting_gets_the_type_of_its_field(name: str, text: str, value: object) -> None:
    converted = convert_setting(name, text, Options)
    assert converted == value
    assert type(converted) is type(value)
