"""GPU figures of NVIDIA's driver (NVML): memory, utilisation, power, clock, throttling, energy.

Used in the parent only. Names, units and meanings are those of the NVML API reference
(https://docs.nvidia.com/deploy/nvml-api/); not yet run on hardware. Every figure is a value, or None with a reason, and
nothing here raises, whatever the driver does.

NVML numbers cards by PCI bus order and ignores CUDA_VISIBLE_DEVICES; CUDA puts the fastest card first unless
CUDA_DEVICE_ORDER=PCI_BUS_ID. Only UUIDs identify the same card in both.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class GpuReading(NamedTuple):
    """A card and a process on it at one moment. Unknown is None; `Nvml.missing` gives the reason."""

    process_bytes: int | None = None
    """Memory of the process on the card, including CUDA's context."""
    device_bytes: int | None = None
    """Memory in use on the card by all processes and the driver."""
    utilisation_percent: float | None = None
    """Share of the driver's last sample period (1/6 to 1 s) in which any kernel ran, however small."""
    power_watts: float | None = None
    """Power of the whole board: a mean over 1 s from Ampere on (except GA100), instantaneous on older cards."""
    sm_clock_mhz: float | None = None
    throttle_reasons: tuple[str, ...] | None = None
    """Why clocks are reduced; () if they are not. An idle card is not throttled."""
    energy_joules: float | None = None
    """The board's energy counter since the driver was loaded (Volta or newer); only differences are meaningful."""


FIELD_WORDS = {
    "process_bytes": "process memory",
    "device_bytes": "memory in use",
    "utilisation_percent": "utilisation",
    "power_watts": "power",
    "sm_clock_mhz": "SM clock",
    "throttle_reasons": "throttle reasons",
    "energy_joules": "energy",
}
"""The display name of each field."""

NOT_LISTED = "the driver does not list the process: it does not use the card, or it runs in another pid namespace"

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
"""Names of NVML's bits nvmlClocksEventReason* (formerly nvmlClocksThrottleReason*)."""
_IDLE = 0x001


def throttle_names(bits: int) -> tuple[str, ...]:
    """The reasons in a bit mask of NVML; an unknown bit is named by its value."""
    present = (1 << place for place in range(bits.bit_length()) if bits >> place & 1)
    return tuple(THROTTLE_REASONS.get(bit, f"reason 0x{bit:x}") for bit in present if bit != _IDLE)


def load_nvml() -> ModuleType | None:
    """NVML's Python binding, or None if it is not installed."""
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


def hash_of(uuid: str) -> str:
    """A short hash that identifies a card without revealing its UUID."""
    return hashlib.sha256(uuid.encode()).hexdigest()[:12]


class _Card(NamedTuple):
    handle: Any | None = None
    reason: str = ""
    """Why there is no handle."""
    uuid: str | None = None
    name: str | None = None
    mig: bool = False
    """Whether the card is partitioned into instances (MIG); that changes only with a reset."""


