"""The registry of models: name → description, modes and builder. Plain data, no jax.

A builder is named as "module:function" and imported only when a model is built, so that a process which only checks
options does not load jax. Adding a model is one row here. A custom model needs no row: its name is its builder.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sable.config import ModelConfig
from sable.option_checks import require

if TYPE_CHECKING:
    from sable.types import Policy, Space

    Builder = Callable[[ModelConfig, Space], Policy]


@dataclass(frozen=True)
class Published:
    """The training settings that a model was published with. They apply only where a sweep asks for them.

    `settings` are fields of `sable.config.PPOConfig` besides epochs and minibatches.
    """

    settings: tuple[tuple[str, float], ...]
    epochs: int
    minibatches: int


SABLE_PUBLISHED = Published(settings=(), epochs=4, minibatches=2)
"""Mahjoub et al., arXiv 2410.01706. Everything else is the default of `PPOConfig`."""
MAT_PUBLISHED = Published(
    settings=(("learning_rate", 5e-4), ("clip", 0.1), ("max_grad_norm", 5.0)), epochs=5, minibatches=1
)
"""Wen et al., arXiv 2205.14953: step size, clipping, gradient norm, epochs and minibatches."""

SABLE_GROWTH = (("chunkwise", 1.2), ("parallel", 1.6))
ATTENTION_GROWTH = (("dense", 1.6), ("blockwise", 1.5), ("fused", 1.5))
"""See `ModelEntry.growth`: smaller than the asymptotic exponents, because small sizes spend their time elsewhere."""


@dataclass(frozen=True)
class ModelEntry:
    """One registered model."""

    name: str
    summary: str
    builder: str
    modes: tuple[str, ...] = ()
    """Equal forms of the training pass; empty if the model has no mode axis."""
    default_modes: tuple[str, ...] = ()
    """Modes of a sweep that names only the model."""
    chunked: tuple[str, ...] = ()
    """Modes with a chunk size."""
    gpu_only: tuple[str, ...] = ()
    """Modes that run only on an NVIDIA GPU."""
    growth: tuple[tuple[str, float], ...] = ()
    """Expected exponent of update time in tokens, by mode, until two sizes have been measured."""
    quadratic_memory: tuple[str, ...] = ()
    """Modes with memory that grows as the square of the tokens."""
    linear_mode: str = ""
    """The mode with memory in proportion to the agents that others are compared with; empty if there is no choice."""
    heads: bool = True
    """Whether the width is divided among heads; otherwise `ModelConfig.heads` is ignored."""
    published: Published = SABLE_PUBLISHED
    """Published training settings; Sable's if the model has none of its own."""
    parameters: int | None = None
    """Trainable parameters on `neom` with E = 64, 4 heads and one block; None if not counted."""
    complexity: tuple[str, ...] = ()
    """Growth of acting time, learning time and learning memory, one line per group of modes.

    Memory is that of one segment's activations (`ModelConfig.segment`) and of the whole sequence's inputs.
    """


SABLE_COMPLEXITY = (
    "factored: act O(N), learn O(T N), memory O(T N)",
    "recurrent: act O(N), learn O(T N) token by token, memory O(T N)",
    "chunkwise: act O(N), learn O(c T N²), memory O(c² N² + T N), chunks of c timesteps",
    "parallel: act O(N), learn O(S T N²), memory O(S² N² + T N), segments of S timesteps (default T)",
)
MAT_COMPLEXITY = (
    "dense: act O(N²), learn O(T N²), memory O(S N² + T N), segments of S timesteps",
    "blockwise, fused: act O(N²), learn O(T N²), memory O(T N)",
)

