"""An axis is one row: the grid, the command, its help, the manifest and the record follow."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from reports import Record
from reports.records.run import record_key
from scaleprof.cli import sweep
from scaleprof.launch.protocol import Task
from scaleprof.points import point as points
from scaleprof.points.axes import SweepRequest, axes, axis, config_options, defaults, rows
from scaleprof.points.options import make_request, plan_sweep
from scaleprof.points.parsing import parse_names, whole_numbers

SMALL = {"agents": "2", "model": "mat", "seq_len": "2"}


@dataclass(frozen=True, kw_only=True)
class Wider(SweepRequest):
    """One more axis: a row, and nothing else."""

    window: str = axis("4", "Timesteps of attention", multiplies=True, parse=whole_numbers(), sets="model.window")


@dataclass(frozen=True, kw_only=True)
class WithColumn(SweepRequest):
    """One more axis with a column of its own."""

    decay: str = axis(
        "0.8", "Decay scaling", multiplies=True, parse=parse_names, sets="model.decay_scaling", fills="decay"
    )


@dataclass(frozen=True, kw_only=True)
class WiderRecord(Record):
    decay: float | None = None


def command(kind: type[SweepRequest]) -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None)
    sweep.register(app, kind)
    return app


def test_a_new_axis_multiplies_the_grid() -> None:
    plan = plan_sweep(make_request(SMALL | {"window": "2,8"}, kind=Wider))
    assert [point.model_config().window for point in plan.points] == [2, 8]
    assert [dict(point.settings)["model.window"] for point in plan.points] == ["2", "8"]
    assert plan_sweep(make_request(SMALL, kind=Wider)).points[0].model_config().window == 4


def test_a_new_axis_is_an_option_and_in_the_help(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(command(Wider), ["--help"]).output
    assert re.search(r"What to sweep:\n(  .+\n)*  --window LIST +Timesteps of attention \[default: 4\]\n", shown)
    arguments = ["--agents", "2", "--model", "mat", "--window", "2,8", "--dry-run"]
    done = CliRunner().invoke(command(Wider), arguments)
    assert done.exit_code == 0
    assert "2 points" in done.output
    assert "model.window=8" in done.output


def test_a_new_axis_is_in_the_manifest() -> None:
    manifest = plan_sweep(make_request(SMALL | {"window": "2,8"}, kind=Wider)).manifest
    assert manifest["options"]["window"] == "2,8"
    assert manifest["points"] == 2


def test_a_new_axis_is_in_the_record() -> None:
    plan = plan_sweep(make_request(SMALL | {"window": "2,8"}, kind=Wider))
    records = [point.record() for point in plan.points]
    assert [record.settings for record in records] == ["model.window=2", "model.window=8"]
    assert len({record_key(record) for record in records}) == 2


def test_a_new_axis_may_have_a_column_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "Record", WiderRecord)
    plan = plan_sweep(make_request(SMALL | {"decay": "0.5,0.9", "set": ("ppo.clip=0.1",)}, kind=WithColumn))
    found = [(record.decay, record.settings) for record in (point.record() for point in plan.points)]  # type: ignore[attr-defined]
    assert found == [(0.5, "ppo.clip=0.1"), (0.9, "ppo.clip=0.1")]
    assert [point.model_config().decay_scaling for point in plan.points] == [0.5, 0.9]
    task = Task(point=plan.points[0])
    assert Task.from_json(task.to_json()) == task


def test_versions_without_columns_can_read_a_task_without_them() -> None:
    (plain,) = plan_sweep(make_request(SMALL)).points
    assert "columns" not in json.loads(Task(point=plain).to_json())["point"]
    assert Task.from_json(Task(point=plain).to_json()).point == plain


def test_set_leaves_a_new_axis_to_its_option() -> None:
    with pytest.raises(Exception, match=r"^--set: model\.window has its own option: use --window$"):
        plan_sweep(make_request(SMALL | {"set": ("model.window=2",)}, kind=Wider))
    with pytest.raises(Exception, match=r"^--decay: decay_scaling is 7\.0: it must be"):
        plan_sweep(make_request(SMALL | {"decay": "7"}, kind=WithColumn))


def test_every_axis_fills_a_column() -> None:
    columns = {field.name for field in dataclasses.fields(Record)}
    assert {one.fills for one in axes()} <= columns
    fields = {field.name for field in dataclasses.fields(points.Point)}
    assert {one.fills for one in axes() if not one.sets} <= fields


def test_config_fields_with_their_own_options() -> None:
    options = config_options()
    assert options["seq_len"] == "--seq-len"
    assert options["acting"] == "--acting"
    assert options["reward"] == "--reward"
    assert "clip" not in options


BEFORE: dict[str, Any] = {
    "agents": "2", "seq_len": "2", "scenario": "neom", "reward": None, "batching": "", "reset": "", "model": "mat",
    "mode": "", "chunk": "1", "envs": "2", "embed_dim": "8", "heads": "2", "blocks": "1", "dtype": "float32",
    "seed": "0", "epochs": 1, "minibatches": 2, "acting": None, "remat": None, "accumulate": None, "segment": None,
    "published": False, "match": "", "repeats": 1, "measure": "together", "min_updates": 3, "min_seconds": 1.0,
    "warmup_updates": 4, "pin": "", "fresh_compile": False, "timeout": 120.0, "memory_limit": 2**28,
    "keep_going": False, "against": "", "set": ["ppo.clip=0.1"], "device": None,
}  # fmt: skip
"""The options in the manifest of a run from before the table of axes."""
LATER: dict[str, Any] = {"tuned": False, "max_hours": None, "plan_between": False, "retry_contended": 0}
"""Options that came later, with their defaults."""


def test_a_run_from_before_the_table_means_the_same(tmp_path: Path) -> None:
    from scaleprof.sweep.resuming import plan_again, plan_resume

    assert set(BEFORE | LATER) == set(defaults())
    manifest = {"schema": 1, "preset": None, "options": BEFORE, "points": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    plan = plan_resume(tmp_path, make_request({}))
    assert plan == plan_again(tmp_path, "--again")
    (point,) = plan.points
    assert (point.agents, point.model, point.embed_dim, point.settings) == (
        *(2, "mat", 8),
        (("model.segment", "0"), ("ppo.accumulate", "0"), ("ppo.clip", "0.1")),
    )
    assert (point.record().accumulate, point.record().segment) == ("auto", "auto")
    assert plan.options.memory_limit_bytes == 2**28
    assert plan.manifest["options"] == BEFORE | {"accumulate": "auto", "segment": "auto"} | LATER


def test_every_option_is_in_a_group_and_short() -> None:
    panels = ["What to sweep", "How to train", "How to measure", "Limits", "Where results go"]
    for row in [*rows(SweepRequest).values(), *rows(sweep.SweepCommand).values()]:
        assert row.panel in panels, row.name
        assert len(row.help) < 70, row.name
        assert not row.help.endswith("."), row.name
