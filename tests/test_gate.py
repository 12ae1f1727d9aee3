"""A check's pass is evidence: nothing that is missing, torn, flipped or broken turns a regression into a pass."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checked import HOST, record, repeats, run_folder, saved, verdicts

from reports import Record
from reports.arrange.selection import where
from reports.records.record_lines import record_line
from reports.records.run import load_run
from scaleprof.cli.app import main

Check = Callable[..., tuple[int, dict[str, Any]]]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def check(folder: Path, capsys: Capture) -> Check:
    """Check two lists of records as CSV files; gives the exit code and the JSON."""

    def run(base: list[Record], new: list[Record]) -> tuple[int, dict[str, Any]]:
        code = main(["check", saved(folder / "base", *base), saved(folder / "new", *new), "--format", "json"])
        content: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, content

    return run


def a_run(path: Path, records: list[Any], *, points: int | None = None, host: dict[str, Any] | None = None) -> str:
    """A run's folder as a sweep writes it."""
    run_folder(path, records, HOST if host is None else host)
    (path / "records.jsonl").write_text("".join(map(record_line, records)))
    expected = len(records) if points is None else points
    (path / "manifest.json").write_text(json.dumps({"schema": 1, "points": expected, "options": {}}))
    return str(path)


def regressed(folder: Path) -> tuple[str, str]:
    """BASE and NEW: at the last of three points NEW needs twice the memory."""
    points = [one for agents in (16, 32, 64) for one in repeats(2, agents=agents)]
    worse = [
        dataclasses.replace(one, xla_peak_bytes=2 * (one.xla_peak_bytes or 0)) if one.agents == 64 else one
        for one in points
    ]
    return a_run(folder / "base", points), a_run(folder / "new", worse)


