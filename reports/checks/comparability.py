"""Whether two runs are comparable: the host facts, versions and variables that sampled figures depend on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_PREFIXES = ("XLA_", "JAX_", "MALLOC_", "OMP_")
_NAMES = ("GLIBC_TUNABLES", "LD_PRELOAD", "TF_GPU_ALLOCATOR")
_IRRELEVANT = ("JAX_COMPILATION_CACHE", "JAX_ENABLE_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE", "JAX_PLATFORMS")
"""Where compiled programs are cached; the platform is in the records."""
_WINDOWS_PATH = re.compile(r"(?:\b[A-Za-z]:|~)?(?:\\+[^\\\s,;:='\"]+)*\\+(?=[^\\\s,;:='\"]*)")
_PATH = re.compile(r"(?<![\w.])~?(?:/[^\s/,;:='\"]+)*/(?=[^\s/,;:='\"]*)")
MEMORY_KIND = "MALLOC_MMAP_THRESHOLD_"
"""Set in a process that measures memory only; `host_memory_quality` of its records says so too."""

_HARD = {
    "cpu": "CPU",
    "cores": "cores",
    "governor": "CPU frequency governor",
    "platform": "platform",
    "devices": "devices",
}
"""Facts of a host without which figures are not comparable, with their titles."""
_SOFT = {"os": "kernel", "python": "Python"}
"""Facts that a check notes."""

Host = Mapping[str, Any]


def comparable_facts(host: Host) -> dict[str, Any]:
    """The facts of a host that a comparison needs, without its paths: JSON values, None if unknown."""
    packages = host.get("packages")
    cards = host.get("cards")
    variables = host.get("variables")
    affinity = host.get("affinity")
    return {
        "cpu": host.get("cpu"),
        "cores": host.get("cores"),
        "governor": host.get("governor"),
        "os": host.get("os"),
        "python": host.get("python"),
        "affinity": affinity if isinstance(affinity, list) else None,
        "cards": [{"name": card.get("name")} for card in cards if isinstance(card, dict)]
        if isinstance(cards, list)
        else None,
        "platform": host.get("platform"),
        "devices": host.get("devices"),
        "packages": {name: packages.get(name) for name in ("jax", "jaxlib")} if isinstance(packages, dict) else None,
        "variables": {
            kind: {name: without_paths(str(value)) for name, value in sorted(some.items()) if _is_relevant(name)}
            for kind, some in variables.items()
            if isinstance(some, dict)
        }
        if isinstance(variables, dict)
        else None,
    }


def without_paths(text: str) -> str:
    """`text` with every path in it cut to its last component."""
    return _WINDOWS_PATH.sub("", _PATH.sub("", text))


def differences(base: Sequence[Host], new: Sequence[Host]) -> list[str]:
    """The differences between two runs that affect sampled figures, a line each; an unknown fact never differs.

    A resumed run has several hosts: one that differs is enough.
    """
    found = [
        line for one in base for other in new for line in _differing(comparable_facts(one), comparable_facts(other))
    ]
    return list(dict.fromkeys(found))


def soft_differences(base: Sequence[Host], new: Sequence[Host]) -> list[str]:
    """The differences that may affect sampled figures but do not stop a comparison, a line each."""
    facts = [(comparable_facts(one), comparable_facts(other)) for one in base for other in new]
    found = [
        line for one, other in facts for name, title in _SOFT.items() for line in _line(title, one[name], other[name])
    ]
    return list(dict.fromkeys(found))


def _differing(base: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    for name, title in _HARD.items():
        yield from _line(title, base[name], new[name])
    # How many cores, not which: a host hands out any of them.
    yield from _line(
        "usable cores", *(None if host["affinity"] is None else len(host["affinity"]) for host in (base, new))
    )
    if base["platform"] != "cpu" or new["platform"] != "cpu":
        cards = [None if host["cards"] is None else [card["name"] for card in host["cards"]] for host in (base, new)]
        yield from _line("GPUs", *cards)
    for package in ("jax", "jaxlib"):
        yield from _line(package, *((host["packages"] or {}).get(package) for host in (base, new)))
    if base["variables"] is not None and new["variables"] is not None:
        yield from _variables(base["variables"], new["variables"])


def _variables(base: Mapping[str, dict[str, str]], new: Mapping[str, dict[str, str]]) -> Iterable[str]:
    """Variables that differ, per kind of process that both runs have, or else over all kinds."""
    kinds = [kind for kind in base if kind in new]
    pairs = [(base[kind], new[kind]) for kind in kinds] or [(_merged(base), _merged(new))]
    for before, after in pairs:
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                yield f"{name}: {before.get(name, 'not set')} in BASE, {after.get(name, 'not set')} in NEW"


def _merged(variables: Mapping[str, dict[str, str]]) -> dict[str, str]:
    together = {name: value for some in variables.values() for name, value in some.items()}
    together.pop(MEMORY_KIND, None)
    return together


def _line(title: str, base: object, new: object) -> Iterable[str]:
    if base is not None and new is not None and base != new:
        yield f"{title}: {_value(base)} in BASE, {_value(new)} in NEW"


def _value(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _is_relevant(name: str) -> bool:
    return (name in _NAMES or name.startswith(_PREFIXES)) and not name.startswith(_IRRELEVANT)
