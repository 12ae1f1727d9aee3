"""How a child that died without a last word has ended, judged by evidence: kernel first, words last.

Out of memory is, in this order: what the child itself reports by the type of its exception; a process that this one has
ended for exceeding its limit; SIGKILL while the kernel counted an out-of-memory kill; and last, in a process that died
abnormally, its last words.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from scaleprof.launch.protocol import OOM_SIGNS, Task, is_memory_error, under_limit

FROM_WITHIN = frozenset(
    {signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGTRAP, signal.SIGSYS}
)
"""Signals that a process without memory may die of; the words of one that others ended do not count."""
KILLED = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})
"""Exit codes after SIGKILL, the second of a shell around the process."""
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Interrupt|Warning)\b")


def judge(code: int, lines: Sequence[str], kills: int, task: Task) -> tuple[str, str, str]:
    """Status, reason code and reason of a process that ended with this code.

    `code` is minus the signal for one that was killed. `lines` are the last of its log. `kills` is how many processes
    the kernel has killed meanwhile for want of memory.
    """
    last = f"stderr ends: {lines[-1][:300]}" if lines else "stderr is empty"
    if code in KILLED and kills > 0:
        return "oom", "limit", f"killed by the kernel, which ran out of memory{under_limit(task)}; {last}"
    if speaks_of_memory(code, lines):
        return "oom", "limit", f"ran out of memory: {lines[-1][:300]}{under_limit(task)}"
    if code < 0:
        hint = " (by the kernel's out-of-memory killer, or by hand)" if -code == signal.SIGKILL else ""
        return "crashed", "signal", f"killed by {signal_name(-code)}{hint}; {last}"
    return "crashed", "exit", f"ended with exit code {code}; {last}"


def speaks_of_memory(code: int, lines: Sequence[str]) -> bool:
    """Whether the last words of a process that died abnormally say that memory ran out.

    After a signal, any of its last lines: a stack may follow. After an exit code, only the last one, and the type
    decides if that is an exception.
    """
    if code < 0:
        words = (*OOM_SIGNS, "Unable to allocate", "MemoryError")
        return -code in FROM_WITHIN and any(sign in line for sign in words for line in lines)
    if code == 0 or not lines:
        return False
    last = lines[-1]
    return is_memory_error(last) if _EXCEPTION.match(last) else any(sign in last for sign in OOM_SIGNS)


def signal_name(number: int) -> str:
    """The name of a signal, also of those that Python has no name for."""
    try:
        return signal.Signals(number).name
    except ValueError:
        first = getattr(signal, "SIGRTMIN", None)
        return f"signal {number}" if first is None or number < first else f"signal {number} (SIGRTMIN+{number - first})"
