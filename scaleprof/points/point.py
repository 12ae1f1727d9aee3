"""One point of a sweep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import scenarios
from reports.records.record import Record
from reports.text.units import counted
from sable.config import AUTO, WHOLE, ModelConfig, PPOConfig
from sable.models import check as check_model
from sable.models import reference_of
from sable.option_checks import require
from sable.tuning import Tuning, tuning_for
from scaleprof.errors import user_errors
from scaleprof.points.axes import axes, config_options
from scaleprof.points.parsing import convert_setting

_WORDED = tuple(axis for axis in axes() if axis.words)
"""Axes of config fields that always have a column of their own, in words."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One repeat of one cell of the grid: all that a fresh process needs to measure it.

    `chunk` is None for a mode without chunks. `settings` are further config fields, as ("ppo.clip", "0.1") pairs.
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
    seed: int = 0
    repeat: int = 0
    batching: str = ""
    """How environments are stepped: `vmap`, `map`, or `auto`, which tries both."""
    reset: str = ""
    """Where a new episode starts: `pool` or `exact`."""
    match: str = ""
    """`params` chooses the width that gives the model as many parameters as Sable has at `embed_dim`."""
    settings: tuple[tuple[str, str], ...] = ()
    target: str = ""
    """The device to plan for (`scaleprof.planning.targets`); empty for the one that is there."""
    columns: tuple[tuple[str, str], ...] = ()
    """Settings with a record column of their own, as ("window", "model.window") pairs."""

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
            **self._group("ppo", PPOConfig),
        )

    def tuning(self, platform: str) -> Tuning:
        """What the models choose when compiled for `platform`: its table, but for this point's settings."""
        return dataclasses.replace(tuning_for(platform), **self._group("tuning", Tuning))

    def scenario_options(self) -> dict[str, Any]:
        """The scenario's options, without its name and size."""
        return self._group("scenario", self._configs()["scenario"])

    def _configs(self) -> dict[str, type[Any]]:
        return {
            "model": ModelConfig,
            "ppo": PPOConfig,
            "scenario": scenarios.find(self.scenario).config,
            "tuning": Tuning,
        }

    def _group(self, group: str, config: type[Any]) -> dict[str, Any]:
        """This point's settings of one group, converted, by field name."""
        return {
            name.partition(".")[2]: convert_setting(name, value, config)
            for name, value in self.settings
            if name.startswith(group + ".")
        }

    @property
    def without_repeat(self) -> Point:
        """The same point at repeat 0."""
        return dataclasses.replace(self, repeat=0)

    @property
    def variant(self) -> str:
        """Model and mode, `sable:chunkwise`; the model alone if it has no mode."""
        return f"{self.model}:{self.mode}" if self.mode else self.model

    @property
    def label(self) -> str:
        """The point's name for people."""
        return f"{self.variant} · {counted(self.agents, 'agent')} · T {self.seq_len}"

    @property
    def slug(self) -> str:
        """The point's file name, without its number."""
        return f"{self.variant.replace(':', '-')}-n{self.agents}-t{self.seq_len}-r{self.repeat}"

    def record(self, **fields: Any) -> Record:
        """A record of this point with further fields."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("settings", "columns")}
        settings = dict(self.settings)
        for axis in _WORDED:
            group, _, field = axis.sets.partition(".")
            value = settings.pop(axis.sets, str(getattr(self._configs()[group], field)))
            own[axis.fills] = axis.word(value)
        for column, name in self.columns:
            config = self._configs()[name.partition(".")[0]]
            own[column] = convert_setting(name, settings.pop(name), config)
        return Record(**own, settings=";".join(f"{name}={value}" for name, value in settings.items()), **fields)


def check(point: Point, options: Mapping[str, str] | None = None) -> None:
    """Raise `UserError` where a point's options do not fit together.

    `options` maps config fields to the command-line options that set them; all others are set by `--set`.
    """
    names = config_options() if options is None else options
    with user_errors(lambda message: names.get(message.partition(" ")[0], "--set")):
        model = point.model_config()
        check_model(model)
        if point.match:
            check_model(reference_of(model))  # the reference is built at the given width, so it must fit
        point.ppo_config()
        point.tuning("cpu")  # any platform: only the settings can be out of range
        require(
            model.segment in (AUTO, WHOLE) or model.segment <= point.seq_len,
            "segment",
            model.segment,
            f"at most the sequence's {point.seq_len} timesteps, all or auto",
        )
        scenario, chosen = scenarios.resolve(point.scenario, point.scenario_options())
        scenario.check_agents(getattr(chosen, "task", ""), point.agents)
