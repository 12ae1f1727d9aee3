"""Models and scenarios of somebody's own, named as "module:function": is the module there?"""

from __future__ import annotations

import importlib.machinery
import os
import pkgutil
import sys
from collections.abc import Iterable

from scaleprof.errors import UserError
from scaleprof.parsing import nearest


def check_module(name: str, option: str, known: Iterable[str]) -> None:
    """Raise `UserError` where the module of `name`, "module:function", is surely not there; nothing is imported.

    `option` is the command-line option that gave the name, `known` what else could have been meant.
    """
    kind = option.removeprefix("--")
    module, _, function = name.partition(":")
    first, *rest = module.split(".")
    if not (first and all(rest)):
        raise UserError(f"{option}: '{name}' names no module: write module:function, such as mypackage.module:factory")
    # Of the first part any importer may know (an editable installation has its own); the rest is in the package's path.
    specs = (finder.find_spec(first, [os.getcwd(), *sys.path]) for finder in sys.meta_path)
    spec = next((spec for spec in specs if spec is not None), None)
    if spec is None:
        raise UserError(f"{option}: there is no {kind} and no module '{first}': {nearest(first, known)}")
    parent = first
    for part in rest:
        if spec.submodule_search_locations is None:
            raise UserError(
                f"{option}: there is no module '{module}': '{parent}' is no package, write {parent}:function"
            )
        within = list(spec.submodule_search_locations)
        spec = importlib.machinery.PathFinder.find_spec(part, within)
        if spec is None:
            inside = [found.name for found in pkgutil.iter_modules(within)]
            raise UserError(f"{option}: there is no module '{part}' in '{parent}': {nearest(part, inside)}")
        parent += f".{part}"
    if not function.isidentifier():
        raise UserError(f"{option}: '{name}' names no function: write {module}:function")