def checked(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    """The exit code, the headline, and what was said on stderr."""
    capsys.readouterr()
    code = main(["check", *arguments, "--format", "json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out)["headline"] if captured.out else "", captured.err


def test_a_base_without_its_last_line_feed_is_whole(folder: Path, capsys: Capture) -> None:
    base, new = regressed(folder)
    lines = Path(base, "records.jsonl")
    lines.write_bytes(lines.read_bytes()[:-1])
    code, headline, said = checked(capsys, base, new)
    assert (code, said) == (1, "")
    assert headline.startswith("Regressed: 1 of ")


@pytest.mark.parametrize(("cut", "counted"), [(2, "5 of 6 records, 1 torn line left out"), (0, "5 of 6 records")])
def test_an_incomplete_base_is_no_base(folder: Path, capsys: Capture, cut: int, counted: str) -> None:
    base, new = regressed(folder)
    lines = Path(base, "records.jsonl")
    kept = lines.read_bytes().splitlines(keepends=True)
    lines.write_bytes(b"".join(kept[:-1]) + (kept[-1][:-cut] if cut else b""))
    code, headline, said = checked(capsys, base, new)
    assert (code, headline) == (4, "")
    assert f"BASE is incomplete: {counted}: complete it (sweep --resume), or compare with --allow-incomplete" in said
    assert main(["baseline", "save", "main", base]) == 2
    assert f"base is incomplete: {counted}: complete it" in capsys.readouterr().err
    code, headline, _ = checked(capsys, base, new, "--allow-incomplete")
    assert code == 1
    assert headline.endswith(f"; BASE is incomplete: {counted}")
    same = checked(capsys, base, base, "--allow-incomplete")
    assert same[:2] == (0, f"Inconclusive: BASE is incomplete: {counted}; NEW is incomplete: {counted}")
    assert checked(capsys, base, base, "--allow-incomplete", "--fail-inconclusive")[0] == 5


def test_a_baseline_remembers_that_its_run_was_incomplete(folder: Path, capsys: Capture) -> None:
    base = a_run(folder / "base", repeats(2), points=3)
    assert main(["baseline", "save", "main", base, "--allow-incomplete"]) == 0
    code, _, said = checked(capsys, "--baseline", "main", base)
    assert code == 4
    assert "BASE is incomplete: 2 of 3 records" in said
    code, headline, _ = checked(capsys, "--baseline", "main", base, "--allow-incomplete")
    assert code == 0
    assert headline.startswith("Inconclusive: BASE is incomplete: 2 of 3 records; NEW is incomplete: ")


def test_a_folder_that_does_not_tell_what_it_lacks_is_named(folder: Path, capsys: Capture) -> None:
    base = a_run(folder / "base", repeats(2))
    assert main(["check", base, base]) == 0
    assert "lacks records" not in capsys.readouterr().out
    shutil.copytree(base, "whole")
    Path(base, "manifest.json").unlink()
    unknown = "Inconclusive: whether {} records is not known (no manifest, no checksum)"
    assert checked(capsys, base, "whole")[:2] == (0, unknown.format("BASE lacks"))
    assert checked(capsys, base, "whole", "--fail-inconclusive")[:2] == (5, unknown.format("BASE lacks"))
    assert checked(capsys, "whole", base, "--fail-inconclusive")[:2] == (5, unknown.format("NEW lacks"))
    table = str(Path(base, "results.csv"))
    assert main(["export", base, "--csv", table]) == 0
    assert checked(capsys, table, table, "--fail-inconclusive")[:2] == (5, unknown.format("BASE and NEW lack"))


def test_an_interrupted_point_is_missing(folder: Path) -> None:
    run = load_run(a_run(folder / "run", [record(), record(agents=32, status="interrupted")]))
    assert run.incomplete == "1 of 2 records"


@pytest.mark.parametrize("name", ["policy_loss", "value_loss", "grad_norm", "entropy"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_training_that_diverged_is_a_regression(check: Check, name: str, value: float) -> None:
    sound = repeats(5, policy_loss=0.1, value_loss=0.2, grad_norm=0.3, entropy=1.0)
    figures: dict[str, Any] = {name: value}
    broken = [dataclasses.replace(one, **figures) for one in sound]
    code, content = check(sound, broken)
    assert (code, content["headline"]) == (1, "Regressed: training diverged at 1 point")
    assert (16, "training", "regressed") in verdicts(content)
    code, content = check(sound, [*broken[:2], *sound[2:]])
    assert (code, content["findings"][0]["reason"]) == (
        1,
        "losses or gradients were not finite in 0 of 5 repeats, now in 2 of 5 repeats",
    )
    assert check(broken, broken)[0] == 0
    assert (16, "training", "improved") in verdicts(check(broken, sound)[1])


@pytest.mark.parametrize("condition", ["agents=16", "agents<64", "agents<=32", "agents!=64", "agents>=16"])
def test_a_shard_is_checked_against_its_part_of_the_baseline(folder: Path, capsys: Capture, condition: str) -> None:
    base, new = regressed(folder)
    code, headline, _ = checked(capsys, base, new, "--where", condition)
    assert code == (1 if condition == "agents>=16" else 0), headline


MEASURED = [
    *("update_seconds<0.0018", "xla_peak_bytes<1500000", "status=ok", "reason=", "repeat=0", "measure=together"),
    *("platform=cpu", "run_id=run", "timestamp=", "compile_cache!=read", "contended=0"),
]


@pytest.mark.parametrize("condition", MEASURED)
def test_no_figure_selects_itself_away(folder: Path, capsys: Capture, condition: str) -> None:
    base, new = regressed(folder)
    said = f"column '{condition.partition('=')[0].rstrip('!').partition('<')[0]}' does not identify a point"
    for command in (["check", base, new], ["compare", base, new], ["history", base, new]):
        assert main([*command, "--where", condition]) == 2
        assert f"--where: {said}, so it cannot select points: use scenario, model" in capsys.readouterr().err
    (folder / "pyproject.toml").write_text(f'[tool.scaleprof.check."{condition}"]\nxla_peak = "200%"\n')
    code, _, error = checked(capsys, base, new)
    assert code == 2
    assert said in error
    assert main(["report", new, "--where", "status=ok"]) == 0, "a report hides nothing that is judged"


def test_points_that_may_be_missing_are_counted(folder: Path, capsys: Capture) -> None:
    base, _ = regressed(folder)
    shard = a_run(folder / "shard", repeats(2, agents=16))
    assert checked(capsys, base, shard)[0] == 1
    code, headline, _ = checked(capsys, base, shard, "--allow-missing")
    assert code == 0
    assert headline.endswith("none worse by more than its threshold; 2 points of BASE are not in NEW")


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("agents>16", [32, 64]),
        ("agents >= 32", [32, 64]),
        ("agents<32", [16]),
        ("agents!=16,64", [32]),
        ("update_seconds>0", "no record has update_seconds>0"),
        ("model>a", "model>a: column 'model' is text, which has no order: write model=value"),
        ("agents>", "agents>: needs a number, such as agents>128"),
        ("agents>x", "column 'agents' needs a whole number, not 'x'"),
        ("agents", "is not a condition"),
    ],
)
def test_conditions(condition: str, found: list[int] | str) -> None:
    records = [record(agents=size, update_seconds=None) for size in (16, 32, 64)]
    if isinstance(found, str):
        with pytest.raises(ValueError, match=found):
            where(records, [condition])
    else:
        assert [one.agents for one in where(records, [condition])] == found


@pytest.mark.parametrize(
    "name", ["JAX_DEBUG_NANS", "XLA_FLAGS", "JAX_DEFAULT_PRNG_IMPL", "JAX_DEFAULT_MATMUL_PRECISION"]
)
def test_a_variable_that_changes_programs_is_no_regression_of_the_code(
    folder: Path, capsys: Capture, name: str
) -> None:
    base, new = regressed(folder)
    variables = {**HOST["variables"]["together"], name: "1"}
    (Path(new) / "host.json").write_text(json.dumps({**HOST, "variables": {"together": variables}}))
    code, headline, _ = checked(capsys, base, new)
    assert code == 4
    assert name in headline


@pytest.mark.parametrize(("fact", "said"), [("os", "kernel: Linux 6 in BASE"), ("python", "Python: Linux 6 in BASE")])
def test_what_may_matter_is_noted(folder: Path, capsys: Capture, fact: str, said: str) -> None:
    base = a_run(folder / "base", repeats(), host={**HOST, fact: "Linux 6"})
    new = a_run(folder / "new", repeats(), host={**HOST, fact: "Linux 7"})
    assert main(["check", base, new]) == 0
    assert f"{said}, Linux 7 in NEW".lower() in " ".join(capsys.readouterr().out.split()).lower()


def test_a_baseline_that_was_edited_is_refused(folder: Path, capsys: Capture) -> None:
    base, new = regressed(folder)
    assert main(["baseline", "save", "main", base]) == 0
    assert checked(capsys, "--baseline", "main", new)[0] == 1
    table = folder / ".scaleprof" / "baselines" / "main" / "results.csv"
    table.write_bytes(table.read_bytes().replace(b",64,", b",65,"))
    code, _, said = checked(capsys, "--baseline", "main", new)
    assert code == 2
    assert "it is not what checksum.json beside it says, so it was edited or damaged; restore it" in said
    (table.parent / "checksum.json").unlink()  # as earlier versions saved it
    table.write_bytes(table.read_bytes().replace(b",65,", b",64,"))
    assert checked(capsys, "--baseline", "main", new)[0] == 1


GROUPS = """
[tool.scaleprof.check]
xla_peak = "5%"
[tool.scaleprof.check."agents>=32"]
xla_peak = "30%"
[tool.scaleprof.check."model=sable agents=64"]
xla_peak = "200%"
"""


def test_thresholds_of_some_points(folder: Path, capsys: Capture) -> None:
    base, new = regressed(folder)  # twice the memory at 64 agents
    assert checked(capsys, base, new)[0] == 1
    (folder / "pyproject.toml").write_text(GROUPS)
    assert checked(capsys, base, new)[0] == 0
    assert checked(capsys, base, new, "--threshold", "xla_peak=50%")[0] == 1, "the command line holds for all points"
    (folder / "pyproject.toml").write_text(GROUPS.replace("agents=64", "agents=16"))
    capsys.readouterr()
    assert main(["check", base, new, "--format", "json"]) == 1
    text = capsys.readouterr().out
    found = json.loads(text)["findings"]
    limits = {one["point"]["agents"]: one["threshold"] for one in found if one["metric"] == "xla_peak"}
    assert limits == {16: 2.0, 32: 0.3, 64: 0.3}
    assert json.loads(text)["policy"]["groups"] == [
        {"conditions": ["agents>=32"], "thresholds": {"xla_peak": 0.3}},
        {"conditions": ["model=sable", "agents=16"], "thresholds": {"xla_peak": 2.0}},
    ]
    assert main(["check", base, new, "--all"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "Thresholds: xla_peak 200 % where model=sable agents=16 and 30 % where agents>=32, throughput 10 %" in said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("agents", 'xla_peak = "5%"', "'agents' is not a condition: write column=value"),
        ("agent>1", 'xla_peak = "5%"', "unknown column 'agent': did you mean agents"),
        ("agents>1", 'peak = "5%"', "unknown key 'peak': did you mean"),
        ("agents>1", "xla_peak = 5", "'5' means 500 %"),
        ("", 'xla_peak = "5%"', "names no points; write conditions"),
    ],
)
def test_groups_that_make_no_sense(folder: Path, capsys: Capture, name: str, content: str, said: str) -> None:
    base, new = regressed(folder)
    (folder / "pyproject.toml").write_text(f'[tool.scaleprof.check."{name}"]\n{content}\n')
    code, _, error = checked(capsys, base, new)
    assert code == 2
    assert f"[tool.scaleprof.check], {name}: {said}" in error


def test_the_summary_of_a_job(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    base, new = regressed(folder)
    summary = folder / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert main(["check", base, new]) == 1
    assert summary.read_text() == "before\n"
    assert main(["check", base, new, "--format", "github"]) == 1
    assert capsys.readouterr().out.count("::error")
    text = summary.read_text()
    assert text.startswith("before\n")
    assert "Regressed: 1 of " in text
    assert "| xla" in text
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder))
    assert main(["check", base, new, "--format", "github"]) == 2
    assert "cannot write to " in capsys.readouterr().err


def attacked(path: Path, chance: random.Random) -> str:
    """Do one hostile or unlucky thing to a file of a run; returns what."""
    file = chance.choice([path / "records.jsonl", path / "records.jsonl", path / "host.json", path / "manifest.json"])
    content = file.read_bytes()
    match chance.choice(["remove", "tear", "flip", "rename", "drop a line", "swap bytes"]):
        case "remove":
            file.unlink()
            return f"{file} removed"
        case "tear":
            kept = chance.randrange(len(content))
            file.write_bytes(content[:kept])
            return f"{file} cut to {kept} bytes"
        case "flip":
            place = chance.randrange(len(content))
            flipped = bytearray(content)
            flipped[place] ^= 1 << chance.randrange(8)
            file.write_bytes(bytes(flipped))
            return f"{file} flipped at {place}"
        case "rename":
            file.rename(file.with_name(f"{file.name}.old"))
            return f"{file} renamed"
        case "drop a line":
            lines = content.splitlines(keepends=True)
            del lines[chance.randrange(len(lines))]
            file.write_bytes(b"".join(lines))
            return f"a line of {file} dropped"
        case _:
            place = chance.randrange(max(len(content) - 1, 1))
            file.write_bytes(content[:place] + content[place : place + 2][::-1] + content[place + 2 :])
            return f"bytes of {file} swapped at {place}"


COUNTED = ("incomplete", "not in NEW", "missing", "not known")


def survives(folder: Path, capsys: Capture, seed: int) -> None:
    """A regressed pair passes after no attack, unless its headline counts what is missing; never if that must fail."""
    chance = random.Random(seed)
    here = folder / str(seed)
    here.mkdir()
    base, new = regressed(here)
    assert checked(capsys, base, new)[0] == 1
    done = attacked(Path(chance.choice([base, new])), chance)
    code, headline, said = checked(capsys, base, new)
    assert "Traceback" not in said, done
    assert code in (1, 2, 4) or any(word in headline for word in COUNTED), (done, headline)
    assert checked(capsys, base, new, "--fail-inconclusive")[0] != 0, done


def slowed(folder: Path) -> tuple[str, str]:
    """BASE and NEW: NEW needs half as much CPU time more at every point, which its wall time does not show."""
    figures: dict[str, Any] = {"agent_steps_per_second": 900.0, "update_seconds": 0.1, "grad_norm": 0.5}
    sides = (
        [one for agents in (16, 32, 64) for one in repeats(8, agents=agents, slower=slower, **figures)]
        for slower in (1.0, 1.5)
    )
    base, new = (a_run(folder / name, side) for name, side in zip(("base", "new"), sides, strict=True))
    return base, new


def chosen(records: list[Record], chance: random.Random) -> set[int]:
    """The places of some records: all, those of a point, or any."""
    match chance.choice(["all", "a point", "any"]):
        case "all":
            return set(range(len(records)))
        case "a point":
            agents = chance.choice([one.agents for one in records])
            return {place for place, one in enumerate(records) if one.agents == agents}
        case _:
            return set(chance.sample(range(len(records)), chance.randint(1, len(records))))


def rewritten(path: Path, chance: random.Random) -> str:
    """Change some records of a run as a faulty version or a careful cheat would, checksums included; returns how."""
    records = list(load_run(path).records)
    places = chosen(records, chance)
    change: dict[str, Any] = chance.choice(
        [
            *({name: None} for name in ("xla_peak_bytes", "update_cpu_seconds", "update_seconds", "grad_norm")),
            {"update_cpu_seconds": None, "update_seconds": None, "agent_steps_per_second": None},
            {"xla_peak_bytes": None, "update_cpu_seconds": math.inf},
            *({name: 0} for name in ("xla_peak_bytes", "update_cpu_seconds")),
            *({"status": status} for status in ("interrupted", "pending", "crashed", "oom", "skipped")),
            {"platform": ""},
            {"device": "another"},
            {"host_memory_quality": "repeatable"},
            {"measure": "memory"},
            {"accumulate": "auto"},
            {"agents": 4096},
        ]
    )
    edited = [dataclasses.replace(one, **change) if place in places else one for place, one in enumerate(records)]
    (path / "records.jsonl").write_text("".join(map(record_line, edited)))
    if chance.random() < 0.3:
        (path / "manifest.json").unlink()
    return f"{change} in {len(places)} of {len(records)} records of {path.name}"


COUNTED_TOO = (*COUNTED, "not in BASE", "cannot be", "may be due", "gave no result in BASE")


def withstands(folder: Path, capsys: Capture, seed: int) -> None:
    """As `survives`, of a change to the records themselves."""
    chance = random.Random(seed)
    here = folder / str(seed)
    here.mkdir()
    base, new = chance.choice([regressed, slowed])(here)
    assert checked(capsys, base, new)[0] == 1
    done = rewritten(Path(chance.choice([base, new])), chance)
    code, headline, said = checked(capsys, base, new)
    assert "Traceback" not in said, done
    assert code in (1, 2, 4) or any(word in headline for word in COUNTED_TOO), (done, headline)
    failed_before = "gave no result in BASE" in headline  # a new result at such a point is none of BASE's
    assert checked(capsys, base, new, "--fail-inconclusive")[0] != 0 or failed_before, (done, headline)


@pytest.mark.parametrize("seed", range(150))
def test_no_change_of_records_turns_a_regression_into_a_pass(folder: Path, capsys: Capture, seed: int) -> None:
    withstands(folder, capsys, seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_no_change_of_a_thousand(folder: Path, capsys: Capture, block: int) -> None:
    for seed in range(1000 + 100 * block, 1100 + 100 * block):
        withstands(folder, capsys, seed)


@pytest.mark.parametrize("status", ["crashed", "oom", "error", "skipped", "timeout"])
def test_points_that_gave_no_result_in_base_are_counted(folder: Path, capsys: Capture, status: str) -> None:
    base, new = regressed(folder)
    records = load_run(base).records
    some = [dataclasses.replace(one, status=status) if one.agents == 64 else one for one in records]
    (Path(base) / "records.jsonl").write_text("".join(map(record_line, some)))
    code, headline, _ = checked(capsys, base, new, "--fail-inconclusive")
    assert (code, headline) == (
        0,
        "No regression: 4 figures compared, none worse by more than its threshold; 1 point gave no result in BASE",
    )
    none = [dataclasses.replace(one, status=status) for one in records]
    (Path(base) / "records.jsonl").write_text("".join(map(record_line, none)))
    code, headline, _ = checked(capsys, base, new, "--fail-inconclusive")
    assert (code, headline) == (5, "Inconclusive: no figure could be compared; 3 points gave no result in BASE")


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
@pytest.mark.parametrize("side", ["base", "new"])
def test_a_table_without_its_last_rows_does_not_pass(folder: Path, capsys: Capture, rows: int, side: str) -> None:
    """The regression is in the last two rows."""
    for name, path in zip(("base", "new"), regressed(folder), strict=True):
        assert main(["export", path, "--csv", f"{name}.csv"]) == 0
    lines = Path(f"{side}.csv").read_text().splitlines(keepends=True)
    Path(f"{side}.csv").write_text("".join(lines[:-rows]))
    assert checked(capsys, "base.csv", "new.csv", "--fail-inconclusive")[0] in (1, 5)
    code, headline, _ = checked(capsys, "base.csv", "new.csv")
    assert code == 1 or "not known" in headline


@pytest.mark.parametrize("seed", range(100))
def test_no_attack_turns_a_regression_into_a_pass(folder: Path, capsys: Capture, seed: int) -> None:
    survives(folder, capsys, seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_no_attack_of_two_thousand(folder: Path, capsys: Capture, block: int) -> None:
    for seed in range(1000 + 100 * block, 1100 + 100 * block):
        survives(folder, capsys, seed)
