"""What the models choose by the platform that their program is compiled for: sizes, and forms of the same function.

One row per choice, one table per platform. Outputs and gradients do not depend on the table, apart from rounding. The
CPU's numbers were measured (docs/performance.md); the others follow from how the hardware works and from XLA's plans,
and have not been timed on a device. Plain data: importing this module does not import jax.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from sable.option_checks import require_count

UNLIMITED = 2**63 - 1
"""A number of tokens that nothing exceeds: computed in one piece."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The choices for one platform; the defaults are the CPU's.

    Tokens are environments × timesteps × agents. Raises `ValueError` naming a field that is no whole number from 1 on.
    """

    group_tokens: int = 2048
    """Most tokens of a gradient group where `PPOConfig.accumulate` is auto. CPU: a layer's arrays fit a core's cache.
    Accelerators: a minibatch at once; groups run one after the other and leave most of the device idle."""
    segment_tokens: int = 2048
    """Tokens of a segment where `ModelConfig.segment` is auto. CPU: as for groups, and recomputing costs no time there.
    Accelerators: whole sequences, because recomputing costs a third more arithmetic; cut only to fit memory."""
    acting_tokens: int = 2048
    """Tokens that the encoder acts for at once. CPU: as for groups. Accelerators: all environments in one piece."""
    fewest_pieces: int = 4
    """What would be cut into fewer segments, or groups for acting, is left whole. CPU: measured. Without effect where
    the sizes above are unlimited."""
    attention_block: int = 64
    """Agents per block of queries and of keys in blockwise attention. CPU: 64 × 64 scores stay in cache. Accelerators:
    128, the tile of a matrix unit (H100: wgmma, 64 rows by up to 256 columns; TPU: 128 × 128), for a quarter of the
    sequential loop bodies. Not more: the other axes keep the device busy, and one block's scores take B · T · H · 128²
    numbers, whatever N is."""
    agent_block: int = 32
    """Agents per causal block of retention and linear attention. A token keeps H · block scores, H · d² / block sums.
    CPU: 16 to 128 took the same time. GPU: 16, the smallest tile of a tensor core and the d of the default sizes, where
    scores and sums together are fewest. TPU: 128, because its memory pads rows to 128 numbers anyway."""
    matrix_means: bool = True
    """Means over channels as products with a small matrix, in highest precision. CPU: XLA sums short rows element by
    element, a product is faster. Accelerators: plain means, which fuse with the arithmetic around them."""
    float32_inputs: bool = True
    """Linear layers keep their input for the gradient as it came. CPU: yes, it has no faster bfloat16. Accelerators:
    no, it is kept in the layer's own precision: half the bytes in bfloat16, and the same numbers. XLA's plan for an
    H100 is no smaller for it."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type == "int":
                require_count(field.name, getattr(self, field.name))


CPU = Tuning()
GPU = Tuning(
    group_tokens=UNLIMITED,
    segment_tokens=UNLIMITED,
    acting_tokens=UNLIMITED,
    attention_block=128,
    agent_block=16,
    matrix_means=False,
    float32_inputs=False,
)
TPU = Tuning(
    group_tokens=UNLIMITED,
    segment_tokens=UNLIMITED,
    acting_tokens=UNLIMITED,
    attention_block=128,
    agent_block=128,
    matrix_means=False,
    float32_inputs=False,
)

TUNINGS = {"cpu": CPU, "gpu": GPU, "tpu": TPU}
"""The table of each platform, by jax's name of it."""


class Tuned:
    """A layer that computes as its `tuning` says: the CPU's, unless `sable.layers.tuned.tune` has set another."""

    tuning: Tuning = CPU


def default_platform() -> str:
    """The platform of jax's first device: the one place that asks jax which programs are compiled for."""
    import jax

    platform: str = jax.devices()[0].platform
    return platform


def tuning_for(platform: str) -> Tuning:
    """The choices for a platform by jax's name; one without a table is taken for an accelerator like a GPU."""
    return TUNINGS.get(platform, GPU)


def markdown_table() -> str:
    """The tables side by side, as docs/performance.md shows them."""

    def cell(value: int) -> str:
        return ("no", "yes")[value] if isinstance(value, bool) else "unlimited" if value == UNLIMITED else str(value)

    rows = [["`--set tuning.…`", *TUNINGS], ["---"] * (1 + len(TUNINGS))]
    rows += [[f"`{x.name}`", *(cell(getattr(tuning, x.name)) for tuning in TUNINGS.values())] for x in fields(Tuning)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
