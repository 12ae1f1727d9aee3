"""What the measuring process says of exceptions."""

from __future__ import annotations

from scaleprof.worker.entry import last_line


def test_last_line_of_an_exception() -> None:
    assert last_line(ValueError("one\n  two")) == "ValueError: one two"
    assert last_line(MemoryError()) == "MemoryError"
    assert len(last_line(ValueError("x" * 10_000))) == 500


def test_an_exception_around_anothers_traceback() -> None:
    inner = "INTERNAL: error calling callback: Traceback (most recent call last):\n  File x\nKeyError: 'board'\n"
    assert last_line(RuntimeError(inner)) == "KeyError: 'board'"


def test_what_jax_notes_below_an_exception_is_left_out() -> None:
    error = ValueError("no board")
    error.add_note("For simplicity, JAX has removed its internal frames")
    assert last_line(error) == "ValueError: no board"
