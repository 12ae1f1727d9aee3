"""What is chosen by platform: every table gives the same function, and the CPU's is what it always was."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from graphs import count_operations, operations_in
from points import plan, point
from worlds import TINY

from sable.config import ModelConfig, PPOConfig
from sable.layers.linear import Linear
from sable.layers.norms import head_norm, rms_norm
from sable.layers.tuned import tune
from sable.models import build_policy
from sable.policies.cost_hints import cost_hints
from sable.training.ppo import accumulation_groups
from sable.tuning import CPU, GPU, TPU, TUNINGS, UNLIMITED, Tuning, default_platform, markdown_table, tuning_for
from sable.types import Observation, Policy, Space
from scaleprof.errors import UserError
from scaleprof.probes.arithmetic import work_of
from scaleprof.worker.programs import Programs

ROOT = Path(__file__).parents[1]
ACCELERATORS = {"gpu": GPU, "tpu": TPU}
FORMS = [
    ("sable", "factored"),
    ("sable", "chunkwise"),
    ("linear-attention", "factored"),
    ("ippo-gru", ""),
    *(
        pytest.param(model, mode, marks=pytest.mark.slow)
        for model, mode in (
            ("mat", "dense"),
            ("mat", "blockwise"),
            ("mat-rms", "dense"),
            ("sable", "recurrent"),
            ("mat-temporal", "dense"),
        )
    ),
]
BLOCKS = [("sable", "factored"), ("mat", "blockwise"), ("linear-attention", "factored")]
ENVS, TIMESTEPS = 2, 4
RESETS = {"none": [], "first": [0], "middle": [1, 2], "last": [3]}


def inputs(agents: int, resets: list[int]) -> tuple[Observation, jax.Array, jax.Array]:
    """A sequence of observations, actions and resets; only the first environment is reset."""
    features, actions = jax.random.split(jax.random.key(3))
    shape = (ENVS, TIMESTEPS, agents)
    observation = Observation(
        jax.random.normal(features, (*shape, 3)),
        jnp.ones((*shape, 4), dtype=bool),
        jnp.broadcast_to(jnp.arange(TIMESTEPS), (ENVS, TIMESTEPS)),
    )
    return (
        observation,
        jax.random.randint(actions, shape, 0, 4),
        jnp.zeros((ENVS, TIMESTEPS), dtype=bool).at[0, jnp.asarray(resets, dtype=int)].set(True),
    )


@functools.cache
def policy_of(model: str, mode: str, agents: int, **options: Any) -> Policy:
    return build_policy(ModelConfig(model=model, mode=mode, **TINY | options), Space(agents, 3, 4))


@functools.cache
def computed(policy: Any) -> Callable[..., Any]:
    """Evaluation, gradients, and what acting gives after a timestep, from the same parameters and a filled memory."""

    @jax.jit
    def run(observation: Observation, actions: jax.Array, resets: jax.Array) -> tuple[Any, Any, Any]:
        params = policy.init(jax.random.key(0))
        carry = jax.tree.map(lambda x: jnp.ones_like(x) / 8, policy.init_carry(ENVS))

        def loss(params: Any) -> tuple[jax.Array, Any]:
            found = policy.evaluate(params, observation, actions, resets, carry)
            return jnp.sin(3 * found.log_prob).sum() + (found.value**2).sum() + found.entropy.sum(), found

        first = Observation(*(x[:, 0] for x in observation))
        acted = policy.act(params, first, resets[:, 0], carry, jax.random.key(5))
        grads, evaluation = jax.grad(loss, has_aux=True)(params)
        return evaluation, grads, acted

    return run


def results(policy: Any, agents: int, resets: list[int]) -> tuple[Any, Any, Any]:
    """What `computed` gives for some resets."""
    found: tuple[Any, Any, Any] = computed(policy)(*inputs(agents, resets))
    return found


def assert_equal(ours: Any, theirs: Any, tolerance: float) -> None:
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        scale = max(1.0, float(jnp.max(jnp.abs(other)))) if other.size else 1.0
        np.testing.assert_allclose(one, other, rtol=0.0, atol=tolerance * scale)


@pytest.mark.parametrize(("model", "mode"), FORMS)
def test_every_platform_computes_the_same(model: str, mode: str) -> None:
    """With agents that no block divides, and an episode that starts at the first, a middle or the last timestep.

    The TPU's table differs from the GPU's in a size of blocks only.
    """
    for resets in RESETS.values():
        of_cpu = results(policy_of(model, mode, 37, platform="cpu"), 37, resets)
        for platform in ACCELERATORS if (model, mode) in BLOCKS else ("gpu",):
            assert_equal(results(policy_of(model, mode, 37, platform=platform), 37, resets), of_cpu, 2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "mode"), BLOCKS)
@pytest.mark.parametrize("agents", [1, 130])
def test_blocks_of_other_sizes_compute_the_same(model: str, mode: str, agents: int) -> None:
    of_cpu = results(policy_of(model, mode, agents, platform="cpu"), agents, [1])
    for tuning in ACCELERATORS.values():
        assert_equal(results(policy_of(model, mode, agents, tuning=tuning), agents, [1]), of_cpu, 5e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "mode"), [("sable", "factored"), ("mat", "dense"), ("ippo-gru", "")])
def test_half_precision_stays_as_near(model: str, mode: str) -> None:
    evaluation, grads, _ = results(policy_of(model, mode, 5, dtype="bfloat16", platform="cpu"), 5, [2])
    for platform in ACCELERATORS:
        ours = results(policy_of(model, mode, 5, dtype="bfloat16", platform=platform), 5, [2])
        assert_equal(ours[0], evaluation, 2e-2)
        assert_equal(ours[1], grads, 3e-2)


@pytest.mark.parametrize("heads", [1, 2])
def test_plain_means_are_the_products(heads: int) -> None:
    x, scale, bias = jax.random.normal(jax.random.key(0), (3, 7, 8)), jnp.linspace(0.5, 2.0, 8), jnp.linspace(-1, 1, 8)
    norms: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (partial(head_norm, heads=heads), (x, scale, bias)),
        (rms_norm, (x, scale)),
    ]
    for norm, arguments in norms:
        wrt = tuple(range(len(arguments)))
        slope = {
            matrix: jax.grad(lambda *a, f=norm, m=matrix: jnp.sin(f(*a, matrix_means=m)).sum(), argnums=wrt)
            for matrix in (True, False)
        }
        assert_equal(slope[False](*arguments), slope[True](*arguments), 1e-5)
        assert count_operations("dot_general", slope[True], *arguments) > 0
        assert count_operations("dot_general", slope[False], *arguments) == 0, "plain means can fuse"


@pytest.mark.parametrize(("tuning", "kept"), [(CPU, "float32"), (GPU, "bfloat16"), (TPU, "bfloat16")])
def test_the_input_that_a_layer_keeps(tuning: Tuning, kept: str) -> None:
    """The numbers are the same: the product is of the rounded input either way."""
    layer = tune(Linear(4, 3, bias=True, dtype="bfloat16", rngs=nnx.Rngs(0)), tuning)
    untuned = Linear(4, 3, bias=True, dtype="bfloat16", rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (5, 4))
    y, pull = jax.vjp(layer, x)
    expected, pull_expected = jax.vjp(untuned, x)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(pull) if leaf.shape == x.shape} == {kept}
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(pull(y)[0], pull_expected(y)[0])
    assert pull(y)[0].dtype == jnp.float32


@pytest.mark.parametrize(("model", "mode"), FORMS)
def test_no_program_of_an_accelerator_grows_with_the_agents(model: str, mode: str) -> None:
    def operations(agents: int) -> int:
        policy = policy_of(model, mode, agents, platform="gpu")
        observation, actions, resets = inputs(agents, [1])

        def loss(params: Any) -> jax.Array:
            found = policy.evaluate(params, observation, actions, resets, policy.init_carry(ENVS))
            return found.log_prob.sum()

        return operations_in(jax.make_jaxpr(jax.grad(loss))(jax.eval_shape(policy.init, jax.random.key(0))).jaxpr)

    assert operations(256) == operations(640)


def test_pieces_are_whole_on_accelerators() -> None:
    sizes = (64, 128, 4096)
    auto = PPOConfig(accumulate=0, envs=64)
    assert accumulation_groups(auto, *sizes) == accumulation_groups(replace(auto, tuning=CPU), *sizes) == 64
    for tuning in ACCELERATORS.values():
        assert accumulation_groups(replace(auto, tuning=tuning), *sizes) == 1
        assert accumulation_groups(replace(auto, accumulate=4, tuning=tuning), *sizes) == 4
        some = replace(tuning, group_tokens=2**20)
        assert accumulation_groups(replace(auto, tuning=some), *sizes) == 32


def test_acting_is_in_one_piece_on_accelerators() -> None:
    def scans(tuning: Tuning) -> int:
        agents = CPU.acting_tokens
        policy = policy_of("mat", "dense", agents, tuning=tuning)
        observation = Observation(
            jnp.zeros((8, agents, 3)), jnp.ones((8, agents, 4), dtype=bool), jnp.zeros(8, dtype=jnp.int32)
        )
        value = partial(
            policy.value, observation=observation, reset=jnp.zeros(8, dtype=bool), carry=policy.init_carry(8)
        )
        return count_operations("scan", value, jax.eval_shape(policy.init, jax.random.key(0)))

    assert [scans(tuning) for tuning in (CPU, GPU, TPU)] == [1, 0, 0]
    assert scans(replace(GPU, acting_tokens=2048)) == 1


@pytest.mark.parametrize(
    ("platform", "settings", "pieces"),
    [
        ("cpu", {}, (2, 2)),
        ("gpu", {}, (1, 16)),
        ("tpu", {}, (1, 16)),
        ("gpu", {"tuning.group_tokens": "2048"}, (2, 16)),
        ("gpu", {"tuning.segment_tokens": "4096"}, (1, 2)),
        ("gpu", {"tuning.group_tokens": "2048", "tuning.segment_tokens": "2048"}, (2, 2)),
        ("cpu", {"tuning.group_tokens": str(UNLIMITED)}, (1, 1)),
    ],
)
def test_programs_are_made_for_the_platform(platform: str, settings: dict[str, str], pieces: tuple[int, int]) -> None:
    given = {"model.segment": "0", "ppo.accumulate": "0"} | settings
    programs = Programs(
        point(agents=1024, envs=4, seq_len=16, settings=tuple(sorted(given.items()))), platform=platform
    )
    assert (programs.learn_groups, programs.segment_timesteps) == pieces


def test_a_plan_is_made_for_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target's platform decides, not jax's."""
    import io

    from scaleprof.launch.protocol import Task
    from scaleprof.worker import plan_point
    from scaleprof.worker.target_device import Place

    made: list[Any] = []

    class Stop(Exception):  # noqa: N818 - it is no error
        pass

    def programs(*arguments: Any) -> Any:
        made.append(arguments[2:])
        raise Stop

    monkeypatch.setattr(plan_point, "place_for", lambda name: Place("tpu", "TPU v5e"))
    monkeypatch.setattr(plan_point, "Programs", programs)
    task = Task(point=point(target="tpu-v5e"), measure="plan")
    with pytest.raises(Stop):
        plan_point.plan_point(task, io.StringIO(), import_seconds=0.0)
    assert made == [(None, "tpu")]


