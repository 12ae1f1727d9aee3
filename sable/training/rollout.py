"""Rollouts: environment steps in one `lax.scan`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sable.distributions import environment_actions
from sable.types import Carry, Params, Policy, Scenario, Step, TrainState, Trajectory, Transition


@jax.named_scope("rollout")
def collect(policy: Policy, scenario: Scenario, state: TrainState, *, seq_len: int) -> tuple[TrainState, Trajectory]:
    """Act for `seq_len` timesteps in all environments.

    Returns the state after them (parameters untouched) and the trajectory, environments leading.
    """

    def timestep(current: TrainState, _: None) -> tuple[TrainState, Transition]:
        key, act_key, step_key = jax.random.split(current.key, 3)
        with jax.named_scope("acting"):
            action = policy.act(current.params, current.observation, current.reset, current.carry, act_key)
        with jax.named_scope("environment"):
            step = scenario.step(current.env_state, environment_actions(scenario.space, action.actions), step_key)
        transition = Transition(
            observation=current.observation,
            actions=action.actions,
            log_prob=action.log_prob,
            value=action.value,
            decoder_steps=action.decoder_steps,
            reward=step.reward,
            discount=step.discount,
            ended=step.ended,
            reset=current.reset,
            terminal_value=_terminal_value(policy, current.params, step, action.carry),
        )
        following = current._replace(
            env_state=step.state, observation=step.observation, reset=step.ended, carry=action.carry, key=key
        )
        return following, transition

    final, transitions = jax.lax.scan(timestep, state, length=seq_len)
    trajectory = Trajectory(
        transitions=jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), transitions),
        carry=state.carry,
        last_value=policy.value(final.params, final.observation, final.reset, final.carry),
    )
    return final, trajectory


def _terminal_value(policy: Policy, params: Params, step: Step, carry: Carry) -> Float[Array, "B N"]:
    """Value of the terminal observation where a time limit ended the episode, 0 elsewhere.

    The carry is not reset: it is still the same episode. A timestep without a truncation computes nothing.
    """
    truncated = step.ended & (step.discount > 0)

    def evaluate() -> Float[Array, "B N"]:
        value = policy.value(params, step.terminal_observation, jnp.zeros_like(step.ended), carry)
        return jnp.where(truncated[:, None], value, 0.0)

    value: Array = jax.lax.cond(truncated.any(), evaluate, lambda: jnp.zeros_like(step.reward))
    return value
