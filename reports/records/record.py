"""The schema of a result: one `Record` per repeat of a point.

Every column is described here and nowhere else: unit, title, description, source, writer, and whether it identifies the
point (`reports.records.describe`). CSV files, tables, pages, `docs/columns.md` and the routing of what a child reports
all read that, through `reports.records.columns`.

Units stand in the field names as well (`_bytes`, `_seconds`, `_per_second`); values are converted only where a person
reads them. An unknown value is `None` here and an empty cell in a CSV file, never 0.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from operator import attrgetter

from reports.records.describe import (
    KEY,
    axis,
    described,
    learned,
    memory,
    noted,
    part_bytes,
    planned_bytes,
    reported,
    speed,
)

SCHEMA_VERSION = 7

DEVICE_ALLOCATOR, RESIDENT_RISE, XLA_PLAN = MEMORY_SOURCES = (
    "device allocator",
    "resident memory rise",
    "XLA's plan",
)
"""Where `memory_bytes` comes from, in order of preference."""

STATUSES = ("ok", "planned", "oom", "timeout", "crashed", "error", "skipped", "interrupted", "pending")

WITH_RESULT = ("ok", "planned")
"""The statuses of points that did not fail: measured, or planned by compiling alone."""
PLAN, BETWEEN = "plan", "between"
"""What the column `measure` holds for a point that `scaleprof plan` planned, and for one between measured sizes, which
only supports their law."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one repeat of one point cost and achieved. `docs/measuring.md` explains how values are measured.

    `memory_bytes` and `memory_source` follow from the other columns, also in records of earlier schemas.
    """

    # Run and point.
    schema_version: int = noted("Schema version", "Version of this list of columns.", default=SCHEMA_VERSION)
    run_id: str = noted("Run", "Name of the run that measured the point.")
    timestamp: str = noted("Timestamp", "When the record was written (UTC, ISO 8601).")
    scenario: str = axis(
        "", "Scenario", "The environment that agents act in.", same_work=True, places=("heading", "width")
    )
    model: str = axis(
        "", "Model", "The model, such as `sable` or `mat`, or `module:function` of a custom one.", places=("page",)
    )
    mode: str = axis(
        "", "Mode", "How the model computes its function; empty for a model with only one way.", places=("page",)
    )
    agents: int = axis(0, "Agents", "Number of agents N.", same_work=True, places=("page",))
    seq_len: int = axis(0, "Sequence length", "Timesteps T per rollout.", same_work=True, places=("page", "repeats"))
    envs: int = axis(
        0, "Environments", "Number of parallel environments B.", same_work=True, places=("heading", "repeats")
    )
    chunk: int | None = axis(None, "Chunk", "Timesteps per chunk; empty for a mode without chunks.")
    embed_dim: int = axis(0, "Width", "Embedding width of the model, as requested.", places=("heading", "width"))
    heads: int = axis(0, "Heads", "Number of attention or retention heads.", places=("width",))
    blocks: int = axis(0, "Blocks", "Number of encoder blocks, and of decoder blocks.", places=("width",))
    epochs: int = axis(0, "Epochs", "Passes over each rollout in one update.", same_work=True)
    minibatches: int = axis(0, "Minibatches", "Minibatches per epoch.", same_work=True)
    accumulate: str = axis(
        "1", "Accumulate", "Gradient groups per minibatch, as requested: a number, or `auto` (chosen by size)."
    )
    segment: str = axis(
        "all",
        "Segment",
        "Timesteps per segment of learning, as requested: a number, `all`, or `auto` (chosen by size).",
    )
    dtype: str = axis("", "Data type", "Floating-point type that the model computes in.", places=("heading",))
    match: str = axis(
        "", "Matched by", "`params` if the width was chosen to match Sable's parameter count, else empty."
    )
    batching: str = axis("", "Batching", "How environments were asked to be stepped: `vmap`, `map` or `auto`.")
    reset: str = axis("", "Reset", "Where a new episode starts from: `pool` or `exact`.")
    settings: str = axis(
        "",
        "Settings",
        "Options without a column of their own (`--set`, `--reward`, `--remat`, …), as `name=value` separated by `;`.",
        places=("width",),
    )
    target: str = axis(
        "",
        "Target",
        "The device that a plan is for, such as `h100`; empty for the device that the point ran on.",
        same_work=True,
        places=("heading",),
    )
    seed: int = axis(0, "Seed", "Random seed, combined with the number of the repeat.")
    repeat: int = noted("Repeat", "Number of this repeat of the point, from 0.", default=0, places=("page", "repeats"))
    side: str = axis("", "Side", "`new` or `base` in a live pair, else empty.")
    pair_id: str = noted("Pair", "The same for the two records of a live pair.")
    files: str = noted(
        "Files", "Name of this record's files in the run's folders `samples` and `timelines`, without suffix."
    )

    # Outcome.
    status: str = noted(
        "Status",
        f"How the point ended: {', '.join(f'`{name}`' for name in STATUSES)}.",
        default="pending",
        places=("page", "repeats"),
    )
    reason_code: str = noted("Reason code", "Machine-readable reason for the failure, such as `predicted` or `signal`.")
    reason: str = noted("Reason", "Reason for the failure in words.", places=("page",))
    phase: str = noted("Phase", "The phase in which a failed point ended.")
    stderr_tail: str = noted("Last stderr lines", "Last lines that a failed process wrote to stderr, joined by ` | `.")
    measure: str = noted(
        "Measure",
        "`together` in one process; `memory`, `speed` alone, or both in one each; `plan`, `between`: nothing ran.",
    )
    memory_status: str = noted("Memory status", "How the process that measures memory ended.")
    speed_status: str = noted("Speed status", "How the process that measures speed ended.")

    # Device and model.
    platform: str = reported("Platform", "JAX's platform, such as `cpu` or `gpu`.", default="")
    device: str = reported("Device", "JAX's name of the device kind.", default="", same_work=True, places=("heading",))
    pinned_cpus: str = reported(
        "Pinned CPUs", "Cores that the process was pinned to, separated by blanks.", default="", source="configuration"
    )
    batched_by: str = reported("Batched by", "How environments were stepped: `vmap` or `map`.", default="")
    learn_groups: int | None = reported(
        "Gradient groups", "Groups of environments per minibatch whose gradients were accumulated one after the other."
    )
    segment_timesteps: int | None = reported(
        "Segment length", "Timesteps whose activations are kept at a time; the others are recomputed."
    )
    parameters: int | None = reported("Parameters", "Trainable parameters of the model.")
    matched_embed_dim: int | None = reported("Matched width", "Width that matches the reference's parameter count.")
    reference_parameters: int | None = reported("Reference parameters", "Parameters of the model that was matched.")

    # Memory.
    memory_bytes: int | None = described(
        None,
        "bytes",
        "Peak memory",
        "What the point needs on top of the compiled, idle process; `memory_source` names the column it is from.",
        "kernel",
        "parent",
        short="measured",
        places=("page", "repeats"),
    )
    memory_source: str = noted(
        "Source of peak memory",
        "`device allocator`, `resident memory rise`, or `XLA's plan` if neither was measured.",
        places=("page",),
    )
    xla_act_argument_bytes: int | None = planned_bytes("act", "argument")
    xla_act_output_bytes: int | None = planned_bytes("act", "output")
    xla_act_alias_bytes: int | None = planned_bytes("act", "alias")
    xla_act_temp_bytes: int | None = planned_bytes("act", "temp")
    xla_rollout_argument_bytes: int | None = planned_bytes("rollout", "argument")
    xla_rollout_output_bytes: int | None = planned_bytes("rollout", "output")
    xla_rollout_alias_bytes: int | None = planned_bytes("rollout", "alias")
    xla_rollout_temp_bytes: int | None = planned_bytes("rollout", "temp")
    xla_learn_argument_bytes: int | None = planned_bytes("learn", "argument")
    xla_learn_output_bytes: int | None = planned_bytes("learn", "output")
    xla_learn_alias_bytes: int | None = planned_bytes("learn", "alias")
    xla_learn_temp_bytes: int | None = planned_bytes("learn", "temp")
    xla_peak_bytes: int | None = described(
        None,
        "bytes",
        "Peak memory, XLA's plan",
        "Largest of the three programs, each arguments + outputs − aliases + temporaries.",
        "XLA",
        "any process",
        short="XLA's plan",
        places=("page", "repeats"),
    )
    xla_wanted_bytes: int | None = described(
        None,
        "bytes",
        "Peak memory, untrimmed",
        "`xla_peak_bytes` with XLA's own rematerialisation off: what the programs want.",
        "XLA",
        "planning process",
    )
    state_parameters_bytes: int | None = part_bytes("Parameters, bytes", "The model's parameters.")
    state_optimiser_bytes: int | None = part_bytes("Optimiser, bytes", "The optimiser's state.")
    state_environment_bytes: int | None = part_bytes(
        "Environments, bytes", "States of the environments and their pool, observations and the policy's memory."
    )
    trajectory_bytes: int | None = part_bytes("Trajectory, bytes", "One rollout, which learning reads.")
    xla_bound: str = reported(
        "Bound of XLA's plan",
        "`exact`, or `lower` if a program calls operations whose scratch XLA does not see.",
        default="",
        source="XLA",
    )
    device_compile_peak_bytes: int | None = memory(
        "Device peak, compiling", "The allocator's peak after compiling.", "allocator"
    )
    device_input_peak_bytes: int | None = memory(
        "Device peak, inputs", "The allocator's peak after the inputs were made.", "allocator"
    )
    device_peak_bytes: int | None = memory(
        "Peak memory, device allocator",
        "The allocator's peak after all updates.",
        "allocator",
        short="device allocator",
    )
    nvml_process_bytes: int | None = memory(
        "GPU memory of the process", "Most GPU memory that the process was seen to use.", "driver"
    )
    nvml_device_bytes: int | None = memory(
        "GPU memory of the card", "Most memory that was seen in use on the whole card.", "driver"
    )
    nvml_utilisation_percent: float | None = speed(
        "GPU utilisation",
        "Mean GPU utilisation over the measured updates.",
        unit="percent",
        source="driver",
        per_side=False,
    )
    nvml_power_watts: float | None = speed(
        "GPU power", "Mean power draw over the measured updates.", unit="watts", source="driver", per_side=False
    )
    nvml_sm_clock_mhz: float | None = speed(
        "GPU clock", "Mean SM clock over the measured updates.", unit="MHz", source="driver", per_side=False
    )
    nvml_throttle_reasons: str = described(
        "",
        "text",
        "GPU throttling",
        "Why the GPU lowered its clock during the measured updates; `none` if it did not.",
        "driver",
        "speed process",
        per_side=False,
    )
    nvml_energy_joules: float | None = speed(
        "GPU energy", "Energy of the card over the measured updates.", unit="joules", source="driver", per_side=False
    )
    host_rss_start_bytes: int | None = memory("Resident memory, start", "Resident memory after the imports.", "kernel")
    host_compile_peak_bytes: int | None = memory(
        "Resident peak, compiling", "Most resident memory while tracing and compiling.", "kernel"
    )
    host_base_bytes: int | None = memory(
        "Resident memory, compiled", "Resident memory after compiling, before anything runs.", "kernel"
    )
    host_rss_peak_bytes: int | None = memory(
        "Peak memory, resident",
        "Most resident memory while updates ran, with Python and JAX.",
        "kernel",
        short="resident memory, with Python and JAX",
        places=("page", "repeats"),
    )
    host_peak_rise_bytes: int | None = memory(
        "Peak memory, rise of resident memory",
        "`host_rss_peak_bytes` − `host_base_bytes`: what training needs on top of the compiled process.",
        "kernel",
        short="rise of resident memory while it ran",
    )
    host_memory_quality: str = noted(
        "Quality of host memory", "`repeatable` if the allocator's mmap threshold was fixed, else `noisy`."
    )
    memory_limit_bytes: int | None = described(
        None, "bytes", "Memory limit", "The limit that was in force (`--memory-limit`).", "configuration", "parent"
    )

    # Time.
    import_seconds: float | None = speed("Import time", "Importing JAX and all that depends on it.")
    trace_act_seconds: float | None = speed("Trace time, act", "Tracing and lowering the act program.")
    trace_rollout_seconds: float | None = speed("Trace time, rollout", "Tracing and lowering the rollout program.")
    trace_learn_seconds: float | None = speed("Trace time, learn", "Tracing and lowering the learn program.")
    compile_act_seconds: float | None = speed("Compile time, act", "Compiling the act program.")
    compile_rollout_seconds: float | None = speed("Compile time, rollout", "Compiling the rollout program.")
    compile_learn_seconds: float | None = speed("Compile time, learn", "Compiling the learn program.")
    compile_seconds: float | None = speed(
        "Compile time, all programs", "Tracing and compiling all programs; empty if any was read from the cache."
    )
    compiling: str = reported(
        "How programs compiled",
        "`one by one`, each timed, or `together`: then only `compile_seconds` is known.",
        default="",
    )
    compile_cache: str = reported(
        "Compile cache",
        "`off`; `written` by this repeat; `read` from an earlier one, and then compile times are empty; `mixed`.",
        default="",
    )
    first_update_seconds: float | None = speed(
        "First update", "The first update, which is the first to touch all memory.", places=("repeats",)
    )
    act_seconds: float | None = speed("Act time", "The policy alone for one environment step.")
    env_seconds: float | None = speed(
        "Environment time",
        "The environments alone for the steps of a rollout, under random legal actions.",
        places=("repeats",),
    )
    reset_seconds: float | None = speed("Reset time", "One reset while the pool of starts is made, outside of updates.")
    rollout_seconds: float | None = speed(
        "Rollout time", "Median rollout of the measured updates.", places=("repeats",)
    )
    learn_seconds: float | None = speed(
        "Learning time", "Median learning step of the measured updates.", places=("repeats",)
    )
    update_seconds: float | None = speed(
        "Update time", "Median of the measured updates: rollout and learning.", places=("page", "repeats")
    )
    update_min_seconds: float | None = speed("Shortest update", "Shortest of the measured updates.")
    update_p25_seconds: float | None = speed("Update, 25th percentile", "25th percentile of the measured updates.")
    update_p90_seconds: float | None = speed("Update, 90th percentile", "90th percentile of the measured updates.")
    update_cv: float | None = speed(
        "Variation of updates",
        "Standard deviation / mean of the measured updates.",
        unit="fraction",
        places=("repeats",),
    )
    update_cpu_seconds: float | None = speed(
        "CPU time of an update", "Median CPU time of the measured updates, summed over threads."
    )
    env_steps_per_second: float | None = speed(
        "Environment steps per second", "B · T / `update_seconds`.", unit="rate", places=("repeats",)
    )
    agent_steps_per_second: float | None = speed(
        "Agent-steps per second", "B · T · N / `update_seconds`.", unit="rate", places=("page", "repeats")
    )
    warmup_updates: int | None = speed("Warm-up updates", "Updates that were run first and not measured.", unit="count")
    warmup: str = described(
        "",
        "text",
        "Warm-up",
        "`steady`; `unsteady` if timings never settled; `short_warmup` if updates are too long or too few for that.",
        "clock",
        "speed process",
    )
    measured_updates: int | None = speed("Measured updates", "Number of measured updates.", unit="count")
    measured_seconds: float | None = speed("Measured time", "Total time of the measured updates.")
    run_delay_seconds: float | None = speed(
        "Run delay", "How long threads were ready to run but waited for a core.", source="kernel"
    )
    others_cpu_share: float | None = speed(
        "CPU share of others",
        "Share of the point's cores that other processes used during the measured updates.",
        unit="fraction",
        source="kernel",
    )
    contended: int | None = speed(
        "Contended", "1 if `others_cpu_share` is above 15 %, else 0.", unit="flag", source="kernel"
    )
    throttled: int | None = speed(
        "Throttled",
        "1 if the processor slowed down because of heat during the measured updates, else 0.",
        unit="flag",
        source="kernel",
    )
    attempts: int | None = described(
        None,
        "count",
        "Attempts",
        "How often the point was measured; above 1 under `--retry-contended`: the least contended attempt counts.",
        "sweep",
        "parent",
    )
    parent_cpu_share: float | None = speed(
        "CPU share of the sweep",
        "Share of one core that the sweep itself used during the measured updates.",
        unit="fraction",
        source="kernel",
        per_side=False,
    )
    point_seconds: float | None = described(
        None,
        "seconds",
        "Point time",
        "From start to end, all processes of the point, without time in which the sweep was stopped (Ctrl-Z).",
        "clock",
        "parent",
    )
    overhead_seconds: float | None = described(
        None,
        "seconds",
        "Overhead",
        "Part of `point_seconds` outside of tracing, compiling and running programs; empty if the sweep was stopped.",
        "clock",
        "parent",
    )
    flops_per_update: float | None = described(
        None, "flops", "FLOPs of an update", "Arithmetic operations of one update.", "traced program", "any process"
    )
    traffic_bytes_per_update: float | None = described(
        None,
        "bytes",
        "Traffic of an update",
        "Bytes that one update must move if nothing stays in a cache; an estimate.",
        "traced program",
        "any process",
    )
    matmul_fraction: float | None = described(
        None,
        "fraction",
        "Fraction of matmul rate",
        "Achieved arithmetic rate / the host's rate for a large matrix product.",
        "clock",
        "parent",
    )
    copy_fraction: float | None = described(
        None,
        "fraction",
        "Fraction of copy rate",
        "Achieved memory traffic / the host's copy rate; above 1 if caches serve it.",
        "clock",
        "parent",
    )
    bound_by: str = described(
        "",
        "text",
        "Bound by",
        "What limits an update: `arithmetic`, `memory traffic` or `sequential steps`.",
        "clock",
        "parent",
    )

    # Learning.
    policy_loss: float | None = learned("Policy loss", "PPO's policy loss in the last measured update.")
    value_loss: float | None = learned("Value loss", "Value loss in the last measured update.")
    entropy: float | None = learned("Entropy", "Entropy of the policy in the last measured update.")
    grad_norm: float | None = learned(
        "Gradient norm", "Global gradient norm before clipping, in the last measured update."
    )
    mean_reward: float | None = learned(
        "Mean reward", "Reward per agent and timestep in the last measured update.", places=("repeats",)
    )
    mean_return: float | None = learned(
        "Mean return", "Undiscounted rewards per agent, summed over the last measured rollout.", places=("page",)
    )
    episode_return: float | None = learned(
        "Episode return",
        "Mean return per agent of the last complete episode of every environment.",
        places=("page", "repeats"),
    )
    episode_length: float | None = learned(
        "Episode length", "Mean timesteps of the last complete episode of every environment.", unit="count"
    )
    decoder_steps: float | None = learned(
        "Decoder steps", "Sequential decoder passes per environment step; 0 if nothing is decoded.", unit="count"
    )
    parameters_moved: float | None = learned("Parameter change", "L2 distance of the parameters from their start.")

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status '{self.status}' is not one of {', '.join(STATUSES)}")
        # The plan of a point that ended while it compiled is of some programs only; if they do not fit, that is enough.
        planned = self.status == "oom" or not self.phase.startswith("compile")
        found = (
            self.device_peak_bytes,
            self.host_peak_rise_bytes if self.platform in ("", "cpu") else None,
            self.xla_peak_bytes if planned else None,
        )
        for source, value in zip(MEMORY_SOURCES, found, strict=True):
            if value is not None:
                object.__setattr__(self, "memory_bytes", value)
                object.__setattr__(self, "memory_source", source)
                break


FIELD_NAMES: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Record))
"""Every column, in the order of a CSV file."""

POINT_FIELDS: tuple[str, ...] = tuple(
    field.name for field in dataclasses.fields(Record) if field.metadata[KEY]["identity"]
)
"""The fields that identify the point that a record measures (`repeat` tells its repeats apart)."""
_point_of = attrgetter(*POINT_FIELDS)


POSITIVE = frozenset(
    {
        *("update_seconds", "update_min_seconds", "update_p25_seconds", "update_p90_seconds", "update_cpu_seconds"),
        *("env_steps_per_second", "agent_steps_per_second"),
        *("compile_act_seconds", "compile_rollout_seconds", "compile_learn_seconds", "compile_seconds"),
        *("xla_peak_bytes", "device_peak_bytes", "host_rss_peak_bytes"),
    }
)
"""Figures that can be unknown but never 0: no update takes no time, and no process takes no memory."""

LOSSES = ("policy_loss", "value_loss", "entropy", "grad_norm")
"""Figures of training that are finite unless it diverged."""


def was_run(record: Record) -> bool:
    """Whether this point was tried for its own sake: not one that waits, or that is planned between measured ones."""
    return record.status != "pending" and not is_between(record)


def is_between(record: Record) -> bool:
    """Whether the point is only to be planned, between measured sizes."""
    return record.measure == BETWEEN


def has_result(record: Record) -> bool:
    """Whether the point has the figures it was tried for: measured, or planned by `scaleprof plan`."""
    return record.status in WITH_RESULT and not is_between(record)


def has_plan(record: Record) -> bool:
    """Whether XLA's plan is of all programs; where compiling ended early it is of some."""
    programs = (record.xla_act_temp_bytes, record.xla_rollout_temp_bytes, record.xla_learn_temp_bytes)
    return record.xla_peak_bytes is not None and None not in programs


def diverged(record: Record) -> bool:
    """Whether training broke: a loss or the gradient is not finite."""
    figures = (getattr(record, name) for name in LOSSES)
    return any(figure is not None and not math.isfinite(figure) for figure in figures)


def is_tuned(record: Record) -> bool:
    """Whether learning was split by size (`auto`): then figures of several sizes are no law of the model."""
    return "auto" in (record.accumulate, record.segment)


def point_key(record: Record) -> tuple[object, ...]:
    """The identity of the point that `record` measures: records with equal keys are repeats of one point."""
    key: tuple[object, ...] = _point_of(record)
    return key
