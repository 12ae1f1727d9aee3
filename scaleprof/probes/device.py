"""Device memory: jax's allocator statistics (in the child) and NVML (in the parent).

Written from NVML's documentation; not yet run on hardware. Every answer is a value or None, and nothing raises.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


def allocator_peak_bytes(device: Any) -> int | None:
    """Peak bytes of the device's allocator since the process began; None where it keeps no statistics (CPU)."""
    stats = device.memory_stats()
    peak = (stats or {}).get("peak_bytes_in_use")
    return None if peak is None else int(peak)


def allocator_limit_bytes(device: Any) -> int | None:
    """Bytes the device's allocator may use; None where it keeps no statistics (CPU)."""
    limit = (device.memory_stats() or {}).get("bytes_limit")
    return None if limit is None else int(limit)


def load_nvml() -> ModuleType | None:
    """NVML's Python binding, if it is installed."""
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return None


class Nvml:
    """Reads the GPU memory of a process from the driver.

    `module` is NVML's binding, an argument so that tests can pass a fake. `reason` says in words why nothing can be
    read, and is empty when it can.
    """

    def __init__(self, module: Any | None) -> None:
        self._module = module
        self.reason = ""
        if module is None:
            self.reason = "the package nvidia-ml-py is not installed"
            return
        try:
            module.nvmlInit()
            self._handles = [module.nvmlDeviceGetHandleByIndex(i) for i in range(module.nvmlDeviceGetCount())]
        except module.NVMLError as error:
            self.reason = str(error)
            return
        if not self._handles:
            self.reason = "the driver reports no GPU"

    @property
    def available(self) -> bool:
        """Whether there is a driver and a GPU to ask."""
        return not self.reason

    def process_bytes(self, pid: int) -> int | None:
        """GPU memory of one process over all cards; None if the driver does not list the process or its memory."""
        if not self.available:
            return None
        total = None
        for handle in self._handles:
            for process in self._processes(handle):
                if process.pid == pid and process.usedGpuMemory:
                    total = (total or 0) + int(process.usedGpuMemory)
        return total

    def device_names(self) -> list[str]:
        """The cards' names as the driver gives them."""
        if not self.available or self._module is None:
            return []
        try:
            names = [self._module.nvmlDeviceGetName(handle) for handle in self._handles]
        except self._module.NVMLError:
            return []
        return [name.decode() if isinstance(name, bytes) else str(name) for name in names]

    def _processes(self, handle: Any) -> list[Any]:
        assert self._module is not None
        try:
            return list(self._module.nvmlDeviceGetComputeRunningProcesses(handle))
        except self._module.NVMLError:
            return []
