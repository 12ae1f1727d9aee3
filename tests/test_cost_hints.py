"""What a policy tells a profiler of its cost."""

from __future__ import annotations

from typing import Any, cast

import pytest
from worlds import tiny_policy

from sable.config import AUTO
from sable.models import CONTRACT
from sable.policies.cost_hints import CostHints, cost_hints
from sable.tuning import CPU
from sable.types import LoopingPolicy, Policy, SegmentedPolicy, Space

BLOCK = CPU.attention_block


@pytest.mark.parametrize(
    ("agents", "trips"), [(1, 1.0), (BLOCK, 1.0), (BLOCK + 1, 1.5), (2 * BLOCK, 1.5), (3 * BLOCK, 2.0)]
)
def test_causal_blocks_stop_halfway_on_average(agents: int, trips: float) -> None:
    policy = tiny_policy("mat", "blockwise", Space(agents, 3, 4))
    assert cost_hints(policy, 4, 16, agents).while_trips == trips
    assert cost_hints(tiny_policy("mat", "dense", Space(agents, 3, 4)), 4, 16, agents).while_trips == 1.0


@pytest.mark.parametrize(("model", "mode", "loops"), [("sable", "factored", True), ("ippo", "", False)])
def test_what_registered_policies_tell(model: str, mode: str, loops: bool) -> None:
    policy = tiny_policy(model, mode, Space(1024, 3, 4), segment=AUTO)
    assert isinstance(policy, SegmentedPolicy)
    assert isinstance(policy, LoopingPolicy) == loops
    assert cost_hints(policy, 1, 16, 1024) == CostHints(segment_timesteps=2, while_trips=1.0)


def test_a_custom_policy_may_tell_nothing_or_half() -> None:
    methods: dict[str, Any] = dict.fromkeys(CONTRACT, lambda *_: None)
    silent = cast("Policy", type("Silent", (), methods)())
    looping = cast("Policy", type("Looping", (), methods | {"while_trips": lambda self, agents: 3.0 * agents})())
    assert cost_hints(silent, 4, 16, 2) == CostHints(segment_timesteps=None, while_trips=1.0)
    assert cost_hints(looping, 4, 16, 2) == CostHints(segment_timesteps=None, while_trips=6.0)
