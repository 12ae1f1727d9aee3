"""Sizes that are planned by compiling alone, and the laws of memory that stand on them."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from points import plan
from rich.console import Console

from reports.arrange.curves import slices
from reports.growth.laws import laws
from reports.growth.lines import growth, in_words
from reports.growth.plan_law import PlanLaw
from reports.growth.results import Fit
from reports.growth.trends import trend_of
from reports.records.columns import COLUMNS
from reports.records.record import XLA_PLAN, Record, is_between, was_run
from reports.records.run import Run
from reports.render.json_report import json_report
from reports.render.terminal import render_summary
from reports.report.answer import answer_section
from scaleprof.cli.app import main
from scaleprof.errors import UserError
from scaleprof.points.between import SIZES, sizes_between
from scaleprof.runs.store import load_records

MIB = 2**20
GIVEN = (16, 128, 1024)
BETWEEN = (32, 64, 256, 512)


@pytest.mark.parametrize(
    ("given", "between"),
    [
        ((16, 128, 1024), [32, 64, 256, 512]),
        ((1024, 16), [32, 64, 128, 256, 512]),
        ((16, 4096), [40, 102, 256, 645, 1625]),
        ((8, 16, 1024), [23, 64, 181, 431]),  # the wide gap gets the most
        ((2, 4), [3]),
        ((2, 3), []),
        ((7,), []),
        (tuple(range(1, 9)), []),
        ((16, 32, 64, 128, 256, 512, 1024), []),
    ],
)
def test_sizes_between(given: tuple[int, ...], between: list[int]) -> None:
    found = sizes_between(given)
    if given == (8, 16, 1024):
        assert len(found) == SIZES - 3
        assert all(size > 16 for size in found[-3:])
    else:
        assert found == between


def test_points_between_have_all_else_in_common_with_those_measured() -> None:
    given = {"agents": "16,128,1024", "model": "sable:chunkwise,mat", "chunk": "1,2", "seed": "3,4", "repeats": 2}
    sweep = plan({**given, "plan_between": True})
    assert len(sweep.points) == 3 * 3 * 2 * 2
    assert {point.agents for point in sweep.between} == set(BETWEEN)
    assert {(point.seed, point.repeat) for point in sweep.between} == {(3, 0)}, "a plan depends on neither"
    assert len(sweep.between) == 4 * 3
    assert {dataclasses.replace(point, agents=16) for point in sweep.between} <= set(sweep.points)
    assert list(sweep.planned) == list(range(len(sweep.points), len(sweep.points) + 12))
    assert plan(given).between == ()


def test_both_axes_are_filled_at_the_sizes_given_of_the_other() -> None:
    sweep = plan({"agents": "4,16", "seq_len": "8,32", "model": "ippo", "plan_between": True})
    found = {(point.agents, point.seq_len) for point in sweep.between}
    assert {agents for agents, length in found if length == 8} - {4, 16} == set(sizes_between((4, 16)))
    assert {length for agents, length in found if agents == 4} == set(sizes_between((8, 32)))
    assert all(agents in (4, 16) or length in (8, 32) for agents, length in found)


@pytest.mark.parametrize("agents", ["16", "2,3"])
def test_one_size_has_nothing_between(agents: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["sweep", "--agents", agents, "--plan-between", "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        "scaleprof: --plan-between: there is no size between those given: give at least two agent counts "
        "(--agents 16,1024) or sequence lengths (--seq-len 16,256)\n"
    )
    assert not out.exists()


def test_a_task_of_fixed_size_has_nothing_between() -> None:
    with pytest.raises(UserError, match="--plan-between: there is no size between"):
        plan({"scenario": "rware:tiny-2ag", "agents": None, "plan_between": True})


def test_only_one_version_is_planned(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--plan-between: only one version of the code can be planned: omit --against"):
        plan({"plan_between": True, "against": str(tmp_path)})


def curve(
    *,
    square: float = 0.0,
    constant: float = 15.0,
    beyond: float = 1.0,
    bound: str = "lower",
    ran: tuple[int, ...] = GIVEN,
) -> list[Record]:
    """Planned and measured points whose plan is 0.5 MiB an agent and `square` MiB an agent squared."""
    records = []
    for size in sorted((*ran, *BETWEEN)):
        planned = int((0.5 * size + square * size**2) * MIB)
        measured: dict[str, Any] = {"status": "planned", "measure": "between"}
        if size in ran:
            rise = int(constant * MIB + planned * (beyond if size > min(ran) else 1))
            measured = {"status": "ok", "host_peak_rise_bytes": rise, "host_base_bytes": 512 * MIB}
        records.append(
            Record(
                xla_act_temp_bytes=planned,
                xla_rollout_temp_bytes=planned,
                xla_learn_temp_bytes=planned,
                scenario="neom",
                model="mat",
                mode="dense",
                agents=size,
                seq_len=16,
                envs=4,
                xla_peak_bytes=planned,
                xla_bound=bound,
                platform="cpu",
                memory_limit_bytes=8192 * MIB,
                learn_groups=1,
                segment_timesteps=16,
                **measured,
            )
        )
    return records


@pytest.mark.parametrize(("square", "word"), [(0.0, "linear"), (0.01, "quadratic")])
def test_the_law_is_that_of_the_plan_and_the_factors_are_measured(square: float, word: str) -> None:
    (law, *_) = laws(curve(square=square), "agents")
    assert isinstance(law.fit, Fit)
    assert law.fit.word == word
    assert law.fit.sizes == tuple(sorted(GIVEN + BETWEEN))
    assert tuple(law.values) == GIVEN
    assert law.field == "memory_bytes"
    assert law.unmeasured == {}
    assert isinstance(law.plan, PlanLaw)
    assert law.plan.constant == pytest.approx(15 * MIB, rel=1e-6)
    assert law.fit.at(1024) == pytest.approx(law.values[1024][0], rel=0.02)
    assert in_words(law).startswith("memory (XLA's plan + 15.0 MiB at 7 sizes, within 1% of what was measured) = ")


def test_json_tells_whether_a_fit_is_of_the_plan() -> None:
    run = Run("run", Path("run"), tuple(curve()))
    (memory, _) = json.loads(json_report([run], [run.records], ("mat", "dense")))["fits"]
    assert (memory["field"], memory["kind"], len(memory["sizes"])) == ("memory_bytes", "fit", 7)
    assert memory["plan"]["constant_bytes"] == pytest.approx(15 * MIB, rel=1e-6)
    assert memory["plan"]["apart"] < 0.01
    measured = Run("run", Path("run"), tuple(record for record in curve() if was_run(record)))
    assert json.loads(json_report([measured], [measured.records], ("mat", "dense")))["fits"][0]["plan"] is None


def test_without_planned_sizes_three_sizes_are_no_law() -> None:
    (law, *_) = laws([record for record in curve() if was_run(record)], "agents")
    assert not isinstance(law.fit, Fit)
    assert law.plan == ""


def test_a_plan_that_is_not_what_was_measured_gives_no_law() -> None:
    (law, *_) = laws(curve(beyond=1.3), "agents")
    assert not isinstance(law.fit, Fit)
    assert in_words(law).endswith("XLA's plan is a lower bound and differs from what was measured by up to 23%")
    (law, *_) = laws(curve(beyond=1.3, bound="exact"), "agents")
    assert isinstance(law.fit, Fit), "what XLA sees all of needs no such evidence"


def test_one_measured_size_is_no_evidence() -> None:
    (law, *_) = laws(curve(ran=(16,)), "agents")
    assert "fewer than two sizes were measured" in in_words(law)
    (law, *_) = laws(curve(ran=(16,), bound="exact"), "agents")
    assert isinstance(law.fit, Fit)


def test_padding_to_whole_blocks_is_no_other_law() -> None:
    padded = [
        dataclasses.replace(record, xla_peak_bytes=int((record.xla_peak_bytes or 0) * factor))
        for record, factor in zip(curve(), (1.0, 1.03, 0.98, 1.0, 1.03, 0.98, 1.0), strict=True)
    ]
    (law, *_) = laws(padded, "agents")
    assert isinstance(law.fit, Fit)
    assert law.fit.word == "linear"


def test_the_plan_of_a_point_that_ended_while_it_compiled_is_of_some_programs_only() -> None:
    failed = [
        dataclasses.replace(
            record, status="oom", reason_code="predicted", host_peak_rise_bytes=None, xla_act_temp_bytes=None
        )
        if record.agents == 1024
        else record
        for record in curve(square=0.01)
    ]
    (law, *_) = laws(failed, "agents")
    assert isinstance(law.fit, Fit)
    assert law.fit.sizes[-1] == 512
    whole = [dataclasses.replace(record, xla_act_temp_bytes=1) for record in failed]
    (law, *_) = laws(whole, "agents")
    assert isinstance(law.fit, Fit)
    assert law.fit.sizes[-1] == 1024


def test_settings_that_differ_at_a_planned_size_are_no_law() -> None:
    records = [dataclasses.replace(r, learn_groups=2 if r.agents == 512 else 1) for r in curve()]
    (law, *_) = laws(records, "agents")
    assert not isinstance(law.fit, Fit)
    assert in_words(law).endswith("XLA's plan has no law: gradient groups differ: 1, 1, 1, 1, 1, 2, 1")


def test_the_answer_says_where_the_limit_is_passed() -> None:
    # 8192 MiB − 512 MiB of the process − 15 MiB = 0.5 MiB·N
    section = answer_section(curve(), lambda point: None)
    assert section is not None
    assert section.lines[-1] == "By its law, mat dense passes 8.00 GiB near 15000 agents."


def test_a_line_of_growth_says_once_what_memory_and_time_have_in_common() -> None:
    times = {16: 0.1, 128: 0.8, 1024: 6.4}
    timed = [dataclasses.replace(record, update_seconds=times.get(record.agents)) for record in curve()]
    (found,) = growth(timed)
    assert found.lines == ("mat dense  8x the agents: 6.7x memory, 8.0x time  linear (time so far)",)


def test_tables_show_what_was_measured_and_the_last_line_counts_the_plans() -> None:
    failed = dataclasses.replace(curve()[1], status="timeout", repeat=1)
    console = Console(file=io.StringIO(), width=100)
    render_summary([*curve(), failed], console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    headings = [line.split() for line in said.splitlines() if line.startswith("model  mode")]
    assert headings == [["model", "mode", "16", "128", "1024"]] * 2  # of memory and of speed
    assert "7 points, 8 repeats in all: 3 ok, 0 failed, 5 planned by compiling alone (1 failed)" in " ".join(
        said.split()
    )


def test_a_picture_draws_the_law_of_the_plan_along_what_was_measured() -> None:
    (one,) = slices([Run("run", Path("run"), tuple(curve(square=0.01)))], "agents")
    assert one.sizes == GIVEN
    trend = trend_of(one.curves[0], COLUMNS["memory_bytes"], "agents", 1024)
    assert trend is not None
    assert trend.words == "quadratic by XLA's plan"
    assert trend_of(one.curves[0], COLUMNS["host_peak_rise_bytes"], "agents", 1024) is None
    assert one.curves[0].failures() == {}


TINY = ["--model", "ippo", "--seq-len", "2", "--envs", "2", "--embed-dim", "8", "--heads", "2", "--min-seconds", "0.1"]


def test_a_sweep_plans_after_it_measured_and_resumes_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With real processes; the plan is that of the program which would have run."""
    run = tmp_path / "run"
    grid = [*TINY, "--agents", "2,4", "--device", "cpu"]
    assert main(["sweep", *grid, "--plan-between", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "2 points",
        "Also planned, by compiling alone: 1 point, at 3 agents.",
    ]
    assert main(["sweep", *grid, "--plan-between", "--strict", "--out", str(run)]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("2 points and 1 planned, up to ")
    assert "[3/3] ippo · 3 agents · T 2: planned, " in said.err
    records = load_records(run)
    assert [(record.agents, record.status) for record in records] == [(2, "ok"), (4, "ok"), (3, "planned")]
    *_, planned = records
    assert is_between(planned)
    assert (planned.memory_source, planned.reason, planned.update_seconds) == (XLA_PLAN, "", None)
    assert all(getattr(planned, f"xla_{name}_temp_bytes") is not None for name in ("act", "rollout", "learn"))

    measured = tmp_path / "measured"
    assert main(["sweep", *TINY, "--agents", "3", "--device", "cpu", "--out", str(measured)]) == 0
    (run_as_well,) = load_records(measured)
    assert run_as_well.xla_peak_bytes == planned.xla_peak_bytes == planned.memory_bytes
    assert run_as_well.flops_per_update == planned.flops_per_update

    lines = (run / "records.jsonl").read_text().splitlines(keepends=True)
    (run / "records.jsonl").write_text("".join(lines[1:2]))
    capsys.readouterr()
    assert main(["sweep", "--resume", str(run), "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "1 point\nAlso planned, by compiling alone: 1 point, at 3 agents.\n" in said.out
    (run / "records.jsonl").write_text("".join(lines[:2]))
    assert main(["sweep", "--resume", str(run)]) == 0
    assert [(record.agents, record.status) for record in load_records(run)] == [
        (record.agents, record.status) for record in records
    ]


def test_a_run_that_is_resumed_may_plan_what_it_did_not_before(tmp_path: Path) -> None:
    """And once more without: what was planned is kept."""
    run = tmp_path / "run"
    assert main(["sweep", *TINY, "--agents", "2,4", "--out", str(run)]) == 0
    assert main(["sweep", "--resume", str(run), "--plan-between"]) == 0
    assert main(["sweep", "--resume", str(run)]) == 0
    assert [record.status for record in load_records(run)] == ["ok", "ok", "planned"]
    assert json.loads((run / "manifest.json").read_text())["points"] == 2
    assert not os.listdir(run / "samples")[2:], "a plan has no samples"
