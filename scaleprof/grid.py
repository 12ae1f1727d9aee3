"""Points: what a sweep measures, and how axes multiply into a grid of them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any

import scenarios
from reports.record import Record
from sable.config import DTYPES, ModelConfig, PPOConfig
from sable.models import MODELS, ModelEntry, find, is_own
from scaleprof.errors import UserError
from scaleprof.own_modules import check_module
from scaleprof.parsing import convert_setting, nearest, parse_setting

MAX_POINTS = 10_000

AXIS_OPTIONS = {
    "model": "--model",
    "mode": "--mode",
    "chunk": "--chunk",
    "embed_dim": "--embed-dim",
    "heads": "--heads",
    "blocks": "--blocks",
    "dtype": "--dtype",
    "seq_len": "--seq-len",
    "envs": "--envs",
    "epochs": "--epochs",
    "minibatches": "--minibatches",
    "reward": "--reward",
    "acting": "--acting",
    "remat": "--remat",
    "accumulate": "--accumulate",
    "segment": "--segment",
    "agents": "--agents",
}
"""Config fields that `--set` leaves to an option of their own."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One cell of the grid, in one repeat: everything that a fresh process needs to know to measure it.

    `chunk` is None for a mode that has no chunks. `settings` are further fields of the configs, as
    ("ppo.clip", "0.1") pairs.
    """

    scenario: str
    model: str
    mode: str
    agents: int
    seq_len: int
    envs: int
    chunk: int | None
    embed_dim: int
    heads: int
    blocks: int
    epochs: int
    minibatches: int
    dtype: str
    seed: int
    repeat: int
    batching: str = ""
    """How environments are stepped: `vmap`, `map`, or `auto`, whichever is faster when tried."""
    reset: str = ""
    """Where a new episode comes from: `pool` or `exact`."""
    match: str = ""
    """`params`: the width is another, at which the model has as many parameters as Sable in `embed_dim`."""
    settings: tuple[tuple[str, str], ...] = ()

    def model_config(self) -> ModelConfig:
        """The model's options."""
        chunk: dict[str, Any] = {} if self.chunk is None else {"chunk": self.chunk}
        return ModelConfig(
            model=self.model,
            mode=self.mode,
            embed_dim=self.embed_dim,
            heads=self.heads,
            blocks=self.blocks,
            dtype=self.dtype,
            **chunk,
            **self._group("model", ModelConfig),
        )

    def ppo_config(self) -> PPOConfig:
        """The trainer's options."""
        return PPOConfig(
            seq_len=self.seq_len,
            envs=self.envs,
            epochs=self.epochs,
            minibatches=self.minibatches,
            **dict(find(self.model).published.ppo_defaults) | self._group("ppo", PPOConfig),
        )

    def scenario_options(self) -> dict[str, Any]:
        """The scenario's options beside its name and size."""
        return self._group("scenario", scenarios.find(self.scenario).config)

    def _group(self, group: str, config: type[Any]) -> dict[str, Any]:
        """This point's settings of one group, typed, by field name."""
        return {
            name.partition(".")[2]: convert_setting(name, value, config)
            for name, value in self.settings
            if name.startswith(group + ".")
        }

    @property
    def without_repeat(self) -> Point:
        """The point of which this is a repeat."""
        return dataclasses.replace(self, repeat=0)

    @property
    def variant(self) -> str:
        """Model and mode: `sable:chunkwise`, or the model alone where it has no mode."""
        return f"{self.model}:{self.mode}" if self.mode else self.model

    @property
    def label(self) -> str:
        """What a person calls this point."""
        return f"{self.variant} · {self.agents} agents · T {self.seq_len}"

    @property
    def slug(self) -> str:
        """A file name for this point, without its number."""
        return f"{self.variant.replace(':', '-')}-n{self.agents}-t{self.seq_len}-r{self.repeat}"

    def record(self, **fields: Any) -> Record:
        """A record of this point with the given further fields."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "settings"}
        return Record(**own, settings=";".join(f"{name}={value}" for name, value in self.settings), **fields)


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The axes of a grid, each a tuple of values that are all multiplied."""

    scenario: str
    variants: tuple[tuple[str, str], ...]
    agents: tuple[int, ...]
    seq_len: tuple[int, ...]
    envs: tuple[int, ...]
    chunk: tuple[int, ...]
    embed_dim: tuple[int, ...]
    heads: tuple[int, ...]
    blocks: tuple[int, ...]
    dtype: tuple[str, ...]
    seed: tuple[int, ...]
    epochs: int | None
    minibatches: int | None
    """None takes what each model was published with."""
    repeats: int
    settings: tuple[tuple[str, str], ...]
    match: str = ""
    batching: str = ""
    reset: str = ""
    """As the scenario declares, where these are empty."""

    @property
    def size(self) -> int:
        """How many points the grid has, repeats included."""
        chunks = sum(len(self._chunks(model, mode)) for model, mode in self.variants)
        plain = (self.agents, self.seq_len, self.envs, self.embed_dim, self.heads, self.blocks, self.dtype, self.seed)
        return self.repeats * chunks * math.prod(len(axis) for axis in plain)

    def points(self) -> list[Point]:
        """All points, checked; repeats outermost (A B C A B C), then small teams first.

        Raises `UserError` for the first point whose sizes do not fit together.
        """
        points = []
        scenario = scenarios.find(self.scenario)
        for repeat, seed, agents, seq_len, envs, embed_dim, heads, blocks, dtype, (model, mode) in itertools.product(
            range(self.repeats),
            self.seed,
            self.agents,
            self.seq_len,
            self.envs,
            self.embed_dim,
            self.heads,
            self.blocks,
            self.dtype,
            self.variants,
        ):
            entry = find(model)
            for chunk in self._chunks(model, mode):
                point = Point(
                    scenario=self.scenario,
                    model=model,
                    mode=mode,
                    agents=agents,
                    seq_len=seq_len,
                    envs=envs,
                    chunk=chunk,
                    embed_dim=embed_dim,
                    heads=heads,
                    blocks=blocks,
                    epochs=self.epochs or entry.published.epochs,
                    minibatches=self.minibatches or entry.published.minibatches,
                    dtype=dtype,
                    seed=seed,
                    repeat=repeat,
                    batching=self.batching or scenario.batching,
                    reset=self.reset or scenario.reset,
                    match=self.match,
                    settings=self.settings,
                )
                check(point)
                points.append(point)
        return points

    def _chunks(self, model: str, mode: str) -> tuple[int | None, ...]:
        return self.chunk if mode in find(model).chunked else (None,)


