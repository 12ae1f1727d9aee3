"""Every option of a sweep's plan, described once: each field of `SweepRequest` is a row of the table.

A new axis is one row. If it sets a config field (`sets="model.window"`), nothing else is needed: the grid, the
command's options, the manifest and the points follow, and its values go to the record's `settings` column, or to the
column that `fills` names. Any other axis fills the field of the same name of `Point` and `Record`.

Importing this module is cheap, because `scaleprof --help` needs it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scaleprof.points.choices import (
    choose_batching,
    choose_device,
    choose_dtypes,
    choose_match,
    choose_measure,
    choose_pin,
    choose_reset,
    choose_scenario,
    has_chunks,
)
from scaleprof.points.completions import Completer, models, modes, scenarios
from scaleprof.points.parsing import (
    Parser,
    duration,
    numbers_or_words,
    parse_flag,
    parse_names,
    parse_repeats,
    parse_seconds,
    unchecked,
    whole_number,
    whole_numbers,
)

MAX_SEED = 2**32 - 1
"""jax keeps only the low 32 bits of a seed: a larger one would repeat another run."""

WHAT, TRAINING, HOW, LIMITS, RESULTS = (
    "What to sweep",
    "How to train",
    "How to measure",
    "Limits",
    "Where results go",
)
"""The groups of options in `scaleprof sweep --help`, in this order."""


COMMAND_LINE = "the command line"
"""Where an option comes from that is in no file."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One command-line option: a dataclass field made by `option` or `axis`."""

    help: str
    panel: str = HOW
    metavar: str = "LIST"
    shown: str = ""
    """The default as help shows it; empty shows the field's own default."""
    parse: Parser = unchecked
    complete: Completer | None = None
    """What the shell offers while it is typed."""
    in_files: bool = True
    """Whether presets, `--config` and pyproject.toml can hold it."""
    name: str = ""
    """The field's name: `seq_len` is the option `--seq-len`, and `seq-len` in a preset."""

    @property
    def flag(self) -> str:
        """How the command line spells it: `--seq-len`."""
        return option_name(self.name)


@dataclass(frozen=True, kw_only=True)
class Axis(Option):
    """An option that is part of a point's identity."""

    multiplies: bool = False
    """Whether `parse` returns several values, each of which multiplies the grid; else it returns one."""
    sets: str = ""
    """The config field that it sets, such as `model.acting`; the value None keeps the config's default."""
    fills: str = ""
    """The field of `Record` (and of `Point`, unless `sets` is given) that takes a point's value."""
    applies: Callable[[str, str], bool] | None = None
    """Whether a model in a mode has this axis; its value is None otherwise. By default every model has it."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Words for constants of `sable.config`, such as `auto` for `AUTO`; its column is then text."""
    slowest: int = 0
    """Axes with a higher number vary more slowly over the points of the grid."""

    @property
    def field(self) -> str:
        """The field of a config or a point that it sets: `reward`, `agents`."""
        return self.sets.rpartition(".")[2] or self.fills

    def setting(self, word: str) -> str:
        """The text of the config field's value that `word` stands for; `word` itself if it is none of `words`."""
        import sable.config

        return str(getattr(sable.config, self.words[word])) if word in self.words else word

    def word(self, setting: str) -> str:
        """The reverse of `setting`."""
        return next((word for word in self.words if self.setting(word) == setting), setting)


def option(default: Any, help: str, **row: Any) -> Any:  # noqa: A002
    """A dataclass field that is an option but not part of a point."""
    return dataclasses.field(default=default, metadata={"row": Option(help=help, **row)})


