"""What no file of a run and no report may show: secrets, and the names of people's home folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

REMOVED = "(removed)"
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL", re.IGNORECASE)
HARMLESS = frozenset({"JAX_COMPILER_ENABLE_REMAT_PASS", "JAX_DEBUG_KEY_REUSE", "JAX_LEGACY_PRNG_KEY"})
"""Names that look like secrets and are switches of jax that change programs."""
_SECRET_VALUE = re.compile(
    r"(?P<name>[\w.-]*(?:key|token|secret|passwd|password|passphrase|credentials?)=)[^\s&;,'\"]+", re.IGNORECASE
)
_IN_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/\s'\"]*@")
_TOKEN = re.compile(r"(?<![\w-])(?:sk-|gh[opsu]_|github_pat_|glpat-|hf_|xox[abprs]-|nvapi-|AKIA)[\w-]{8,}")
"""What services begin their keys with."""
_WINDOWS_HOME = re.compile(r"(?i)\b[a-z]:\\+users\\+[^\\\s:;,='\"]+")
_HOME = re.compile(r"(?<![\w.~-])(?:/home/[^/\s:;,='\"]+|/Users/[^/\s:;,='\"]+|/root)(?![\w.-])")


def is_secret(name: str) -> bool:
    """Whether what has this name is never shown: it looks like a key, token, secret, password or credential."""
    return name not in HARMLESS and _SECRET_NAME.search(name) is not None


def redacted(text: str) -> str:
    """`text` without home folders (`~`), names and passwords in addresses, keys and values such as `token=…`."""
    home = _home()
    if len(home) > 1:
        text = re.sub(rf"(?<![\w.~/-]){re.escape(home)}(?![\w.-])", "~", text)
    text = _WINDOWS_HOME.sub("~", _HOME.sub("~", text))
    text = _TOKEN.sub(REMOVED, text)
    text = _IN_ADDRESS.sub(rf"\g<scheme>{REMOVED}@", text)
    return _SECRET_VALUE.sub(rf"\g<name>{REMOVED}", text)


def _home() -> str:
    """The user's home folder; empty for a user without one, as in containers."""
    try:
        return str(Path.home())
    except RuntimeError:
        return ""


def redacted_values(content: Any) -> Any:
    """JSON values with every text in them `redacted`, and without the fields whose names are secret."""
    match content:
        case str():
            return redacted(content)
        case dict():
            return {name: redacted_values(value) for name, value in content.items() if not is_secret(name)}
        case list() | tuple():
            return [redacted_values(value) for value in content]
    return content
