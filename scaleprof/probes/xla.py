"""XLA's static analysis of a compiled program."""

from __future__ import annotations

from typing import Any, NamedTuple


class ProgramMemory(NamedTuple):
    """Bytes that XLA assigned to one program."""

    argument_bytes: int
    output_bytes: int
    alias_bytes: int
    """Outputs that reuse an argument's memory (donated state)."""
    temp_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Memory while the program runs: arguments + outputs − aliases + temporaries.

        XLA's own `peak_memory_in_bytes` leaves temporaries out on the CPU. Where the CPU backend fuses operations with
        YNNPACK, their scratch memory is allocated outside XLA and this is a lower bound.
        """
        return self.argument_bytes + self.output_bytes - self.alias_bytes + self.temp_bytes


UNSEEN = "__ynn_fusion"
"""Name of operations that the CPU backend hands to YNNPACK, whose scratch memory XLA does not know."""


def has_unseen_memory(compiled: Any) -> bool:
    """Whether a compiled program allocates memory that its static analysis misses."""
    return UNSEEN in compiled.as_text()


def program_memory(compiled: Any) -> ProgramMemory | None:
    """The analysis of a `jax.stages.Compiled`; None if the backend has none."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    return ProgramMemory(
        argument_bytes=int(analysis.argument_size_in_bytes),
        output_bytes=int(analysis.output_size_in_bytes),
        alias_bytes=int(analysis.alias_size_in_bytes),
        temp_bytes=int(analysis.temp_size_in_bytes),
    )
