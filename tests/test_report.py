"""The report command on files as sweeps write them: its whole text, without colour, against tests/golden."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from reports import Record, Run, write_records
from reports.arrange.pivot import make_pivot, memory_of, reader
from reports.arrange.selection import joined
from reports.growth.laws import Law, curves_of, fullest_curves, law_of_curve, laws
from reports.growth.lines import growth, in_words
from reports.growth.results import Fit, Slopes
from reports.records.record import SCHEMA_VERSION
from reports.render.markdown import escape
from reports.render.terminal import print_sections
from reports.render.text_plot import charts
from reports.report.answer import answer_section
from reports.report.sections import Wanted, report_sections
from reports.report.summary import failures_section
from scaleprof.cli.app import main

pytestmark = pytest.mark.usefixtures("folder")

GOLDEN = Path(__file__).parent / "golden"
MIB = 2**20
GIB = 2**30
COSTS = {
    ("sable", "chunkwise"): lambda agents, timesteps: 40 + 0.05 * agents * timesteps,
    ("sable", "recurrent"): lambda agents, timesteps: 30 + 0.03 * agents * timesteps,
    ("mat", "dense"): lambda agents, timesteps: 40 + 0.001 * agents**2 * timesteps,
}
"""MiB of a point."""


def point(model: str, mode: str, agents: int, seq_len: int = 16, **fields: Any) -> Record:
    mebibytes = COSTS[model, mode](agents, seq_len)
    repeat = fields.get("repeat", 0)
    seconds = mebibytes * 1e-4 * (1 + 0.02 * repeat)
    usual: dict[str, Any] = {
        "run_id": "made-up",
        "scenario": "neom",
        "envs": 4,
        "embed_dim": 64,
        "heads": 4,
        "blocks": 1,
        "epochs": 1,
        "minibatches": 2,
        "dtype": "float32",
        "status": "ok",
        "platform": "cpu",
        "device": "cpu (8 cores)",
        "chunk": 1 if mode == "chunkwise" else None,
        "memory_limit_bytes": 8 * GIB,
        "xla_peak_bytes": int(mebibytes * MIB),
        "host_peak_rise_bytes": int((mebibytes + 5 + repeat) * MIB),
        "host_rss_peak_bytes": int((mebibytes + 300) * MIB),
        "update_seconds": seconds,
        "agent_steps_per_second": 4 * agents * seq_len / seconds,
    }
    return Record(model=model, mode=mode, agents=agents, seq_len=seq_len, **(usual | fields))


def too_large(record: Record) -> Record:
    """As a point ends that was predicted not to fit; others stay as they are."""
    if record.xla_peak_bytes is None or record.xla_peak_bytes < GIB:
        return record
    names = ("host_peak_rise_bytes", "host_rss_peak_bytes", "update_seconds", "agent_steps_per_second")
    nothing: dict[str, Any] = dict.fromkeys(names)
    return dataclasses.replace(
        record,
        status="oom",
        reason_code="predicted",
        reason="the learn step needs more memory than there is; try fewer environments",
        xla_peak_bytes=record.xla_peak_bytes * 8,
        **nothing,
    )


def grow(
    agents: tuple[int, ...] = (16, 32, 64, 128, 1024), lengths: tuple[int, ...] = (16,), repeats: int = 1
) -> list[Record]:
    return [
        too_large(point(model, mode, size, length, repeat=repeat))
        for length in lengths
        for size in agents
        for model, mode in COSTS
        for repeat in range(repeats)
    ]


def written(path: Path, records: list[Record]) -> str:
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_records(records, stream)
    return path.name


def reported(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["report", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return "".join(f"{line.rstrip()}\n" for line in captured.out.splitlines())


REPORTS = {
    "report": (grow(), []),
    "report_repeats": (grow((16, 32, 64, 128), repeats=5), []),
    "report_both_axes": (grow((16, 64), (8, 16, 32, 64)), ["--reference", "mat"]),
    "report_full": (grow((16, 1024), repeats=2), ["--full", "--sort", "-update_seconds"]),
    "report_plot": (grow(), ["--plot", "--where", "model=sable"]),
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", REPORTS)
def test_report_looks_as_agreed(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    records, options = REPORTS[name]
    text = reported(capsys, written(folder / "run.csv", records), *options)
    assert text == (GOLDEN / f"{name}_{width}.txt").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= width


def test_markdown_looks_as_agreed(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    text = reported(capsys, written(folder / "run.csv", grow()), "--markdown")
    assert text == (GOLDEN / "report.md").read_text(encoding="utf-8")


def test_several_runs_are_distinguished(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    names = [written(folder / f"{name}.csv", grow((16, 32))) for name in ("old", "new")]
    text = reported(capsys, *names)
    assert text.startswith("Runs old.csv, new.csv\n")
    assert ["model", "mode", "run", "16", "32"] in [line.split() for line in text.splitlines()]
    assert "sable chunkwise, run=old  2x the agents: 1.2x memory" in text
    (folder / "other").mkdir()
    same = f"other/{written(folder / 'other' / 'old.csv', grow((16, 32)))}"
    assert "run=other/old.csv 2x the agents" in " ".join(reported(capsys, names[0], same).split())
    one = json.loads(reported(capsys, *names, "--json", "--where", "repeat=0"))
    assert {row["run"] for row in one["rows"]} == {fit["run"] for fit in one["fits"]} == {"old", "new"}
    assert {row["run_id"] for row in one["rows"]} == {"made-up"}


def test_where_keeps_what_fulfils_every_condition(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    name = written(folder / "run.csv", grow())
    chosen = ["--where", "model=sable", "--where", "agents=16,64", "--where", "side="]
    rows = json.loads(reported(capsys, name, "--json", *chosen))["rows"]
    assert {(row["model"], row["agents"]) for row in rows} == {("sable", 16), ("sable", 64)}
    assert len(rows) == 4
    chosen = ["--where", "chunk="]
    assert {row["mode"] for row in json.loads(reported(capsys, name, "--json", *chosen))["rows"]} == {
        "recurrent",
        "dense",
    }


def test_columns_and_their_order(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    name = written(folder / "run.csv", grow((16, 1024)))
    text = reported(capsys, name, "--columns", "status,update_seconds", "--sort", "-update_seconds")
    table = text.partition("All repeats:")[2].splitlines()
    assert table[2].split() == ["model", "mode", "agents", "status", "update_seconds"]
    assert [line.split()[3:] for line in table[4:10]] == [
        ["ok", "85.9", "ms"],
        ["ok", "52.2", "ms"],
        ["ok", "5.28", "ms"],
        ["ok", "4.41", "ms"],
        ["ok", "3.77", "ms"],
        ["oom", "-"],
    ]


def test_the_table_of_repeats_names_the_settings_that_vary(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    settings: list[dict[str, Any]] = [
        {"segment": "all", "envs": 4},
        {"segment": "4", "envs": 4},
        {"segment": "4", "envs": 8},
    ]
    records = [point("mat", "dense", 16, repeat=repeat, **one) for one in settings for repeat in range(2)]
    tables = reported(capsys, written(folder / "run.csv", records), "--full").partition("All repeats:")[2]
    headers = [line.split() for line in tables.splitlines() if line.startswith("model")]
    assert len(headers) > 1
    assert all(header[:6] == ["model", "mode", "agents", "envs", "segment", "repeat"] for header in headers)
    assert sum(header.count("envs") for header in headers) == len(headers)
    rows = [line.split()[:6] for line in tables.splitlines() if line.startswith("mat")][:6]
    assert rows == [
        ["mat", "dense", "16", str(one["envs"]), str(one["segment"]), str(repeat)]
        for one in settings
        for repeat in range(2)
    ]


def test_a_diverged_loss_sorts_last(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    losses = (1.0, math.nan, 0.1, None, 3.0, math.nan, -2.0)
    records = [point("mat", "dense", 2 + i, policy_loss=loss) for i, loss in enumerate(losses)]
    name = written(folder / "run.csv", records)
    for order, first in (
        ("policy_loss", ["-2.00", "0.100", "1.00", "3.00"]),
        ("-policy_loss", ["3.00", "1.00", "0.100", "-2.00"]),
    ):
        text = reported(capsys, name, "--columns", "policy_loss", "--sort", order)
        cells = [line.split()[-1] for line in text[text.index("policy_loss") :].splitlines()[2:9]]
        assert cells[:4] == first
        assert sorted(cells[4:]) == ["-", "nan", "nan"]


def test_a_custom_model_has_a_colon_in_its_name(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    own = [dataclasses.replace(point("mat", "dense", size), model="my.models:linear", mode="") for size in (16, 32)]
    name = written(folder / "run.csv", [*own, *(point("mat", "dense", size) for size in (16, 32))])
    for chosen in ((), ("--reference", "my.models:linear")):
        assert "x = ratio to my.models:linear" in " ".join(reported(capsys, name, *chosen).split())
    assert "x = ratio to mat dense" in " ".join(reported(capsys, name, "--reference", "mat:dense").split())
    assert main(["report", name, "--reference", "my.models:other"]) == 2


def test_non_finite_losses_are_reported(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    records = [point("mat", "dense", size, value_loss=loss) for size, loss in ((16, 1.0), (32, math.nan))]
    text = reported(capsys, written(folder / "run.csv", records))
    assert "Non-finite losses (training diverged):\n  mat dense: at 32 agents\n" in text


def test_json_has_its_documented_keys(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    records = [*grow(), point("sable", "chunkwise", 8, policy_loss=math.nan)]
    content = json.loads(reported(capsys, written(folder / "run.csv", records), "--json"))
    assert list(content) == ["format", "schema_version", "reference", "runs", "rows", "fits", "failures"]
    assert content["reference"] == {"model": "sable", "mode": "chunkwise"}
    assert content["runs"] == [{"name": "run", "path": "run.csv", "incomplete": ""}]
    assert content["rows"][-1]["policy_loss"] is None
    fit = next(fit for fit in content["fits"] if (fit["model"], fit["quantity"]) == ("mat", "memory"))
    assert (fit["kind"], fit["field"], fit["along"], fit["seq_len"]) == ("fit", "memory_bytes", "agents", 16)
    assert fit["exponent"] == pytest.approx(2, abs=0.01)
    assert fit["unmeasured"] == [{"size": 1024, "status": "oom"}]
    assert "agents" not in fit
    (failure,) = content["failures"]
    assert (failure["model"], failure["agents"], failure["status"], failure["repeats"]) == ("mat", 1024, "oom", 1)
    documented = (Path(__file__).parents[1] / "docs" / "reports.md").read_text(encoding="utf-8")
    for key in (*content, *fit, *failure):
        assert f"`{key}`" in documented or key in Record.__dataclass_fields__


BAD = {
    "nowhere.csv": "nowhere.csv does not exist: name a run directory or its results.csv",
    "empty.csv": "empty.csv: the file is empty; a results file starts with a row of column names",
    "foreign.csv": "foreign.csv, row 1: no column 'schema_version', so this is not a scaleprof results file",
    "newer.csv": f"newer.csv, row 2: 'schema_version' is 99, but this scaleprof reads up to {SCHEMA_VERSION}",
    "text.csv": "text.csv, row 2, column 'agents': expected a whole number, found 'many'; correct the cell",
    "run.csv --where modle=sable": "--where: unknown column 'modle': did you mean mode or model?",
    "run.csv --where model": "--where: 'model' is not a condition: write column=value, such as model=sable, ",
    "run.csv --where model=sabel": "--where: no record has model=sabel: found sable, mat",
    "run.csv --where agents=few": "--where: agents=few: column 'agents' needs a whole number, not 'few'",
    "run.csv --columns agents,xyz": "--columns: unknown column 'xyz': the first line of results.csv lists all",
    "run.csv --sort -": "--sort: unknown column ''",
    "run.csv --sort -update_second": "--sort: unknown column 'update_second': did you mean update_seconds",
    "run.csv --reference ippo": "--reference: 'ippo' was not measured: choose from sable:chunkwise, sable:recurrent",
    "run.csv --reference mat:x": "--reference: 'mat:x' was not measured: choose from sable:chunkwise, sable:recurrent",
    "run.csv --json --markdown": "--markdown, --json: give only one of these",
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], folder: Path, command: str) -> None:
    text = (folder / written(folder / "run.csv", grow())).read_text(encoding="utf-8")
    header, first, *_ = text.splitlines()
    (folder / "empty.csv").write_text("")
    (folder / "foreign.csv").write_text("name,price\napple,1\n")
    (folder / "newer.csv").write_text(f"{header}\n99{first[1:]}\n")
    (folder / "text.csv").write_text(f"{header}\n{first.replace(',16,16,', ',many,16,', 1)}\n")
    before = sorted(folder.iterdir())
    assert main(["report", *command.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"scaleprof: {BAD[command]}")
    assert captured.err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def sections(records: list[Record], **wanted: Any) -> str:
    stream = io.StringIO()
    found, also = joined([Run("run", Path("run"), tuple(records))])
    print_sections(Console(file=stream, width=100, color_system=None), report_sections(found, also, Wanted(**wanted)))
    return stream.getvalue()


def test_nothing_measured() -> None:
    assert "No points measured yet." in sections([])
    assert "No points measured yet." in sections([point("mat", "dense", 4, status="pending")])
    failed = sections([too_large(point("mat", "dense", 4096))])
    assert "mat dense: oom at 4096 agents (nothing ran): needs" in failed


def test_points_that_failed_in_part_are_counted() -> None:
    bad = [
        point("mat", "dense", 16, repeat=repeat, status="error", reason=reason)
        for repeat, reason in enumerate(("one thing", "another"), start=1)
    ]
    good = [point("mat", "dense", size) for size in (16, 32)]
    assert "1 point failed in at least one repeat; --full lists the reasons." in sections([*good, *bad])
    more = point("mat", "dense", 32, repeat=1, status="timeout")
    assert "2 points failed in at least one repeat" in sections([*good, *bad, more])


def test_factors_compare_only_equal_work() -> None:
    records = [point("sable", "chunkwise", 16, envs=2), point("mat", "dense", 16, envs=8)]
    assert "x = ratio" not in sections(records)
    assert "x = ratio to sable chunkwise" in sections([*records, point("mat", "dense", 16, envs=2)])


def test_memory_is_of_one_source() -> None:
    """What was measured comes before the plan; a field that is known at more sizes comes before both."""
    records = grow((16, 32, 64, 128))
    assert {law.field for law in laws(records, "agents") if law.quantity == "memory"} == {"memory_bytes"}
    device = [dataclasses.replace(record, device_peak_bytes=GIB) for record in records]
    assert {law.field for law in laws(device, "agents") if law.quantity == "memory"} == {"memory_bytes"}
    some = [dataclasses.replace(r, host_peak_rise_bytes=None) if r.agents == 16 else r for r in records]
    (law, *_) = laws(some, "agents")
    assert law.field == "xla_peak_bytes"
    assert in_words(law).startswith("memory (XLA's plan) = ")
    bound = [dataclasses.replace(record, xla_bound="lower") for record in some]
    assert "memory (XLA's plan, lower bound) = " in in_words(laws(bound, "agents")[0])


def test_what_follows_from_a_fit() -> None:
    law = next(law for law in laws(grow((16, 32, 64, 128, 256)), "agents") if law.record.model == "sable")
    assert isinstance(law.fit, Fit)
    # 0.05 MiB per agent and timestep of 4 environments, 16 timesteps.
    assert law.per_size is not None
    assert law.per_size[0] == pytest.approx(0.05 * 16 / 4 * MIB, rel=0.01)
    # (80 GB − 45 MiB) / 0.8 MiB
    assert law.reaches == pytest.approx((80e9 / MIB - 45) / 0.8, rel=0.02)
    assert in_words(law) == (
        "memory (resident memory rise) = 45.0 MiB + 819 KiB·N; RMS error under 0.1%; "
        "205 KiB per additional agent and environment; passes 80 GB near 95000 agents"
    )


def lines_of(records: list[Record], **options: Any) -> tuple[str, ...]:
    (found,) = growth(records, **options)
    return found.lines


def test_every_curve_has_one_line() -> None:
    assert lines_of(grow((16, 32, 64, 128, 1024))) == (
        "sable chunkwise  8x the agents: 5.9x memory, 6.0x time  linear",
        "sable recurrent  8x the agents: 5.5x memory, 5.7x time  linear",
        "mat dense        2x the agents (64 to 128): 2.8x memory, 2.9x time  quadratic",
    )


def test_few_sizes_have_a_word_for_now() -> None:
    lines = lines_of([r for r in grow((256, 512, 1024)) if r.mode != "dense"])
    assert [line.split("  ")[-1] for line in lines] == ["about linear so far"] * 2
    assert lines_of([r for r in grow((16, 1024)) if r.mode == "dense"]) == ()


def test_memory_and_time_have_words_of_their_own() -> None:
    sizes = (16, 32, 64, 128, 256)
    (one,) = lines_of([dataclasses.replace(point("mat", "dense", size), update_seconds=size / 100) for size in sizes])
    assert one.endswith("memory quadratic, time linear")
    unsure = [dataclasses.replace(point("mat", "dense", n), update_seconds=n / 100) for n in (512, 1024, 2048)]
    (one,) = lines_of(unsure)
    assert one.endswith("memory about quadratic, time about linear so far")


def test_settings_that_differ_by_size_leave_no_law() -> None:
    """Memory that was saved at some sizes and not at others follows no single law, and that is why."""
    pieces = {16: (1, 16), 32: (1, 16), 64: (2, 16), 128: (2, 4)}
    cut = [
        point("mat", "dense", size, learn_groups=groups, segment_timesteps=length)
        for size, (groups, length) in pieces.items()
    ]
    for law in laws(cut, "agents"):
        assert isinstance(law.fit, Slopes)
        assert law.fit.word == ""
    said = "no law: gradient groups differ: 1, 1, 2, 2; segment lengths differ: 16, 16, 16, 4"
    assert lines_of(cut)[0].endswith(f"2.8x memory, 2.9x time  {said}")
    assert "no law" not in lines_of(cut[:2])[0]
    whole = [point("sable", "recurrent", 64, length, segment_timesteps=length) for length in (8, 16, 32, 64)]
    assert lines_of(whole)[0].endswith("linear")


@pytest.mark.parametrize("tuned", [{"accumulate": "auto"}, {"segment": "auto"}])
def test_pieces_chosen_by_size_are_not_fitted(tuned: dict[str, Any]) -> None:
    records = [point("mat", "dense", size, **tuned) for size in (16, 32, 64, 128)]
    found = laws(records, "agents")
    assert [law.quantity for law in found] == ["memory", "time"]
    for law in found:
        assert isinstance(law.fit, Slopes)
        assert law.fit.word == ""
    assert lines_of(records)[0].endswith("no law: gradient groups or segments are chosen by size (auto)")


def test_one_size_has_no_law() -> None:
    words = [in_words(law) for law in laws(grow((16, 1024)), "agents") if law.record.model == "mat"]
    assert words[0] == (
        "memory (resident memory rise) has no law: only one size measured, at least 2 needed; no result: 1024 (oom)"
    )


def test_memory_that_is_not_known_has_no_source(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    failed = [point("mat", "dense", size, status="error", xla_peak_bytes=None) for size in (16, 32)]
    nothing: dict[str, Any] = {"host_peak_rise_bytes": None, "update_seconds": None}
    records = [dataclasses.replace(record, **nothing) for record in failed]
    (memory, time) = laws(records, "agents")
    tail = "has no law: no size measured, at least 2 needed; no result: 16 (error), 32 (error)"
    assert in_words(memory) == f"memory {tail}"
    assert in_words(time) == f"update time {tail}"
    assert lines_of(records) == ()
    content = json.loads(reported(capsys, written(folder / "run.csv", failed), "--json"))
    assert [fit["field"] for fit in content["fits"]] == [None, None]


def answered(records: list[Record]) -> list[str]:
    section = answer_section(records, reader("host_peak_rise_bytes"))
    return list(section.lines) if section else []


def test_the_answer_comes_first() -> None:
    sizes = (16, 32, 64, 128, 512, 1024)
    based = [dataclasses.replace(record, host_base_bytes=300 * MIB) for record in grow(sizes)]
    best, stopped, further = answered(based)
    assert best == (
        "At 1024 agents, sable recurrent needs the least memory (527 MiB; next is sable chunkwise with 864 MiB) and "
        "is fastest (1.26M agent-steps/s; next is sable chunkwise with 763k)."
    )
    assert stopped == "mat dense did not fit at 512 agents (needs 33.1 GiB)."
    # 7892 MiB = 45 MiB + 0.016·N², 45 MiB + 0.8·N and 35 MiB + 0.48·N
    assert further == (
        "By their laws, mat dense passes 8.00 GiB near 700 agents; sable chunkwise near 9800; "
        "sable recurrent near 16000."
    )
    text = sections(based)
    assert text.index(best[:40]) < text.index("How cost grows") < text.index("Peak memory by")


def test_the_answer_says_no_more_than_is_known() -> None:
    assert answered([]) == []
    assert answered([too_large(point("mat", "dense", 4096))])[0] == "Nothing was measured."
    (one,) = answered([point("mat", "dense", 16)])
    assert one == "At 16 agents, mat dense needs 49.1 MiB and does 232k agent-steps/s."
    only, stopped = answered([*grow((128, 1024))[:5], point("mat", "dense", 1024, status="timeout")])
    assert only.startswith("At 1024 agents, sable recurrent needs")
    assert stopped == "mat dense timed out at 1024 agents."
    many = [dataclasses.replace(point("mat", "dense", 16, status="error"), model=f"m{n}") for n in range(5)]
    assert answered([point("mat", "dense", 16), *many])[1] == (
        "m0 dense failed at 16 agents; m1 dense failed at 16 agents; m2 dense failed at 16 agents; 2 more failed."
    )


def test_the_answer_compares_only_equal_work() -> None:
    records = [point("sable", "chunkwise", 16, envs=2), point("mat", "dense", 16, envs=8)]
    (one,) = answered(records)
    assert one.startswith("At 16 agents, mat dense")
    assert "sable" not in one


def fullest(records: list[Record], along: str) -> list[Law]:
    return list(map(law_of_curve, fullest_curves(curves_of(records, along))))


def test_the_fullest_curve_of_each_mode() -> None:
    records = [*grow((16, 32), (8,)), *grow((16, 32, 64), (16,)), *grow((16, 32), (32,))]
    chosen = fullest(records, "agents")
    assert len(chosen) == 6
    assert {law.record.seq_len for law in chosen} == {16}


def test_devices_and_scenarios_have_curves_and_points_of_their_own() -> None:
    sizes = (16, 32, 64)
    here = [point("mat", "dense", size) for size in sizes]
    card = [dataclasses.replace(record, device="A100", platform="gpu") for record in here]
    assert [law.record.device for law in fullest([*here, *card], "agents")] == ["A100", "cpu (8 cores)"] * 2
    text = sections([*here, *card])
    assert "mat dense, device=A100           2x the agents" in text
    assert "mat dense, device=cpu (8 cores)  2x the agents" in text
    assert "| 6 points: 6 ok" in text
    other = [dataclasses.replace(record, scenario="lbf") for record in here]
    assert [law.record.scenario for law in fullest([*here, *other], "agents")] == ["lbf", "neom"] * 2
    assert "| 3 points, 6 repeats in all: 6 ok" in sections([*here, *(dataclasses.replace(r, repeat=1) for r in here)])


def test_points_of_several_runs_are_several(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    names = [written(folder / f"{name}.csv", grow((16, 32), repeats=2)) for name in ("old", "new")]
    assert "| 12 points, 24 repeats in all: 24 ok" in " ".join(reported(capsys, *names).split())


def planned_bytes(plan: dict[int, int]) -> list[Record]:
    nothing_measured: dict[str, Any] = {"host_peak_rise_bytes": None}
    return [point("sable", "recurrent", size, xla_peak_bytes=value, **nothing_measured) for size, value in plan.items()]


def test_a_plan_with_a_kink_has_factors_and_no_law() -> None:
    # Recorded of sable:factored with 2 environments, neom, 4 timesteps.
    plan = {2: 1996468, 4: 1998248, 8: 2001808, 16: 2560544, 32: 3820992, 64: 6306304, 128: 11305792, 256: 21276736}
    (law, *_) = laws(planned_bytes(plan), "agents")
    assert in_words(law) == "memory (XLA's plan) has no law: no law fits within 1 %"
    beyond = laws(planned_bytes(dict(list(plan.items())[3:])), "agents")[0]
    assert in_words(beyond) == (
        "memory (XLA's plan) = 1.25 MiB + 76.2 KiB·N; RMS error 0.12%; 19.1 KiB per additional agent and environment"
    )


def test_a_plan_of_two_parts_names_both(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    records = planned_bytes({size: 10**7 + 40_000 * size + 300 * size**2 for size in (16, 32, 64, 128, 256)})
    (law, *_) = laws(records, "agents")
    words = in_words(law)
    # 80e9 = 1e7 + 4e4·N + 300·N²
    assert words == (
        "memory (XLA's plan) = 9.54 MiB + 39.1 KiB·N + 300 B·N^2; RMS error under 0.1%; "
        "47.3 KiB per additional agent and environment at 256; passes 80 GB near 16000 agents"
    )
    (fit, *_) = json.loads(reported(capsys, written(folder / "run.csv", records), "--json"))["fits"]
    assert (fit["exponent"], fit["family"], fit["form"]) == (2, "quadratic", "quadratic")
    assert fit["linear_scale"] == pytest.approx(40_000, rel=0.01)
    assert fit["left_out_error"] < 1e-3


def test_a_fit_that_is_far_off_is_neither_named_nor_extrapolated() -> None:
    unknown: dict[str, Any] = {"xla_peak_bytes": None}
    for share, said in ((0.03, True), (0.3, False)):
        records = [
            point("mat", "dense", size, host_peak_rise_bytes=int(MIB * size * (1 + share * (-1) ** place)), **unknown)
            for place, size in enumerate((16, 32, 64, 128, 256, 512))
        ]
        (law, *_) = laws(records, "agents")
        assert isinstance(law.fit, Fit) is said
        assert ("passes 80 GB" in in_words(law)) is said
        assert ("RMS error" in in_words(law)) is said


HOSTILE = "[red]a[/red] <b>|`x`*_@me_#12 https://x.org/\x1b[31m"


def test_text_from_data_is_no_markup(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    bad = point("mat", "dense", 64, status="error", reason=HOSTILE, scenario=HOSTILE)
    name = written(folder / "run.csv", [point("mat", "dense", 16, scenario=HOSTILE), bad])
    text = " ".join(reported(capsys, name, "--full").split())
    assert "error at 64 agents (largest that ran: 16): [red]a[/red] <b>|`x`*_@me_#12 https://x.org/ [31m" in text
    marked = reported(capsys, name, "--full", "--markdown")
    for dangerous in ("<b>", "`x`", "@me", "_#12", "https://", "[red]", "\x1b"):
        assert dangerous not in marked
    assert "&#60;b&#62;&#124;&#96;x&#96;&#42;&#95;&#64;me" in marked


def test_escaped_text_stays_on_its_line() -> None:
    assert escape("a\n# b | c") == "a &#35; b &#124; c"


def test_charts_are_plain_and_as_wide_as_asked() -> None:
    records = grow()
    text = charts(records, 60)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 60
    assert text.count("(log-log)") == 2
    assert "  a  sable chunkwise\n  b  sable recurrent\n  c  mat dense" in text
    assert charts(records, 60, ascii_only=True).isascii()
    assert charts([], 60) == charts(grow((16,)), 60) == "Nothing to plot: a chart needs two sizes."
    same = [dataclasses.replace(record, host_peak_rise_bytes=MIB) for record in records if record.status == "ok"]
    assert "1.00 MiB" in charts(same, 60)


def test_the_legend_is_no_wider_than_the_chart() -> None:
    records = [
        point("sable", "chunkwise", agents, scenario=scenario, device=f"a device of {scenario}")
        for agents in (16, 64)
        for scenario in ("one-scenario", "the-other-scenario")
    ]
    lines = charts(records, 60).splitlines()
    assert max(len(line) for line in lines) == 60
    assert lines[-4:] == [
        "  a  sable chunkwise, scenario=one-scenario, device=a device",
        "     of one-scenario",
        "  b  sable chunkwise, scenario=the-other-scenario, device=a",
        "     device of the-other-scenario",
    ]


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_contended_points_are_marked(capsys: pytest.CaptureFixture[str], folder: Path, form: str) -> None:
    records = [dataclasses.replace(one, contended=int(one.agents == 32)) for one in grow((16, 32))]
    text = " ".join(reported(capsys, written(folder / "run.csv", records), "--format", form).split())
    assert "! = contended: other processes competed for the CPU" in text
    assert len(re.findall(r"!\d", text)) == len(COSTS)
    text = reported(capsys, written(folder / "run.csv", grow((16, 32))), "--format", form)
    assert "contended" not in text


def test_the_answer_names_no_winner_within_its_accuracy() -> None:
    near = [point("mat", "dense", 16, host_peak_rise_bytes=50 * MIB, agent_steps_per_second=1000.0)]
    near += [point("sable", "chunkwise", 16, host_peak_rise_bytes=52 * MIB, agent_steps_per_second=1040.0)]
    far = point("sable", "recurrent", 16, host_peak_rise_bytes=90 * MIB, agent_steps_per_second=10.0)
    section = answer_section([*near, far], memory_of)
    assert section is not None
    assert section.lines[0] == (
        "At 16 agents, mat dense and sable chunkwise need the least memory, about equal (50.0 MiB to 52.0 MiB) and "
        "sable chunkwise and mat dense are fastest, about equal (1.04k to 1.00k agent-steps/s)."
    )


def test_the_answer_marks_contended_speeds_and_takes_one_side_of_a_pair() -> None:
    pairs = [
        point(model, mode, 16, side=side, contended=1, agent_steps_per_second=speed)
        for model, mode, speed in (("mat", "dense", 10.0), ("sable", "chunkwise", 20.0))
        for side in ("new", "base")
    ]
    section = answer_section(pairs, memory_of)
    assert section is not None
    assert section.lines[0].startswith("At 16 agents (side new), ")
    assert "sable chunkwise is fastest (20.0 agent-steps/s, contended; next is mat dense with 10.0)" in section.lines[0]
    assert "side=" not in section.lines[0]


def test_failures_of_one_kind_share_a_line_per_curve() -> None:
    larger: dict[str, Any] = {
        "status": "skipped",
        "reason_code": "larger",
        "reason": "larger than a point that ran out of memory",
    }
    records = [point("mat", "dense", 4), *(point("mat", "dense", size, **larger) for size in (16, 64, 256))]
    section = failures_section(make_pivot(records))
    assert section is not None
    assert section.lines == ("mat dense, agents=16,64,256: skipped: larger than a point that ran out of memory",)


def test_a_mark_that_no_cell_has_is_not_explained() -> None:
    assert "* =" not in sections([point("mat", "dense", 16)])
    assert "* = lowest" in sections([point("mat", "dense", 16), point("sable", "chunkwise", 16)])


def test_a_chart_says_which_marks_are_covered() -> None:
    same = [
        point(model, mode, size) for model, mode in (("mat", "dense"), ("sable", "chunkwise")) for size in (16, 128)
    ]
    same = [dataclasses.replace(r, host_peak_rise_bytes=r.agents * MIB, agent_steps_per_second=1.0) for r in same]
    drawn = charts(same, 80)
    assert drawn.count("Covered: a by b at 16, 128.") == 2
    apart = [r if r.mode == "dense" else dataclasses.replace(r, host_peak_rise_bytes=r.agents * 9 * MIB) for r in same]
    assert charts(apart, 80).count("Covered") == 1
