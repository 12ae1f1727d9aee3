"""The algorithm library: sequence models and PPO training, in pure JAX, Flax NNX and Optax.

No clock, no file, no print, no command line. The names below are imported on first use, so that `sable.config` and
`sable.models`, which are plain data, can be imported without jax.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sable.config import ModelConfig, PPOConfig
    from sable.models import MODELS, build_policy
    from sable.training.ppo import Metrics
    from sable.training.trainer import Trainer
    from sable.training.training_programs import TrainingPrograms
    from sable.types import Action, Evaluation, Observation, Policy, Scenario, Space, Step, TrainState

__all__ = [
    "MODELS",
    "Action",
    "Evaluation",
    "Metrics",
    "ModelConfig",
    "Observation",
    "PPOConfig",
    "Policy",
    "Scenario",
    "Space",
    "Step",
    "TrainState",
    "Trainer",
    "TrainingPrograms",
    "build_policy",
]

_HOMES = {
    "MODELS": "sable.models",
    "Metrics": "sable.training.ppo",
    "ModelConfig": "sable.config",
    "PPOConfig": "sable.config",
    "Trainer": "sable.training.trainer",
    "TrainingPrograms": "sable.training.training_programs",
    "build_policy": "sable.models",
}
"""Where each name is defined, if not in `sable.types`."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "sable.types")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
