"""What the measuring process says of exceptions."""

from __future__ import annotations

from scaleprof.worker import last_line


def test_last_line_of_an_exception() -> None:
    assert last_line(ValueError("one\n  two")) == "ValueError: one two"
    assert last_line(MemoryError()) == "MemoryError"
    assert len(last_line(ValueError("x" * 10_000))) == 500
