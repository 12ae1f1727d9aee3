"""The policy of an encoder-decoder network."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sable.networks.encoder_decoder import EncoderDecoder, NetworkCarry
from sable.policies import acting
from sable.policies.network_policy import NetworkPolicy, as_sequence
from sable.policies.segments import Segmentation, in_groups
from sable.tuning import Tuning
from sable.types import Action, ActionSequence, Carry, Evaluation, Observation, Params

NetworkBuilder = Callable[[nnx.Rngs], EncoderDecoder]


class EncoderDecoderPolicy(NetworkPolicy[EncoderDecoder, NetworkCarry]):
    """An autoregressive policy with an encoder-decoder network; see `sable.types.Policy` for the contract."""

    def __init__(
        self,
        build: NetworkBuilder,
        *,
        fixed_point: bool,
        segmentation: Segmentation,
        tuning: Tuning,
        while_trips: Callable[[int], float],
    ) -> None:
        super().__init__(build, segmentation=segmentation, tuning=tuning)
        self._fixed_point = fixed_point
        self._while_trips = while_trips

    def while_trips(self, agents: int) -> float:
        """Mean iterations of the mixer's while loops, which contain no other.

        Fixed-point acting, a loop around them, counts as one sweep, so that a count of its operations is a lower bound.
        """
        return self._while_trips(agents)

    def permute_carry(self, carry: NetworkCarry, order: Int[Array, " N"]) -> NetworkCarry:
        """The carry itself: memory of earlier timesteps does not depend on the order of agents."""
        return carry

    def act(
        self, params: Params, observation: Observation, reset: Bool[Array, " B"], carry: NetworkCarry, key: PRNGKeyArray
    ) -> Action:
        """Encode all agents at once, then decode them one by one (or in sweeps over all of them)."""
        network = self.network(params)
        rep, value, encoder = _encode_timestep(network, observation, reset, carry, self._tuning)
        if self._fixed_point:
            actions, log_prob, after, sweeps = acting.sample_fixed_point(
                network, rep, observation.action_mask, observation.step_count, reset, carry, key
            )
            return Action(actions, log_prob, value, after._replace(encoder=encoder), sweeps)
        state = network.begin_decoding(carry, reset, rep.shape[1])
        actions, log_prob, state = acting.sample_sequential(
            network, rep, observation.action_mask, observation.step_count, state, key
        )
        steps = jnp.full_like(observation.step_count, rep.shape[1])
        return Action(actions, log_prob, value, network.end_decoding(encoder, state), steps)

    def value(
        self, params: Params, observation: Observation, reset: Bool[Array, " B"], carry: NetworkCarry
    ) -> Float[Array, "B N"]:
        """The encoder's value of one timestep."""
        _, value, _ = _encode_timestep(self.network(params), observation, reset, carry, self._tuning)
        return value

    def _evaluate_segment(
        self,
        network: EncoderDecoder,
        observation: Observation,
        actions: ActionSequence,
        resets: Bool[Array, "B T"],
        carry: NetworkCarry,
    ) -> tuple[NetworkCarry, Evaluation]:
        rep, value, encoder = network.encode(observation, resets, carry.encoder)
        output, after = network.decode(rep, actions, observation.step_count, resets, carry)
        with jax.named_scope("distribution"):
            log_prob, entropy = network.distribution.log_prob_and_entropy(output, observation.action_mask, actions)
        return after._replace(encoder=encoder), Evaluation(log_prob, entropy, value)


def _encode_timestep(
    network: EncoderDecoder, observation: Observation, reset: Bool[Array, " B"], carry: NetworkCarry, tuning: Tuning
) -> tuple[Float[Array, "B N E"], Float[Array, "B N"], tuple[Carry, ...]]:
    """Representations, values and the encoder's memory after one timestep of all agents."""

    def encode(
        inputs: tuple[Observation, Array, tuple[Carry, ...]],
    ) -> tuple[Float[Array, "b N E"], Float[Array, "b N"], tuple[Carry, ...]]:
        observation, reset, memory = inputs
        rep, value, memory = network.encode(as_sequence(observation), reset[:, None], memory, acting=True)
        return rep[:, 0], value[:, 0], memory

    envs, agents = observation.features.shape[:2]
    return in_groups(encode, (observation, reset, carry.encoder), envs, agents, tuning)
