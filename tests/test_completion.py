"""What the shell offers, through the protocol of its completion scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sable.models import MODELS
from scaleprof.points.option_files import preset_names
from scenarios import SCENARIOS


def offered(folder: Path, line: str) -> list[str]:
    """The words that bash is offered at the end of `line`."""
    words = line.split(" ")
    code = "import sys; from scaleprof.cli import run; sys.argv[0] = 'scaleprof'\ntry: run()\nfinally: loaded()\n"
    heavy = "def loaded(): assert not {'jax', 'numpy', 'flax', 'jumanji', 'scipy'} & set(sys.modules), 'heavy'\n"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{heavy}{code}"],
        cwd=folder,
        env={
            **os.environ,
            "_SCALEPROF_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sweep --model ", list(MODELS)),
        ("sweep --model ippo", ["ippo", "ippo-gru"]),
        ("sweep --model sable,ippo", ["sable,ippo", "sable,ippo-gru"]),
        ("sweep --model ippo,ippo", ["ippo,ippo-gru"]),
        ("sweep --model mat:", [f"mat:{mode}" for mode in MODELS["mat"].modes]),
        ("sweep --mode rec", ["recurrent"]),
        ("sweep --mode dense,block", ["dense,blockwise"]),
        ("sweep --scenario ", list(SCENARIOS)),
        ("sweep --scenario neom:q", ["neom:quick-flip"]),
        ("sweep --preset ", preset_names()),
        ("sweep --preset paper", ["paper-lbf", "paper-memory", "paper-neom"]),
        ("sweep --preset nothing", []),
        ("doctor --scenario turn", ["turn-taking"]),
        ("list ", ["models", "scenarios", "presets"]),
        ("list pre", ["presets"]),
        ("check --baseline ", ["main", "release"]),
        ("compare --baseline m", ["main"]),
        ("history ", ["main", "release"]),
        ("history main r", ["release"]),
    ],
)
def test_names_are_offered(tmp_path: Path, line: str, words: list[str]) -> None:
    for name in ("main", "release"):
        (tmp_path / ".scaleprof" / "baselines" / name).mkdir(parents=True)
        (tmp_path / ".scaleprof" / "baselines" / name / "results.csv").write_text("damaged")
    assert offered(tmp_path, f"scaleprof {line}") == words


def test_without_baselines_nothing_is_offered(tmp_path: Path) -> None:
    assert offered(tmp_path, "scaleprof check --baseline ") == []
