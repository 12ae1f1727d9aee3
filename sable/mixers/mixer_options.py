"""Options that belong to one mixer each. Plain data: importing this module does not import jax.

A mixer with options of its own adds a class here and names it among the bases of `sable.config.ModelConfig`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sable.option_checks import require_count, require_share


@dataclass(frozen=True, kw_only=True)
class RetentionOptions:
    """Options of retention (`sable.mixers.gated_retention`)."""

    chunk: int = 1
    """Timesteps per chunk of the chunkwise form."""
    decay_scaling: float = 0.8
    """Factor on each head's decay (the published Sable's `decay_scaling_factor`): 0 has no memory, 1 the longest."""

    def check_retention(self) -> None:
        """Raise `ValueError` for an option out of range."""
        require_count("chunk", self.chunk)
        require_share("decay_scaling", self.decay_scaling)


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """Options of attention over a window of timesteps (`sable.mixers.temporal_attention`)."""

    window: int = 4
    """Timesteps in the window, including the current one."""

    def check_window(self) -> None:
        """Raise `ValueError` for an option out of range."""
        require_count("window", self.window)
