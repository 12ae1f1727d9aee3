"""Frozen, checked options of a model and of its training. Plain data: importing this module does not import jax.

Whether options fit the chosen model is checked by `sable.models.check`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sable.mixers.mixer_options import RetentionOptions, WindowOptions
from sable.option_checks import is_whole, require, require_count, require_number, require_share
from sable.tuning import Tuning, default_platform, tuning_for

DTYPES = ("float32", "bfloat16")
ACTING = ("sequential", "fixed_point")
AUTO = 0
"""The value of `segment` and `accumulate` that leaves the choice to the sizes."""
WHOLE = 2**31
"""A segment length that exceeds every sequence."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(RetentionOptions, WindowOptions):
    """Sizes and options of one network; a model ignores the options of mixers it does not use.

    Raises `ValueError` naming the field, its value and the rule if a value is out of range.
    """

    model: str = "sable"
    """A name in `sable.models.MODELS`."""
    mode: str = "chunkwise"
    """The form of the training pass, one of the model's equal forms; empty for a model without modes."""
    embed_dim: int = 64
    """Width E of a token (64 in the published Sable and MAT)."""
    heads: int = 4
    """Heads H of d = E / H channels each; ignored by models without a mixer."""
    blocks: int = 1
    """Encoder blocks, and as many decoder blocks; hidden layers of a torso in models without a mixer."""
    timestep_encoding: bool = False
    """Add a sin/cos encoding of the timestep within the episode to queries, keys and values (off, as published)."""
    acting: str = "sequential"
    """How actions are sampled: agent by agent, or by sweeps over all agents until none changes. Same samples."""
    remat: bool = False
    """Recompute each block's activations in the backward pass instead of keeping them (`jax.checkpoint`)."""
    segment: int = WHOLE
    """Timesteps per segment: learning keeps the activations of one segment at a time and recomputes the others in the
    backward pass. `AUTO` chooses the length: short segments for long sequences of many agents."""
    dtype: str = "float32"
    """Precision of matrix products. Parameters, norms, states and losses stay float32."""
    platform: str | None = None
    """The platform that programs are compiled for (`cpu`, `gpu`, `tpu`); None is that of jax's first device."""
    tuning: Tuning | None = None
    """What is chosen by platform; None takes the platform's table (`sable.tuning`)."""

    def __post_init__(self) -> None:
        for field in ("embed_dim", "heads", "blocks"):
            require_count(field, getattr(self, field))
        self.check_retention()
        self.check_window()
        timesteps = is_whole(self.segment) and self.segment >= 0
        require(
            timesteps,
            "segment",
            self.segment,
            "a whole number of timesteps of at least 1, or one of the words all and auto",
        )
        require(self.embed_dim % 2 == 0, "embed_dim", self.embed_dim, "even (sine and cosine come in pairs)")
        require(self.acting in ACTING, "acting", self.acting, f"one of {', '.join(ACTING)}")
        require(self.dtype in DTYPES, "dtype", self.dtype, f"one of {', '.join(DTYPES)}")

    @property
    def head_dim(self) -> int:
        """Channels d of one head."""
        return self.embed_dim // self.heads

    def compiled_for(self) -> str:
        """The platform that programs are compiled for."""
        return self.platform or default_platform()

    def chosen_tuning(self) -> Tuning:
        """The tuning as given, or the platform's."""
        return self.tuning or tuning_for(self.compiled_for())


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Options of training. Defaults are those of the published Sable (arXiv 2410.01706) unless a source is named.

    Raises `ValueError` naming the field, its value and the rule if a value is out of range.
    """

    seq_len: int = 16
    """Timesteps T of a rollout and of the sequences learned from."""
    envs: int = 4
    """Number of environments B, stepped together."""
    epochs: int = 1
    """Passes over a rollout (published: 4; 1 keeps a default sweep short)."""
    minibatches: int = 2
    """Minibatches per epoch, each of whole environments."""
    gamma: float = 0.99
    """Discount γ."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation (Schulman et al., 2016)."""
    clip: float = 0.2
    """Clipping ε of the probability ratio and of the value's change (Schulman et al., 2017)."""
    entropy_coef: float = 0.01
    """Weight of the entropy bonus."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    learning_rate: float = 2.5e-4
    """Adam's step size."""
    adam_eps: float = 1e-5
    """Adam's ε."""
    max_grad_norm: float = 0.5
    """Maximum global norm of the gradient."""
    normalise_advantages: bool = True
    """Normalise the advantages of every minibatch to mean 0 and standard deviation 1."""
    accumulate: int = 1
    """Gradient groups K: a minibatch's gradient is summed over K groups of environments, one group in memory at a time,
    with the same result. `AUTO` chooses K so that a group has at most `Tuning.group_tokens` tokens."""
    permute_agents: bool = False
    """Learn in a new random agent order every epoch. The acting policy's log-probabilities are then evaluated again in
    that order, because the stored ones belong to the acting order."""
    tuning: Tuning | None = None
    """What is chosen by platform; None takes the table of jax's first device (`sable.tuning`)."""

    def __post_init__(self) -> None:
        for field in ("seq_len", "envs", "epochs", "minibatches"):
            require_count(field, getattr(self, field))
        require(
            self.envs % self.minibatches == 0,
            "envs",
            self.envs,
            f"divisible by the number of minibatches ({self.minibatches}), because a minibatch is whole environments",
        )
        require(
            is_whole(self.accumulate)
            and self.accumulate >= 0
            and (not self.accumulate or self.envs // self.minibatches % self.accumulate == 0),
            "accumulate",
            self.accumulate,
            f"a divisor of the environments of a minibatch ({self.envs // self.minibatches}), or the word auto",
        )
        for field in ("gamma", "gae_lambda"):
            require_share(field, getattr(self, field))
        for field in ("clip", "learning_rate", "adam_eps", "max_grad_norm"):
            require_number(field, getattr(self, field), above=True)
        for field in ("entropy_coef", "value_coef"):
            require_number(field, getattr(self, field))

    def chosen_tuning(self) -> Tuning:
        """The tuning as given, or that of jax's first device."""
        return self.tuning or tuning_for(default_platform())
