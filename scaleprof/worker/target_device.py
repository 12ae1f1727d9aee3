"""In the child: the device that programs are compiled for, which need not be there.

jax describes an absent GPU or TPU by a topology (`jax.experimental.topologies`); a program whose arguments are placed
on a device of it compiles for that. Only the compilers are needed, no driver: the extras `plan-gpu` and `plan-tpu`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from scaleprof.planning.target import EXTRAS, Target, find_target

NO_TRIMMING = {"xla_disable_hlo_passes": "rematerialization"}
"""XLA's option that turns its own rematerialisation off (`jax._src.compiler` of 0.10)."""


class Place(NamedTuple):
    """Where programs are compiled for."""

    platform: str
    """jax's name of the platform: `cpu`, `gpu` or `tpu`."""
    kind: str
    """jax's name of the device kind."""
    sharding: jax.sharding.Sharding | None = None
    """The placement of every argument; None leaves it to jax."""
    lowering: tuple[str, ...] | None = None
    """The platforms to lower for; None is jax's own."""
    usable_bytes: int | None = None
    """The memory that jax uses of it by default; None if the caller knows better."""

    @property
    def trims(self) -> bool:
        """Whether XLA rematerialises for this platform where a program would not fit."""
        return self.platform != "cpu"


def place_for(target_name: str) -> Place:
    """The device of this name (`scaleprof.planning.target`); the first one here for the empty name.

    Raises `RuntimeError` with one line where jax has no compiler for it.
    """
    target = find_target(target_name)
    if target is None:
        device = jax.devices()[0]
        return Place(device.platform, device.device_kind)
    device = _described(target)
    sharding = jax.sharding.SingleDeviceSharding(device)
    return Place(device.platform, target.title, sharding, (target.platform,), target.usable_bytes)


def _described(target: Target) -> Any:
    """A device of the topology that jax makes of a target."""
    from jax.experimental import topologies

    given = (
        {"topology": "1x1x1", "target_config": target.description}
        if target.platform == "cuda"
        else {"topology_name": target.description}
    )
    try:
        return topologies.get_topology_desc(platform=target.platform, **given).devices[0]
    except Exception as error:
        extra = EXTRAS[target.platform][0]
        raise RuntimeError(f"jax cannot compile for {target.name} (extra scaleprof[{extra}]): {error}") from error
