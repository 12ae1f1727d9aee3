"""Reads what XLA dumps of a compiled program: the buffers that are live at its peak, and where each comes from.

With `DUMP_OPTIONS` XLA writes the same text for every platform. Three files tell: `…-live-range.txt` the buffers at the
peak, `…after_optimizations.txt` the instruction of each with its operation, scopes and source line, and
`…-buffer-assignment-values.txt` the bytes of the whole program. (jaxlib 0.10; no interface of XLA's is stable.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from reports.report.live_buffers import INPUTS, OTHER, RECOMPUTED, LiveBuffer, grouped
from scaleprof.planning.parts import operation_of, part_of, part_of_argument, phase_of

HLO, LIVE, VALUES = "after_optimizations.txt", "live-range.txt", "buffer-assignment-values.txt"
"""How the names of the files end that are read."""
ON_CHIP = "S(1)"
"""In the layout of a buffer that a TPU keeps on the chip, and not in its memory."""
REMAT = ".remat"
"""In the name of an instruction that XLA's own rematerialisation repeats."""
UNKNOWN = LiveBuffer(count=1, shape=(), dtype="", size=0, operation="", source="", part=(), phase=OTHER)
"""A buffer of which the compiler tells nothing."""
DEEPEST = 60
"""Instructions that are followed back from one without a name of its own."""
FORWARDING = (
    "bitcast",
    "copy",
    "copy-done",
    "copy-start",
    "get-tuple-element",
    "opt-barrier",
    "reshape",
    "transpose",
    "convert",
    "broadcast",
    "async-done",
)
"""Operations that hand on what their operand is; without a name of their own they take its."""

_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_OPCODE = re.compile(r"\s*([\w\-]+)\(")
_LIVE = re.compile(r"^\s+([\w.\-]+)\{([\d,]*)\}: (\d+) bytes")
_ARRAY = re.compile(r"^(\w+)\[([\d,<=]*)\]")
_CALLED = re.compile(r"(?:calls|body|to_apply)=%?([\w.\-]+)")
_TOTAL = re.compile(r"^Total bytes used: (\d+)", re.MULTILINE)


class Dump(NamedTuple):
    """The texts of one program."""

    hlo: str
    live: str
    values: str


@dataclass(frozen=True)
class Instruction:
    """One instruction of the optimised program."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    computation: str
    op_name: str = ""
    frame: int = 0
    index: int = 0
    """Of a get-tuple-element."""
    called: str = ""
    """The computation that it calls."""
    condition: str = ""
    """The computation that ends a loop; it has the loop's state as its argument, as `called` has."""


class Frame(NamedTuple):
    """A place in the source, and the number of the frame that called it."""

    file: str
    line: int
    parent: int


def read_dump(folder: Path, module: str) -> Dump:
    """The texts of the program whose name contains `module`; raises `ValueError` if one is missing."""

    def text(ending: str) -> str:
        found = [path for path in folder.iterdir() if path.name.endswith(ending) and module in path.name]
        if not found:
            raise ValueError(f"XLA wrote no {ending} for {module}")
        return max(found, key=lambda path: path.stat().st_size).read_text(encoding="utf-8", errors="replace")

    return Dump(text(HLO), text(LIVE), text(VALUES))


def total_bytes(dump: Dump) -> int:
    """The bytes that XLA assigned to the whole program; raises `ValueError` if it does not say."""
    found = _TOTAL.search(dump.values)
    if found is None:
        raise ValueError("XLA's dump names no total")
    return int(found[1])


def live_buffers(dump: Dump, shorten: Callable[[str], str]) -> tuple[LiveBuffer, ...]:
    """The buffers that are live at the peak, equal ones as one, largest first.

    `shorten` makes a file's path one to show; it is empty for a file that is not of interest.
    """
    program = Program(dump.hlo)
    return grouped(
        made
        for name, place, size in live_at_peak(dump.live)
        for made in [program.buffer(name, place, size, shorten)]
        if made is not None
    )


