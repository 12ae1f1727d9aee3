"""The seam between the sweep and what measures its points."""

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
    """Environment variables on top of those that every child gets."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What all processes of a sweep share: the variables they are started with, and how the machine is seen."""

    variables: dict[str, str]
    nvml: Nvml
    rates: Rates
    versions: tuple[Version, ...] = ()
    """The versions of the code that are measured against each other, in the order of `SweepOptions.sides`."""
