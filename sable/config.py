"""Frozen, checked options of a model and of its trainer. Plain data: importing this module does not import jax."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sable.models import MODELS

DTYPES = ("float32", "bfloat16")
ACTING = ("sequential", "fixed_point")


def _require(condition: bool, field: str, value: object, rule: str) -> None:
    if not condition:
        raise ValueError(f"{field} is {value!r}: it must be {rule}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: float) -> bool:
    return math.isfinite(value)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes and options of one network.

    Raises `ValueError` naming the field, its value and the rule when a value is out of range.
    """

    model: str = "sable"
    """A name in `sable.models.MODELS`."""
    mode: str = "chunkwise"
    """Which of the model's equal forms computes the training pass; empty for a model without modes."""
    embed_dim: int = 64
    """Width E of a token (64 in the published Sable and MAT)."""
    heads: int = 4
    """Heads H; each has d = E / H channels. They mean nothing to the models without a mixer."""
    blocks: int = 1
    """Encoder blocks, and as many decoder blocks; hidden layers of a torso in the models without a mixer."""
    chunk: int = 1
    """Timesteps per chunk of the chunkwise form."""
    decay_scaling: float = 0.8
    """Factor on every head's decay (the published Sable's `decay_scaling_factor`): 0 forgets at once, 1 longest."""
    window: int = 4
    """Timesteps seen by `mat-temporal`, the current one included."""
    timestep_encoding: bool = False
    """Add a sin/cos encoding of the timestep within the episode to queries, keys and values (off, as published)."""
    acting: str = "sequential"
    """How actions are sampled: agent after agent, or by sweeps over all agents until none changes. Same samples."""
    remat: bool = False
    """Compute each block's activations again in the backward pass instead of keeping them (`jax.checkpoint`)."""
    segment: int = 0
    """Timesteps whose activations learning keeps at once; those of a sequence's other segments are computed again in
    the backward pass. 0 leaves it open: long sequences of many agents are cut into short segments."""
    dtype: str = "float32"
    """Precision of matrix products. Parameters, norms, states and losses stay float32."""

    def __post_init__(self) -> None:
        for field in ("embed_dim", "heads", "blocks", "chunk", "window"):
            value = getattr(self, field)
            _require(_whole(value) and value >= 1, field, value, "a whole number of at least 1")
        _require(
            _whole(self.segment) and self.segment >= 0, "segment", self.segment, "0, or a whole number of timesteps"
        )
        entry = MODELS.get(self.model)
        _require(
            self.embed_dim % self.heads == 0 or (entry is not None and not entry.heads),
            "embed_dim",
            self.embed_dim,
            f"divisible by the number of heads ({self.heads})",
        )
        _require(self.embed_dim % 2 == 0, "embed_dim", self.embed_dim, "even (sine and cosine come in pairs)")
        _require(0.0 <= self.decay_scaling <= 1.0, "decay_scaling", self.decay_scaling, "between 0 and 1")
        _require(self.acting in ACTING, "acting", self.acting, f"one of {', '.join(ACTING)}")
        _require(self.dtype in DTYPES, "dtype", self.dtype, f"one of {', '.join(DTYPES)}")

    @property
    def head_dim(self) -> int:
        """Channels d of one head."""
        return self.embed_dim // self.heads


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Options of the trainer. Defaults without a source named are those of the published Sable (arXiv 2410.01706).

    Raises `ValueError` naming the field, its value and the rule when a value is out of range.
    """

    seq_len: int = 16
    """Timesteps T of a rollout, and of the sequences that are learned from."""
    envs: int = 4
    """Environments B that are stepped together."""
    epochs: int = 1
    """Passes over a rollout (published: 4; 1 keeps a default sweep short)."""
    minibatches: int = 2
    """Groups of whole environments that a pass is cut into."""
    gamma: float = 0.99
    """Discount γ."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation (Schulman et al., 2016)."""
    clip: float = 0.2
    """Clipping of the probability ratio and of the value's change (Schulman et al., 2017)."""
    entropy_coef: float = 0.01
    """Weight of the entropy bonus."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    learning_rate: float = 2.5e-4
    """Adam's step size."""
    adam_eps: float = 1e-5
    """Adam's ε."""
    max_grad_norm: float = 0.5
    """Global norm to which gradients are clipped."""
    normalise_advantages: bool = True
    """Give the advantages of every minibatch mean 0 and standard deviation 1."""
    accumulate: int = 0
    """Groups of environments K over which a minibatch's gradients are summed, one group in memory at a time; the result
    is that of the whole minibatch. 0 leaves K open: as many groups as keep a group near
    `sable.training.ppo.GROUP_TOKENS`."""
    permute_agents: bool = False
    """Learn in a new random agent order every epoch. The log-probabilities of the acting policy are then evaluated
    again in that order first, because those stored belong to the acting order."""

    def __post_init__(self) -> None:
        for field in ("seq_len", "envs", "epochs", "minibatches"):
            value = getattr(self, field)
            _require(_whole(value) and value >= 1, field, value, "a whole number of at least 1")
        _require(
            self.envs % self.minibatches == 0,
            "envs",
            self.envs,
            f"divisible by the number of minibatches ({self.minibatches}), because a minibatch is whole environments",
        )
        _require(
            _whole(self.accumulate)
            and self.accumulate >= 0
            and (not self.accumulate or self.envs // self.minibatches % self.accumulate == 0),
            "accumulate",
            self.accumulate,
            f"0, or a divisor of the environments of a minibatch ({self.envs // self.minibatches})",
        )
        for field in ("gamma", "gae_lambda"):
            value = getattr(self, field)
            _require(0.0 <= value <= 1.0, field, value, "between 0 and 1")
        for field in ("clip", "learning_rate", "adam_eps", "max_grad_norm"):
            value = getattr(self, field)
            _require(_finite(value) and value > 0.0, field, value, "a number above 0")
        for field in ("entropy_coef", "value_coef"):
            value = getattr(self, field)
            _require(_finite(value) and value >= 0.0, field, value, "a number of at least 0")
