"""Autoregressive action selection: every agent sees the actions of those before it. Two ways to the same sample.

Both draw the noise of every agent before decoding and add it to its logits (the Gumbel-max trick: the argmax is then a
sample of the categorical distribution). Given the noise, action i is a function of actions 0 … i − 1, so the sequential
sample is the only fixed point of decoding all agents at once from guessed actions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sable.mixers.base import TimestepState
from sable.networks.encoder_decoder import EncoderDecoder, NetworkCarry, log_prob_and_entropy, mask_logits


def sample_sequential(
    network: EncoderDecoder,
    rep: Float[Array, "B N E"],
    action_mask: Bool[Array, "B N A"],
    step_count: Int[Array, " B"],
    state: TimestepState,
    key: PRNGKeyArray,
) -> tuple[Int[Array, "B N"], Float[Array, "B N"], TimestepState]:
    """Sample one action per agent by a single scan over agents, N decoder steps one after the other.

    Returns actions, their log-probabilities and the mixers' state after the last agent.
    """
    envs, agents = rep.shape[:2]
    noise = draw_noise(key, action_mask)

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


def sample_fixed_point(
    network: EncoderDecoder,
    rep: Float[Array, "B N E"],
    action_mask: Bool[Array, "B N A"],
    step_count: Int[Array, " B"],
    reset: Bool[Array, " B"],
    carry: NetworkCarry,
    key: PRNGKeyArray,
) -> tuple[Int[Array, "B N"], Float[Array, "B N"], NetworkCarry, Int[Array, " B"]]:
    """Sample one action per agent by decoding all agents at once, again and again until no action changes.

    A sweep makes at least one more agent right, in agent order, so N sweeps and one that confirms are always enough;
    far fewer usually are. Returns actions, their log-probabilities and the carry, all of the last sweep, and how many
    sweeps each environment needed, the confirming one included.
    """
    noise = jnp.moveaxis(draw_noise(key, action_mask), 0, 1)

    def decode(actions: Int[Array, "B N"]) -> tuple[Float[Array, "B N A"], NetworkCarry]:
        sequence = (rep[:, None], actions[:, None], step_count[:, None], reset[:, None])
        logits, after = network.decode(*sequence, carry, acting=True)
        return mask_logits(logits[:, 0], action_mask), after

    def unsettled(loop: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        _, changed, _ = loop
        return changed.any()

    def again(loop: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        actions, changed, sweeps = loop
        following = jnp.argmax(decode(actions)[0] + noise, axis=-1)
        return following, (following != actions).any(axis=-1), sweeps + changed

    guess = jnp.argmax(jnp.where(action_mask, noise, -jnp.inf), axis=-1)
    start = (guess, jnp.ones_like(reset), jnp.zeros_like(step_count))
    actions, _, sweeps = jax.lax.while_loop(unsettled, again, start)
    logits, after = decode(actions)
    log_prob, _ = log_prob_and_entropy(logits, actions)
    return actions, log_prob, after, sweeps


def draw_noise(key: PRNGKeyArray, action_mask: Bool[Array, "B N A"]) -> Float[Array, "N B A"]:
    """Gumbel noise for every agent, environment and action."""
    envs, agents, actions = action_mask.shape
    return jax.random.gumbel(key, (agents, envs, actions))
