"""The library without the tool: what it exports, and the training loop that docs/library.md shows."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import numpy as np
import pytest

import sable

PAGE = Path(__file__).parents[1] / "docs" / "library.md"


def test_the_shown_loop_trains(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    trainer, scenario = names["trainer"], names["scenario"]
    assert isinstance(trainer, sable.Trainer)
    assert isinstance(scenario, sable.Scenario)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [int(line[0]) for line in lines] == list(range(10)) == list(range(trainer.updates))
    assert np.isfinite([[float(line[1]), float(line[2])] for line in lines]).all()
    assert lines[0][3] == "None"
    assert 0.0 < float(lines[-1][3]) <= 32.0
    policy, config = names["policy"], names["config"]
    assert isinstance(policy, sable.Policy)
    assert isinstance(config, sable.PPOConfig)
    start = sable.Trainer.create(policy, scenario, config, seed=0).state.params
    for before, after in zip(jax.tree.leaves(start), jax.tree.leaves(trainer.state.params), strict=True):
        assert np.isfinite(after).all()
        assert not np.array_equal(before, after)


def test_every_exported_name_is_there() -> None:
    for name in sable.__all__:
        assert getattr(sable, name).__name__ == name if name != "MODELS" else sable.MODELS
    assert set(sable.__all__) <= set(dir(sable))
    with pytest.raises(AttributeError, match="module 'sable' has no attribute 'Trainor'"):
        _ = sable.Trainor
