"""The registry of models: name → what it is, its modes and who builds it. Plain data, no jax.

A builder is named as "module:function" and resolved where a model is really built, so that a process which only
checks options stays light. Adding a model is one row here; a model of somebody's own needs none, its name is its
builder.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from sable.config import ModelConfig
    from sable.types import Policy, Space

    Builder = Callable[[ModelConfig, Space], Policy]


@dataclass(frozen=True)
class Published:
    """The training settings that a model was published with.

    `ppo_defaults` are fields of `sable.config.PPOConfig` that have another default for the model, with their values;
    epochs and minibatches are taken where a sweep asks for the published ones.
    """

    ppo_defaults: tuple[tuple[str, float], ...]
    epochs: int
    minibatches: int


SABLE_PUBLISHED = Published(ppo_defaults=(), epochs=4, minibatches=2)
"""Mahjoub et al., arXiv 2410.01706. All else is `PPOConfig`'s own default."""
MAT_PUBLISHED = Published(
    ppo_defaults=(("learning_rate", 5e-4), ("clip", 0.1), ("max_grad_norm", 5.0)), epochs=5, minibatches=1
)
"""Wen et al., arXiv 2205.14953: step size, clipping, gradient norm, epochs and minibatches."""


@dataclass(frozen=True)
class ModelEntry:
    """One registered model.

    `modes` are the equal forms of its training pass (empty: it has no mode axis); `default_modes` those that a sweep
    takes when only the model is named; `chunked` those that the chunk size applies to; `gpu_only` those that run on an
    NVIDIA GPU and nowhere else.
    """

    name: str
    summary: str
    builder: str
    modes: tuple[str, ...] = ()
    default_modes: tuple[str, ...] = ()
    chunked: tuple[str, ...] = ()
    gpu_only: tuple[str, ...] = ()
    heads: bool = True
    """Whether its width is divided among heads; `ModelConfig.heads` means nothing to a model without them."""
    published: Published = SABLE_PUBLISHED
    """Sable's for a model that nothing else was published for."""
    parameters: int | None = None
    """Numbers that it learns on `neom` with E = 64, 4 heads and one block; None where nobody counted."""
    complexity: tuple[str, ...] = ()
    """How time of acting, time of learning and memory of learning grow, one line for every group of modes.

    The memory is that of one segment's activations (`ModelConfig.segment`) and of the whole sequence's inputs.
    """


SABLE_COMPLEXITY = (
    "factored: act O(N), learn O(T N), memory O(T N)",
    "recurrent: act O(N), learn O(T N) one token after the other, memory O(T N)",
    "chunkwise: act O(N), learn O(c T N²), memory O(c² N² + T N), c timesteps in a chunk",
    "parallel: act O(N), learn O(S T N²), memory O(S² N² + T N), S timesteps in a segment, by default all T",
)
MAT_COMPLEXITY = (
    "dense: act O(N²), learn O(T N²), memory O(S N² + T N), S timesteps in a segment",
    "blockwise, fused: act O(N²), learn O(T N²), memory O(T N)",
)

CONTRACT = ("init", "init_carry", "permute_carry", "act", "evaluate", "value")
"""What a policy has: the methods of `sable.types.Policy`."""

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            name="sable",
            summary="Encoder/decoder with retention, memory across timesteps (Mahjoub et al., arXiv 2410.01706)",
            builder="sable.policies.builders:build_sable",
            modes=("chunkwise", "recurrent", "parallel", "factored"),
            default_modes=("chunkwise", "recurrent", "parallel"),
            chunked=("chunkwise",),
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
            published=MAT_PUBLISHED,
            parameters=77_860,
            complexity=MAT_COMPLEXITY,
        ),
        ModelEntry(
            name="sable-memoryless",
            summary="Sable whose state is forgotten at every timestep: what its memory is worth",
            builder="sable.policies.builders:build_memoryless_sable",
            modes=("chunkwise", "recurrent", "parallel", "factored"),
            default_modes=("chunkwise",),
            chunked=("chunkwise",),
            parameters=97_045,
            complexity=SABLE_COMPLEXITY,
        ),
        ModelEntry(
            name="mat-rms",
            summary="MAT with Sable's RMSNorm and SwiGLU: what those are worth",
            builder="sable.policies.builders:build_mat_rms",
            modes=("dense", "blockwise", "fused"),
            default_modes=("dense",),
            gpu_only=("fused",),
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
            summary="MAT whose attention spans the last timesteps of all agents, `model.window` of them",
            builder="sable.policies.builders:build_mat_temporal",
            modes=("dense",),
            default_modes=("dense",),
            published=MAT_PUBLISHED,
            parameters=77_860,
            complexity=("act O(W N²), learn O(T W N²), memory O(W N² + T W N), W timesteps in the window",),
        ),
        ModelEntry(
            name="ippo",
            summary="Independent PPO: an MLP per agent, weights shared, no mixing (de Witt et al., arXiv 2011.09533)",
            builder="sable.policies.independent:build_ippo",
            heads=False,
            parameters=2_438,
            complexity=("act O(N), learn O(T N), memory O(T N)",),
        ),
        ModelEntry(
            name="mappo",
            summary="IPPO's actor, and a critic that also sees the team's observations, pooled (mean and maximum over"
            " agents) so that it is O(N), not concatenated as usual (Yu et al., arXiv 2103.01955)",
            builder="sable.policies.independent:build_mappo",
            heads=False,
            parameters=4_358,
            complexity=("act O(N), learn O(T N), memory O(T N)",),
        ),
        ModelEntry(
            name="ippo-gru",
            summary="IPPO with a GRU over time per agent, one in the actor and one in the critic",
            builder="sable.policies.independent:build_ippo_gru",
            heads=False,
            parameters=60_294,
            complexity=("act O(N), learn O(T N), memory O(T N)",),
        ),
    )
}


def is_custom(name: str) -> bool:
    """Whether a model's name is the builder of somebody's own model, "module:function"."""
    return name.partition(":")[0] not in MODELS and ":" in name


def find(name: str) -> ModelEntry:
    """The entry of a registered model, or one made up for somebody's own.

    Raises `ValueError` for a name that is neither.
    """
    if is_custom(name):
        return ModelEntry(name=name, summary="", builder=name)
    if name not in MODELS:
        raise ValueError(f"model is {name!r}: it must be one of {', '.join(MODELS)}, or module:function")
    return MODELS[name]


def build_policy(config: ModelConfig, space: Space) -> Policy:
    """Build the policy that `config` names for observations and actions of `space`.

    Raises `ValueError` for a model or a mode that is not registered, for a space without agents, and for a builder that
    is not there or does not return a `sable.types.Policy`.
    """
    if space.num_agents < 1:
        raise ValueError(f"num_agents is {space.num_agents}: it must be a whole number of at least 1")
    entry = find(config.model)
    if config.mode not in (entry.modes or ("",)):
        raise ValueError(f"mode is {config.mode!r}: {entry.name} has {', '.join(entry.modes) or 'no modes'}")
    policy = _builder(entry.builder)(config, space)
    missing = [name for name in CONTRACT if not callable(getattr(policy, name, None))]
    if missing:
        raise ValueError(
            f"model is {entry.name!r}: it returned a {type(policy).__name__}, which is no policy: "
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