def live_at_peak(text: str) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Name, place in its tuple and bytes of every buffer that is live at the peak."""
    _, heading, rest = text.partition("(peak):\n")
    if not heading:
        raise ValueError("XLA's dump names no peak")
    for line in rest.splitlines():
        found = _LIVE.match(line)
        if found is None:
            return
        yield found[1], tuple(int(number) for number in found[2].split(",") if number), int(found[3])


class Program:
    """The instructions of an optimised program by name."""

    def __init__(self, text: str) -> None:
        self._instructions: dict[str, Instruction] = {}
        self._roots: dict[str, str] = {}
        self._callers: dict[str, str] = {}
        self._named_in: dict[str, Instruction] = {}
        self._users: dict[str, Instruction] = {}
        self._tuples: dict[str, list[Instruction]] = {}
        self._loops: dict[str, str] = {}
        self._entry = ""
        self._frames = read_frames(text)
        computation = ""
        for line in text.splitlines():
            opened = _COMPUTATION.match(line)
            if opened is not None:
                computation = opened[1]
                self._entry = computation if line.startswith("ENTRY") else self._entry
                continue
            made = read_instruction(line, computation)
            if made is None:
                continue
            self._instructions[made.name] = made
            if line.lstrip().startswith("ROOT "):
                self._roots[computation] = made.name
            if part_of(made.op_name):
                self._named_in[computation] = made
                for operand in made.operands:
                    self._users.setdefault(operand, made)
            if made.opcode == "tuple":
                for operand in made.operands:
                    self._tuples.setdefault(operand, []).append(made)
            if made.opcode == "while":
                self._loops.update(dict.fromkeys(made.operands, made.called))
            for called in (made.called, made.condition):
                self._callers.setdefault(called, made.name)

    def buffer(self, name: str, place: tuple[int, ...], size: int, shorten: Callable[[str], str]) -> LiveBuffer | None:
        """The buffer that an instruction makes; None if it is on the chip."""
        made = self._instructions.get(name)
        shape = "" if made is None else element_of(made.shape, place)
        if ON_CHIP in shape:
            return None
        dtype, sizes = read_shape(shape)
        found = UNKNOWN if made is None else self.explained(made, place, shorten)
        return replace(found, shape=sizes, dtype=dtype, size=size)

    def explained(self, made: Instruction, place: tuple[int, ...], shorten: Callable[[str], str]) -> LiveBuffer:
        """Where a buffer comes from."""
        origin = self.origin(made, place)
        if origin is None or not (origin.op_name or origin.frame):
            return replace(UNKNOWN, operation="constant", part=("constants",)) if made.opcode == "constant" else UNKNOWN
        if origin.opcode == "parameter":
            return replace(UNKNOWN, operation="argument", part=part_of_argument(origin.op_name), phase=INPUTS)
        named = (
            origin
            if part_of(origin.op_name)
            else self._inside(origin) or self._user(made) or self._written(made) or origin
        )
        return replace(
            UNKNOWN,
            operation=operation_of(origin.op_name) or origin.opcode,
            source=self.source(named.frame, shorten),
            part=part_of(named.op_name),
            phase=RECOMPUTED if REMAT in made.name else phase_of(named.op_name),
        )

    def _inside(self, made: Instruction) -> Instruction | None:
        """The last instruction of a fusion that is in a part of the model."""
        return self._named_in.get(made.called) if made.opcode == "fusion" else None

    def _user(self, made: Instruction) -> Instruction | None:
        """The first instruction in a part of the model that uses a buffer which is in none, such as a hoisted mask."""
        return self._users.get(made.name)

    def _written(self, made: Instruction) -> Instruction | None:
        """What a loop writes into a buffer that is handed to it empty, such as what a scan keeps for its gradient."""
        tuples = [one for one in self._tuples.get(made.name, ()) if one.name in self._loops]
        for given in tuples:
            written = self._root(self._loops[given.name], (given.operands.index(made.name),), DEEPEST)
            named = None if written is None else written if part_of(written.op_name) else self._inside(written)
            if named is not None:
                return named
        return None

    def origin(self, made: Instruction, place: tuple[int, ...], depth: int = DEEPEST) -> Instruction | None:
        """The instruction that says where a buffer comes from: itself, or one that it was handed on from."""
        if depth <= 0:
            return None
        if made.opcode == "parameter":
            return self._carried(made, place, depth)
        if made.opcode == "get-tuple-element":
            return self._operand(made, 0, (made.index, *place), depth)
        if made.opcode == "tuple" and place:
            return self._operand(made, place[0], place[1:], depth)
        if made.opcode in ("while", "call", "conditional") and made.called:
            return self._root(made.called, place, depth)
        inner = (
            self._root(made.called, place, depth) if made.opcode == "fusion" and (place or not made.op_name) else None
        )
        if inner is not None and inner.op_name and inner.opcode != "parameter":
            return replace(inner, opcode=made.opcode)
        if made.op_name or made.opcode not in FORWARDING:
            return made
        return self._operand(made, 0, place, depth) or made

    def _carried(self, made: Instruction, place: tuple[int, ...], depth: int) -> Instruction | None:
        """Where a parameter comes from: the argument of the program, or what a loop or a call hands in."""
        caller = self._instructions.get(self._callers.get(made.computation, ""))
        if made.computation == self._entry or caller is None:
            return made
        given = self._operand(caller, made.index if caller.opcode != "while" else 0, place, depth)
        if caller.opcode != "while" or (given is not None and given.opcode == "parameter"):
            return given
        written = self._root(caller.called, place, depth // 2)  # what the loop itself puts there tells more than zeros
        return written if written is not None and part_of(written.op_name) else given

    def _operand(self, made: Instruction, number: int, place: tuple[int, ...], depth: int) -> Instruction | None:
        found = self._instructions.get(made.operands[number]) if number < len(made.operands) else None
        return None if found is None else self.origin(found, place, depth - 1)

    def _root(self, computation: str, place: tuple[int, ...], depth: int) -> Instruction | None:
        found = self._instructions.get(self._roots.get(computation, ""))
        return None if found is None else self.origin(found, place, depth - 1)

    def source(self, number: int, shorten: Callable[[str], str]) -> str:
        """The innermost frame in a file of interest, as `file:line`."""
        while number in self._frames:
            frame = self._frames[number]
            if shown := shorten(frame.file):
                return f"{shown}:{frame.line}"
            number = frame.parent
        return ""


def read_instruction(line: str, computation: str) -> Instruction | None:
    """One line of a computation; None if it is no instruction."""
    opened = _INSTRUCTION.match(line)
    if opened is None:
        return None
    shape, rest = _shape_and_rest(line[opened.end() :])
    opcode = _OPCODE.match(rest)
    if opcode is None:
        return None
    end = _closing(rest, opcode.end() - 1)
    inside, after = rest[opcode.end() : end], rest[end + 1 :]
    called, frame, index = (
        _CALLED.search(after),
        re.search(r"stack_frame_id=(\d+)", after),
        re.search(r", index=(\d+)", after),
    )
    condition = re.search(r"condition=%?([\w.\-]+)", after)
    op_name = re.search(r'op_name="((?:[^"\\]|\\.)*)"', after)
    number = int(inside) if opcode[1] == "parameter" and inside.isdigit() else int(index[1]) if index else 0
    return Instruction(
        name=opened[2],
        shape=shape,
        opcode=opcode[1],
        operands=tuple(re.findall(r"%([\w.\-]+)", inside)),
        computation=computation,
        op_name=op_name[1].replace("\\'", "'") if op_name else "",
        frame=int(frame[1]) if frame else 0,
        index=number,
        called=called[1] if called else "",
        condition=condition[1] if condition else "",
    )


def read_frames(text: str) -> dict[int, Frame]:
    """The frames of the source by number; none where XLA names none."""
    tables: dict[str, dict[int, str]] = {}
    current = ""
    for line in text.splitlines():
        if line in ("FileNames", "FunctionNames", "FileLocations", "StackFrames"):
            current = line
        elif current and line[:1].isdigit():
            key, _, value = line.partition(" ")
            tables.setdefault(current, {})[int(key)] = value
        elif line.startswith(("%", "ENTRY")):
            break
    files = {number: value.strip('"') for number, value in tables.get("FileNames", {}).items()}
    places = {number: _fields(value) for number, value in tables.get("FileLocations", {}).items()}
    frames: dict[int, Frame] = {}
    for number, value in tables.get("StackFrames", {}).items():
        fields = _fields(value)
        location = places.get(fields.get("file_location_id", 0), {})
        # XLA counts the frame that called this one from 1: 1 is none.
        frames[number] = Frame(
            files.get(location.get("file_name_id", 0), ""),
            location.get("line", 0),
            fields.get("parent_frame_id", 1) - 1,
        )
    return frames


def _fields(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", text)}


def element_of(shape: str, place: tuple[int, ...]) -> str:
    """The shape of one element of a tuple; of the whole if it is none."""
    for number in place:
        if not shape.startswith("("):
            return shape
        elements = _split(shape[1:-1])
        if number >= len(elements):
            return ""
        shape = elements[number]
    return shape


def read_shape(shape: str) -> tuple[str, tuple[int, ...]]:
    """Type and axes of an array: `f32[4,16]{1,0}`."""
    found = _ARRAY.match(shape)
    if found is None:
        return "", ()
    return found[1], tuple(int(number.lstrip("<=")) for number in found[2].split(",") if number)


def _shape_and_rest(text: str) -> tuple[str, str]:
    if text.startswith("("):
        end = _closing(text, 0) + 1
        return re.sub(r"/\*.*?\*/", "", text[:end]), text[end:]
    shape, _, rest = text.partition(" ")
    return shape, rest


def _closing(text: str, start: int) -> int:
    """The place of the bracket that closes the one at `start`."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place
    return len(text) - 1


def _split(text: str) -> list[str]:
    """The elements of a tuple's shape."""
    found, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            found.append(text[start:place].strip())
            start = place + 1
    return [*found, text[start:].strip()]
