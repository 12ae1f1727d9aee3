"""What a policy tells a profiler about its cost, with a default for policies that tell nothing."""

from __future__ import annotations

from typing import NamedTuple

from sable.types import LoopingPolicy, Policy, SegmentedPolicy


class CostHints(NamedTuple):
    """See `cost_hints`."""

    segment_timesteps: int | None = None
    """Timesteps whose activations `evaluate` keeps at once; None if unknown."""
    while_trips: float = 1.0
    """Mean iterations of a while loop with a length that only the data decides, of those that contain no other.

    The default makes an operation count a lower bound: each loop counts once.
    """


def cost_hints(policy: Policy, envs: int, timesteps: int, agents: int) -> CostHints:
    """The hints of a policy for sequences of this size.

    A policy gives hints through `sable.types.SegmentedPolicy` and `sable.types.LoopingPolicy`; one that implements
    neither gets the defaults.
    """
    hints = CostHints()
    if isinstance(policy, SegmentedPolicy):
        hints = hints._replace(segment_timesteps=policy.segment_timesteps(envs, timesteps, agents))
    if isinstance(policy, LoopingPolicy):
        hints = hints._replace(while_trips=policy.while_trips(agents))
    return hints
