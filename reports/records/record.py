"""The schema of a result: one `Record` per repeat of a point.

Units stand in the field names (`_bytes`, `_seconds`, `_per_second`) and are converted only where a person reads them.
A value that is not known is `None` here and an empty cell in a CSV file, never 0.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

SCHEMA_VERSION = 3

STATUSES = ("ok", "oom", "timeout", "crashed", "error", "skipped", "interrupted", "planned")

POINT_FIELDS = (
    "scenario",
    "model",
    "mode",
    "agents",
    "seq_len",
    "envs",
    "chunk",
    "embed_dim",
    "heads",
    "blocks",
    "epochs",
    "minibatches",
    "dtype",
    "match",
    "batching",
    "reset",
    "settings",
    "seed",
    "side",
)
"""The fields that say which point of a grid a record measures (`repeat` tells its repeats apart)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one repeat of one point cost and reached.

    Fields ending in `_bytes` are bytes, in `_seconds` seconds of wall time (`update_cpu_seconds`: of process CPU time,
    summed over threads). `xla_*` are XLA's static figures for the compiled program, `device_*` the device allocator's,
    `nvml_*` the driver's, `host_*` the operating system's for the measured process. How each is measured stands in
    docs/measuring.md.
    """

    # Which run and which point.
    schema_version: int = SCHEMA_VERSION
    run_id: str = ""
    timestamp: str = ""
    scenario: str = ""
    model: str = ""
    mode: str = ""
    agents: int = 0
    seq_len: int = 0
    envs: int = 0
    chunk: int | None = None
    embed_dim: int = 0
    heads: int = 0
    blocks: int = 0
    epochs: int = 0
    minibatches: int = 0
    dtype: str = ""
    match: str = ""
    batching: str = ""
    """How environments were to be stepped: `vmap`, `map`, or `auto`; `batched_by` says what that came to."""
    reset: str = ""
    """`pool` or `exact`: where a new episode came from."""
    settings: str = ""
    seed: int = 0
    repeat: int = 0
    side: str = ""
    """`new` or `base` where two versions of the code were measured against each other, else empty."""
    pair_id: str = ""
    """The same for the two records whose processes alternated."""
    files: str = ""
    """The name, without its ending, of this record's files in the run's folders `samples` and `timelines`."""

    # How it ended.
    status: str = "planned"
    reason_code: str = ""
    reason: str = ""
    phase: str = ""
    stderr_tail: str = ""
    """The last lines that a failed process wrote to stderr, joined by ` | `."""
    measure: str = ""
    """`together` in one process; `memory,speed` in one process each; `memory` or `speed` where only that was asked."""
    memory_status: str = ""
    speed_status: str = ""

    # Where it ran and how large the model is.
    platform: str = ""
    device: str = ""
    pinned_cpus: str = ""
    batched_by: str = ""
    learn_groups: int | None = None
    """Groups of environments that a minibatch was learned from, one after the other (`--accumulate`, or by size)."""
    segment_timesteps: int | None = None
    """Timesteps of which learning kept the activations at once (`--segment`, or by size)."""
    parameters: int | None = None
    matched_embed_dim: int | None = None
    reference_parameters: int | None = None

    # Memory: XLA's static analysis, the device allocator, the driver, the operating system.
    xla_act_argument_bytes: int | None = None
    xla_act_output_bytes: int | None = None
    xla_act_alias_bytes: int | None = None
    xla_act_temp_bytes: int | None = None
    xla_rollout_argument_bytes: int | None = None
    xla_rollout_output_bytes: int | None = None
    xla_rollout_alias_bytes: int | None = None
    xla_rollout_temp_bytes: int | None = None
    xla_learn_argument_bytes: int | None = None
    xla_learn_output_bytes: int | None = None
    xla_learn_alias_bytes: int | None = None
    xla_learn_temp_bytes: int | None = None
    xla_peak_bytes: int | None = None
    xla_bound: str = ""
    """`exact`, or `lower` where a program has operations whose scratch memory XLA does not see."""
    device_compile_peak_bytes: int | None = None
    device_input_peak_bytes: int | None = None
    device_peak_bytes: int | None = None
    nvml_process_bytes: int | None = None
    nvml_device_bytes: int | None = None
    nvml_utilisation_percent: float | None = None
    nvml_power_watts: float | None = None
    nvml_sm_clock_mhz: float | None = None
    nvml_throttle_reasons: str = ""
    nvml_energy_joules: float | None = None
    host_rss_start_bytes: int | None = None
    host_compile_peak_bytes: int | None = None
    host_base_bytes: int | None = None
    host_rss_peak_bytes: int | None = None
    host_peak_rise_bytes: int | None = None
    host_memory_quality: str = ""
    """`repeatable` where the allocator was set to be, `noisy` where it was left as it is."""
    memory_limit_bytes: int | None = None

    # Time.
    import_seconds: float | None = None
    trace_act_seconds: float | None = None
    trace_rollout_seconds: float | None = None
    trace_learn_seconds: float | None = None
    compile_act_seconds: float | None = None
    compile_rollout_seconds: float | None = None
    compile_learn_seconds: float | None = None
    compile_cache: str = ""
    """`off`; `written` by this repeat; `read` from an earlier one, and then no compile time is given; `mixed`."""
    first_update_seconds: float | None = None
    act_seconds: float | None = None
    env_seconds: float | None = None
    reset_seconds: float | None = None
    """One reset, in the making of the pool of starts; outside of what is measured."""
    rollout_seconds: float | None = None
    learn_seconds: float | None = None
    update_seconds: float | None = None
    update_min_seconds: float | None = None
    update_p25_seconds: float | None = None
    update_p90_seconds: float | None = None
    update_cv: float | None = None
    update_cpu_seconds: float | None = None
    env_steps_per_second: float | None = None
    agent_steps_per_second: float | None = None
    warmup_updates: int | None = None
    warmup: str = ""
    """`steady`; `short_warmup` where updates are too long for four; `unsteady` where times never settled."""
    measured_updates: int | None = None
    measured_seconds: float | None = None
    run_delay_seconds: float | None = None
    others_cpu_share: float | None = None
    """The share of the point's cores that other processes used meanwhile."""
    contended: int | None = None
    """1 where that is more than 15 %, else 0."""
    parent_cpu_share: float | None = None
    point_seconds: float | None = None
    overhead_seconds: float | None = None
    """What of it was neither tracing and compiling nor running the programs: starting, importing, telling, ending."""
    flops_per_update: float | None = None
    traffic_bytes_per_update: float | None = None
    matmul_fraction: float | None = None
    copy_fraction: float | None = None
    bound_by: str = ""
    """`arithmetic`, `memory traffic` or `sequential steps`: what an update is nearest to being limited by."""

    # Learning, in the last measured update.
    policy_loss: float | None = None
    value_loss: float | None = None
    entropy: float | None = None
    grad_norm: float | None = None
    mean_reward: float | None = None
    mean_return: float | None = None
    episode_return: float | None = None
    episode_length: float | None = None
    decoder_steps: float | None = None
    parameters_moved: float | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status '{self.status}' is none of {', '.join(STATUSES)}")


EXACT_FIELDS = ("xla_peak_bytes",)
"""Fields that a report draws or fits and that repeat exactly, whatever else the machine does."""

FIELD_NAMES: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Record))
"""Every column, in the order in which a CSV file lists them."""


def point_key(record: Record) -> tuple[object, ...]:
    """The identity of the point that `record` measures: two records with equal keys are repeats of one point."""
    return tuple(getattr(record, name) for name in POINT_FIELDS)
