"""One point of a sweep."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import scenarios
from reports.records.record import Record
from sable.config import ModelConfig, PPOConfig
from sable.models import check as check_model
from sable.models import find, reference_of
from scaleprof.errors import UserError
from scaleprof.points.parsing import convert_setting

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


def check(point: Point) -> None:
    """Raise `UserError` where a point's options do not fit together."""
    try:
        model = point.model_config()
        check_model(model)
        if point.match:
            check_model(reference_of(model))  # it is built at the given width
        point.ppo_config()
        scenario, options = scenarios.resolve(point.scenario, point.scenario_options())
        scenario.check_agents(getattr(options, "task", ""), point.agents)
    except ValueError as error:
        raise UserError(_as_option(str(error))) from None


def _as_option(message: str) -> str:
    """A config's message, with the command-line option that sets its field in front."""
    field = message.partition(" ")[0]
    return f"{AXIS_OPTIONS.get(field, '--set')}: {message}"
