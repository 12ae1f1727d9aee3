"""Points and how axes multiply into a grid of them."""

from __future__ import annotations

import dataclasses
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from points import plan, point

from reports.records.record import POINT_FIELDS
from sable.config import ModelConfig, PPOConfig
from sable.models import MODELS
from scaleprof.errors import UserError
from scaleprof.points.axes import axes, config_options
from scaleprof.points.choices import choose_dtypes, choose_scenario, choose_settings, choose_variants
from scaleprof.points.grid import Grid
from scaleprof.points.point import check

POINT = point(
    model="sable",
    mode="chunkwise",
    agents=16,
    seq_len=8,
    envs=4,
    chunk=2,
    embed_dim=32,
    heads=4,
    seed=3,
    repeat=1,
    settings=(("model.decay_scaling", "0.5"), ("ppo.clip", "0.1"), ("scenario.reward", "individual")),
)

VARIANTS = (("sable", "chunkwise"), ("sable", "parallel"), ("mat", "dense"))


def grid(variants: tuple[tuple[str, str], ...] = VARIANTS, **values: Any) -> Grid:
    """Twelve small points, but for `values`: of a multiplying axis all of them, of another one its only one."""
    small: dict[str, Any] = {
        **{axis.name: (None,) for axis in axes() if not axis.multiplies},
        "agents": (2, 4),
        "seq_len": (8,),
        "envs": (4,),
        "chunk": (1, 2, 4),
        "embed_dim": (16,),
        "heads": (2,),
        "blocks": (1,),
        "dtype": ("float32",),
        "seed": (0,),
        "repeats": range(1),
        "epochs": (1,),
        "minibatches": (2,),
        "match": ("",),
        "accumulate": ("1",),
        "segment": ("all",),
    }
    others = [axis for axis in axes() if axis.name not in ("scenario", "model", "mode")]
    return Grid(
        scenario="neom", variants=variants, values=tuple((axis, (small | values)[axis.name]) for axis in others)
    )


short = st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True).map(tuple)


@given(
    variants=st.lists(st.sampled_from(VARIANTS), min_size=1, max_size=3, unique=True).map(tuple),
    agents=short,
    seq_len=short,
    chunk=short,
    blocks=short,
    seed=short,
    repeats=st.integers(1, 3).map(range),
)
def test_the_size_is_the_number_of_points(**values: Any) -> None:
    made = grid(**values)
    points = made.points()
    assert made.size == len(points)
    assert len(set(points)) == len(points)


def test_the_size_needs_no_points() -> None:
    many = tuple(range(1, 100_001))
    assert grid(agents=many, seq_len=many, seed=many, repeats=range(10**9)).size == 10**9 * 10**15 * 5


def test_chunk_multiplies_chunkwise_modes_only() -> None:
    chunks = [(point.variant, point.chunk) for point in grid(agents=(2,)).points()]
    assert chunks == [
        ("sable:chunkwise", 1),
        ("sable:chunkwise", 2),
        ("sable:chunkwise", 4),
        ("sable:parallel", None),
        ("mat:dense", None),
    ]


def test_repeats_are_outermost_and_small_teams_first() -> None:
    points = grid(chunk=(1,), repeats=range(2), seed=(0, 1)).points()
    order = [(point.repeat, point.seed, point.agents, point.model, point.mode) for point in points]
    assert order == [
        (repeat, seed, agents, *variant)
        for repeat in (0, 1)
        for seed in (0, 1)
        for agents in (2, 4)
        for variant in VARIANTS
    ]


def test_every_axis_reaches_the_points() -> None:
    values: dict[str, Any] = {
        "agents": (3, 5),
        "seq_len": (2, 6),
        "envs": (2, 8),
        "embed_dim": (16, 32),
        "heads": (1, 2),
        "blocks": (1, 2),
        "dtype": ("float32", "bfloat16"),
        "seed": (0, 7),
    }
    points = grid(chunk=(1,), **values).points()
    for name, expected in values.items():
        assert {getattr(point, name) for point in points} == set(expected)
    assert len(points) == 3 * 2 ** len(values)


def test_configs_of_a_point() -> None:
    assert POINT.model_config() == ModelConfig(
        model="sable", mode="chunkwise", embed_dim=32, heads=4, blocks=1, chunk=2, decay_scaling=0.5
    )
    assert POINT.ppo_config() == PPOConfig(seq_len=8, envs=4, epochs=1, minibatches=2, clip=0.1, accumulate=1)
    assert POINT.scenario_options() == {"reward": "individual"}


def test_names_of_a_point() -> None:
    assert POINT.variant == "sable:chunkwise"
    assert POINT.label == "sable:chunkwise · 16 agents · T 8"
    assert dataclasses.replace(POINT, agents=1).label == "sable:chunkwise · 1 agent · T 8"
    assert POINT.slug == "sable-chunkwise-n16-t8-r1"
    assert dataclasses.replace(POINT, mode="").variant == "sable"


