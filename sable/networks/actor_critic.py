"""Networks without a mixer: an actor and a critic without common weights, each shared by all agents.

    actor    output = head(torso(the agent's own observation))
    critic   value = head(torso(the critic's view of the agent))

Sizes are `ModelConfig`'s. A hidden layer is relu(x W + b) of width E = `embed_dim`; `blocks` counts the hidden layers
of a `FeedForward` torso, and those on either side of a `Recurrent` torso's GRU. Mava (github.com/instadeepai/Mava),
whose orthogonal initialisation this uses, has E = 128 with 2 blocks for the first and 1 for the second, and can give
the GRU another width. `heads`, `chunk`, `decay_scaling` and `timestep_encoding` belong to mixers and do nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from sable.config import ModelConfig
from sable.distributions import distribution_of
from sable.layers.blocks import HEAD_INIT, HIDDEN_INIT
from sable.layers.linear import Linear, dot_general
from sable.types import Carry, Observation, Space

VALUE_INIT = nnx.initializers.orthogonal(1.0)


@runtime_checkable
class Torso(Protocol):
    """The layers between an input and a head; every agent's tokens pass through separately."""

    def init_carry(self, envs: int, agents: int) -> Carry:
        """The memory before the first timestep, (B, N, …); `()` without memory."""
        ...

    def __call__(
        self, x: Float[Array, "B T N inputs"], resets: Bool[Array, "B T"], carry: Carry
    ) -> tuple[Float[Array, "B T N E"], Carry]:
        """Apply the torso to T timesteps; also returns the memory after the last."""
        ...


TorsoFactory: TypeAlias = Callable[[int, ModelConfig, nnx.Rngs], Torso]
CriticView: TypeAlias = Callable[[Float[Array, "*batch N F"]], Float[Array, "*batch N inputs"]]
"""The critic's input for every agent, from the observations of all agents."""


class AgentMemory(NamedTuple):
    """The agents' memory, each leaf (B, N, …)."""

    actor: Carry
    critic: Carry


class HiddenLayer(nnx.Module):
    """relu(x W + b)."""

    def __init__(self, inputs: int, config: ModelConfig, rngs: nnx.Rngs) -> None:
        self.linear = Linear(
            inputs, config.embed_dim, bias=True, kernel_init=HIDDEN_INIT, dtype=config.dtype, rngs=rngs
        )

    @jax.named_scope("hidden_layer")
    def __call__(self, x: Float[Array, "*tokens inputs"]) -> Float[Array, "*tokens E"]:
        """Apply the layer to every token."""
        return nnx.relu(self.linear(x)).astype(jnp.float32)


class FeedForward(nnx.Module):
    """`blocks` hidden layers, no memory."""

    def __init__(self, inputs: int, config: ModelConfig, rngs: nnx.Rngs) -> None:
        widths = [inputs] + [config.embed_dim] * config.blocks
        self.layers = nnx.List([HiddenLayer(width, config, rngs) for width, _ in pairwise(widths)])
        self.remat = config.remat

    def init_carry(self, envs: int, agents: int) -> Carry:
        """Nothing."""
        return ()

    def __call__(
        self, x: Float[Array, "B T N inputs"], resets: Bool[Array, "B T"], carry: Carry
    ) -> tuple[Float[Array, "B T N E"], Carry]:
        """Apply all layers to every token."""
        for layer in self.layers:
            x = _remat(layer, self.remat)(x)
        return x, carry


