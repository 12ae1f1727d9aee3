"""What NVIDIA's driver tells of a GPU through NVML: memory, utilisation, power, clock, throttling, energy.

Used in the parent only. Names, units and meanings are those of the NVML API reference
(https://docs.nvidia.com/deploy/nvml-api/); not yet run on hardware. Every figure is a value or None with a reason in
words, and nothing here raises, whatever the driver does.

NVML numbers the cards in the order of the PCI bus and ignores CUDA_VISIBLE_DEVICES; CUDA puts the fastest card first
unless CUDA_DEVICE_ORDER=PCI_BUS_ID. Only a card's UUID means the same card to both.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class GpuReading(NamedTuple):
    """One look at a card and at a process on it. None is unknown; `Nvml.missing` says why."""

    process_bytes: int | None = None
    """Memory of the process on the card, CUDA's context included."""
    device_bytes: int | None = None
    """Memory in use on the whole card, by all processes and by the driver itself."""
    utilisation_percent: float | None = None
    """Share of the driver's last sample period (1/6 to 1 s) in which any kernel ran; says nothing of how well."""
    power_watts: float | None = None
    """Draw of the whole board: averaged over 1 s from Ampere on (GA100 excepted), of this moment on older cards."""
    sm_clock_mhz: float | None = None
    throttle_reasons: tuple[str, ...] | None = None
    """What holds the clocks down; () where nothing does. An idle card is not throttled."""
    energy_joules: float | None = None
    """The board's counter since the driver was loaded (Volta or newer); only differences mean anything."""


FIELD_WORDS = {
    "process_bytes": "process memory",
    "device_bytes": "memory in use",
    "utilisation_percent": "utilisation",
    "power_watts": "power",
    "sm_clock_mhz": "SM clock",
    "throttle_reasons": "throttle reasons",
    "energy_joules": "energy",
}
"""What each field of a reading is called where a person reads it."""

NOT_LISTED = "the driver lists no such process: it does not use the card, or it may run in another pid namespace"

