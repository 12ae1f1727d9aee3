"""Check that custom models and scenarios, named "module:function", exist."""

from __future__ import annotations

import ast
import importlib.machinery
import os
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path

from reports.text.hints import nearest
from scaleprof.errors import UserError


def check_module(name: str, option: str, known: Iterable[str]) -> None:
    """Raise `UserError` if the module or the function of `name`, "module:function", certainly does not exist.

    Nothing is imported: the names that a module binds are read from its source; in doubt they are assumed to exist.
    `option` is the command-line option that gave the name, `known` are the registered names.
    """
    kind = option.removeprefix("--")
    module, _, function = name.partition(":")
    first, *rest = module.split(".")
    if not (first and all(rest)):
        raise UserError(f"{option}: '{name}' names no module: write module:function, such as mypackage.module:factory")
    # Any importer may know the first part (editable installs bring their own); the rest lies on the package's path.
    specs = (finder.find_spec(first, [os.getcwd(), *sys.path]) for finder in sys.meta_path)
    spec = next((spec for spec in specs if spec is not None), None)
    if spec is None:
        raise UserError(f"{option}: there is no {kind} and no module '{first}': {nearest(first, known)}")
    parent = first
    for part in rest:
        if spec.submodule_search_locations is None:
            raise UserError(
                f"{option}: there is no module '{module}': '{parent}' is not a package; write {parent}:function"
            )
        within = list(spec.submodule_search_locations)
        spec = importlib.machinery.PathFinder.find_spec(part, within)
        if spec is None:
            inside = [found.name for found in pkgutil.iter_modules(within)]
            raise UserError(f"{option}: there is no module '{part}' in '{parent}': {nearest(part, inside)}")
        parent += f".{part}"
    if not function.isidentifier():
        raise UserError(f"{option}: '{name}' names no function: write {module}:function")
    tree = _source(spec)
    if tree is not None and not _may_bind(tree, function):
        functions = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        hint = f": {nearest(function, functions)}" if functions else "; it has no functions"
        raise UserError(f"{option}: module '{module}' has no function '{function}'{hint}")


def _source(spec: importlib.machinery.ModuleSpec) -> ast.Module | None:
    """A module's parsed source; None if it cannot be read."""
    try:
        return ast.parse(Path(spec.origin or "").read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _may_bind(tree: ast.Module, name: str) -> bool:
    """Whether a module may have `name`: its source binds it somewhere, or may bind any name."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(bound) | ast.AsyncFunctionDef(bound) | ast.ClassDef(bound):
                names = {bound}
            case ast.Import(aliases) | ast.ImportFrom(names=aliases):
                names = {alias.asname or alias.name.partition(".")[0] for alias in aliases}
            case ast.Name(bound):
                names = {bound}
            case _:
                continue
        if names & {name, "*", "__getattr__", "globals", "exec", "setattr"}:
            return True
    return False