def test_settings_override_the_table_and_stand_in_the_record() -> None:
    planned = plan({"model": "sable:factored", "agents": "4"}, ["tuning.agent_block=8", "tuning.matrix_means=off"])
    (one,) = planned.points
    assert one.tuning("gpu") == replace(GPU, agent_block=8, matrix_means=False)
    assert one.tuning("cpu") == replace(CPU, agent_block=8, matrix_means=False)
    assert one.record().settings is not None
    assert {"tuning.agent_block=8", "tuning.matrix_means=off"} <= set(one.record().settings.split(";"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tuning.agent_block=0", r"^--set: agent_block is 0: it must be a whole number of at least 1$"),
        ("tuning.agent_block=-3", r"^--set: agent_block is -3: it must be a whole number of at least 1$"),
        ("tuning.agent_block=x", r"^--set: tuning.agent_block is 'x': it must be a whole number$"),
        ("tuning.matrix_means=2", r"^--set: tuning.matrix_means is '2': it must be true or false$"),
        ("tuning.agent_blok=8", r"^--set: tuning has no field 'agent_blok': did you mean 'agent_block'"),
        ("tunning.agent_block=8", r"^--set: unknown group 'tunning': did you mean 'tuning'"),
        ("model.tuning=gpu", r"^--set: model has no field 'tuning'"),
        ("model.platform=gpu", r"^--set: model has no field 'platform'"),
        ("ppo.tuning=gpu", r"^--set: ppo has no field 'tuning'"),
    ],
)
def test_a_wrong_setting_is_one_line(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan({"agents": "2"}, [setting])


def test_one_place_asks_jax_for_the_platform() -> None:
    asks = re.compile(r"default_backend|jax\.devices|local_devices")
    files = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in ROOT.glob("sable/**/*.py")}
    assert [name for name, text in files.items() if asks.search(text)] == ["sable/tuning.py"]
    assert default_platform() == "cpu"
    assert ModelConfig().chosen_tuning() == PPOConfig().chosen_tuning() == CPU == Tuning()
    assert tuning_for("some-new-accelerator") == GPU


