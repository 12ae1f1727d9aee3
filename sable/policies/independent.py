"""IPPO and MAPPO: policies without a decoder, whose agents act independently; and their builders.

Training is the same as for all models, so changes of the papers to PPO (such as value normalisation) are left out.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sable.config import ModelConfig
from sable.networks.actor_critic import (
    ActorCritic,
    AgentMemory,
    CriticView,
    FeedForward,
    Recurrent,
    TorsoFactory,
    own_and_pooled_observations,
    own_observation,
)
from sable.policies.network_policy import NetworkPolicy, as_sequence
from sable.policies.segments import Segmentation
from sable.types import Action, ActionSequence, Evaluation, Observation, Params, Space


class IndependentPolicy(NetworkPolicy[ActorCritic, AgentMemory]):
    """A policy whose agents act without knowing each other's actions; see `sable.types.Policy` for the contract."""

    def permute_carry(self, carry: AgentMemory, order: Int[Array, " N"]) -> AgentMemory:
        """Each agent keeps its memory."""
        permuted: AgentMemory = jax.tree.map(lambda x: jnp.take(x, order, axis=1), carry)
        return permuted

    def act(
        self, params: Params, observation: Observation, reset: Bool[Array, " B"], carry: AgentMemory, key: PRNGKeyArray
    ) -> Action:
        """Sample the actions of all agents at once."""
        network = self.network(params)
        sequence, resets = as_sequence(observation), reset[:, None]
        output, actor = network.output(sequence, resets, carry.actor)
        value, critic = network.value(sequence, resets, carry.critic)
        output, mask, distribution = output[:, 0], observation.action_mask, network.distribution
        actions = distribution.sample(output, mask, jnp.moveaxis(distribution.draw_noise(key, mask), 0, 1))
        log_prob, _ = distribution.log_prob_and_entropy(output, mask, actions)
        return Action(
            actions, log_prob, value[:, 0], AgentMemory(actor, critic), jnp.zeros_like(observation.step_count)
        )

    def value(
        self, params: Params, observation: Observation, reset: Bool[Array, " B"], carry: AgentMemory
    ) -> Float[Array, "B N"]:
        """The critic's value of one timestep."""
        value, _ = self.network(params).value(as_sequence(observation), reset[:, None], carry.critic)
        return value[:, 0]

    def _evaluate_segment(
        self,
        network: ActorCritic,
        observation: Observation,
        actions: ActionSequence,
        resets: Bool[Array, "B T"],
        carry: AgentMemory,
    ) -> tuple[AgentMemory, Evaluation]:
        output, actor = network.output(observation, resets, carry.actor)
        value, critic = network.value(observation, resets, carry.critic)
        with jax.named_scope("distribution"):
            log_prob, entropy = network.distribution.log_prob_and_entropy(output, observation.action_mask, actions)
        return AgentMemory(actor, critic), Evaluation(log_prob, entropy, value)


def build_ippo(config: ModelConfig, space: Space) -> IndependentPolicy:
    """IPPO (de Witt et al., arXiv 2011.09533): actor and critic see the agent's own observation, weights are shared."""
    return _policy(config, space, FeedForward, own_observation)


def build_mappo(config: ModelConfig, space: Space) -> IndependentPolicy:
    """MAPPO (Yu et al., arXiv 2103.01955): IPPO's actor, and a critic that also sees the team.

    The team is pooled (mean and maximum over agents of every feature) instead of concatenated, so that size and cost of
    the critic's input stay O(1) for an agent and O(N) for all; see `own_and_pooled_observations`.
    """
    return _policy(config, space, FeedForward, own_and_pooled_observations)


def build_ippo_gru(config: ModelConfig, space: Space) -> IndependentPolicy:
    """IPPO with memory: a GRU in the actor and one in the critic, as in Mava's recurrent IPPO (`rec_ippo`)."""
    return _policy(config, space, Recurrent, own_observation)


def _policy(config: ModelConfig, space: Space, torso: TorsoFactory, critic_view: CriticView) -> IndependentPolicy:
    return IndependentPolicy(
        lambda rngs: ActorCritic(space, config, torso=torso, critic_view=critic_view, rngs=rngs),
        segmentation=Segmentation(config.segment, tuning=config.chosen_tuning()),
        tuning=config.chosen_tuning(),
    )
