"""A GPU over one point: peak memory, and means over the measured phase."""

from __future__ import annotations

from typing import Any

from scaleprof.probes.nvml import GpuReading


class GpuPhase:
    """A summary of the readings of one point.

    Memory is the maximum over all readings. Peaks between two readings are missed: the allocator's peak
    (`device_peak_bytes`) is the source of truth, and this is an outside check of it.

    Means, throttle reasons and energy are over the readings of the measured phase. Utilisation and power average over
    up to the last second, so a shorter phase includes what came before it. Energy is the counter's difference between
    the first and the last reading, which misses up to one reading interval at each end; it is None if either reading
    lacks the counter or if the counter has not moved.
    """

    def __init__(self) -> None:
        self._process_bytes: int | None = None
        self._device_bytes: int | None = None
        self._utilisation = _Mean()
        self._power = _Mean()
        self._clock = _Mean()
        self._throttled: set[str] | None = None
        self._measured = False
        self._first_joules: float | None = None
        self._last_joules: float | None = None

    def add(self, reading: GpuReading, *, measured: bool) -> None:
        """Add one reading; `measured` if it was taken in the measured phase."""
        self._process_bytes = _most(self._process_bytes, reading.process_bytes)
        self._device_bytes = _most(self._device_bytes, reading.device_bytes)
        if not measured:
            return
        self._utilisation.add(reading.utilisation_percent)
        self._power.add(reading.power_watts)
        self._clock.add(reading.sm_clock_mhz)
        if reading.throttle_reasons is not None:
            self._throttled = (self._throttled or set()) | set(reading.throttle_reasons)
        if not self._measured:
            self._first_joules = reading.energy_joules
            self._measured = True
        self._last_joules = reading.energy_joules

    def fields(self) -> dict[str, Any]:
        """Fields of the record, with units in their names.

        Unknown is None. Throttle reasons are "" if unknown and "none" if there were none.
        """
        return {
            "nvml_process_bytes": self._process_bytes,
            "nvml_device_bytes": self._device_bytes,
            "nvml_utilisation_percent": self._utilisation.value,
            "nvml_power_watts": self._power.value,
            "nvml_sm_clock_mhz": self._clock.value,
            "nvml_throttle_reasons": "" if self._throttled is None else ", ".join(sorted(self._throttled)) or "none",
            "nvml_energy_joules": self._energy_joules(),
        }

    def _energy_joules(self) -> float | None:
        if self._first_joules is None or self._last_joules is None:
            return None
        used = self._last_joules - self._first_joules
        return used if used > 0 else None


class _Mean:
    """The mean of the known values, None if there are none."""

    def __init__(self) -> None:
        self._total = 0.0
        self._count = 0

    def add(self, value: float | None) -> None:
        if value is not None:
            self._total += value
            self._count += 1

    @property
    def value(self) -> float | None:
        return self._total / self._count if self._count else None


def _most(known: int | None, new: int | None) -> int | None:
    return max((value for value in (known, new) if value is not None), default=None)
