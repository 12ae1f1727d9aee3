"""NVML's Python binding (nvidia-ml-py) for cards that are not there: a fake of the library, not of our probe.

Errors and constants are the real binding's.
"""

# ruff: noqa: N802

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pynvml


@dataclass
class FakeCard:
    """A card, and its handle too. Change it between two looks to let time pass."""

    name: str | bytes = "New Card"
    uuid: str | bytes = "GPU-11111111-aaaa"
    processes: list[tuple[int, int | None]] = field(default_factory=list)
    """(pid, usedGpuMemory) of each entry in the driver's list."""
    used: int = 3 * 2**30
    total: int = 80 * 2**30
    utilisation: int = 90
    milliwatts: int = 250_000
    mhz: int = 1_700
    max_mhz: int = 1_980
    reasons: int = 0
    millijoules: int = 1_000_000
    mig: bool | None = None
    """None on cards that know no MIG mode."""
    failing: dict[str, Exception] = field(default_factory=dict)
    """The functions that raise for this card, and what."""


class FakeDriver:
    """The module. `failing` names the functions that raise whatever they are asked of."""

    NVMLError = pynvml.NVMLError
    NVMLError_NotSupported = pynvml.NVMLError_NotSupported
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __init__(self, *cards: FakeCard, failing: dict[str, Exception] | None = None) -> None:
        self.cards = cards
        self.failing = failing or {}

    def nvmlInit(self) -> None:
        self._may_fail("nvmlInit")

    def nvmlSystemGetDriverVersion(self) -> str:
        self._may_fail("nvmlSystemGetDriverVersion")
        return "570.12"

    def nvmlDeviceGetCount(self) -> int:
        self._may_fail("nvmlDeviceGetCount")
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeCard:
        self._may_fail("nvmlDeviceGetHandleByIndex", self.cards[index])
        return self.cards[index]

    def nvmlDeviceGetName(self, handle: FakeCard) -> str | bytes:
        self._may_fail("nvmlDeviceGetName", handle)
        return handle.name

    def nvmlDeviceGetUUID(self, handle: FakeCard) -> str | bytes:
        self._may_fail("nvmlDeviceGetUUID", handle)
        return handle.uuid

    def nvmlDeviceGetMigMode(self, device: FakeCard) -> list[int]:
        self._may_fail("nvmlDeviceGetMigMode", device)
        if device.mig is None:
            raise pynvml.NVMLError_NotSupported
        return [int(device.mig), int(device.mig)]

    def nvmlDeviceGetComputeRunningProcesses(self, handle: FakeCard) -> list[SimpleNamespace]:
        self._may_fail("nvmlDeviceGetComputeRunningProcesses", handle)
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in handle.processes]

    def nvmlDeviceGetComputeRunningProcesses_v2(self, handle: FakeCard) -> list[SimpleNamespace]:
        self._may_fail("nvmlDeviceGetComputeRunningProcesses_v2", handle)
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in handle.processes]

    def nvmlDeviceGetMemoryInfo(self, handle: FakeCard) -> SimpleNamespace:
        self._may_fail("nvmlDeviceGetMemoryInfo", handle)
        return SimpleNamespace(total=handle.total, used=handle.used, free=handle.total - handle.used)

    def nvmlDeviceGetUtilizationRates(self, handle: FakeCard) -> SimpleNamespace:
        self._may_fail("nvmlDeviceGetUtilizationRates", handle)
        if handle.mig:
            raise pynvml.NVMLError_NotSupported
        return SimpleNamespace(gpu=handle.utilisation, memory=1)

    def nvmlDeviceGetPowerUsage(self, handle: FakeCard) -> int:
        self._may_fail("nvmlDeviceGetPowerUsage", handle)
        return handle.milliwatts

    def nvmlDeviceGetClockInfo(self, handle: FakeCard, type: int) -> int:  # noqa: A002
        self._may_fail("nvmlDeviceGetClockInfo", handle)
        return {pynvml.NVML_CLOCK_SM: handle.mhz, pynvml.NVML_CLOCK_MEM: 1}[type]

    def nvmlDeviceGetMaxClockInfo(self, handle: FakeCard, type: int) -> int:  # noqa: A002
        self._may_fail("nvmlDeviceGetMaxClockInfo", handle)
        return {pynvml.NVML_CLOCK_SM: handle.max_mhz, pynvml.NVML_CLOCK_MEM: 1}[type]

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: FakeCard) -> int:
        self._may_fail("nvmlDeviceGetCurrentClocksEventReasons", handle)
        return handle.reasons

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: FakeCard) -> int:
        self._may_fail("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
        return handle.reasons

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: FakeCard) -> int:
        self._may_fail("nvmlDeviceGetTotalEnergyConsumption", handle)
        return handle.millijoules

    def _may_fail(self, function: str, card: FakeCard | None = None) -> None:
        error = self.failing.get(function) or (card.failing.get(function) if card else None)
        if error is not None:
            raise error
