"""What the options of several commands share."""

from __future__ import annotations

from typing import Any

import typer

Text = str | None


def option(name: str, text: str, default: str, *, metavar: str = "LIST") -> Any:
    """An option whose default is described in words, because it is not the parameter's own."""
    return typer.Option(name, help=f"{text} [default: {default}]", metavar=metavar, show_default=False)
