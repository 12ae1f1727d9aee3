"""Autoregressive action selection: agent after agent, each seeing the actions before its own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sable.mixers.base import TimestepState
from sable.networks.encoder_decoder import EncoderDecoder, log_prob_and_entropy, mask_logits


def sample_sequential(
    network: EncoderDecoder,
    rep: Float[Array, "B N E"],
    action_mask: Bool[Array, "B N A"],
    step_count: Int[Array, " B"],
    state: TimestepState,
    key: PRNGKeyArray,
) -> tuple[Int[Array, "B N"], Float[Array, "B N"], TimestepState]:
    """Sample one action per agent by a single scan over agents.

    The noise of every agent is drawn before decoding and added to its logits (the Gumbel-max trick: the argmax is then
    a sample of the categorical distribution). Returns actions, their log-probabilities and the mixers' state after the
    last agent.
    """
    envs, agents = rep.shape[:2]
    noise = jax.random.gumbel(key, (agents, envs, action_mask.shape[-1]))

    def agent_step(
        carry: tuple[Array, TimestepState], xs: tuple[Array, Array, Array, Array]
    ) -> tuple[tuple[Array, TimestepState], tuple[Array, Array]]:
        token, mixers = carry
        agent, rep_i, mask_i, noise_i = xs
        logits, mixers = network.decode_agent(rep_i, token, step_count, agent, mixers)
        logits = mask_logits(logits, mask_i)
        action = jnp.argmax(logits + noise_i, axis=-1)
        log_prob, _ = log_prob_and_entropy(logits, action)
        return (action + 1, mixers), (action, log_prob)

    start = jnp.zeros(envs, dtype=jnp.int32)
    xs = (jnp.arange(agents), jnp.moveaxis(rep, 1, 0), jnp.moveaxis(action_mask, 1, 0), noise)
    (_, state), (actions, log_probs) = jax.lax.scan(agent_step, (start, state), xs)
    return actions.T, log_probs.T, state
