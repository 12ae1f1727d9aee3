"""The part of the model and the phase of learning that an operation belongs to, from the name that jax gives it.

    jit(learn)/while/body/transpose(jvp(encoder_block_0))/attention/scores/dot_general
    → encoder block 0, attention, scores; backward; dot_general

Names come from `jax.named_scope`; everything else in them is jax's own structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reports.report.live_buffers import BACKWARD, FORWARD, OTHER, RECOMPUTED

STRUCTURE = frozenset(
    {
        *("while", "body", "cond", "branch", "closed_call", "checkpoint", "remat", "rematted_computation", "scan"),
        *("core_call", "pjit", "shard_map", "custom_lin", "learn"),
        *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
    }
)
"""What jax puts into names for its own control flow, and for the program itself."""
_TRANSFORM = re.compile(r"^(\w+)\((.*)\)$", re.DOTALL)
_SCOPE = re.compile(r"^[A-Za-z]\w*$")
_BRANCH = re.compile(r"^branch_\d+_fun$")
_ARGUMENTS = (
    ("state.params", "parameters"),
    ("state.opt_state", "optimiser"),
    ("trajectory", "trajectory"),
    ("state", "environment state"),
)
"""What the arguments of learning are called, by the start of their path."""


def part_of(op_name: str) -> tuple[str, ...]:
    """The scopes of an operation, from large to small, in plain words."""
    *path, _ = _split(op_name) or [""]
    return tuple(name.replace("_", " ") for piece in path for name in _scopes(piece))


def operation_of(op_name: str) -> str:
    """jax's name of the operation: `dot_general`; empty if it names only structure."""
    name = (_split(op_name) or [""])[-1]
    return "" if name in STRUCTURE else name


def phase_of(op_name: str) -> str:
    """Forward, backward or recomputed; `other` outside the gradient."""
    if "rematted_computation" in op_name:
        return RECOMPUTED
    if "transpose(" in op_name:
        return BACKWARD
    return FORWARD if "jvp(" in op_name else OTHER


def part_of_argument(path: str) -> tuple[str, ...]:
    """What an argument of learning is: `trajectory.transitions.value` → trajectory, value."""
    for start, name in _ARGUMENTS:
        if path.startswith(start):
            rest = path.removeprefix(start).strip(".").removeprefix("transitions.")
            own = rest.replace(".", " ").replace("_", " ")
            return (name, own) if name == "trajectory" and own else (name,)
    return ("arguments",)


def _scopes(piece: str) -> Iterator[str]:
    found = _TRANSFORM.match(piece)
    if found is not None:
        if found[1] not in ("jit", "pjit"):
            for inner in _split(found[2]):
                yield from _scopes(inner)
    elif _SCOPE.match(piece) and piece not in STRUCTURE and not _BRANCH.match(piece):
        yield piece


def _split(text: str) -> list[str]:
    """A path by its slashes outside brackets."""
    found, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "/" and depth == 0:
            found.append(text[start:place])
            start = place + 1
    return [piece for piece in (*found, text[start:]) if piece]
