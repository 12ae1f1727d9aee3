"""The encoder-decoder skeleton. Sable and the Multi-Agent Transformer are two sets of `Parts` for it.

    encoder   tokens = embed(observation); per block: x = norm1(x + mix(x, x)); x = norm2(x + feed_forward(x));
              value = head(x)
    decoder   tokens = norm(embed(previous actions)); per block: a = norm1(x + mix(x, x));
              y = norm2(rep + mix(query = rep, key = a)); x = norm3(y + feed_forward(y)); output = head(x)

`rep` is the encoder's output. The decoder's output is the logits or the Gaussian mean of an agent's action
(`sable.distributions`). Encoder mixers are full over the agents of a timestep, decoder mixers causal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from sable.distributions import distribution_of
from sable.layers.blocks import (
    ActionEmbedding,
    Head,
    NormFactory,
    ObservationEmbedding,
    previous_actions,
    timestep_encoding,
)
from sable.mixers.base import Mixer, TimestepState
from sable.types import ActionSequence, Carry, Observation, Space


class Parts(NamedTuple):
    """The parts in which encoder-decoders differ."""

    norm: NormFactory
    feed_forward: Callable[[], nnx.Module]
    mixer: Callable[[bool], Mixer]
    """Makes a mixer, given whether it is causal."""
    observation_bias: bool
    norm_every_block: bool
    """Apply the encoder's shared input norm before every block (Sable) or before the first only (MAT)."""
    remat: bool
    """Recompute a block's activations in the backward pass instead of keeping them."""


class NetworkCarry(NamedTuple):
    """The memory of every mixer: one entry per block."""

    encoder: tuple[Carry, ...]
    decoder_self: tuple[Carry, ...]
    decoder_cross: tuple[Carry, ...]


class EncoderBlock(nnx.Module):
    """Mixing over agents and time, then a feed-forward layer, each with a residual and a norm after it."""

    def __init__(self, embed_dim: int, parts: Parts) -> None:
        self.mixer = parts.mixer(False)
        self.feed_forward = parts.feed_forward()
        self.norm1, self.norm2 = parts.norm(embed_dim), parts.norm(embed_dim)

    def __call__(
        self,
        x: Float[Array, "B T N E"],
        encoding: Float[Array, "..."],
        resets: Bool[Array, "B T"],
        carry: Carry,
        *,
        acting: bool,
    ) -> tuple[Float[Array, "B T N E"], Carry]:
        """Apply the block; `encoding` is added to the mixer's input."""
        mix = self.mixer.timestep if acting else self.mixer
        tokens = x + encoding
        mixed, carry = mix(tokens, tokens, resets, carry)
        x = self.norm1(x + mixed)
        return self.norm2(x + self.feed_forward(x)), carry


class DecoderBlock(nnx.Module):
    """Mixing over earlier actions, then with the encoder's output as query, then a feed-forward layer."""

    def __init__(self, embed_dim: int, parts: Parts) -> None:
        self.self_mixer, self.cross_mixer = parts.mixer(True), parts.mixer(True)
        self.feed_forward = parts.feed_forward()
        self.norm1, self.norm2, self.norm3 = (parts.norm(embed_dim) for _ in range(3))

    def apply(
        self,
        x: Float[Array, "*tokens E"],
        rep: Float[Array, "*tokens E"],
        encoding: Float[Array, "..."],
        mix_self: Callable[[Array, Array], tuple[Array, Carry]],
        mix_cross: Callable[[Array, Array], tuple[Array, Carry]],
    ) -> tuple[Float[Array, "*tokens E"], tuple[Carry, Carry]]:
        """Apply the block with the given mixing functions, for a whole sequence or one agent's step."""
        tokens = x + encoding
        with jax.named_scope("self"):
            mixed, self_carry = mix_self(tokens, tokens)
        actions = self.norm1(x + mixed)
        with jax.named_scope("cross"):
            mixed, cross_carry = mix_cross(rep + encoding, actions + encoding)
        y = self.norm2(rep + mixed)
        return self.norm3(y + self.feed_forward(y)), (self_carry, cross_carry)

    def apply_sequence(
        self,
        x: Float[Array, "B T N E"],
        rep: Float[Array, "B T N E"],
        encoding: Float[Array, "..."],
        resets: Bool[Array, "B T"],
        self_carry: Carry,
        cross_carry: Carry,
        *,
        acting: bool,
    ) -> tuple[Float[Array, "B T N E"], tuple[Carry, Carry]]:
        """Apply the block to whole sequences."""
        mixers = (self.self_mixer, self.cross_mixer)
        mix_self, mix_cross = (mixer.timestep if acting else mixer for mixer in mixers)
        mix_self = partial(mix_self, resets=resets, carry=self_carry)
        return self.apply(x, rep, encoding, mix_self, partial(mix_cross, resets=resets, carry=cross_carry))


