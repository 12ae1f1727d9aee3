"""The headline and the exit code of a check follow its evidence, in every format."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from checked import HOST, NOISE, record, repeats, run_folder, saved, several

from reports import Record
from scaleprof.cli.app import main
from scaleprof.cli.formats import CHECK_FORMATS

pytestmark = pytest.mark.usefixtures("folder")

Check = Callable[..., tuple[int, dict[str, Any]]]
FEW = "18 changes past their thresholds cannot be told from noise with 1 repeat (6 would be enough)"


@pytest.fixture
def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Check two lists of records under --fail-inconclusive; gives the exit code and the JSON."""

    def run(base: list[Record], new: list[Record], *options: str) -> tuple[int, dict[str, Any]]:
        names = saved(folder / "base", *base), saved(folder / "new", *new)
        without = main(["check", *names, *options])
        text = " ".join(capsys.readouterr().out.split())
        code = main(["check", *names, "--format", "json", "--fail-inconclusive", *options])
        content: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert code == content["exit_code"]
        assert without == (0 if code == 5 else code)
        assert text.startswith(content["headline"])
        assert content["headline"].lower().startswith(f"{content['outcome']}: ")
        assert ("No regression" in text) == (content["outcome"] == "no regression")
        assert (code == 5) == (content["outcome"] == "inconclusive")
        return code, content

    return run


def timed(count: int, *, points: int = 6, slower: float = 1.0, **changes: Any) -> list[Record]:
    """Repeats of points with CPU, wall and compile time, all `slower` times as long as usual."""
    stages = {f"compile_{name}_seconds": slower for name in ("act", "rollout", "learn")}
    return [
        record(agents=16 * (i + 1), repeat=n, **{"contended": 0, **times(slower * NOISE[n]), **stages, **changes})
        for i in range(points)
        for n in range(count)
    ]


def times(slower: float) -> dict[str, float]:
    """CPU and wall time of an update."""
    return {"update_cpu_seconds": 0.1 * slower, "update_seconds": 0.1 * slower}


def test_all_times_are_worse_with_one_repeat(check: Check) -> None:
    code, content = check(timed(1), timed(1, slower=1.3))
    assert (code, content["headline"]) == (5, f"Inconclusive: {FEW}")
    assert {found["doubt"] for found in content["findings"] if found["verdict"] == "inconclusive"} == {"noise"}
    code, content = check(timed(1), timed(1, slower=1.3), "--threshold-only")
    assert (code, content["headline"]) == (1, "Regressed: 18 of 24 figures got worse by more than their thresholds")
    code, content = check(timed(6), timed(6, slower=1.3))
    assert (code, content["counts"]["regressed"]) == (1, 18)
    code, content = check(timed(1), timed(1))
    said = "No regression: 24 figures compared, none worse by more than its threshold"
    assert (code, content["headline"]) == (0, said)


def test_one_change_and_different_numbers_of_repeats(check: Check) -> None:
    _, content = check(repeats(1), repeats(1, slower=2))
    said = "Inconclusive: 1 change past its threshold cannot be told from noise with 1 repeat (3 would be enough)"
    assert content["headline"] == said
    base = [*repeats(1), *repeats(2, agents=32)]
    _, content = check(base, [*repeats(8, slower=2), *repeats(3, slower=2, agents=32)])
    assert (
        "2 changes past their thresholds cannot be told from noise with 1 to 2 repeats (4 would" in content["headline"]
    )


def test_a_regression_wins(check: Check) -> None:
    """The line below the headline counts every kind."""
    larger = [dataclasses.replace(one, xla_peak_bytes=2_000_000) for one in timed(1, slower=1.3)]
    code, content = check(timed(1), larger)
    assert (code, content["headline"]) == (1, "Regressed: 6 of 24 figures got worse by more than their thresholds")
    assert content["counts"]["inconclusive"] == 18


def test_wall_time_that_contention_may_explain(check: Check) -> None:
    base = repeats(update_seconds=0.1, contended=0)
    code, content = check(base, repeats(update_seconds=0.2, contended=1, others_cpu_share=0.6))
    said = "Inconclusive: 1 change past its threshold may be due to other processes that competed for the CPU"
    assert (code, content["headline"]) == (5, said)
    found = next(one for one in content["findings"] if one["doubt"])
    assert (found["metric"], found["verdict"], found["doubt"]) == ("wall_time", "inconclusive", "contention")
    assert found["reason"].startswith("+100 % (threshold 25 %) as measured, but other processes competed")
    assert found["reason"].endswith("; corrected for that, as shown: 0 %")
    assert found["needed_repeats"] is None
    assert check(base, repeats(update_seconds=0.2, contended=1, others_cpu_share=0.6), "--threshold-only")[0] == 5
    within = repeats(update_seconds=0.12, contended=1, others_cpu_share=0.6)
    assert check(base, within)[0] == 0


