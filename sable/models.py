"""The registry of models: name → what it is, its modes and who builds it. Plain data, no jax.

A builder is named as "module:function" and resolved where a model is really built, so that a process which only
checks options stays light. Adding a model is one row here.
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
    ppo_defaults: tuple[tuple[str, float], ...] = ()
    """Fields of `sable.config.PPOConfig` that have another default for this model, with their values."""


MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            name="sable",
            summary="Encoder/decoder with retention, memory across timesteps (Mahjoub et al., arXiv 2410.01706)",
            builder="sable.policies:build_sable",
            modes=("chunkwise", "recurrent", "parallel", "factored"),
            default_modes=("chunkwise", "recurrent", "parallel"),
            chunked=("chunkwise",),
        ),
        ModelEntry(
            name="mat",
            summary="Multi-Agent Transformer: softmax attention over agents, no memory (Wen et al., arXiv 2205.14953)",
            builder="sable.policies:build_mat",
            modes=("dense", "blockwise", "fused"),
            default_modes=("dense",),
            gpu_only=("fused",),
        ),
        ModelEntry(
            name="sable-memoryless",
            summary="Sable whose state is forgotten at every timestep: what its memory is worth",
            builder="sable.policies:build_memoryless_sable",
            modes=("chunkwise", "recurrent", "parallel", "factored"),
            default_modes=("chunkwise",),
            chunked=("chunkwise",),
        ),
        ModelEntry(
            name="mat-rms",
            summary="MAT with Sable's RMSNorm and SwiGLU: what those are worth",
            builder="sable.policies:build_mat_rms",
            modes=("dense", "blockwise", "fused"),
            default_modes=("dense",),
            gpu_only=("fused",),
        ),
        ModelEntry(
            name="linear-attention",
            summary="MAT with linear attention over agents, no memory (Katharopoulos et al., arXiv 2006.16236)",
            builder="sable.policies:build_linear_attention",
            modes=("factored",),
            default_modes=("factored",),
        ),
        ModelEntry(
            name="mat-temporal",
            summary="MAT whose attention spans the last timesteps of all agents, `model.window` of them",
            builder="sable.policies:build_mat_temporal",
            modes=("dense",),
            default_modes=("dense",),
        ),
        ModelEntry(
            name="ippo",
            summary="Independent PPO: an MLP per agent, weights shared, no mixing (de Witt et al., arXiv 2011.09533)",
            builder="sable.independent:build_ippo",
        ),
        ModelEntry(
            name="mappo",
            summary="IPPO's actor, and a critic that also sees the team's observations, pooled (mean and maximum over"
            " agents) so that it is O(N), not concatenated as usual (Yu et al., arXiv 2103.01955)",
            builder="sable.independent:build_mappo",
        ),
        ModelEntry(
            name="ippo-gru",
            summary="IPPO with a GRU over time per agent, one in the actor and one in the critic",
            builder="sable.independent:build_ippo_gru",
        ),
    )
}


def build_policy(config: ModelConfig, space: Space) -> Policy:
    """Build the policy that `config` names for observations and actions of `space`.

    Raises `ValueError` for a model or a mode that is not registered, and for a space without agents.
    """
    if space.num_agents < 1:
        raise ValueError(f"num_agents is {space.num_agents}: it must be a whole number of at least 1")
    entry = MODELS.get(config.model)
    if entry is None:
        raise ValueError(f"model is {config.model!r}: it must be one of {', '.join(MODELS)}")
    if config.mode not in (entry.modes or ("",)):
        raise ValueError(f"mode is {config.mode!r}: {entry.name} has {', '.join(entry.modes) or 'no modes'}")
    module, _, function = entry.builder.partition(":")
    builder = cast("Builder", getattr(importlib.import_module(module), function))
    return builder(config, space)
