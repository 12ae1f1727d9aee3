"""What is in memory at the peak of a program: its buffers, and the parts of the model they belong to. Pure data."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

FORWARD, BACKWARD, RECOMPUTED, INPUTS, OTHER = "forward", "backward", "recomputed", "inputs", "other"
PHASES = (FORWARD, BACKWARD, RECOMPUTED, INPUTS, OTHER)
"""Where a buffer comes from: `inputs` are the program's arguments, `other` is learning outside the gradient."""


@dataclass(frozen=True, kw_only=True)
class LiveBuffer:
    """Equal buffers: alike in shape, origin and part."""

    count: int
    shape: tuple[int, ...]
    dtype: str
    size: int
    """Bytes of all of them."""
    operation: str
    """What made it; empty if the compiler does not tell."""
    source: str
    """File and line; empty if the compiler does not tell."""
    part: tuple[str, ...]
    """The part of the model, from large to small: ("encoder block 0", "attention", "scores")."""
    phase: str

    @property
    def explained(self) -> bool:
        """Whether the compiler tells where it comes from."""
        return bool(self.operation or self.source or self.part)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LiveBuffer:
        """Read what `to_json` wrote; raises `ValueError` for anything else."""
        values = json.loads(text)
        try:
            made = cls(**{**values, "shape": tuple(values["shape"]), "part": tuple(values["part"])})
        except (TypeError, KeyError):
            raise ValueError("no live buffer") from None
        numbers, texts = (made.count, made.size, *made.shape), (made.dtype, made.operation, made.source, *made.part)
        whole = all(type(number) is int and 0 <= number < 10**18 for number in numbers)
        if not (whole and all(isinstance(text, str) for text in texts) and made.phase in PHASES):
            raise ValueError("no live buffer")
        return made


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The same point with another option."""

    option: str
    """As on the command line: `--segment 8`."""
    peak_bytes: int | None
    """None if it was not planned."""
    reason: str = ""
    """Why not."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The peak of a point's learning step."""

    label: str
    """The point, for people."""
    device: str
    peak_bytes: int
    buffers: tuple[LiveBuffer, ...]
    """What is live at the peak, largest first."""
    variants: tuple[Variant, ...] = ()
    compile_seconds: float | None = None

    @property
    def explained_bytes(self) -> int:
        """The bytes of which is known where they come from."""
        return sum(buffer.size for buffer in self.buffers if buffer.explained)

    @property
    def coverage(self) -> float:
        """The share of the peak of which is known where it comes from."""
        return self.explained_bytes / self.peak_bytes if self.peak_bytes else 0.0

    @property
    def rest_bytes(self) -> int:
        """The peak without its live buffers: alignment, gaps, and what the compiler keeps for itself."""
        return max(self.peak_bytes - sum(buffer.size for buffer in self.buffers), 0)


@dataclass
class Branch:
    """A part of the model in the tree: bytes by phase, and the parts in it."""

    name: str
    sizes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    children: dict[str, Branch] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The bytes of the part, its own parts included."""
        return sum(self.sizes.values())

    @property
    def sorted(self) -> list[Branch]:
        """The parts in it, largest first."""
        return sorted(self.children.values(), key=lambda branch: (-branch.size, branch.name))


def tree_of(buffers: Iterable[LiveBuffer]) -> Branch:
    """The parts of the model, each with the bytes of everything in it."""
    root = Branch("")
    for buffer in buffers:
        branch = root
        branch.sizes[buffer.phase] += buffer.size
        for name in buffer.part or (UNNAMED,):
            branch = branch.children.setdefault(name, Branch(name))
            branch.sizes[buffer.phase] += buffer.size
    return root


UNNAMED = "unnamed"
"""The part of buffers that are in none."""


def grouped(buffers: Iterable[LiveBuffer]) -> tuple[LiveBuffer, ...]:
    """Equal buffers as one, the largest groups first."""
    found: dict[tuple[Any, ...], list[LiveBuffer]] = defaultdict(list)
    for one in buffers:
        found[(one.shape, one.dtype, one.operation, one.source, one.part, one.phase)].append(one)
    made = [
        LiveBuffer(
            count=sum(one.count for one in equal),
            shape=equal[0].shape,
            dtype=equal[0].dtype,
            size=sum(one.size for one in equal),
            operation=equal[0].operation,
            source=equal[0].source,
            part=equal[0].part,
            phase=equal[0].phase,
        )
        for equal in found.values()
    ]
    return tuple(sorted(made, key=lambda one: (-one.size, one.part, one.operation, one.shape)))


def as_mapping(found: Explanation) -> Mapping[str, Any]:
    """The explanation as JSON has it."""
    return {
        "point": found.label,
        "device": found.device,
        "program": "learn",
        "peak_bytes": found.peak_bytes,
        "explained_bytes": found.explained_bytes,
        "coverage": round(found.coverage, 4),
        "compile_seconds": found.compile_seconds,
        "parts": [_branch(branch) for branch in tree_of(found.buffers).sorted],
        "buffers": [_buffer(one) for one in found.buffers],
        "variants": [asdict(one) for one in found.variants],
    }


def _branch(branch: Branch) -> dict[str, Any]:
    return {
        "part": branch.name,
        "bytes": branch.size,
        "phases": dict(branch.sizes),
        "parts": [_branch(child) for child in branch.sorted],
    }


def _buffer(one: LiveBuffer) -> dict[str, Any]:
    values = asdict(one)
    values["bytes"] = values.pop("size")
    return values


def better(found: Explanation, share: float = 0.95) -> Sequence[Variant]:
    """The variants that need less than `share` of the peak, the smallest first."""
    known = [(one.peak_bytes, one) for one in found.variants if one.peak_bytes is not None]
    return [one for size, one in sorted(known, key=lambda pair: pair[0]) if size < share * found.peak_bytes]


def shape_text(one: LiveBuffer) -> str:
    """`4x16x64`; `scalar` without axes."""
    return "x".join(map(str, one.shape)) if one.shape else "scalar"