def test_a_figure_that_new_lacks(check: Check) -> None:
    lost = [dataclasses.replace(one, update_cpu_seconds=None) for one in repeats()]
    code, content = check(repeats(), lost)
    assert (code, content["headline"]) == (1, "Regressed: 1 figure of BASE is missing in NEW")
    assert check(repeats(), lost, "--threshold-only")[0] == 1
    not_asked_for = [dataclasses.replace(one, measure="memory") for one in lost]
    code, content = check(repeats(), not_asked_for)
    assert (code, content["headline"]) == (5, "Inconclusive: 1 figure of BASE is missing in NEW")


def test_a_figure_that_base_lacks(check: Check) -> None:
    lost = [dataclasses.replace(one, update_cpu_seconds=None) for one in repeats()]
    code, content = check(lost, repeats())
    assert (code, content["headline"]) == (5, "Inconclusive: 1 figure of NEW is missing in BASE")
    assert [found["doubt"] for found in content["findings"] if found["doubt"]] == ["absent"]


@pytest.mark.parametrize("names", [["xla_peak_bytes"], ["update_cpu_seconds"], ["host_peak_rise_bytes"]])
def test_a_figure_that_the_version_of_base_did_not_know(check: Check, names: list[str]) -> None:
    new = repeats(host_peak_rise_bytes=2_000_000, agent_steps_per_second=900.0)
    unknown: dict[str, Any] = dict.fromkeys(names)
    base = [dataclasses.replace(one, **unknown) for one in new]
    assert check(base, new)[0] == 5
    code, content = check([dataclasses.replace(one, schema_version=3) for one in base], new)
    assert code == 0
    (noted,) = [found for found in content["findings"] if found["verdict"] == "not comparable"] or [None]
    if names == ["update_cpu_seconds"]:
        assert noted is None, "both know the wall time"
        assert "agent-steps per second of wall time" in {found["source"] for found in content["findings"]}
    else:
        assert noted is not None
        assert noted["reason"] == "not known to the version that measured BASE"
    known_once = [dataclasses.replace(one, schema_version=3) for one in [*base[1:], new[0]]]
    assert check(known_once, new)[0] == 5, "that version knew it"


@pytest.mark.parametrize("side", ["BASE", "NEW"])
@pytest.mark.parametrize("name", ["xla_peak_bytes", "update_cpu_seconds", "host_peak_rise_bytes"])
def test_a_figure_that_some_repeats_lack(check: Check, side: str, name: str) -> None:
    whole = repeats(host_peak_rise_bytes=2_000_000)
    lost: dict[str, Any] = {name: None}
    holed = [dataclasses.replace(one, **lost) if one.repeat > 2 else one for one in whole]
    code, content = check(*((holed, whole) if side == "BASE" else (whole, holed)))
    assert (code, content["headline"]) == (5, "Inconclusive: 1 figure is missing in some repeats")
    assert f"missing in 2 of 5 repeats of {side}" in {found["reason"] for found in content["findings"]}


@pytest.mark.parametrize("side", ["base", "new"])
def test_a_figure_that_both_have_in_different_columns_only(check: Check, side: str) -> None:
    """CPU time on one side and wall time on the other say nothing of each other."""
    both = repeats(agent_steps_per_second=900.0)
    wall = [dataclasses.replace(one, update_cpu_seconds=None) for one in both]
    code, content = check(*((wall, both) if side == "base" else (both, wall)))
    assert code == (5 if side == "base" else 1)
    assert "1 figure of " in content["headline"]


def test_a_platform_that_is_missing_drops_no_figure(check: Check) -> None:
    nameless = repeats(slower=2, platform="")
    code, content = check(repeats(), nameless)
    assert (code, content["counts"]["regressed"]) == (1, 1)


def test_training_whose_figures_are_gone(check: Check) -> None:
    sound = repeats(policy_loss=0.1, grad_norm=0.3)
    code, content = check(sound, [dataclasses.replace(one, grad_norm=None) for one in sound])
    assert (code, content["headline"]) == (5, "Inconclusive: 1 figure of BASE is missing in NEW")


