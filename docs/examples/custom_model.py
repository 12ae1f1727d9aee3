"""A custom model for `scaleprof sweep --model custom_model:linear`: a linear actor and a linear critic per agent.

`linear` is called with the options of the sweep (`sable.config.ModelConfig`) and the scenario's sizes
(`sable.types.Space`), and returns an object with the six methods of `sable.types.Policy`. Parameters and carry are
pytrees of any shape; JAX traces everything. B is environments, T timesteps, N agents, A actions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from sable.config import ModelConfig
from sable.distributions import distribution_of
from sable.types import Action, Evaluation, Space


def linear(config: ModelConfig, space: Space) -> Linear:
    """The builder that `--model` names. This model needs no option of `config`, such as `config.embed_dim`."""
    return Linear(space)


class Linear:
    """Logits and value are linear in an agent's observation. It has no memory, so the carry is `()`."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.distribution = distribution_of(space)

    def init(self, key):
        """Fresh parameters."""
        actor, critic = jax.random.split(key)
        return {
            "actor": 0.01 * jax.random.normal(actor, (self.space.features, self.space.actions)),
            "critic": 0.01 * jax.random.normal(critic, (self.space.features,)),
        }

    def init_carry(self, envs):
        """No memory."""
        return ()

    def permute_carry(self, carry, order):
        """No memory to reorder."""
        return carry

    def act(self, params, observation, reset, carry, key):
        """One action for every agent of every environment: (B, N)."""
        logits, value = self.apply(params, observation)
        noise = jnp.moveaxis(self.distribution.draw_noise(key, observation.action_mask), 0, 1)
        actions = self.distribution.sample(logits, observation.action_mask, noise)
        log_prob, _ = self.distribution.log_prob_and_entropy(logits, observation.action_mask, actions)
        return Action(actions, log_prob, value, carry, decoder_steps=jnp.zeros_like(observation.step_count))

    def evaluate(self, params, observation, actions, resets, carry):
        """Log-probability, entropy and value of these actions, over whole sequences: (B, T, N)."""
        logits, value = self.apply(params, observation)
        log_prob, entropy = self.distribution.log_prob_and_entropy(logits, observation.action_mask, actions)
        return Evaluation(log_prob, entropy, value)

    def value(self, params, observation, reset, carry):
        """The value alone: (B, N)."""
        return self.apply(params, observation)[1]

    def apply(self, params, observation):
        """Logits and values; observations may have any leading axes."""
        return observation.features @ params["actor"], observation.features @ params["critic"]
