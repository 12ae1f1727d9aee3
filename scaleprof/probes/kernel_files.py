"""Small files in which the kernel tells about this machine."""

from __future__ import annotations

from pathlib import Path


def kernel_text(path: Path) -> str | None:
    """The text of a file without blanks at its ends; None if it does not exist or cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
