"""The names of this project's tables in a pyproject.toml: one that is misspelt would be ignored."""

from __future__ import annotations

import difflib
from typing import Any

from reports.text.hints import nearest

OURS = ("tool", "scaleprof")
TABLES = ("check", "sweep")
"""What `[tool.scaleprof]` may hold."""
_CLOSE = 0.8


def check_tables(content: Any) -> None:
    """Raise `ValueError` for a table of a pyproject.toml that is meant to be ours and is not, naming the nearest."""
    tool, name = OURS
    tools = content.get(tool) if isinstance(content, dict) else None
    tables = tools.get(name) if isinstance(tools, dict) else None
    for key in tables if isinstance(tables, dict) else ():
        if key not in TABLES:
            raise ValueError(f"unknown table [{tool}.{name}.{key}]: {nearest(key, TABLES)}")
    others = [key for key in tools if key != name] if isinstance(tools, dict) else []
    misspelt = [f"{tool}.{key}" for key in difflib.get_close_matches(name, others, n=1, cutoff=_CLOSE)]
    misspelt += [name] if isinstance(content, dict) and name in content else []
    if misspelt:
        raise ValueError(f"unknown table [{misspelt[0]}]: did you mean [{tool}.{name}]?")
