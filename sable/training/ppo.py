"""Proximal policy optimisation for every policy and every scenario.

`init_train_state`, `act`, `rollout`, `learn` and `update` are pure functions of arrays, to be jitted by the caller,
together or apart. They lower from shapes alone (`jax.eval_shape(init_train_state, …)`).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from sable.config import AUTO, PPOConfig
from sable.training.advantages import trajectory_advantages
from sable.training.losses import clipped_policy_loss, clipped_value_loss, normalise
from sable.training.rollout import collect
from sable.types import Action, ActionSequence, Carry, Observation, Params, Policy, Scenario, TrainState, Trajectory


class Metrics(NamedTuple):
    """The metrics of one `learn`: means over its minibatches (rewards: over the rollout)."""

    policy_loss: Float[Array, ""]
    value_loss: Float[Array, ""]
    entropy: Float[Array, ""]
    grad_norm: Float[Array, ""]
    """Global norm of the gradient before clipping."""
    mean_reward: Float[Array, ""]
    """Reward per agent and timestep."""
    mean_return: Float[Array, ""]
    """Rewards of one agent summed over the rollout's T timesteps, undiscounted."""
    decoder_steps: Float[Array, ""]
    """Sequential decoder passes per environment step."""


class LossParts(NamedTuple):
    """The terms of the loss."""

    policy_loss: Float[Array, ""]
    value_loss: Float[Array, ""]
    entropy: Float[Array, ""]


class Batch(NamedTuple):
    """The data of a minibatch; B leading."""

    observation: Observation
    actions: ActionSequence
    resets: Bool[Array, "B T"]
    old_log_prob: Float[Array, "B T N"]
    old_value: Float[Array, "B T N"]
    advantages: Float[Array, "B T N"]
    targets: Float[Array, "B T N"]
    carry: Carry
    """The memory of each environment at the start of its sequence."""


def optimiser(config: PPOConfig) -> optax.GradientTransformation:
    """Adam after clipping the gradient by its global norm."""
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm), optax.adam(config.learning_rate, eps=config.adam_eps)
    )


def init_train_state(policy: Policy, scenario: Scenario, config: PPOConfig, key: PRNGKeyArray) -> TrainState:
    """Fresh parameters, optimiser, environments and memory."""
    params_key, env_key, key = jax.random.split(key, 3)
    params = policy.init(params_key)
    env_state, observation = scenario.reset(env_key)
    return TrainState(
        params=params,
        opt_state=optimiser(config).init(params),
        env_state=env_state,
        observation=observation,
        reset=jnp.ones(scenario.envs, dtype=bool),
        carry=policy.init_carry(scenario.envs),
        key=key,
    )


def act(policy: Policy, state: TrainState) -> Action:
    """One action for every agent of every environment, without an environment step."""
    return policy.act(state.params, state.observation, state.reset, state.carry, state.key)


def rollout(policy: Policy, scenario: Scenario, config: PPOConfig, state: TrainState) -> tuple[TrainState, Trajectory]:
    """Collect T timesteps from B environments."""
    return collect(policy, scenario, state, seq_len=config.seq_len)


def learn(policy: Policy, config: PPOConfig, state: TrainState, trajectory: Trajectory) -> tuple[TrainState, Metrics]:
    """All epochs and minibatches of gradient steps on one rollout."""
    advantages, targets = trajectory_advantages(trajectory, gamma=config.gamma, gae_lambda=config.gae_lambda)
    steps = trajectory.transitions
    batch = Batch(
        observation=steps.observation,
        actions=steps.actions,
        resets=steps.reset,
        old_log_prob=steps.log_prob,
        old_value=steps.value,
        advantages=advantages,
        targets=targets,
        carry=trajectory.carry,
    )
    key, epochs_key = jax.random.split(state.key)
    acting_params = state.params

    def epoch(carry: tuple[Params, PyTree], epoch_key: PRNGKeyArray) -> tuple[tuple[Params, PyTree], tuple[Array, ...]]:
        envs_key, agents_key = jax.random.split(epoch_key)
        current = permute_agents(policy, acting_params, batch, agents_key) if config.permute_agents else batch
        groups = jax.random.permutation(envs_key, config.envs).reshape(config.minibatches, -1)

        def minibatch(
            carry: tuple[Params, PyTree], group: Int[Array, " M"]
        ) -> tuple[tuple[Params, PyTree], tuple[Array, ...]]:
            params, opt_state = carry
            with jax.named_scope("minibatch"):
                picked = jax.tree.map(lambda x: jnp.take(x, group, axis=0), current)
            grads, parts = gradients(policy, config, params, picked)
            with jax.named_scope("optimiser"):
                updates, opt_state = optimiser(config).update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), (*parts, optax.tree.norm(grads))

        return jax.lax.scan(minibatch, carry, groups)

    (params, opt_state), parts = jax.lax.scan(
        epoch, (state.params, state.opt_state), jax.random.split(epochs_key, config.epochs)
    )
    mean_reward = steps.reward.mean()
    policy_loss, value_loss, entropy, grad_norm = (part.mean() for part in parts)
    metrics = Metrics(
        policy_loss=policy_loss,
        value_loss=value_loss,
        entropy=entropy,
        grad_norm=grad_norm,
        mean_reward=mean_reward,
        mean_return=mean_reward * config.seq_len,
        decoder_steps=steps.decoder_steps.mean(),
    )
    return state._replace(params=params, opt_state=opt_state, key=key), metrics


