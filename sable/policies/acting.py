"""Autoregressive action selection: every agent sees the actions of earlier agents. Two ways to the same sample.

Both draw the noise of every agent before decoding (`sable.distributions`). Given the noise, action i is a function of
actions 0 … i − 1, so the sequential sample is the only fixed point of decoding all agents at once from guessed actions.
"""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sable.layers.blocks import start_token
from sable.mixers.base import TimestepState
from sable.networks.encoder_decoder import EncoderDecoder, NetworkCarry
from sable.types import Actions

Loop: TypeAlias = tuple[Array, Array, Array, Array, NetworkCarry]
"""The state between sweeps: actions, changed environments, sweeps per environment, the head's output, the carry."""


def sample_sequential(
    network: EncoderDecoder,
    rep: Float[Array, "B N E"],
    action_mask: Bool[Array, "B N A"],
    step_count: Int[Array, " B"],
    state: TimestepState,
    key: PRNGKeyArray,
) -> tuple[Actions, Float[Array, "B N"], TimestepState]:
    """Sample one action per agent in a scan over agents: N sequential decoder steps.

    Returns actions, their log-probabilities and the mixers' state after the last agent.
    """
    envs, agents, actions = action_mask.shape
    distribution = network.distribution
    noise = distribution.draw_noise(key, action_mask)

    def agent_step(
        carry: tuple[Array, TimestepState], xs: tuple[Array, Array, Array, Array]
    ) -> tuple[tuple[Array, TimestepState], tuple[Array, Array]]:
        token, mixers = carry
        agent, rep_i, mask_i, noise_i = xs
        output, mixers = network.decode_agent(rep_i, token, step_count, agent, mixers)
        action = distribution.sample(output, mask_i, noise_i)
        log_prob, _ = distribution.log_prob_and_entropy(output, mask_i, action)
        return (distribution.tokens(action), mixers), (action, log_prob)

    start = jnp.broadcast_to(start_token(actions + 1), (envs, actions + 1))
    xs = (jnp.arange(agents), jnp.moveaxis(rep, 1, 0), jnp.moveaxis(action_mask, 1, 0), noise)
    (_, state), (chosen, log_probs) = jax.lax.scan(agent_step, (start, state), xs)
    return jnp.moveaxis(chosen, 0, 1), log_probs.T, state


def sample_fixed_point(
    network: EncoderDecoder,
    rep: Float[Array, "B N E"],
    action_mask: Bool[Array, "B N A"],
    step_count: Int[Array, " B"],
    reset: Bool[Array, " B"],
    carry: NetworkCarry,
    key: PRNGKeyArray,
) -> tuple[Actions, Float[Array, "B N"], NetworkCarry, Int[Array, " B"]]:
    """Sample one action per agent by decoding all agents at once until no action changes.

    Each sweep makes at least one more agent correct, in agent order, so N sweeps and one that confirms always suffice;
    usually far fewer do. It ends after N + 1 sweeps in any case, because rounding can keep an action from settling. A
    continuous action counts as unchanged if its squashed value moves by less than 1e-6 (`sable.distributions`).

    Returns actions, log-probabilities and the carry of the last sweep, and each environment's number of sweeps,
    including the one that confirms.
    """
    distribution = network.distribution
    agents = action_mask.shape[1]
    noise = jnp.moveaxis(distribution.draw_noise(key, action_mask), 0, 1)

    def decode(actions: Actions) -> tuple[Float[Array, "B N A"], NetworkCarry]:
        sequence = (rep[:, None], actions[:, None], step_count[:, None], reset[:, None])
        output, after = network.decode(*sequence, carry, acting=True)
        return output[:, 0], after

    def unsettled(loop: Loop) -> Bool[Array, ""]:
        _, changed, sweeps, *_ = loop
        return (changed & (sweeps <= agents)).any()

    def again(loop: Loop) -> Loop:
        actions, changed, sweeps, *_ = loop
        output, after = decode(actions)
        following = distribution.sample(output, action_mask, noise)
        sweeps += changed
        return following, distribution.changed(following, actions).any(axis=-1), sweeps, output, after

    guess = distribution.sample(jnp.zeros_like(noise), action_mask, noise)
    undecoded = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(decode, guess))
    start = (guess, jnp.ones_like(reset), jnp.zeros_like(step_count), *undecoded)
    actions, _, sweeps, output, after = jax.lax.while_loop(unsettled, again, start)
    log_prob, _ = distribution.log_prob_and_entropy(output, action_mask, actions)
    return actions, log_prob, after, sweeps