def test_a_point_that_only_new_has_is_counted(check: Check) -> None:
    code, content = check(repeats(), [*repeats(), *repeats(agents=32)])
    assert code == 0
    assert content["headline"].endswith("; 1 point of NEW is not in BASE")


def test_points_learned_from_in_another_way_are_counted(check: Check) -> None:
    base = [*repeats(), *repeats(agents=32, accumulate="auto")]
    code, content = check(base, [*repeats(), *repeats(agents=32, slower=9)])
    assert (code, content["headline"]) == (
        5,
        "Inconclusive: 1 point of BASE is not in NEW; 1 point of NEW is not in BASE",
    )


@pytest.mark.parametrize("status", ["interrupted", "pending"])
def test_a_run_of_which_no_point_ended_has_lost_them_all(check: Check, status: str) -> None:
    code, content = check(several(2), [dataclasses.replace(one, status=status) for one in several(2)])
    assert (code, content["headline"]) == (1, "Regressed: 4 points give fewer results than before")


def test_repeats_that_read_the_cache_lack_nothing(check: Check) -> None:
    read = timed(5, compile_act_seconds=None, compile_rollout_seconds=None, compile_learn_seconds=None)
    assert check(timed(5), [dataclasses.replace(one, compile_cache="read") for one in read])[0] == 0
    assert check(timed(5), read)[0] == 1


def test_memory_of_two_qualities(check: Check) -> None:
    def with_memory(quality: str, size: int) -> list[Record]:
        return repeats(host_rss_peak_bytes=size, host_memory_quality=quality)

    code, content = check(with_memory("noisy", 1000), with_memory("repeatable", 500))
    said = "Inconclusive: 1 change past its threshold cannot be judged because the runs were not measured alike"
    assert (code, content["headline"]) == (5, said)
    code, content = check(with_memory("noisy", 1000), with_memory("repeatable", 1001))
    assert (code, content["outcome"]) == (0, "no regression")