CONTRACT = ("init", "init_carry", "permute_carry", "act", "evaluate", "value")
"""The methods of a policy (`sable.types.Policy`)."""

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            name="sable",
            summary="Encoder-decoder with retention and memory across timesteps (Mahjoub et al., arXiv 2410.01706)",
            builder="sable.policies.builders:build_sable",
            modes=("chunkwise", "recurrent", "parallel", "factored"),
            default_modes=("factored", "chunkwise", "recurrent", "parallel"),
            chunked=("chunkwise",),
            growth=SABLE_GROWTH,
            quadratic_memory=("parallel",),
            linear_mode="factored",
            parameters=97_045,
            complexity=SABLE_COMPLEXITY,
        ),
        ModelEntry(
            name="mat",
            summary="Multi-Agent Transformer: softmax attention over agents, no memory (Wen et al., arXiv 2205.14953)",
            builder="sable.policies.builders:build_mat",
            modes=("dense", "blockwise", "fused"),
            default_modes=("dense",),
            gpu_only=("fused",),
            linear_mode="blockwise",
            growth=ATTENTION_GROWTH,
            published=MAT_PUBLISHED,
            parameters=77_860,
            complexity=MAT_COMPLEXITY,
        ),
        ModelEntry(
            name="sable-memoryless",
            summary="Sable without memory across timesteps (ablation)",
            builder="sable.policies.builders:build_memoryless_sable",
            modes=("chunkwise", "recurrent", "parallel", "factored"),
            default_modes=("chunkwise",),
            chunked=("chunkwise",),
            growth=SABLE_GROWTH,
            quadratic_memory=("parallel",),
            linear_mode="factored",
            parameters=97_045,
            complexity=SABLE_COMPLEXITY,
        ),
        ModelEntry(
            name="mat-rms",
            summary="MAT with Sable's RMSNorm and SwiGLU (ablation)",
            builder="sable.policies.builders:build_mat_rms",
            modes=("dense", "blockwise", "fused"),
            default_modes=("dense",),
            gpu_only=("fused",),
            linear_mode="blockwise",
            growth=ATTENTION_GROWTH,
            published=MAT_PUBLISHED,
            parameters=85_205,
            complexity=MAT_COMPLEXITY,
        ),
        ModelEntry(
            name="linear-attention",
            summary="MAT with linear attention over agents, no memory (Katharopoulos et al., arXiv 2006.16236)",
            builder="sable.policies.builders:build_linear_attention",
            modes=("factored",),
            default_modes=("factored",),
            published=MAT_PUBLISHED,
            parameters=77_860,
            complexity=("act O(N), learn O(T N), memory O(T N)",),
        ),
        ModelEntry(
            name="mat-temporal",
            summary="MAT with attention over the last `model.window` timesteps of all agents",
            builder="sable.policies.builders:build_mat_temporal",
            modes=("dense",),
            default_modes=("dense",),
            growth=ATTENTION_GROWTH,
            published=MAT_PUBLISHED,
            parameters=77_860,
            complexity=("act O(W N²), learn O(T W N²), memory O(W N² + T W N), windows of W timesteps",),
        ),
        ModelEntry(
            name="ippo",
            summary="Independent PPO: an MLP with shared weights, no mixing (de Witt et al., arXiv 2011.09533)",
            builder="sable.policies.independent:build_ippo",
            heads=False,
            parameters=2_438,
            complexity=("act O(N), learn O(T N), memory O(T N)",),
        ),
        ModelEntry(
            name="mappo",
            summary="IPPO with a critic that also sees the team's observations, pooled over agents (mean and maximum)"
            " instead of concatenated, so that it is O(N) (Yu et al., arXiv 2103.01955)",
            builder="sable.policies.independent:build_mappo",
            heads=False,
            parameters=4_358,
            complexity=("act O(N), learn O(T N), memory O(T N)",),
        ),
        ModelEntry(
            name="ippo-gru",
            summary="IPPO with memory: a GRU over time in the actor and one in the critic",
            builder="sable.policies.independent:build_ippo_gru",
            heads=False,
            parameters=60_294,
            complexity=("act O(N), learn O(T N), memory O(T N)",),
        ),
    )
}


REFERENCE = "sable"
"""The model that others are compared with and matched to."""
REFERENCE_MODE = "factored"
"""The mode in which its parameters are counted; all modes have the same."""


def is_custom(name: str) -> bool:
    """Whether a model's name is the builder of a custom model, "module:function"."""
    return name.partition(":")[0] not in MODELS and ":" in name


def find(name: str) -> ModelEntry:
    """The entry of a registered model, or a default one for a custom model.

    Raises `ValueError` for an unknown name.
    """
    if is_custom(name):
        return ModelEntry(name=name, summary="", builder=name)
    if name not in MODELS:
        raise ValueError(f"model is {name!r}: it must be one of {', '.join(MODELS)}, or module:function")
    return MODELS[name]


def check(config: ModelConfig) -> ModelEntry:
    """The entry of the model that `config` names.

    Raises `ValueError` for an unknown model, for a mode it does not have, and for a width its heads do not divide.
    """
    entry = find(config.model)
    if config.mode not in (entry.modes or ("",)):
        raise ValueError(f"mode is {config.mode!r}: {entry.name} has {', '.join(entry.modes) or 'no modes'}")
    divisible = config.embed_dim % config.heads == 0
    require(
        divisible or not entry.heads,
        "embed_dim",
        config.embed_dim,
        f"divisible by the number of heads ({config.heads})",
    )
    return entry


def reference_of(config: ModelConfig) -> ModelConfig:
    """The reference model with the same sizes: the one whose number of parameters other models are matched to."""
    return dataclasses.replace(config, model=REFERENCE, mode=REFERENCE_MODE)


def build_policy(config: ModelConfig, space: Space, *, platform: str | None = None) -> Policy:
    """Build the policy that `config` names for observations and actions of `space`.

    `platform` is what its programs are compiled for; without it `config.platform` holds.

    Raises `ValueError` like `check`, for a space without agents, and for a builder that does not exist or does not
    return a `sable.types.Policy`.
    """
    if space.num_agents < 1:
        raise ValueError(f"num_agents is {space.num_agents}: it must be a whole number of at least 1")
    entry = check(config)
    config = dataclasses.replace(config, platform=platform or config.compiled_for())
    policy = _builder(entry.builder)(config, space)
    missing = [name for name in CONTRACT if not callable(getattr(policy, name, None))]
    if missing:
        raise ValueError(
            f"model is {entry.name!r}: it returned {type(policy).__name__}, which is not a policy: "
            f"it has no {', '.join(missing)} (see sable.types.Policy)"
        )
    return policy


def _builder(name: str) -> Builder:
    module, _, function = name.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise
        raise ValueError(f"model is {name!r}: there is no module {error.name!r}") from None
    if not callable(getattr(found, function, None)):
        raise ValueError(f"model is {name!r}: module {module!r} has no function {function!r}")
    return cast("Builder", getattr(found, function))
