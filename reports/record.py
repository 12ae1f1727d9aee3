"""The schema of a result: one `Record` per repeat of a point.

Units stand in the field names (`_bytes`, `_seconds`, `_per_second`) and are converted only where a person reads them.
A value that is not known is `None` here and an empty cell in a CSV file, never 0.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

SCHEMA_VERSION = 1

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
    "settings",
    "seed",
)
"""The fields that say which point of a grid a record measures (`repeat` tells its repeats apart)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one repeat of one point cost and reached.

    Fields ending in `_bytes` are bytes, in `_seconds` seconds of wall time (`update_cpu_seconds`: of process CPU time,
    summed over threads). `xla_*` are XLA's static figures for the compiled program, `device_*` the device allocator's,
    `nvml_*` the driver's, `host_*` the operating system's for the measured process.
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
    settings: str = ""
    seed: int = 0
    repeat: int = 0

    # How it ended.
    status: str = "planned"
    reason_code: str = ""
    reason: str = ""
    phase: str = ""

    # Where it ran and how large the model is.
    platform: str = ""
    device: str = ""
    parameters: int | None = None
    matched_embed_dim: int | None = None
    reference_parameters: int | None = None

    # Memory: XLA's static analysis, the device allocator, the driver, the operating system.
    xla_act_temp_bytes: int | None = None
    xla_rollout_temp_bytes: int | None = None
    xla_learn_temp_bytes: int | None = None
    xla_learn_argument_bytes: int | None = None
    xla_learn_output_bytes: int | None = None
    xla_peak_bytes: int | None = None
    device_peak_bytes: int | None = None
    nvml_process_bytes: int | None = None
    host_rss_start_bytes: int | None = None
    host_compile_peak_bytes: int | None = None
    host_rss_peak_bytes: int | None = None
    host_peak_rise_bytes: int | None = None
    memory_limit_bytes: int | None = None

    # Time.
    import_seconds: float | None = None
    compile_act_seconds: float | None = None
    compile_rollout_seconds: float | None = None
    compile_learn_seconds: float | None = None
    act_seconds: float | None = None
    rollout_seconds: float | None = None
    learn_seconds: float | None = None
    update_seconds: float | None = None
    update_min_seconds: float | None = None
    update_p90_seconds: float | None = None
    update_cpu_seconds: float | None = None
    env_steps_per_second: float | None = None
    agent_steps_per_second: float | None = None
    warmup_updates: int | None = None
    measured_updates: int | None = None

    # Learning, in the last measured update.
    policy_loss: float | None = None
    value_loss: float | None = None
    entropy: float | None = None
    grad_norm: float | None = None
    mean_reward: float | None = None
    mean_return: float | None = None
    episode_return: float | None = None
    decoder_steps: float | None = None
    parameters_moved: float | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status '{self.status}' is none of {', '.join(STATUSES)}")


FIELD_NAMES: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Record))
"""Every column, in the order in which a CSV file lists them."""


def point_key(record: Record) -> tuple[object, ...]:
    """The identity of the point that `record` measures: two records with equal keys are repeats of one point."""
    return tuple(getattr(record, name) for name in POINT_FIELDS)
