"""What the measuring process says of exceptions."""

from __future__ import annotations

import errno

import pytest

from scaleprof.worker.entry import last_line, ran_out_of_memory


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


class JaxRuntimeError(RuntimeError):
    """Stands for jax's, by name."""


IN_CALLBACK = "INTERNAL: error calling callback: Traceback (most recent call last):\n  File x\n{}\n"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError("no"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "no space: out of memory"), False),
        (ImportError("x.so: failed to map segment from shared object"), True),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: no"), True),
        (JaxRuntimeError("INTERNAL: YNNPACK operation failed"), True),
        (JaxRuntimeError("INTERNAL: no such thing"), False),
        (
            JaxRuntimeError(IN_CALLBACK.format("numpy._core._exceptions._ArrayMemoryError: no 8 GiB")),
            True,
        ),
        (JaxRuntimeError(IN_CALLBACK.format("MemoryError")), True),
        (JaxRuntimeError(IN_CALLBACK.format("ValueError: the replay is out of memory")), False),
        (RuntimeError("RESOURCE_EXHAUSTED: no"), True),
        (RuntimeError("the agent is out of memory slots"), False),
        (ValueError("out of memory"), False),
        (ValueError("MemoryError"), False),
        (KeyError("bad_alloc"), False),
    ],
)
def test_the_type_of_an_exception_says_whether_memory_ran_out(error: Exception, expected: bool) -> None:
    assert ran_out_of_memory(error) == expected
    wrapped = ValueError("the rollout failed")
    wrapped.__cause__ = error
    assert ran_out_of_memory(wrapped) == expected
