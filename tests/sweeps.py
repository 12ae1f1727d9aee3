"""Records of sweeps that never ran, for pictures and pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reports.records.record import Record
from reports.records.run import Run

MIB = 2**20
MODELS = (
    ("sable", "chunkwise", 1.0),
    ("sable", "recurrent", 1.1),
    ("sable", "parallel", 2.0),
    ("sable", "factored", 0.9),
    ("mat", "dense", 1.9),
    ("mat", "blockwise", 1.2),
    ("ippo", "", 1.0),
    ("mappo", "", 1.0),
)


def measured(
    model: str, mode: str, agents: int, seq_len: int, repeat: int, *, mebibytes: float, seconds: float
) -> Record:
    """A point that ended well on a CPU under a limit of 4 GiB."""
    return Record(
        **_point(model, mode, agents, seq_len, repeat),
        status="ok",
        host_base_bytes=300 * MIB,
        host_peak_rise_bytes=int(mebibytes * MIB),
        host_rss_peak_bytes=int((300 + mebibytes) * MIB),
        update_seconds=seconds,
        agent_steps_per_second=4 * seq_len * agents / seconds,
    )


def failed(model: str, mode: str, agents: int, seq_len: int, repeat: int, status: str, reason: str = "") -> Record:
    return Record(**_point(model, mode, agents, seq_len, repeat), status=status, reason=reason)


def _point(model: str, mode: str, agents: int, seq_len: int, repeat: int) -> dict[str, Any]:
    return {
        "scenario": "neom",
        "model": model,
        "mode": mode,
        "agents": agents,
        "seq_len": seq_len,
        "envs": 4,
        "repeat": repeat,
        "platform": "cpu",
        "device": "cpu",
        "memory_limit_bytes": 4096 * MIB,
    }


def sweep(
    models: Sequence[tuple[str, str, float]] = MODELS,
    *,
    agents: Sequence[int] = (4, 16, 64, 256, 1024),
    seq_lens: Sequence[int] = (8,),
    repeats: int = 2,
) -> Run:
    """Memory and time as a power of agents and in proportion to timesteps; past the limit, no memory is left."""
    records = []
    for place, (model, mode, exponent) in enumerate(models):
        for length in seq_lens:
            for count in agents:
                for repeat in range(repeats):
                    noise = 1 + 0.02 * ((place + count + repeat) % 3 - 1)
                    mebibytes = (3 + 0.2 * (1 + place) * count**exponent * length / 8) * noise
                    seconds = (1e-3 + 1e-5 * (1 + place) * count**exponent * length / 8) * noise
                    point = (model, mode, count, length, repeat)
                    if mebibytes < 3700:
                        records.append(measured(*point, mebibytes=mebibytes, seconds=seconds))
                    else:
                        status = "oom" if count < 1024 else "skipped"
                        records.append(failed(*point, status, "larger than what ran out of memory"))
    return Run("sweep", Path("runs/sweep"), tuple(records))