class EncoderDecoder(nnx.Module):
    """See the module's docstring."""

    def __init__(
        self, space: Space, embed_dim: int, blocks: int, parts: Parts, *, encode_time: bool, dtype: str, rngs: nnx.Rngs
    ) -> None:
        self.embed_dim = embed_dim
        self.encode_time = encode_time
        self.norm_every_block = parts.norm_every_block
        self.remat = parts.remat
        self.observation_embedding = ObservationEmbedding(
            space.features, embed_dim, norm=parts.norm, bias=parts.observation_bias, dtype=dtype, rngs=rngs
        )
        self.encoder_norm = parts.norm(embed_dim)
        self.encoder_blocks = nnx.List([EncoderBlock(embed_dim, parts) for _ in range(blocks)])
        self.value_head = Head(embed_dim, 1, norm=parts.norm, dtype=dtype, rngs=rngs)
        self.action_embedding = ActionEmbedding(space.actions, embed_dim, dtype=dtype, rngs=rngs)
        self.decoder_norm = parts.norm(embed_dim)
        self.decoder_blocks = nnx.List([DecoderBlock(embed_dim, parts) for _ in range(blocks)])
        self.action_head = Head(embed_dim, space.actions, norm=parts.norm, dtype=dtype, rngs=rngs)
        self.distribution = distribution_of(space)

    def init_carry(self, envs: int) -> NetworkCarry:
        """The memory of B environments before their first timestep."""
        return NetworkCarry(
            encoder=tuple(block.mixer.init_carry(envs) for block in self.encoder_blocks),
            decoder_self=tuple(block.self_mixer.init_carry(envs) for block in self.decoder_blocks),
            decoder_cross=tuple(block.cross_mixer.init_carry(envs) for block in self.decoder_blocks),
        )

    def encode(
        self, observation: Observation, resets: Bool[Array, "B T"], carry: tuple[Carry, ...], *, acting: bool = False
    ) -> tuple[Float[Array, "B T N E"], Float[Array, "B T N"], tuple[Carry, ...]]:
        """Representations and values of whole sequences, and the encoder's memory after them.

        With `acting` the sequence is one timestep, which mixers compute in their cheapest form.
        """
        x = self.observation_embedding(observation.features)
        encoding = self._encoding(observation.step_count)[:, :, None]
        carries = []
        for index, block in enumerate(self.encoder_blocks):
            with jax.named_scope(f"encoder_block_{index}"):
                if index == 0 or self.norm_every_block:
                    x = self.encoder_norm(x)
                x, block_carry = self._remat(partial(block, acting=acting))(x, encoding, resets, carry[index])
            carries.append(block_carry)
        with jax.named_scope("value"):
            return x, self.value_head(x)[..., 0], tuple(carries)

    def decode(
        self,
        rep: Float[Array, "B T N E"],
        actions: ActionSequence,
        step_count: Int[Array, "B T"],
        resets: Bool[Array, "B T"],
        carry: NetworkCarry,
        *,
        acting: bool = False,
    ) -> tuple[Float[Array, "B T N A"], NetworkCarry]:
        """The head's output for whole sequences whose actions are known; `acting` as in `encode`."""
        with jax.named_scope("decoder_input"):
            x = self.decoder_norm(self.action_embedding(previous_actions(self.distribution.tokens(actions))))
        encoding = self._encoding(step_count)[:, :, None]
        carries = []
        memory = zip(carry.decoder_self, carry.decoder_cross, strict=True)
        for index, (block, (own, cross)) in enumerate(zip(self.decoder_blocks, memory, strict=True)):
            apply = self._remat(partial(block.apply_sequence, acting=acting))
            with jax.named_scope(f"decoder_block_{index}"):
                x, block_carries = apply(x, rep, encoding, resets, own, cross)
            carries.append(block_carries)
        own_carries, cross_carries = (tuple(side) for side in zip(*carries, strict=True))
        with jax.named_scope("action"):
            output = self.action_head(x)
        return output, NetworkCarry(carry.encoder, own_carries, cross_carries)

    def begin_decoding(self, carry: NetworkCarry, reset: Bool[Array, " B"], num_agents: int) -> TimestepState:
        """Start a timestep in every decoder mixer, before its first agent."""
        return tuple(
            (
                block.self_mixer.begin_timestep(own, reset, num_agents),
                block.cross_mixer.begin_timestep(cross, reset, num_agents),
            )
            for block, own, cross in zip(self.decoder_blocks, carry.decoder_self, carry.decoder_cross, strict=True)
        )

    def decode_agent(
        self,
        rep: Float[Array, "B E"],
        token: Float[Array, "B channels"],
        step_count: Int[Array, " B"],
        agent: Int[Array, ""],
        state: TimestepState,
    ) -> tuple[Float[Array, "B A"], TimestepState]:
        """The head's output for one agent, given the previous agent's action token."""
        x = self.decoder_norm(self.action_embedding(token))
        encoding = self._encoding(step_count)
        states = []
        for block, (own, cross) in zip(self.decoder_blocks, state, strict=True):
            x, block_states = block.apply(
                x,
                rep,
                encoding,
                partial(block.self_mixer.step, agent=agent, state=own),
                partial(block.cross_mixer.step, agent=agent, state=cross),
            )
            states.append(block_states)
        return self.action_head(x), tuple(states)

    def end_decoding(self, encoder: tuple[Carry, ...], state: TimestepState) -> NetworkCarry:
        """End the timestep: the memory after it."""
        pairs = [
            (block.self_mixer.end_timestep(own), block.cross_mixer.end_timestep(cross))
            for block, (own, cross) in zip(self.decoder_blocks, state, strict=True)
        ]
        return NetworkCarry(encoder, tuple(own for own, _ in pairs), tuple(cross for _, cross in pairs))

    def _remat(self, block: Callable[..., Any]) -> Callable[..., Any]:
        return jax.checkpoint(block) if self.remat else block

    def _encoding(self, step_count: Int[Array, "*batch"]) -> Float[Array, "..."]:
        """The encoding added to the mixers' inputs: (*batch, E), or a zero that broadcasts to it."""
        if self.encode_time:
            return timestep_encoding(step_count, self.embed_dim)
        return jnp.zeros((1,) * (step_count.ndim + 1))
