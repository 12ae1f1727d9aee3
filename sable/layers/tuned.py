"""Setting the tuning of a network's layers."""

from __future__ import annotations

from typing import TypeVar, cast

from flax import nnx

from sable.tuning import Tuned, Tuning

Network = TypeVar("Network")


def tune(network: Network, tuning: Tuning) -> Network:
    """The network itself, after all its layers that are `Tuned` were given `tuning`."""
    for _, layer in nnx.iter_modules(cast("nnx.Module", network)):
        if isinstance(layer, Tuned):
            layer.tuning = tuning
    return network
