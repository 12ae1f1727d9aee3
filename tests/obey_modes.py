"""The command line as a user without privileges: the modes of files hold for root too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

_OBEY_MODES = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: without them the modes of files hold for root too
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP, for what is executed next
os.execv(sys.executable, [sys.executable, "-m", "scaleprof", *sys.argv[1:]])
"""


def run(*arguments: str, variables: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    """Run one command line in the current folder."""
    command = [sys.executable, "-c", _OBEY_MODES, *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