def test_the_documentation_shows_the_tables() -> None:
    assert markdown_table() in (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    source = (ROOT / "sable" / "tuning.py").read_text(encoding="utf-8")
    for field in fields(Tuning):
        reason = source.partition(f"    {field.name}: ")[2].partition('"""')[2].partition('"""')[0]
        assert "CPU:" in reason, field.name
        if any(getattr(tuning, field.name) != getattr(CPU, field.name) for tuning in TUNINGS.values()):
            assert re.search(r"Accelerators:|GPU:.*TPU:", reason, re.DOTALL), field.name


@pytest.mark.parametrize("agents", [64, 65, 200])
def test_trips_follow_the_block(agents: int) -> None:
    for tuning in TUNINGS.values():
        policy = policy_of("mat", "blockwise", agents, tuning=tuning)
        blocks = -(-agents // tuning.attention_block)
        assert cost_hints(policy, 2, 4, agents).while_trips == (blocks + 1) / 2


def test_sweeps_of_fixed_point_acting_count_once_however_many_blocks_there_are() -> None:
    """The trips of blockwise attention are not those of the loop around it."""

    def flops(agents: int, acting: str, trips: float | None = None) -> float:
        policy = policy_of("mat", "blockwise", agents, acting=acting, platform="cpu")
        observation, _, _ = inputs(agents, [])
        first = Observation(*(x[:, 0] for x in observation))
        act = partial(policy.act, observation=first, reset=jnp.zeros(ENVS, dtype=bool), carry=(), key=jax.random.key(0))
        carry = policy.init_carry(ENVS)
        traced = jax.jit(partial(act, carry=carry)).trace(jax.eval_shape(policy.init, jax.random.key(0)))
        told = cost_hints(policy, ENVS, 1, agents).while_trips if trips is None else trips
        return work_of(traced.jaxpr, while_trips=told).flops

    once, thrice = flops(640, "fixed_point", 1.0), flops(640, "fixed_point", 3.0)
    whole_loop = flops(640, "fixed_point", 2.0) - once
    assert thrice - once == pytest.approx(2 * whole_loop), "linear in the trips: not their square"
    pairs = 640 * 640 * ENVS * 8 * 2 * 2  # one multiply-add for scores and one for outputs, all heads together
    causal = (640 / 64 + 1) / 2 / (640 / 64)
    assert flops(640, "fixed_point") > 2 * causal * pairs
