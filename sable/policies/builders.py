"""Builders of the encoder-decoder models: each puts one mixer into one skeleton."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

from flax import nnx

from sable.config import AUTO, WHOLE, ModelConfig
from sable.layers.blocks import MLP, SwiGLU
from sable.layers.norms import LayerNorm, RMSNorm
from sable.mixers import retention
from sable.mixers.attention import Attention, AttentionForm, dense
from sable.mixers.base import Mixer
from sable.mixers.blockwise_attention import blockwise, while_trips
from sable.mixers.fused_attention import check_fused, fused
from sable.mixers.gated_retention import GatedRetention
from sable.mixers.linear_attention import LinearAttention
from sable.mixers.temporal_attention import TemporalAttention
from sable.networks.encoder_decoder import EncoderDecoder, Parts
from sable.policies.encoder_decoder_policy import EncoderDecoderPolicy
from sable.policies.segments import Segmentation
from sable.types import Space


class Skeleton(NamedTuple):
    """The parts of a model's encoder and decoder other than the mixer."""

    norm: Callable[[int], nnx.Module]
    feed_forward: Callable[..., nnx.Module]
    observation_bias: bool
    norm_every_block: bool
    """See `sable.networks.encoder_decoder.Parts`."""


SABLE = Skeleton(norm=RMSNorm, feed_forward=SwiGLU, observation_bias=False, norm_every_block=True)


MAT = Skeleton(norm=LayerNorm, feed_forward=MLP, observation_bias=True, norm_every_block=False)


def build_sable(config: ModelConfig, space: Space) -> EncoderDecoderPolicy:
    """Sable: retention, RMSNorm, SwiGLU, no bias in the embeddings."""
    forms: dict[str, retention.Form] = {
        "parallel": retention.parallel,
        "chunkwise": functools.partial(retention.chunkwise, chunk=config.chunk),
        "recurrent": retention.recurrent,
        "factored": functools.partial(retention.factored, block=config.chosen_tuning().agent_block),
    }
    mixer = functools.partial(GatedRetention, form=forms[config.mode], decay_scaling=config.decay_scaling)
    return _policy(config, space, SABLE, mixer)


def build_memoryless_sable(config: ModelConfig, space: Space) -> EncoderDecoderPolicy:
    """Sable without memory between timesteps: its decay is 0, and `decay_scaling` is ignored."""
    return build_sable(dataclasses.replace(config, decay_scaling=0.0), space)


def build_mat(config: ModelConfig, space: Space) -> EncoderDecoderPolicy:
    """The Multi-Agent Transformer: softmax attention, LayerNorm, two-layer GELU MLP, biases."""
    return _attention_policy(config, space, MAT)


def build_mat_rms(config: ModelConfig, space: Space) -> EncoderDecoderPolicy:
    """The Multi-Agent Transformer with Sable's RMSNorm and SwiGLU (an ablation of the Sable paper)."""
    return _attention_policy(config, space, MAT._replace(norm=RMSNorm, feed_forward=SwiGLU))


def build_mat_temporal(config: ModelConfig, space: Space) -> EncoderDecoderPolicy:
    """The Multi-Agent Transformer with attention over the last `config.window` timesteps."""
    mixer = functools.partial(TemporalAttention, window=config.window, num_agents=space.num_agents)
    return _policy(config, space, MAT, mixer)


def build_linear_attention(config: ModelConfig, space: Space) -> EncoderDecoderPolicy:
    """The Multi-Agent Transformer with linear attention."""
    return _policy(config, space, MAT, LinearAttention)


def _attention_policy(config: ModelConfig, space: Space, skeleton: Skeleton) -> EncoderDecoderPolicy:
    """The policy of softmax attention in the form of `config.mode`; raises `ValueError` if that cannot run here."""
    block = config.chosen_tuning().attention_block
    forms: dict[str, AttentionForm] = {
        "dense": dense,
        "blockwise": functools.partial(blockwise, block=block),
        "fused": fused,
    }
    if config.mode == "fused":
        check_fused(config.head_dim, config.dtype, config.compiled_for())
    mixer = functools.partial(Attention, form=forms[config.mode])
    trips = functools.partial(while_trips, block=block) if config.mode == "blockwise" else _once
    return _policy(config, space, skeleton, mixer, while_trips=trips)


def _once(agents: int) -> float:
    """The iterations of a while loop in a model that has none."""
    return 1.0


def _policy(
    config: ModelConfig,
    space: Space,
    skeleton: Skeleton,
    mixer: Callable[..., Mixer],
    *,
    while_trips: Callable[[int], float] = _once,
) -> EncoderDecoderPolicy:
    """The policy of a mixer in a skeleton; `mixer` takes the sizes, `causal`, `dtype` and `rngs`."""

    def build(rngs: nnx.Rngs) -> EncoderDecoder:
        parts = Parts(
            norm=skeleton.norm,
            feed_forward=lambda: skeleton.feed_forward(config.embed_dim, dtype=config.dtype, rngs=rngs),
            mixer=lambda causal: mixer(config.embed_dim, config.heads, causal=causal, dtype=config.dtype, rngs=rngs),
            observation_bias=skeleton.observation_bias,
            norm_every_block=skeleton.norm_every_block,
            remat=config.remat,
        )
        return EncoderDecoder(
            space,
            config.embed_dim,
            config.blocks,
            parts,
            encode_time=config.timestep_encoding,
            dtype=config.dtype,
            rngs=rngs,
        )

    # The parallel form is measured for its single matrix over the whole sequence, so auto leaves it whole.
    length = WHOLE if config.segment == AUTO and config.mode == "parallel" else config.segment
    tuning = config.chosen_tuning()
    segmentation = Segmentation(length, multiple=config.chunk if config.mode == "chunkwise" else 1, tuning=tuning)
    return EncoderDecoderPolicy(
        build,
        fixed_point=config.acting == "fixed_point",
        segmentation=segmentation,
        tuning=tuning,
        while_trips=while_trips,
    )
