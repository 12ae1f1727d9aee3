"""Finds modules of others that hide this project's packages, whose names are everyday words."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

OWN = ("reports.records", "sable.models", "scenarios.registry")
"""A module of each package beside `scaleprof` that it imports."""


def hidden_package() -> tuple[Path, Path] | None:
    """The first file or folder that Python would import instead of a package of `OWN`, and the one that it hides."""
    root = Path(__file__).resolve().parent.parent
    for module in OWN:
        name = module.partition(".")[0]
        spec = importlib.util.find_spec(name)
        found = None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or ()), None)
        if found is not None and root / name not in (Path(found).resolve(), Path(found).resolve().parent):
            return Path(found), root / name
    return None


def refuse_hidden_packages() -> None:
    """End with exit code 2 and one line if another module would be imported instead of one of ours."""
    found = hidden_package()
    if found is not None:
        theirs, ours = found
        line = f"scaleprof: {theirs} hides the package {ours}: rename it, or take its folder out of PYTHONPATH"
        if sys.stderr is not None:
            sys.stderr.write(f"{' '.join(line.split())}\n")
        raise SystemExit(2)
