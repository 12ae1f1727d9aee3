"""Policies behind their contract: acting and evaluating are the same function, and the graph is flat in N and T."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from graphs import operations_in
from worlds import MODES, ONE_MODE_EACH, VARIANTS, Aim, Counter, neom, tiny_policy, tiny_ppo

from sable.distributions import Categorical
from sable.models import MODELS
from sable.policies.encoder_decoder_policy import EncoderDecoderPolicy
from sable.training import ppo
from sable.types import Action, Evaluation, Observation, Policy, Space, Transition
from scenarios.wrappers import Batched


def sharpened(params: Any) -> Any:
    """Parameters that are far from the small initial ones, so that a difference anywhere shows."""
    generator = np.random.default_rng(5)
    return jax.tree.map(lambda leaf: leaf + 0.3 * generator.normal(size=leaf.shape).astype(np.float32), params)


def initial(policy: Policy) -> Any:
    """Fresh parameters, drawn in one program."""
    return jax.jit(policy.init)(jax.random.key(0))


@functools.cache
def acted_and_evaluated(
    model: str, mode: str, *, continuous: bool = False, **options: Any
) -> tuple[jax.Array, Transition, Evaluation]:
    """A second rollout (its carry is not zero) with resets in it, and the evaluation of its actions.

    In front the value that the first rollout ended with.
    """
    scenario = Batched(Aim(3, limit=5) if continuous else Counter(3, limit=5), 4)
    policy, config = tiny_policy(model, mode, scenario.space, **options), tiny_ppo(seq_len=7)
    state = jax.jit(functools.partial(ppo.init_train_state, policy, scenario, config))(jax.random.key(3))
    state = state._replace(params=sharpened(state.params))
    rollout = jax.jit(functools.partial(ppo.rollout, policy, scenario, config))
    state, first = rollout(state)
    _, (steps, carry, _) = rollout(state)
    evaluation = jax.jit(policy.evaluate)(state.params, steps.observation, steps.actions, steps.reset, carry)
    return first.last_value, steps, evaluation


def has_decoder(policy: Policy) -> bool:
    """Whether agents are told the actions of those before them."""
    return isinstance(policy, EncoderDecoderPolicy)


@pytest.mark.parametrize(("model", "mode"), MODES)
def test_evaluating_gives_what_acting_gave(model: str, mode: str) -> None:
    check_agreement(*acted_and_evaluated(model, mode))


@pytest.mark.parametrize(("model", "mode"), ONE_MODE_EACH)
def test_evaluating_gives_what_acting_gave_with_continuous_actions(model: str, mode: str) -> None:
    check_agreement(*acted_and_evaluated(model, mode, continuous=True))


@pytest.mark.parametrize(("model", "mode"), ONE_MODE_EACH)
def test_environments_are_given_squashed_actions(model: str, mode: str) -> None:
    """The world shows the action that it received in its next observation, in the same episode."""
    _, steps, _ = acted_and_evaluated(model, mode, continuous=True)
    received, sampled = steps.observation.features[:, 1:, :, 2:4], steps.actions[:, :-1]
    goes_on = ~steps.ended[:, :-1]
    np.testing.assert_allclose(received[goes_on], jnp.tanh(sampled[goes_on]), rtol=1e-6)
    assert float(jnp.abs(received).max()) <= 1.0 < float(jnp.abs(sampled).max())


@pytest.mark.parametrize(("model", "mode"), ONE_MODE_EACH)
def test_evaluating_gives_what_acting_gave_with_more_blocks_and_encoded_time(model: str, mode: str) -> None:
    check_agreement(*acted_and_evaluated(model, mode, blocks=2, timestep_encoding=True))


def check_agreement(last_value: jax.Array, steps: Transition, evaluation: Evaluation) -> None:
    assert bool(steps.reset.any()), "the rollout must hold a reset"
    assert not bool(steps.reset[:, 0].any()), "the rollout must go on with an episode"
    pairs = [
        (last_value, steps.value[:, 0]),
        (evaluation.log_prob, steps.log_prob),
        (evaluation.value, steps.value),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1.0, float(jnp.max(jnp.abs(theirs)))))


OTHER_FORMS = [
    (model, mode, {"chunk": 3} if mode in MODELS[model].chunked else {})
    for model, mode in MODES
    if model not in VARIANTS and (mode in MODELS[model].chunked or (model, mode) not in ONE_MODE_EACH)
]


@pytest.mark.parametrize(("model", "mode", "options"), OTHER_FORMS)
def test_neither_chunk_nor_form_changes_the_function(model: str, mode: str, options: dict[str, Any]) -> None:
    _, _, reference = acted_and_evaluated(model, MODELS[model].modes[0])
    _, _, other = acted_and_evaluated(model, mode, **options)
    for ours, theirs in zip(other, reference, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def random_like(x: jax.Array) -> jax.Array:
    """Numbers, or truth values, of the same shape."""
    numbers = np.random.default_rng(3).normal(size=x.shape)
    return jnp.asarray(numbers > 0 if x.dtype == jnp.bool_ else numbers.astype(np.float32))


DECODERS = [("sable", "chunkwise"), ("mat", "dense"), ("linear-attention", "factored"), ("mat-temporal", "dense")]
"""One mode of every mixer that is stepped agent by agent."""


@functools.cache
def acting_ways(model: str, mode: str, space: Space) -> tuple[Policy, Callable[..., Action], Callable[..., Action]]:
    """A policy, and how it acts sequentially and by fixed-point iteration; each is compiled once."""
    sequential, fixed = (tiny_policy(model, mode, space, acting=way) for way in ("sequential", "fixed_point"))
    return sequential, jax.jit(sequential.act), jax.jit(fixed.act)


@pytest.mark.parametrize(("model", "mode"), DECODERS)
@pytest.mark.parametrize("sharpness", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("continuous", [False, True], ids=["discrete", "continuous"])
def test_fixed_point_gives_the_sequential_sample(model: str, mode: str, sharpness: float, *, continuous: bool) -> None:
    """Same key, same actions, log-probabilities and carry, from fresh policies to sharply peaked ones."""
    space = Space(9, 3, 4, continuous=continuous)
    policy, act, act_by_fixed_point = acting_ways(model, mode, space)
    params = jax.tree.map(lambda x: x + sharpness * jax.random.normal(jax.random.key(x.size), x.shape), initial(policy))
    features = jax.random.normal(jax.random.key(1), (5, 9, 3))
    mask = jax.random.bernoulli(jax.random.key(2), 0.8, (5, 9, 4)).at[..., 0].set(True)
    observation = Observation(features, mask, jnp.arange(5))
    reset = jnp.array([True, False, False, False, True])
    carry = jax.tree.map(random_like, policy.init_carry(5))
    arguments = (params, observation, reset, carry, jax.random.key(4))
    one, other = act(*arguments), act_by_fixed_point(*arguments)
    np.testing.assert_allclose(one.actions, other.actions, atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(one.decoder_steps, np.full(5, 9))
    assert (other.decoder_steps >= 1).all()
    assert (other.decoder_steps <= 10).all()
    for ours, theirs in zip(jax.tree.leaves(other[1:4]), jax.tree.leaves(one[1:4]), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-5)


def test_fixed_point_acting_ends_where_nothing_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    """N + 1 sweeps are made and no more, even if every action always seems to change."""
    monkeypatch.setattr(Categorical, "changed", lambda self, actions, before: jnp.ones_like(actions, dtype=bool))
    space = Space(9, 3, 4)
    policy = tiny_policy("mat", "dense", space, acting="fixed_point")
    observation = Observation(jnp.ones((5, 9, 3)), jnp.ones((5, 9, 4), dtype=bool), jnp.arange(5))
    reset = jnp.ones(5, dtype=bool)
    found = jax.jit(policy.act)(initial(policy), observation, reset, policy.init_carry(5), jax.random.key(4))
    np.testing.assert_array_equal(found.decoder_steps, np.full(5, 10))


@functools.cache
def gradients_of_evaluate(model: str, mode: str, **options: Any) -> tuple[Any, str]:
    """Gradients over a rollout of 7 timesteps with resets in it, from a state that is not zero; and their graph."""
    _, steps, _ = acted_and_evaluated(model, mode)
    policy = tiny_policy(model, mode, Batched(Counter(3, limit=5), 4).space, **options)
    params = initial(policy)
    carry = jax.tree.map(random_like, policy.init_carry(4))

    def scalar(params: Any) -> jax.Array:
        evaluation = policy.evaluate(params, steps.observation, steps.actions, steps.reset, carry)
        return sum(jnp.sum(jnp.sin(x)) for x in evaluation)  # type: ignore[return-value]

    traced = jax.jit(jax.grad(scalar)).trace(params)
    return traced.lower().compile()(params), str(traced.jaxpr)


REMEMBERING = [("sable", "chunkwise"), ("sable", "factored"), ("mat-temporal", "dense"), ("ippo-gru", "")]
CUT: list[tuple[str, str, str, Any]] = [(model, mode, "segment", 3) for model, mode in [*REMEMBERING, ("mat", "dense")]]
"""Segments of 3 of 7 timesteps, so that the last one is padded; of every kind of carry."""
REMATERIALISED: list[tuple[str, str, str, Any]] = [(model, mode, "remat", True) for model, mode in ONE_MODE_EACH]


@pytest.mark.parametrize(("model", "mode", "option", "value"), CUT + REMATERIALISED)
def test_saving_memory_changes_nothing_else(model: str, mode: str, option: str, value: Any) -> None:
    expected, plain = gradients_of_evaluate(model, mode)
    grads, graph = gradients_of_evaluate(model, mode, **{option: value})
    assert graph.count("remat") > plain.count("remat")
    for ours, theirs in zip(jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True):
        assert float(jnp.max(jnp.abs(ours - theirs))) <= 1e-5 * max(1.0, float(jnp.max(jnp.abs(theirs))))


@pytest.mark.parametrize(("model", "mode"), ONE_MODE_EACH)
def test_illegal_actions_are_never_chosen(model: str, mode: str) -> None:
    _, steps, _ = acted_and_evaluated(model, mode)
    assert not bool((steps.actions[:, :, 0] == 2).any())
    assert bool((steps.actions[:, :, 1:] == 2).any())


@pytest.mark.parametrize(("model", "mode"), [*DECODERS, ("ippo", ""), ("mappo", ""), ("ippo-gru", "")])
@pytest.mark.parametrize("continuous", [False, True], ids=["discrete", "continuous"])
def test_only_earlier_actions_matter(model: str, mode: str, *, continuous: bool) -> None:
    """And those only where there is a decoder."""
    space = Space(4, 3, 5, continuous=continuous)
    policy = tiny_policy(model, mode, space)
    params = sharpened(initial(policy))
    observation = random_observation(space)
    resets = jnp.zeros((1, 1), dtype=bool)

    @jax.jit
    def log_probs(actions: jax.Array) -> jax.Array:
        return policy.evaluate(params, observation, actions, resets, policy.init_carry(1)).log_prob[0, 0]

    actions, others = jnp.array([[[0, 1, 2, 3]]]), jnp.array([[[0, 1, 4, 3]]])
    if continuous:
        actions, others = (0.3 * jnp.repeat(x[..., None], 5, axis=-1) - 0.5 for x in (actions, others))
    before, after = log_probs(actions), log_probs(others)
    np.testing.assert_allclose(before[:2], after[:2], atol=1e-6)
    if has_decoder(policy):
        assert abs(float(before[3] - after[3])) > 1e-4
    else:
        assert before[3] == after[3]


def random_observation(space: Space) -> Observation:
    features = jax.random.normal(jax.random.key(1), (1, 1, space.num_agents, space.features))
    mask = jnp.ones((1, 1, space.num_agents, space.actions), dtype=bool)
    return Observation(features, mask, jnp.zeros((1, 1), dtype=jnp.int32))


def operations(traced: jax.stages.Traced) -> int:
    """How many operations the traced program has: all that lowering translates, one by one."""
    return operations_in(traced.jaxpr.jaxpr)


def graph_sizes(model: str, mode: str, scenario: Batched, seq_len: int) -> list[int]:
    """Operations of act, rollout and learn, the latter in segments of 2 timesteps and groups of one environment."""
    policy = tiny_policy(model, mode, scenario.space, segment=2)
    config = tiny_ppo(seq_len=seq_len, envs=4, accumulate=2)
    state = jax.eval_shape(lambda key: ppo.init_train_state(policy, scenario, config, key), jax.random.key(0))
    act = jax.jit(lambda s: ppo.act(policy, s)).trace(state)
    rollout = jax.jit(lambda s: ppo.rollout(policy, scenario, config, s)).trace(state)
    _, trajectory = rollout.out_info
    learn = jax.jit(lambda s, t: ppo.learn(policy, config, s, t)).trace(state, trajectory)
    return [operations(traced) for traced in (act, rollout, learn)]


@pytest.mark.parametrize(("model", "mode"), MODES)
def test_graph_is_flat_in_agents_and_timesteps(model: str, mode: str) -> None:
    check_flatness(graph_sizes(model, mode, neom(16, 4), 6), graph_sizes(model, mode, neom(1024, 4), 24))


@pytest.mark.parametrize(("model", "mode"), ONE_MODE_EACH)
def test_graph_is_flat_with_continuous_actions(model: str, mode: str) -> None:
    few, many = (Batched(Aim(agents, limit=4), 4) for agents in (16, 1024))
    check_flatness(graph_sizes(model, mode, few, 6), graph_sizes(model, mode, many, 24))


def check_flatness(few: list[int], many: list[int]) -> None:
    for small, large in zip(few, many, strict=True):
        assert abs(large - small) <= 0.02 * small


LEARNED_IN_BFLOAT16 = [*DECODERS, ("mat", "blockwise"), ("sable", "factored"), ("ippo-gru", "")]


@pytest.mark.parametrize(("model", "mode"), LEARNED_IN_BFLOAT16)
def test_bfloat16_stays_close_to_float32(model: str, mode: str) -> None:
    """Outputs to 2e-2, and a gradient that points the same way; parameters stay float32."""
    scenario = Batched(Counter(3, limit=5), 4)
    rough, exact = (tiny_policy(model, mode, scenario.space, dtype=dtype) for dtype in ("bfloat16", "float32"))
    params = initial(rough)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    _, observation = jax.jit(scenario.reset)(jax.random.key(1))
    observation = jax.tree.map(lambda x: jnp.repeat(x[:, None], 2, axis=1), observation)
    actions, resets = jnp.zeros((4, 2, 3), dtype=jnp.int32), jnp.zeros((4, 2), dtype=bool)

    def evaluated(policy: Policy) -> tuple[Evaluation, Any]:
        def scalar(params: Any) -> tuple[jax.Array, Evaluation]:
            evaluation = policy.evaluate(params, observation, actions, resets, policy.init_carry(4))
            return evaluation.log_prob.sum() + (evaluation.value**2).sum(), evaluation

        grads, evaluation = jax.jit(jax.grad(scalar, has_aux=True))(params)
        return evaluation, grads

    (ours, our_grads), (theirs, their_grads) = evaluated(rough), evaluated(exact)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, atol=2e-2)
    assert not np.array_equal(ours.value, theirs.value), "the option must change the arithmetic"
    flat, reference = (jax.flatten_util.ravel_pytree(grads)[0] for grads in (our_grads, their_grads))
    cosine = flat @ reference / jnp.linalg.norm(flat) / jnp.linalg.norm(reference)
    assert float(cosine) > 0.99