def test_record_of_a_point() -> None:
    record = POINT.record(status="ok", update_seconds=2.0)
    for name in POINT_FIELDS:
        if name not in ("settings", "side", "accumulate", "segment"):
            assert getattr(record, name) == getattr(POINT, name)
    assert record.repeat == 1
    assert (record.accumulate, record.segment) == ("1", "all")  # the configs' defaults
    assert record.settings == "model.decay_scaling=0.5;ppo.clip=0.1;scenario.reward=individual"
    assert (record.status, record.update_seconds) == ("ok", 2.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"envs": 3}, "--envs: envs is 3: it must be divisible by the number of minibatches (2)"),
        ({"embed_dim": 30}, "--embed-dim: embed_dim is 30: it must be divisible by the number of heads (4)"),
        ({"embed_dim": 5, "heads": 5}, "--embed-dim: embed_dim is 5: it must be even"),
        ({"agents": 2_000_000}, "--agents: agents is 2000000: scenario neom takes 1 to 1048576"),
        ({"settings": (("ppo.clip", "-1"),)}, "--set: clip is -1.0: it must be a number above 0"),
        ({"settings": (("model.decay_scaling", "2"),)}, "--set: decay_scaling is 2.0: it must be between 0 and 1"),
        ({"settings": (("scenario.horizon", "0"),)}, "--set: horizon is 0: it must be a whole number of at least 1"),
        ({"settings": (("scenario.reward", "none"),)}, "--reward: reward is 'none': it must be one of shared"),
    ],
)
def test_sizes_that_do_not_fit_together(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as raised:
        check(dataclasses.replace(POINT, **changes))
    assert str(raised.value).startswith(said)


def test_heads_divide_the_width_of_models_that_have_heads() -> None:
    free = point(model="ippo", mode="", chunk=None, embed_dim=10, heads=4)
    check(free)
    others: list[dict[str, Any]] = [{"match": "params"}, {"model": "mat", "mode": "dense"}, {"model": "json:loads"}]
    for changes in others:
        with pytest.raises(UserError, match=r"^--embed-dim: embed_dim is 10: it must be divisible by the number of h"):
            check(dataclasses.replace(free, **changes))


def test_a_grid_checks_its_points() -> None:
    with pytest.raises(UserError, match="--envs: envs is 7"):
        grid(envs=(4, 7)).points()


SABLE = [("sable", mode) for mode in MODELS["sable"].default_modes]


@pytest.mark.parametrize(
    ("models", "modes", "variants"),
    [
        (("sable", "mat"), (), [*SABLE, ("mat", "dense")]),
        (("mat", "sable"), (), [("mat", "dense"), *SABLE]),
        (("sable:chunkwise", "mat:dense"), (), [("sable", "chunkwise"), ("mat", "dense")]),
        (("sable:parallel", "sable:chunkwise"), (), [("sable", "parallel"), ("sable", "chunkwise")]),
        (("sable", "sable:parallel"), (), SABLE),
        (("sable", "mat"), ("recurrent",), [("sable", "recurrent")]),
        (("sable", "mat"), ("dense", "parallel"), [("sable", "parallel"), ("mat", "dense")]),
        (("sable:chunkwise", "mat"), ("dense",), [("mat", "dense")]),
    ],
)
def test_variants(models: tuple[str, ...], modes: tuple[str, ...], variants: list[tuple[str, str]]) -> None:
    assert choose_variants(models, modes) == tuple(variants)


def test_a_model_without_modes_has_the_empty_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = dataclasses.replace(MODELS["mat"], name="plain", modes=(), default_modes=())
    monkeypatch.setitem(MODELS, "plain", plain)
    assert choose_variants(("plain",), ()) == (("plain", ""),)
    assert choose_variants(("plain", "sable"), ("recurrent",)) == (("plain", ""), ("sable", "recurrent"))
    assert [p.chunk for p in grid((("plain", ""),)).points()] == [None, None]
    with pytest.raises(UserError, match=r"^--model: plain has no modes: write 'plain'$"):
        choose_variants(("plain:dense",), ())


@pytest.mark.parametrize(
    ("models", "modes", "said"),
    [
        (("sabel",), (), "--model: unknown model 'sabel': did you mean 'sable'? Choose from: sable, mat"),
        (("sabel:chunkwise",), (), "--model: there is no model and no module 'sabel': did you mean 'sable'?"),
        (("json:",), (), "--model: 'json:' names no function: write json:function"),
        ((":f",), (), "--model: ':f' names no module: write module:function, such as mypackage.module:factory"),
        (("json..decoder:f",), (), "--model: 'json..decoder:f' names no module: write module:function"),
        (("json.nosuch:f",), (), "--model: there is no module 'nosuch' in 'json': choose from: decoder, encoder"),
        (("json.decoderr:f",), (), "--model: there is no module 'decoderr' in 'json': did you mean 'decoder'?"),
        (
            ("json.decoder.nosuch:f",),
            (),
            "--model: there is no module 'json.decoder.nosuch': 'json.decoder' is not a package; write json.",
        ),
        (("sable:chunkwize",), (), "--model: sable has no mode 'chunkwize': did you mean 'chunkwise'?"),
        (("sable:fused",), (), "--model: sable has no mode 'fused' (mat, mat-rms have it): choose from: chunkwise"),
        (("sable:",), (), "--model: sable has no mode ''"),
        (("sable",), ("paralel",), "--mode: unknown mode 'paralel': did you mean 'parallel'?"),
        (("sable",), ("dense",), "--mode: none of sable has mode dense: see 'scaleprof list models'"),
        (("sable", "ippo"), ("dense",), "--mode: none of sable, ippo has mode dense: see 'scaleprof list models'"),
        (
            ("json:loads",),
            ("dense",),
            "--mode: none of json:loads has mode dense: see 'scaleprof list models'; custom models have no modes",
        ),
    ],
)
def test_variants_that_are_not_there(models: tuple[str, ...], modes: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError) as raised:
        choose_variants(models, modes)
    assert str(raised.value).startswith(said)


def test_scenarios() -> None:
    assert choose_scenario("neom") == "neom"
    assert choose_scenario("neom:half-1-half-(-1)") == "neom:half-1-half-(-1)"
    with pytest.raises(UserError, match=r"--scenario: unknown scenario 'noem': did you mean 'neom'\?"):
        choose_scenario("noem")
    with pytest.raises(UserError, match=r"--scenario: neom has no task 'quick': did you mean 'quick-flip'\?"):
        choose_scenario("neom:quick")
    with pytest.raises(UserError, match="neom has no task ''"):
        choose_scenario("neom:")


def test_dtypes() -> None:
    assert choose_dtypes(("bfloat16", "float32")) == ("bfloat16", "float32")
    with pytest.raises(UserError, match=r"--dtype: unknown dtype 'float16': did you mean"):
        choose_dtypes(("float16",))


def test_the_last_of_equal_settings_counts() -> None:
    texts = ["ppo.clip=0.3", "model.decay_scaling=0.5", "ppo.clip=0.1"]
    expected = {"model.decay_scaling": "0.5", "ppo.clip": "0.1", "scenario.reward": "individual"}
    assert dict(plan({"agents": "2", "reward": "individual"}, texts).points[0].settings).items() >= expected.items()
    assert plan({"agents": "2", "reward": "individual"}, texts).points[0].record().settings == (
        "model.decay_scaling=0.5;ppo.clip=0.1;scenario.reward=individual"
    )


@pytest.mark.parametrize("published", [False, True])
def test_a_model_trains_with_its_own_settings_only_where_asked(*, published: bool) -> None:
    options = {"agents": "2", "model": "mat,sable:factored", "published": published}
    mat, sable = (point.ppo_config() for point in plan(options, ["ppo.gamma=0.9"]).points)
    own = (5e-4, 0.1, 5.0) if published else (2.5e-4, 0.2, 0.5)
    assert (mat.learning_rate, mat.clip, mat.max_grad_norm, mat.gamma) == (*own, 0.9)
    assert (sable.learning_rate, sable.clip, sable.max_grad_norm, sable.gamma) == (2.5e-4, 0.2, 0.5, 0.9)
    assert plan(options, ["ppo.clip=0.3"]).points[0].ppo_config().clip == 0.3


def test_a_custom_model_has_no_modes_and_no_chunks() -> None:
    for modes in ((), ("dense",)):
        assert choose_variants(("json:loads", "mat"), modes) == (("json:loads", ""), ("mat", "dense"))
    assert point(model="json:loads", mode="", chunk=None).ppo_config().clip == 0.2


def test_the_module_of_a_custom_model_is_found_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In packages, with an `__init__.py` and without, and where only an importer of its own knows the first part."""
    for folder in ("mine", "mine/plain", "mine/plain/deep", "elsewhere"):
        (tmp_path / folder).mkdir()
    for file in ("mine/__init__.py", "mine/model.py", "mine/plain/deep/model.py", "elsewhere/model.py"):
        (tmp_path / file).write_text("raise AssertionError\n\ndef f(): ...\n")

    class Importer:
        def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
            return PathFinder.find_spec("elsewhere", [str(tmp_path)]) if name == "mapped" else None

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Importer()])
    for name in ("mine:f", "mine.model:f", "mine.plain.deep.model:f", "mapped.model:f"):
        assert choose_variants((name,), ()) == ((name, ""),)
    with pytest.raises(UserError, match=r"there is no module 'other' in 'mine\.plain\.deep': choose from: model$"):
        choose_variants(("mine.plain.deep.other:f",), ())


def test_a_task_is_chosen_once() -> None:
    with pytest.raises(
        UserError, match=r"--set: --scenario neom:quick-flip already chooses the task: give one of the two"
    ):
        choose_settings(["scenario.task=simple-sine"], "neom:quick-flip", config_options())
    assert choose_settings(["scenario.task=quick-flip"], "neom", config_options()) == (("scenario.task", "quick-flip"),)


@pytest.mark.parametrize(
    ("text", "option"),
    [("ppo.envs=8", "--envs"), ("model.chunk=2", "--chunk"), ("scenario.reward=shared", "--reward")],
)
def test_settings_leave_axes_to_their_options(text: str, option: str) -> None:
    with pytest.raises(UserError, match=f"has its own option: use {option}"):
        choose_settings([text], "neom", config_options())