def check(point: Point) -> None:
    """Raise `UserError` where a point's options do not fit together."""
    try:
        model = point.model_config()
        if point.match:
            dataclasses.replace(model, model="sable")  # which is built in the given width, and must have one that fits
        point.ppo_config()
        scenario, options = scenarios.resolve(point.scenario, point.scenario_options())
        scenario.check_agents(getattr(options, "task", ""), point.agents)
    except ValueError as error:
        raise UserError(_as_option(str(error))) from None


def _as_option(message: str) -> str:
    """A config's message, with the command-line option that sets its field in front."""
    field = message.partition(" ")[0]
    return f"{AXIS_OPTIONS.get(field, '--set')}: {message}"


def choose_variants(models: tuple[str, ...], modes: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(model, mode) pairs of `--model` (names or `name:mode` pairs), reduced to `--mode` if that is not empty.

    A model without modes has the empty mode, which `--mode` does not take away where it picks others.
    """
    every_mode = tuple(dict.fromkeys(mode for entry in MODELS.values() for mode in entry.modes))
    for mode in modes:
        if mode not in every_mode:
            raise UserError(f"--mode: there is no mode '{mode}': {nearest(mode, every_mode)}")
    pairs: list[tuple[str, str]] = []
    for name in models:
        model, colon, mode = name.partition(":")
        if is_own(name):
            check_module(name, "--model", MODELS)
            pairs.append((name, ""))
            continue
        if model not in MODELS:
            raise UserError(f"--model: there is no model '{model}': {nearest(model, MODELS)}")
        entry = MODELS[model]
        pairs += [(model, _known_mode(entry, mode))] if colon else [(model, m) for m in _bare_modes(entry, modes)]
    chosen = tuple(pair for pair in dict.fromkeys(pairs) if not modes or not pair[1] or pair[1] in modes)
    if modes and not any(mode for _, mode in chosen):
        own = "; a model of your own has none" if any(map(is_own, models)) else ""
        raise UserError(
            f"--mode: none of {', '.join(models)} has mode {', '.join(modes)}: see 'scaleprof list models'{own}"
        )
    return chosen


def _bare_modes(entry: ModelEntry, modes: tuple[str, ...]) -> tuple[str, ...]:
    """The modes that a model's bare name stands for: its defaults, or all of them where `--mode` picks."""
    return (entry.modes if modes else entry.default_modes) if entry.modes else ("",)


def _known_mode(entry: ModelEntry, mode: str) -> str:
    if mode in entry.modes:
        return mode
    if not entry.modes:
        raise UserError(f"--model: {entry.name} has no modes: write '{entry.name}'")
    owners = [other.name for other in MODELS.values() if mode in other.modes]
    owned = f" ({', '.join(owners)} {'has' if len(owners) == 1 else 'have'} it)" if owners else ""
    raise UserError(f"--model: {entry.name} has no mode '{mode}'{owned}: {nearest(mode, entry.modes)}")


def choose_scenario(name: str) -> str:
    """Check the name of a scenario, `neom`, `neom:task` or "module:function" of somebody's own."""
    base, colon, task = name.partition(":")
    if scenarios.is_own(name):
        check_module(name, "--scenario", scenarios.SCENARIOS)
        return name
    if base not in scenarios.SCENARIOS:
        raise UserError(f"--scenario: there is no scenario '{base}': {nearest(base, scenarios.SCENARIOS)}")
    tasks = scenarios.SCENARIOS[base].tasks
    if colon and task not in tasks:
        raise UserError(f"--scenario: {base} has no task '{task}': {nearest(task, tasks)}")
    return name


def choose_dtypes(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check the names of `--dtype`."""
    for name in names:
        if name not in DTYPES:
            raise UserError(f"--dtype: there is no dtype '{name}': {nearest(name, DTYPES)}")
    return names


def choose_settings(
    texts: list[str], scenario: str, reward: str | None, **sugar: str | None
) -> tuple[tuple[str, str], ...]:
    """All `--set` options, and those with an option of their own (`model_remat="true"` is `model.remat=true`).

    The last of equal names counts; an option that is None was not given.
    """
    config = scenarios.find(scenario).config
    groups = {"model": ModelConfig, "ppo": PPOConfig, "scenario": config}
    settings = dict(parse_setting(text, groups, AXIS_OPTIONS) for text in texts)
    if reward is not None and not hasattr(config, "reward"):
        raise UserError(f"--reward: scenario {scenario} knows one kind of reward: leave it out")
    given = {"scenario_reward": reward} | sugar
    settings |= {name.replace("_", ".", 1): value for name, value in given.items() if value is not None}
    if ":" in scenario and "scenario.task" in settings and not scenarios.is_own(scenario):
        raise UserError(f"--set: scenario.task is already chosen by --scenario {scenario}: give one of the two")
    return tuple(sorted(settings.items()))