class Recurrent(nnx.Module):
    """`blocks` hidden layers, a GRU over time (Cho et al., 2014, arXiv 1406.1078), `blocks` hidden layers.

    The GRU is the library's (`flax.nnx.GRUCell`), with E units per agent:

        h = 0 where the timestep starts an episode
        r = σ(x W_ir + b_ir + h W_hr)     z = σ(x W_iz + b_iz + h W_hz)     n = tanh(x W_in + b_in + r ⊙ h W_hn)
        h ← (1 − z) ⊙ n + z ⊙ h, which is also its output
    """

    def __init__(self, inputs: int, config: ModelConfig, rngs: nnx.Rngs) -> None:
        self.embed_dim = config.embed_dim
        self.before = FeedForward(inputs, config, rngs)
        self.cell = nnx.GRUCell(config.embed_dim, config.embed_dim, dtype=jnp.dtype(config.dtype), rngs=rngs)
        self.cell.dense_i.dot_general = self.cell.dense_h.dot_general = dot_general
        self.after = FeedForward(config.embed_dim, config, rngs)
        self.remat = config.remat

    def init_carry(self, envs: int, agents: int) -> Float[Array, "B N E"]:
        """Zeros."""
        return jnp.zeros((envs, agents, self.embed_dim))

    def __call__(
        self, x: Float[Array, "B T N inputs"], resets: Bool[Array, "B T"], carry: Float[Array, "B N E"]
    ) -> tuple[Float[Array, "B T N E"], Float[Array, "B N E"]]:
        """Apply the layers to every token and the GRU timestep by timestep."""

        def timestep(memory: Array, xs: tuple[Array, Array]) -> tuple[Array, Array]:
            token, reset = xs
            with jax.named_scope("gru"):
                memory, output = self.cell(jnp.where(reset[:, None, None], 0.0, memory), token)
            return memory, output

        x, _ = self.before(x, resets, ())
        carry, outputs = jax.lax.scan(_remat(timestep, self.remat), carry, (jnp.moveaxis(x, 1, 0), resets.T))
        x, _ = self.after(jnp.moveaxis(outputs, 0, 1), resets, ())
        return x, carry


class ActorCritic(nnx.Module):
    """See the module's docstring."""

    def __init__(
        self, space: Space, config: ModelConfig, *, torso: TorsoFactory, critic_view: CriticView, rngs: nnx.Rngs
    ) -> None:
        self.num_agents = space.num_agents
        self.critic_view = critic_view
        seen = jax.eval_shape(critic_view, jax.ShapeDtypeStruct((space.num_agents, space.features), jnp.float32))
        self.actor = torso(space.features, config, rngs)
        self.critic = torso(seen.shape[-1], config, rngs)
        self.action_head = Linear(
            config.embed_dim, space.actions, bias=True, kernel_init=HEAD_INIT, dtype=config.dtype, rngs=rngs
        )
        self.value_head = Linear(config.embed_dim, 1, bias=True, kernel_init=VALUE_INIT, dtype=config.dtype, rngs=rngs)
        self.distribution = distribution_of(space)

    def init_carry(self, envs: int) -> AgentMemory:
        """The memory of B environments before their first timestep."""
        return AgentMemory(*(torso.init_carry(envs, self.num_agents) for torso in (self.actor, self.critic)))

    @jax.named_scope("actor")
    def output(
        self, observation: Observation, resets: Bool[Array, "B T"], carry: Carry
    ) -> tuple[Float[Array, "B T N A"], Carry]:
        """The actor: logits or means of every token, and the actor's memory."""
        x, carry = self.actor(observation.features, resets, carry)
        with jax.named_scope("head"):
            return self.action_head(x).astype(jnp.float32), carry

    @jax.named_scope("critic")
    def value(
        self, observation: Observation, resets: Bool[Array, "B T"], carry: Carry
    ) -> tuple[Float[Array, "B T N"], Carry]:
        """The critic: the value of every token, and the critic's memory."""
        x, carry = self.critic(self.critic_view(observation.features), resets, carry)
        with jax.named_scope("head"):
            return self.value_head(x).astype(jnp.float32)[..., 0], carry


def own_observation(features: Float[Array, "*batch N F"]) -> Float[Array, "*batch N F"]:
    """An agent's own observation."""
    return features


def own_and_pooled_observations(features: Float[Array, "*batch N F"]) -> Float[Array, "*batch N inputs"]:
    """An agent's own observation, and the mean and maximum of each feature over all agents: 3 F numbers.

    Their number does not depend on N, and the cost is O(N). The usual global state, the concatenation of all
    observations, has N F numbers for each of N agents: O(N²). Pooling loses some of that information.
    """
    pooled = [jnp.mean(features, axis=-2, keepdims=True), jnp.max(features, axis=-2, keepdims=True)]
    return jnp.concatenate([features, *(jnp.broadcast_to(x, features.shape) for x in pooled)], axis=-1)


def _remat(function: Callable[..., Any], remat: bool) -> Callable[..., Any]:
    return jax.checkpoint(function) if remat else function
