"""Device memory from jax's allocator, in the child. `nvml` has the driver's figures."""

from __future__ import annotations

from typing import Any


def allocator_peak_bytes(device: Any) -> int | None:
    """Peak bytes of the device's allocator since the process started; None if it keeps no statistics (CPU)."""
    stats = device.memory_stats()
    peak = (stats or {}).get("peak_bytes_in_use")
    return None if peak is None else int(peak)


def allocator_limit_bytes(device: Any) -> int | None:
    """Bytes the device's allocator may use; None if it keeps no statistics (CPU)."""
    limit = (device.memory_stats() or {}).get("bytes_limit")
    return None if limit is None else int(limit)