class Nvml:
    """The driver of this host's cards.

    `module` is NVML's binding (nvidia-ml-py); tests pass a fake. `reason` says why nothing can be read, and is empty if
    something can.
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
        """Whether there are a driver and a GPU."""
        return not self.reason

    @property
    def card_count(self) -> int:
        """Number of cards the driver knows, including those it cannot open."""
        return len(self._cards)

    def device_names(self) -> list[str]:
        """The driver's names of the cards."""
        return [card.name for card in self._opened if card.name]

    def uuid_of(self, index: int) -> str | None:
        """The UUID of NVML's card `index`, for CUDA_VISIBLE_DEVICES; None if there is no such card."""
        return self._cards[index].uuid if 0 <= index < len(self._cards) else None

    def index_of(self, uuid: str) -> int | None:
        """NVML's index of the only card with a UUID that starts with `uuid` (CUDA accepts such short forms too)."""
        found = [i for i, card in enumerate(self._cards) if uuid and card.uuid and card.uuid.startswith(uuid)]
        return found[0] if len(found) == 1 else None

    def card(self, variables: Mapping[str, str]) -> int | None:
        """NVML's index of the first card of a process with these variables; None if that is not certain.

        An index in CUDA_VISIBLE_DEVICES is NVML's only under CUDA_DEVICE_ORDER=PCI_BUS_ID; a UUID is always certain.
        """
        first = variables.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
        if not first.isdecimal():
            return self.index_of(first)
        same_order = len(self._cards) == 1 or variables.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
        return int(first) if same_order and int(first) < len(self._cards) else None

    def process_bytes(self, pid: int) -> int | None:
        """GPU memory of one process over all cards; None if the driver does not report it."""
        return self._process_bytes(pid, self._opened)[0]

    def sample(self, pid: int, card: int | str | None = None) -> GpuReading:
        """Read a card, given by NVML's index or UUID, and the memory of process `pid` on it.

        Without a card, the host's only card is read. If there are several, only the process's memory over all of them
        is read.
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
        """The reason for each field that the latest `sample` could not read."""
        return dict(self._missing)

    def describe(self) -> list[dict[str, Any]]:
        """The constants of each card in NVML's order, as plain JSON values; unknown is None.

        `uuid_hash` identifies a card without revealing its UUID; `memory_bytes` is the card's total memory.
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
            return None, f"the driver knows {len(self._cards)} cards, and it is unclear which one is measured"
        index = self.index_of(card) if isinstance(card, str) else card
        if index is None:
            return None, "the driver knows no card with the chosen UUID"
        if not 0 <= index < len(self._cards):
            return None, f"there is no card {index}: the driver counts {len(self._cards)}, from 0"
        found = self._cards[index]
        return (None, found.reason) if found.handle is None else (found, "")

    def _look_at(self, card: _Card) -> dict[str, tuple[Any, str]]:
        """Every field of the card itself, with a reason if there is no value."""
        module: Any = self._module
        handle = card.handle
        questions: dict[str, tuple[Callable[[], Any], ...]] = {
            "device_bytes": (lambda: int(module.nvmlDeviceGetMemoryInfo(handle).used),),
            "utilisation_percent": (lambda: float(module.nvmlDeviceGetUtilizationRates(handle).gpu),),
            "power_watts": (lambda: module.nvmlDeviceGetPowerUsage(handle) / 1000,),
            "sm_clock_mhz": (lambda: float(module.nvmlDeviceGetClockInfo(handle, module.NVML_CLOCK_SM)),),
            "throttle_reasons": (
                lambda: throttle_names(module.nvmlDeviceGetCurrentClocksEventReasons(handle)),
                # Drivers before 535 have only the older name.
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
        """Memory of the process over the cards (MIG instances are listed apart), or why it is unknown."""
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
                    reason = "usedGpuMemory is 0: the driver does not count it"
        return total, "" if total is not None else reason

    def _processes(self, card: _Card) -> tuple[list[tuple[int, int | None]] | None, Exception | None]:
        """Process id and memory of each process on the card."""
        module: Any = self._module

        def pairs(processes: list[Any]) -> list[tuple[int, int | None]]:
            return [(process.pid, process.usedGpuMemory) for process in processes]

        return _ask(
            lambda: pairs(module.nvmlDeviceGetComputeRunningProcesses(card.handle)),
            # The binding prefers version 3 of the call, which older drivers lack.
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
            divided = (
                card.mig and field == "utilisation_percent"
            )  # by NVML's reference, the one figure missing under MIG
            return f"{'MIG mode' if divided else 'this card'} reports no {FIELD_WORDS[field]}"
        return _said(error)


def _ask(*calls: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """The result of the first call that succeeds; None and the last exception if none does.

    Catches every exception, not only NVML's: the binding raises others if it and the driver differ in age, and a probe
    must never end what it observes. Callers turn the exception into a reason.
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
    """Older bindings return bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