def update(policy: Policy, scenario: Scenario, config: PPOConfig, state: TrainState) -> tuple[TrainState, Metrics]:
    """One rollout and the learning from it."""
    state, trajectory = rollout(policy, scenario, config, state)
    return learn(policy, config, state, trajectory)


def gradients(policy: Policy, config: PPOConfig, params: Params, batch: Batch) -> tuple[Params, LossParts]:
    """Gradients of the loss over a minibatch, and the terms of the loss.

    With K = `config.accumulate` > 1 they are summed over K groups of environments, one group in memory at a time. The
    result is the same, because advantages are first normalised over the whole minibatch and the loss is a mean.
    """
    if config.normalise_advantages:
        batch = batch._replace(advantages=normalise(batch.advantages))
    groups = accumulation_groups(config, *batch.actions.shape[:3])
    if groups == 1:
        grads, parts = jax.grad(loss, argnums=2, has_aux=True)(policy, config, params, batch)
        return grads, parts

    def group(total: tuple[Params, LossParts], part: Batch) -> tuple[tuple[Params, LossParts], None]:
        return jax.tree.map(jnp.add, total, jax.grad(loss, argnums=2, has_aux=True)(policy, config, params, part)), None

    zeros = jax.tree.map(jnp.zeros_like, params), LossParts(*(jnp.zeros(()) for _ in LossParts._fields))
    split = jax.tree.map(lambda x: x.reshape(groups, x.shape[0] // groups, *x.shape[1:]), batch)
    total, _ = jax.lax.scan(group, zeros, split)
    grads, parts = jax.tree.map(lambda x: x / groups, total)
    return grads, parts


def accumulation_groups(config: PPOConfig, envs: int, timesteps: int, agents: int) -> int:
    """Number of gradient groups of a minibatch of `envs` environments: as configured, or for `AUTO` so that a group has
    at most `Tuning.group_tokens` tokens."""
    if config.accumulate != AUTO:
        return config.accumulate
    largest = config.chosen_tuning().group_tokens
    divisors = (k for k in range(1, envs + 1) if envs % k == 0)
    return next((k for k in divisors if envs // k * timesteps * agents <= largest), envs)


def loss(policy: Policy, config: PPOConfig, params: Params, batch: Batch) -> tuple[Float[Array, ""], LossParts]:
    """policy loss − entropy_coef · entropy + value_coef · value loss, with unnormalised advantages; also its terms."""
    evaluation = policy.evaluate(params, batch.observation, batch.actions, batch.resets, batch.carry)
    policy_loss = clipped_policy_loss(evaluation.log_prob, batch.old_log_prob, batch.advantages, clip=config.clip)
    value_loss = clipped_value_loss(evaluation.value, batch.old_value, batch.targets, clip=config.clip)
    entropy = evaluation.entropy.mean()
    total = policy_loss - config.entropy_coef * entropy + config.value_coef * value_loss
    return total, LossParts(policy_loss, value_loss, entropy)


@jax.named_scope("permute_agents")
def permute_agents(policy: Policy, params: Params, batch: Batch, key: PRNGKeyArray) -> Batch:
    """The same batch with its agents in a random order.

    Stored log-probabilities belong to the acting order, so those of the acting policy (`params`) are evaluated again in
    the new order; values do not depend on it.
    """
    order = jax.random.permutation(key, batch.actions.shape[2])

    def along(x: Array, axis: int) -> Array:
        return jnp.take(x, order, axis=axis)

    permuted = batch._replace(
        observation=batch.observation._replace(
            features=along(batch.observation.features, 2), action_mask=along(batch.observation.action_mask, 2)
        ),
        actions=along(batch.actions, 2),
        old_value=along(batch.old_value, 2),
        advantages=along(batch.advantages, 2),
        targets=along(batch.targets, 2),
        carry=policy.permute_carry(batch.carry, order),
    )
    evaluation = policy.evaluate(params, permuted.observation, permuted.actions, permuted.resets, permuted.carry)
    return permuted._replace(old_log_prob=evaluation.log_prob)