def axis(default: Any, help: str, **row: Any) -> Any:  # noqa: A002
    """A dataclass field that is an axis."""
    return dataclasses.field(default=default, metadata={"row": Axis(help=help, **{"panel": WHAT, **row})})


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What the user asked for, unparsed: command-line options over files of options over the defaults."""

    agents: str = axis("16,128,1024", "Agent counts: 16,128 or 16:4096:x2", multiplies=True, parse=whole_numbers())
    seq_len: str = axis("16", "Rollout lengths in timesteps", multiplies=True, parse=whole_numbers())
    scenario: str = axis("neom", "Environment, or NAME:TASK", metavar="NAME", parse=choose_scenario, complete=scenarios)
    reward: str | None = axis(
        None,
        "Reward: team mean (shared) or per agent (individual)",
        metavar="KIND",
        shown="by scenario",
        sets="scenario.reward",
    )
    batching: str = axis(
        "",
        "How to step environments: vmap, map or auto (tries both)",
        metavar="HOW",
        shown="by scenario",
        parse=choose_batching,
    )
    reset: str = axis(
        "",
        "Episode starts: from a precomputed pool, or exact",
        metavar="HOW",
        shown="by scenario",
        parse=choose_reset,
    )
    model: str = axis(
        "sable,mat,ippo",
        "Models, or pairs such as sable:chunkwise",
        multiplies=True,
        parse=parse_names,
        complete=models,
    )
    mode: str = axis(
        "",
        "Restrict models to these modes",
        shown="each model's own",
        multiplies=True,
        parse=lambda text, option: parse_names(text, option) if text else (),
        complete=modes,
    )
    chunk: str = axis(
        "1", "Timesteps per chunk, for chunkwise modes", multiplies=True, parse=whole_numbers(), applies=has_chunks
    )
    envs: str = axis("4", "Parallel environments", multiplies=True, parse=whole_numbers())
    embed_dim: str = axis("64", "Embedding widths", multiplies=True, parse=whole_numbers())
    heads: str = axis("4", "Attention or retention heads", multiplies=True, parse=whole_numbers())
    blocks: str = axis("1", "Encoder and decoder blocks, or hidden layers", multiplies=True, parse=whole_numbers())
    dtype: str = axis(
        "float32",
        "Matrix product precision: float32, bfloat16",
        multiplies=True,
        parse=lambda text, option: choose_dtypes(parse_names(text, option), option),
    )
    seed: str = axis("0", "Random seeds", multiplies=True, parse=whole_numbers(0, MAX_SEED), slowest=1)
    repeats: int = axis(
        1,
        "Repeats of each point, each in a new process",
        metavar="N",
        multiplies=True,
        parse=parse_repeats,
        fills="repeat",
        slowest=2,
    )

    epochs: int | None = axis(1, "PPO epochs per rollout", metavar="N", panel=TRAINING, parse=whole_number(1))
    minibatches: int | None = axis(
        2, "Minibatches per epoch, split by environment", metavar="N", panel=TRAINING, parse=whole_number(1)
    )
    published: bool = option(False, "Train each model with its own published settings", panel=TRAINING)
    acting: str | None = axis(
        None,
        "Sample actions: sequential, or fixed_point (all agents at once)",
        metavar="WAY",
        shown="sequential",
        panel=TRAINING,
        sets="model.acting",
    )
    accumulate: str = axis(
        "1",
        "Gradient groups per minibatch; auto: by size",
        panel=TRAINING,
        multiplies=True,
        parse=numbers_or_words("auto"),
        sets="ppo.accumulate",
        fills="accumulate",
        words={"auto": "AUTO"},
    )
    segment: str = axis(
        "all",
        "Timesteps per checkpointed segment; auto: by size",
        panel=TRAINING,
        multiplies=True,
        parse=numbers_or_words("all", "auto"),
        sets="model.segment",
        fills="segment",
        words={"all": "WHOLE", "auto": "AUTO"},
    )
    tuned: bool = option(False, "Same as --accumulate auto --segment auto", panel=TRAINING)
    remat: bool | None = axis(
        None,
        "Recompute activations in the backward pass; saves memory",
        panel=TRAINING,
        parse=parse_flag,
        sets="model.remat",
    )
    match: str = axis(
        "",
        "Match sizes: params gives every model Sable's parameter count",
        metavar="WHAT",
        shown="off",
        panel=TRAINING,
        parse=choose_match,
    )
    set: tuple[str, ...] = option(
        (), "Set any other model, ppo or scenario field (repeatable)", metavar="GROUP.FIELD=VALUE", panel=TRAINING
    )

    device: str | None = option(
        None, "Device: cpu, gpu or gpu:i", metavar="DEVICE", shown="what jax finds", parse=choose_device
    )
    measure: str = option(
        "together",
        "Measure together or memory,speed apart; compile adds compile times",
        metavar="WHAT",
        parse=choose_measure,
    )
    min_updates: int = option(3, "Minimum measured updates", metavar="N", parse=whole_number(1))
    min_seconds: float = option(1.0, "Minimum measured seconds", metavar="SECONDS", parse=parse_seconds)
    warmup_updates: int = option(
        4, "Minimum warm-up updates (more until timings are stable)", metavar="N", parse=whole_number(0)
    )
    plan_between: bool = option(False, "Also plan sizes in between by compiling alone, for memory laws")
    retry_contended: int = option(
        0, "Measure contended points up to N more times; the quietest counts", metavar="N", parse=whole_number(0)
    )
    pin: str = option("", "Pin every point to these cores: 0 or 0,1", metavar="CORES", shown="all", parse=choose_pin)
    fresh_compile: bool = option(False, "Recompile in every repeat, not only in the first")
    against: str = option("", "Alternate with another scaleprof version, as live pairs", metavar="PYTHON_OR_CHECKOUT")

    timeout: float | None = option(
        None,
        "Time limit per point, in seconds",
        metavar="SECONDS",
        shown="120, longer for slow points",
        panel=LIMITS,
        parse=duration("seconds"),
    )
    memory_limit: str | None = option(
        None, "Memory limit per point", metavar="SIZE", shown="8GiB, at most 60 % of host memory", panel=LIMITS
    )
    max_hours: float | None = option(
        None,
        "Start no point after this many hours; resume does the rest",
        metavar="HOURS",
        shown="no limit",
        panel=LIMITS,
        parse=duration("hours"),
    )
    keep_going: bool = option(False, "Do not skip larger points after an out-of-memory", panel=LIMITS)

    preset: str | None = None
    """The preset under the options."""
    given: frozenset[str] = frozenset()
    """Names of the options given on the command line; all others come from files or are defaults."""
    origins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Where each option comes from that is not at its default: a file's name, or `COMMAND_LINE`."""
    order: tuple[str, ...] = ("", COMMAND_LINE)
    """All origins, of which later ones override earlier ones; the first is the default."""

    def follows(self, name: str, other: str) -> bool:
        """Whether what option `other` implies for `name` holds, because `name` was set in a weaker place."""
        return self.order.index(self.origins.get(name, "")) < self.order.index(self.origins.get(other, COMMAND_LINE))

    @property
    def sources(self) -> dict[str, list[str]]:
        """The names of the options that hold from each file, by the file's name."""
        found: dict[str, list[str]] = {name: [] for name in self.order if name not in ("", COMMAND_LINE)}
        for option, origin in self.origins.items():
            if origin in found:
                found[origin].append(option)
        return found


