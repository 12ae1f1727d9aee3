"""What the processes of a sweep share when they run on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from scaleprof.launch.process import WORKER
from scaleprof.probes.nvml import Nvml
from scaleprof.probes.roofline import Rates


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of the code: how its worker is started."""

    command: tuple[str, ...] = WORKER
    variables: tuple[tuple[str, str], ...] = ()
    """Variables on top of those that every child gets."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The variables of all child processes, and how the machine is observed."""

    variables: dict[str, str]
    nvml: Nvml
    rates: Rates
    versions: tuple[Version, ...] = ()
    """The versions of the code that are compared, in the order of `SweepOptions.sides`."""
