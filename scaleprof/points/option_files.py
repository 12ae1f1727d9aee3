"""Options of a sweep in TOML files: presets, `--config`, and the project's pyproject.toml.

All hold the same keys, spelled as on the command line without the dashes: `seq-len = "16,64"`.
"""

from __future__ import annotations

import difflib
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from reports.records.files import file_errors, read_file
from reports.records.project_file import check_tables
from reports.text.hints import nearest
from scaleprof.errors import UserError, user_errors
from scaleprof.points.axes import Option, SweepRequest, option_name, rows

TABLE = ("sweep",)
"""The table of a preset and of a `--config` file."""
PROJECT_TABLE = ("tool", "scaleprof", "sweep")
"""The table of a pyproject.toml."""
ENDING = ".toml"
"""A `--preset` with this ending is a file."""

Kinds = Sequence[type[Any]]
"""Dataclasses of option rows."""


class OptionFile(NamedTuple):
    """A file with options: how people call it, and its options by the names of their rows."""

    name: str
    options: dict[str, Any]


def sources_of(
    preset: str | None, config: Path | None, folder: Path, kinds: Kinds = (SweepRequest,)
) -> list[OptionFile]:
    """The files that a sweep started in `folder` takes options from; later ones override earlier ones.

    Raises `UserError`, naming file and key, for what cannot be read or means nothing.
    """
    project = find_project(folder, kinds)
    found = [] if project is None else [project]
    if preset is not None:
        found.append(read_preset(preset, kinds))
    if config is not None:
        found.append(read_config(config, kinds))
    return found


def read_config(path: Path, kinds: Kinds = (SweepRequest,)) -> OptionFile:
    """The file that `--config` names."""
    return OptionFile(f"--config {path.name}", _read_file(path, "--config", kinds))


def find_project(folder: Path, kinds: Kinds = (SweepRequest,)) -> OptionFile | None:
    """The nearest pyproject.toml, from `folder` upward, with a table `[tool.scaleprof.sweep]`, if there is one."""
    for parent in (folder, *folder.parents):
        path = parent / "pyproject.toml"
        with user_errors(), file_errors(path, "read"):
            is_there = path.is_file()
        if is_there:
            content = _parsed(path, str(path))
            with user_errors(str(path)):
                check_tables(content)
            table = _table_of(content, PROJECT_TABLE, str(path))
            if table is not None:
                return OptionFile(path.name, _checked(table, f"{path}, [{'.'.join(PROJECT_TABLE)}]", kinds))
    return None


def preset_names() -> list[str]:
    """The presets that ship with the project."""
    folder = files("scaleprof") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(ENDING))


def read_preset(name: str, kinds: Kinds = (SweepRequest,)) -> OptionFile:
    """A preset by its name, or by the path of a file that ends in .toml."""
    if is_file(name):
        path = Path(name)
        return OptionFile(f"preset {path.name}", _read_file(path, "--preset", kinds))
    if name not in preset_names():
        raise UserError(f"--preset: unknown preset '{name}': {nearest(name, preset_names())}")
    table = tomllib.loads(preset_text(name))[TABLE[0]]
    return OptionFile(f"preset {name}", _checked(table, f"--preset: {name}", kinds))


def preset_text(name: str) -> str:
    """The file of a preset that ships with the project; its first line, a comment, says what it is for."""
    return (files("scaleprof") / "presets" / f"{name}{ENDING}").read_text(encoding="utf-8")


def load_preset(name: str, kinds: Kinds = (SweepRequest,)) -> dict[str, Any]:
    """A preset's options, by the names of their rows."""
    return read_preset(name, kinds).options


def listed(options: Mapping[str, Any]) -> str:
    """Options for people, in one line: `agents 16,64, timeout 60`."""
    return ", ".join(f"{option_name(name).removeprefix('--')} {_shown(value)}" for name, value in options.items())


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else " ".join(value) if isinstance(value, tuple) else str(value)


def is_file(preset: str) -> bool:
    """Whether a `--preset` is the path of a file."""
    return preset.endswith(ENDING)


def _read_file(path: Path, option: str, kinds: Kinds) -> dict[str, Any]:
    where, name = f"{option}: {path}", ".".join(TABLE)
    content = _parsed(path, where)
    found = _table_of(content, TABLE, where)
    if found is None:
        raise UserError(f"{where}: there is no table [{name}]: write the options below that line")
    for other, value in content.items():
        if other not in TABLE and isinstance(value, (dict, list)):
            raise UserError(f"{where}: unknown table [{other}]: all options stand in [{name}]")
        if other not in TABLE:
            raise UserError(f"{where}: '{other}' stands before [{name}]: write the options below that line")
    return _checked(found, f"{where}, [{name}]", kinds)


def _parsed(path: Path, where: str) -> Any:
    try:
        return tomllib.loads(read_file(path).decode("utf-8-sig"))
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror}): name a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: not valid TOML ({' '.join(str(error).split())}): correct the file") from None


def _table_of(content: Any, table: tuple[str, ...], where: str) -> dict[str, Any] | None:
    for name in table:
        if not isinstance(content, dict) or name not in content:
            return None
        content = content[name]
    if not isinstance(content, dict):
        raise UserError(f"{where}: {'.'.join(table)} is not a table: write [{'.'.join(table)}] and the options below")
    return content


def _checked(table: dict[str, Any], where: str, kinds: Kinds) -> dict[str, Any]:
    """The options in a table, converted to the types of their rows."""
    known = {row.flag.removeprefix("--"): (row, hint) for kind in kinds for row, hint in _rows(kind) if row.in_files}
    options = {}
    for key, value in table.items():
        if key not in known:
            raise UserError(f"{where}: unknown option '{key}': {_hint(key, known, kinds)} scaleprof sweep --help")
        row, hint = known[key]
        options[row.name] = _value(value, hint, f"{where}, {key}")
    return options


def _rows(kind: type[Any]) -> list[tuple[Option, Any]]:
    hints = typing.get_type_hints(kind)
    return [(row, hints[name]) for name, row in rows(kind).items()]


def _hint(key: str, known: dict[str, Any], kinds: Kinds) -> str:
    if any(row.flag == f"--{key}" for kind in kinds for row in rows(kind).values()):
        return "it is for the command line only; see"
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'? See" if close else "see"


def _value(value: Any, hint: Any, where: str) -> Any:
    """A value of a file as the command line would give it; raises `UserError` for another type."""
    kind = next(one for one in (typing.get_origin(hint), *typing.get_args(hint), hint) if one in _CONVERSIONS)
    expected, convert = _CONVERSIONS[kind]
    found = convert(value)
    if found is None:
        raise UserError(f"{where}: {value!r} is not {expected}")
    if found == "":
        raise UserError(f"{where}: must not be empty: give a value or omit it")
    return found


def _texts(value: Any) -> tuple[str, ...] | None:
    return tuple(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else None


def _text(value: Any) -> str | None:
    """A text, also written as a whole number or as a list of both: `agents = [16, 128]`."""
    if isinstance(value, list) and value and not any(isinstance(one, list) for one in value):
        parts = [_text(one) for one in value]
        return None if None in parts else ",".join(part for part in parts if part is not None)
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def _path(value: Any) -> Path | None:
    return Path(value) if isinstance(value, str) and value else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


_CONVERSIONS: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    str: ('a string, such as "16,128"', _text),
    Path: ("the path of a file or folder", _path),
    bool: ("true or false", _flag),
    int: ("a whole number", _whole),
    tuple: ('a list of texts, such as ["ppo.clip=0.1"]', _texts),
    float: ("a number", _number),
}