THROTTLE_REASONS = {
    0x002: "application clocks",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "hardware power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}
"""NVML's bits nvmlClocksEventReason* (before: nvmlClocksThrottleReason*) in words."""
_IDLE = 0x001


def throttle_names(bits: int) -> tuple[str, ...]:
    """The reasons in one of NVML's bit masks; a bit that is not known here is named by its value."""
    present = (1 << place for place in range(bits.bit_length()) if bits >> place & 1)
    return tuple(THROTTLE_REASONS.get(bit, f"reason 0x{bit:x}") for bit in present if bit != _IDLE)


def load_nvml() -> ModuleType | None:
    """NVML's Python binding, if it is installed."""
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


def hash_of(uuid: str) -> str:
    """What tells cards apart without giving away a serial number."""
    return hashlib.sha256(uuid.encode()).hexdigest()[:12]


class _Card(NamedTuple):
    handle: Any | None = None
    reason: str = ""
    """Why there is no handle."""
    uuid: str | None = None
    name: str | None = None
    mig: bool = False
    """Whether the card is divided into instances (MIG); that changes only when the card is reset."""


class Nvml:
    """The driver of this machine's cards.

    `module` is NVML's binding (nvidia-ml-py), an argument so that tests can pass a fake. `reason` says in words why
    nothing can be read, and is empty when something can.
    """

    def __init__(self, module: Any | None) -> None:
        self._module = module
        self._cards: list[_Card] = []
        self._missing: dict[str, str] = {}
        self.reason = ""
        if module is None:
            self.reason = "the package nvidia-ml-py is not installed"
            return

        def count() -> int:
            module.nvmlInit()
            return int(module.nvmlDeviceGetCount())

        cards, error = _ask(count)
        if cards is None:
            self.reason = _said(error)
            return
        self._cards = [self._open(index) for index in range(cards)]
        if not self._opened:
            self.reason = self._cards[0].reason if self._cards else "the driver reports no GPU"

    @property
    def available(self) -> bool:
        """Whether there is a driver and a GPU to ask."""
        return not self.reason

    @property
    def card_count(self) -> int:
        """How many cards the driver knows, those that it cannot open included."""
        return len(self._cards)

    def device_names(self) -> list[str]:
        """The cards' names as the driver gives them."""
        return [card.name for card in self._opened if card.name]

    def uuid_of(self, index: int) -> str | None:
        """The UUID of NVML's card `index`, for CUDA_VISIBLE_DEVICES; None if there is no such card."""
        return self._cards[index].uuid if 0 <= index < len(self._cards) else None

    def index_of(self, uuid: str) -> int | None:
        """NVML's index of the card whose UUID is, or alone begins with, `uuid` (CUDA takes such short forms too)."""
        found = [i for i, card in enumerate(self._cards) if uuid and card.uuid and card.uuid.startswith(uuid)]
        return found[0] if len(found) == 1 else None

    def card(self, variables: Mapping[str, str]) -> int | None:
        """NVML's index of the card that comes first for a process with this variables; None if that is not certain.

        An index in CUDA_VISIBLE_DEVICES is NVML's only under CUDA_DEVICE_ORDER=PCI_BUS_ID; a UUID always says which.
        """
        first = variables.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
        if not first.isdecimal():
            return self.index_of(first)
        same_order = len(self._cards) == 1 or variables.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
        return int(first) if same_order and int(first) < len(self._cards) else None

    def process_bytes(self, pid: int) -> int | None:
        """GPU memory of one process over all cards; None if the driver does not list the process or its memory."""
        return self._process_bytes(pid, self._opened)[0]

    def sample(self, pid: int, card: int | str | None = None) -> GpuReading:
        """Look once at a card, given by NVML's index or by UUID, and at the memory of process `pid` on it.

        Without a card the machine's only one is read; where there are several, only the memory of the process over all
        of them is.
        """
        chosen, reason = self._choose(card)
        answers: dict[str, tuple[Any, str]] = dict.fromkeys(GpuReading._fields, (None, reason))
        if chosen is not None:
            answers |= self._look_at(chosen)
            answers["process_bytes"] = self._process_bytes(pid, [chosen])
        elif card is None and self.available:
            answers["process_bytes"] = self._process_bytes(pid, self._opened)
        self._missing = {field: why for field, (_, why) in answers.items() if why}
        return GpuReading(**{field: value for field, (value, _) in answers.items()})

    def missing(self) -> dict[str, str]:
        """Why the latest `sample` could not read a field, for each that it could not read."""
        return dict(self._missing)

    def describe(self) -> list[dict[str, Any]]:
        """What stays the same about each card, in NVML's order, as plain JSON values; unknown is None.

        `uuid_hash` tells cards apart without giving away a serial number; `memory_bytes` is the card's whole memory.
        """
        module: Any = self._module
        driver, _ = _ask(lambda: _text(module.nvmlSystemGetDriverVersion()))
        return [{**self._constants(card), "driver": driver} for card in self._cards]

    @property
    def _opened(self) -> list[_Card]:
        return [card for card in self._cards if card.handle is not None]

    def _open(self, index: int) -> _Card:
        module: Any = self._module
        handle, error = _ask(lambda: module.nvmlDeviceGetHandleByIndex(index))
        if handle is None:
            return _Card(reason=_said(error))
        uuid, _ = _ask(lambda: _text(module.nvmlDeviceGetUUID(handle)))
        name, _ = _ask(lambda: _text(module.nvmlDeviceGetName(handle)))
        mig, _ = _ask(lambda: module.nvmlDeviceGetMigMode(handle)[0] == module.NVML_DEVICE_MIG_ENABLE)
        return _Card(handle, uuid=uuid, name=name, mig=bool(mig))

    def _choose(self, card: int | str | None) -> tuple[_Card | None, str]:
        if not self.available:
            return None, self.reason
        if card is None:
            if len(self._cards) == 1:
                return self._cards[0], ""
            return None, f"the driver knows {len(self._cards)} cards, and it is not certain which one is measured"
        index = self.index_of(card) if isinstance(card, str) else card
        if index is None:
            return None, "the driver knows no card with the chosen UUID"
        if not 0 <= index < len(self._cards):
            return None, f"there is no card {index}: the driver counts {len(self._cards)}, from 0"
        found = self._cards[index]
        return (None, found.reason) if found.handle is None else (found, "")

    def _look_at(self, card: _Card) -> dict[str, tuple[Any, str]]:
        """Every field about the card itself, with the reason where there is no value."""
        module: Any = self._module
        handle = card.handle
        questions: dict[str, tuple[Callable[[], Any], ...]] = {
            "device_bytes": (lambda: int(module.nvmlDeviceGetMemoryInfo(handle).used),),
            "utilisation_percent": (lambda: float(module.nvmlDeviceGetUtilizationRates(handle).gpu),),
            "power_watts": (lambda: module.nvmlDeviceGetPowerUsage(handle) / 1000,),
            "sm_clock_mhz": (lambda: float(module.nvmlDeviceGetClockInfo(handle, module.NVML_CLOCK_SM)),),
            "throttle_reasons": (
                lambda: throttle_names(module.nvmlDeviceGetCurrentClocksEventReasons(handle)),
                # Drivers before 535 know the older name only.
                lambda: throttle_names(module.nvmlDeviceGetCurrentClocksThrottleReasons(handle)),
            ),
            "energy_joules": (lambda: module.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000,),
        }
        answers = {}
        for field, calls in questions.items():
            value, error = _ask(*calls)
            answers[field] = (value, "" if error is None else self._why(card, field, error))
        return answers

    def _process_bytes(self, pid: int, cards: Sequence[_Card]) -> tuple[int | None, str]:
        """Memory of the process over the cards (the instances of a divided card are listed apart), or why not."""
        total, reason = None, NOT_LISTED
        for card in cards:
            processes, error = self._processes(card)
            if processes is None:
                reason = self._why(card, "process_bytes", error)
                continue
            for used in (used for listed, used in processes if listed == pid):
                if used:
                    total = (total or 0) + used
                elif used is None:
                    reason = "usedGpuMemory is not available for the process"
                else:
                    reason = "usedGpuMemory is 0, which no process on a card has: the driver does not count it"
        return total, "" if total is not None else reason

    def _processes(self, card: _Card) -> tuple[list[tuple[int, int | None]] | None, Exception | None]:
        """Pid and memory of each process on the card."""
        module: Any = self._module

        def pairs(processes: list[Any]) -> list[tuple[int, int | None]]:
            return [(process.pid, process.usedGpuMemory) for process in processes]

        return _ask(
            lambda: pairs(module.nvmlDeviceGetComputeRunningProcesses(card.handle)),
            # The binding's first choice is version 3 of the call, which older drivers lack.
            lambda: pairs(module.nvmlDeviceGetComputeRunningProcesses_v2(card.handle)),
        )

    def _constants(self, card: _Card) -> dict[str, Any]:
        module: Any = self._module
        memory = clock = None
        if card.handle is not None:
            memory, _ = _ask(lambda: int(module.nvmlDeviceGetMemoryInfo(card.handle).total))
            clock, _ = _ask(lambda: int(module.nvmlDeviceGetMaxClockInfo(card.handle, module.NVML_CLOCK_SM)))
        return {
            "name": card.name,
            "uuid_hash": None if card.uuid is None else hash_of(card.uuid),
            "memory_bytes": memory,
            "max_sm_clock_mhz": clock,
        }

    def _why(self, card: _Card, field: str, error: Exception | None) -> str:
        if isinstance(error, getattr(self._module, "NVMLError_NotSupported", ())):
            divided = card.mig and field == "utilisation_percent"  # the one figure that NVML says a divided card lacks
            return f"{'MIG mode' if divided else 'this card'} reports no {FIELD_WORDS[field]}"
        return _said(error)


def _ask(*calls: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """The answer of the first call that gives one; None and what the last one raised if none does.

    Any exception counts, not only NVML's: the binding raises others where it and the driver are of different ages, and
    a probe must not end what it observes. Each caller turns it into a reason.
    """
    error: Exception | None = None
    for call in calls:
        try:
            return call(), None
        except Exception as raised:
            error = raised
    return None, error


def _said(error: Exception | None) -> str:
    return str(error) or type(error).__name__


def _text(value: str | bytes) -> str:
    """Older bindings give bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