def test_a_mixture_of_all_kinds(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    base = [*timed(5, points=1), *repeats(1, agents=48), *repeats(5, agents=64), record(agents=80, status="oom")]
    new = [
        *timed(
            5,
            points=1,
            update_seconds=0.3,
            contended=1,
            others_cpu_share=0.9,
            compile_learn_seconds=None,
            measure="speed",
        ),
        *repeats(1, agents=48, slower=1.5),
        *repeats(5, agents=64, device="Xeon", slower=2),
        record(agents=80, status="oom"),
        record(agents=96),
    ]
    code, content = check(base, new)
    assert code == 5
    assert content["headline"] == (
        "Inconclusive: 1 change past its threshold cannot be told from noise with 1 repeat (4 would be enough); "
        "1 change past its threshold may be due to other processes that competed for the CPU; "
        "1 change past its threshold cannot be judged because the runs were not measured alike; "
        "1 figure of BASE is missing in NEW; 1 point of NEW is not in BASE; "
        "1 point gave no result in BASE"
    )
    assert main(["check", "base", "new"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "base -> new, 4 matched points: 2 inconclusive (1 with too few repeats, 1 under CPU contention), "
        "2 not comparable (1 past the threshold, 1 missing in NEW), 1 new, 5 unchanged (1 failed before too) "
        "Differences (--cross-machine compares anyway): device: cpu in BASE, Xeon in NEW"
    ) in text


def test_changes_within_the_noise_are_judged(check: Check) -> None:
    base = [record(repeat=i, update_cpu_seconds=0.1 * (1 + i / 5)) for i in range(8)]
    code, content = check(
        base, [dataclasses.replace(one, update_cpu_seconds=1.2 * x) for one in base if (x := one.update_cpu_seconds)]
    )
    said = "No regression: 2 figures compared, none worse by more than its threshold and the noise"
    assert (code, content["headline"]) == (0, said)


def test_nothing_comparable(check: Check) -> None:
    failed = [record(status="oom"), record(agents=32, status="timeout")]
    code, content = check(failed, failed)
    assert (code, content["headline"]) == (
        4,
        "Not comparable: no point gave a result in both runs; 2 points gave no result in BASE",
    )
    elsewhere = [dataclasses.replace(one, device="Xeon") for one in repeats(slower=2)]
    code, content = check(repeats(), elsewhere)
    why = "device: cpu in BASE, Xeon in NEW (--cross-machine compares anyway)"
    assert (code, content["headline"]) == (4, f"Not comparable: {why}")
    with_memory = [
        record(host_rss_peak_bytes=size, host_memory_quality=q) for q, size in (("noisy", 1), ("repeatable", 2))
    ]
    code, content = check([with_memory[0]], [with_memory[1]], "--metrics", "host_peak")
    assert (code, content["headline"]) == (
        4,
        "Not comparable: allocator: noisy in BASE, repeatable in NEW (see host_memory_quality)",
    )


def test_github_is_told_once_why_nothing_is_comparable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = saved(folder / "base", *several(5)), saved(folder / "new", *several(5, device="Xeon"))
    assert main(["check", *names, "--format", "github"]) == 4
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("::error title=scaleprof check::Not comparable: device: cpu in BASE, Xeon in NEW")


def test_points_that_are_lost(check: Check) -> None:
    code, content = check(several(2, points=3), [*repeats(2), *repeats(1, agents=32, status="crashed")])
    assert (code, content["headline"]) == (1, "Regressed: 2 points give fewer results than before")


def sides(count: int, slower: float) -> list[Record]:
    return [
        dataclasses.replace(one, side=side, pair_id=f"run/{one.repeat}")
        for side, factor in (("new", slower), ("base", 1.0))
        for one in repeats(count, slower=factor)
    ]


def test_live_pairs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = saved(folder / "pairs", *sides(4, 1.3))
    assert main(["check", name, "--fail-inconclusive"]) == 5
    said = "Inconclusive: 1 change past its threshold cannot be told from noise with 4 pairs (5 would be enough)"
    assert " ".join(capsys.readouterr().out.split()).startswith(said)
    samples = {
        f"r{side}": "update,phase,burst,update_cpu_seconds\n"
        + "".join(f"{i},measure,{i},{seconds}\n" for i in range(4))
        for side, seconds in (("new", 1.3), ("base", 1.0))
    }
    records = [dataclasses.replace(one, files=f"r{one.side}") for one in sides(1, 1.3)]
    assert main(["check", run_folder(folder / "bursts", records, samples=samples), "--fail-inconclusive"]) == 5
    assert "noise with 4 bursts (5 would be enough)" in " ".join(capsys.readouterr().out.split())
    assert main(["check", saved(folder / "pairs", *sides(5, 1.3)), "--fail-inconclusive"]) == 1


def test_against_a_baseline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder(folder / "runs" / "a", timed(1))
    assert main(["baseline", "save", "main", "runs/a"]) == 0
    run_folder(folder / "runs" / "b", timed(1, slower=1.3))
    capsys.readouterr()
    assert main(["check", "--baseline", "main", "runs/b", "--fail-inconclusive"]) == 5
    assert " ".join(capsys.readouterr().out.split()).startswith(f"Inconclusive: {FEW}")
    assert main(["check", "--baseline", "main", "runs/b"]) == 0
    run_folder(folder / "runs" / "c", timed(1, slower=1.3), {**HOST, "cpu": "Abacus 4"})
    assert main(["check", "--baseline", "main", "runs/c", "--fail-inconclusive"]) == 4


@pytest.mark.parametrize("form", CHECK_FORMATS)
def test_every_format_says_it(folder: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    names = saved(folder / "base", *timed(1)), saved(folder / "new", *timed(1, slower=1.3))
    for options, code in (((), 0), (("--fail-inconclusive",), 5), (("--fail-inconclusive", "--exit-zero"), 0)):
        assert main(["check", *names, "--format", form, *options]) == code
        text = capsys.readouterr().out
        assert FEW in " ".join(text.replace("&#40;", "(").split())
        assert "No regression" not in text
        if form == "github":
            level = "error" if options else "warning"
            assert text.startswith(f"::{level} title=scaleprof check::Inconclusive: {FEW}%0A")
            assert len(re.findall("^::warning ", text, re.MULTILINE)) == 18 + (level == "warning")
        elif form == "junit":
            suite = ElementTree.fromstring(text)[0]
            assert (suite.get("failures"), suite.get("skipped")) == (("18", "0") if options else ("0", "18"))
            said = {one.get("name"): one.get("value") for one in suite.findall("properties/property")}
            assert said == {"outcome": "inconclusive", "headline": f"Inconclusive: {FEW}"}
            assert {one.get("type") for one in suite.findall("testcase/failure")} <= {"inconclusive"}
        elif form == "json":
            assert json.loads(text)["policy"]["fail_inconclusive"] == bool(options)
        else:
            assert text.removeprefix("## ").startswith("Inconclusive: ")