def rows(kind: type[Any] = SweepRequest) -> dict[str, Option]:
    """The rows of a dataclass of options, by name and in order."""
    found = [one for one in dataclasses.fields(kind) if "row" in one.metadata]
    return {one.name: _named(one.metadata["row"], one.name, one.default) for one in found}


def axes(kind: type[SweepRequest] = SweepRequest) -> list[Axis]:
    """The axes among the rows."""
    return [row for row in rows(kind).values() if isinstance(row, Axis)]


def defaults(kind: type[SweepRequest] = SweepRequest) -> dict[str, Any]:
    """The default of every option, by its name in manifests."""
    return {one.name: one.default for one in dataclasses.fields(kind) if "row" in one.metadata}


def config_options(kind: type[SweepRequest] = SweepRequest) -> dict[str, str]:
    """The options of config and point fields: `--set` refuses these fields, and error messages name the option."""
    return {axis.field: axis.flag for axis in axes(kind)}


def option_name(name: str) -> str:
    """`seq_len` → `--seq-len`."""
    return "--" + name.replace("_", "-")


def _named(row: Option, name: str, default: Any) -> Option:
    """The row, completed from its field: its name, and its default in words."""
    shown = row.shown or (
        "" if default in (None, "", (), False) else f"{default:g}" if isinstance(default, float) else str(default)
    )
    row = dataclasses.replace(row, name=name, shown=shown)
    if isinstance(row, Axis) and not row.fills:
        row = dataclasses.replace(row, fills="settings" if row.sets else name)
    return row
