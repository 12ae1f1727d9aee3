"""`scaleprof history`: which changes are steps, and what the command says of them."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import browser
import pytest
from checked import HOST, NOISE, record, run_folder, table

from reports.history.levels import Shape, find_levels
from reports.text.ticks import ratio_ticks, tick_label
from scaleprof.cli.app import main

ALLOWED = 0.10


def shape(figures: Sequence[float], allowed: float = ALLOWED) -> Shape:
    return find_levels(figures, allowed, lambda ratio: abs(ratio - 1) > allowed * (1 + 1e-9))


def noisy(figures: Sequence[float], spread: float, seed: int) -> list[float]:
    draw = random.Random(seed)
    return [figure * math.exp(draw.gauss(0, spread)) for figure in figures]


@pytest.mark.parametrize(
    ("figures", "levels", "steps", "drifts", "spikes"),
    [
        ([100] * 6, 1, [], 0, []),
        ([100, 109, 100, 109], 1, [], 0, []),
        ([100, 120], 2, [1], 0, []),
        ([100, 100, 100, 120, 120, 120], 2, [3], 0, []),
        ([100, 100, 100, 80, 80, 80], 2, [3], 0, []),
        ([100, 100, 130, 130, 160, 160], 3, [2, 4], 0, []),
        ([100, 120, 140, 140], 3, [1, 2], 0, []),
        ([100, 100, 120, 120, 100, 100], 3, [2, 4], 0, []),
        ([100] * 4 + [150] + [100] * 4, 1, [], 0, [4]),
        ([100] * 4 + [150] + [120] * 4, 2, [5], 0, [4]),
        ([100, 100, 100, 115], 2, [3], 0, []),
        ([100, 100, 0, 0], 2, [2], 0, []),
        ([0, 0, 100, 100], 2, [2], 0, []),
        ([0, 0, 0], 1, [], 0, []),
        ([100 * 1.02**i for i in range(12)], 2, [], 1, []),
        ([100 * 1.025**i for i in range(20)], 5, [], 1, []),
        ([100 * 1.02**i for i in range(8)], 1, [], 1, []),
        ([100 * 1.005**i for i in range(12)], 1, [], 0, []),
        ([100], 1, [], 0, []),
    ],
    ids=lambda value: "-".join(f"{x:.0f}" for x in value) if isinstance(value, list) else str(value),
)
def test_levels(figures: list[float], levels: int, steps: list[int], drifts: int, spikes: list[int]) -> None:
    found = shape(figures)
    assert len(found.levels) == levels
    assert [found.levels[number][0] for number in found.steps] == steps
    assert (len(found.drifts), list(found.spikes)) == (drifts, spikes)
    assert sorted([place for level in found.levels for place in level] + spikes) == list(range(len(figures)))


@pytest.mark.parametrize("count", [6, 12, 30])
def test_noise_within_what_is_allowed_is_no_step(count: int) -> None:
    assert not [
        seed for seed in range(100) if shape(noisy([100.0] * count, 0.02, seed)) != Shape((tuple(range(count)),))
    ]


@pytest.mark.parametrize("before", [2, 6, 10])
def test_a_step_is_found_where_it_begins_despite_noise(before: int) -> None:
    figures = [100.0] * before + [120.0] * (12 - before)
    for seed in range(100):
        found = shape(noisy(figures, 0.02, seed))
        assert [found.levels[number][0] for number in found.steps] == [before]


def test_noise_beyond_what_is_allowed_makes_few_levels() -> None:
    """The noise of the series itself raises the price of a level."""
    counts = [len(shape(noisy([100.0] * 30, 0.10, seed)).levels) for seed in range(50)]
    assert sum(count > 1 for count in counts) <= 15


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.90, 1.12, "0.9 0.95 1 1.05 1.1"),
        (0.60, 1.60, "0.6 0.8 1 1.2 1.4 1.6"),
        (0.74, 1.05, "0.8 0.9 1"),
        (0.30, 5.00, "0.5 1 2 5"),
    ],
)
def test_ticks_of_ratios_have_1_among_them(low: float, high: float, labels: str) -> None:
    assert " ".join(tick_label(value, "rate") for value in ratio_ticks(low, high)) == labels


Make = Callable[..., str]
Changes = dict[int, dict[str, Any]]


@pytest.fixture
def make(folder: Path) -> Make:
    """Writes a run: its number, how much slower it is, changes of its host and of its records."""
    (folder / "pyproject.toml").write_text("")

    def run(
        number: int, slower: float = 1.0, *, repeats: int = 5, host: dict[str, Any] | None = None, **changes: Any
    ) -> str:
        git = {"commit": f"{number:x}" * 40, "dirty": False}
        records = [
            record(
                agents=agents,
                repeat=repeat,
                timestamp=f"2026-11-{number + 1:02}T10:00:00+00:00",
                update_cpu_seconds=0.1 * slower * NOISE[(repeat + number) % len(NOISE)],
                **changes,
            )
            for agents in (16, 32)
            for repeat in range(repeats)
        ]
        run_folder(folder / f"r{number}", records, {**HOST, "git": git, **(host or {})})
        return f"r{number}"

    return run


def content(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The history as strict JSON."""
    assert main(["history", *arguments, "--format", "json"]) == 0
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    return parsed


def changes_of(found: dict[str, Any]) -> list[tuple[int, str, str, str, str]]:
    """Agents, metric, kind, verdict and first run of every change."""
    return [
        (one["point"]["agents"], one["metric"], change["kind"], change["verdict"], change["since"])
        for one in found["series"]
        for change in one["changes"]
    ]


def both(*change: str) -> list[tuple[Any, ...]]:
    return [(agents, *change) for agents in (16, 32)]


def test_a_step_is_named_with_its_run_and_commit(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(number, 1.3 if number >= 4 else 1.0) for number in range(7)]
    assert changes_of(content(capsys, *runs)) == both("throughput", "step", "regressed", "r4")
    assert main(["history", *runs]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[0] == "2 steps (2 worse) in 4 figures over 7 runs"
    assert lines[1] == "From r0 (2026-11-01 10:00) to r6 (2026-11-07 10:00)"
    assert lines[2] == "r4 (commit 4444444444): throughput worse at 2 points of sable chunkwise"
    (row,) = [line for line in lines if line.startswith("sable chunkwise, 16   throughput")]
    assert re.search(r"  3\.19k +2\.46k +0\.771x +r4 +4444444444 +4 \+ 3$", row)
    assert "*2.46k" in captured.out
    assert "xla_peak" not in captured.out
    assert main(["history", *runs, "--all"]) == 0
    assert "xla_peak: XLA's static bytes" in capsys.readouterr().out


def test_runs_stand_in_the_order_in_which_they_were_made(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(number, 1.3 if number >= 3 else 1.0) for number in range(6)]
    shuffled = [runs[place] for place in (4, 0, 3, 5, 1, 2)]
    found = content(capsys, *shuffled)
    assert [one["name"] for one in found["runs"]] == runs
    assert found["by_time"] is True
    assert changes_of(found) == both("throughput", "step", "regressed", "r3")
    found = content(capsys, *reversed(runs), "--as-given")
    assert [one["name"] for one in found["runs"]] == runs[::-1]
    assert changes_of(found) == both("throughput", "step", "improved", "r2")
    assert main(["history", *runs, "--as-given"]) == 0
    assert "Runs stand in the order in which they were given." in capsys.readouterr().out


def test_without_times_the_given_order_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, peak in (("b", 1_000_000), ("a", 2_000_000)):
        table(folder / f"{name}.csv", record(xla_peak_bytes=peak))
    found = content(capsys, "b.csv", "a.csv")
    assert found["by_time"] is False
    assert changes_of(found) == [(16, "xla_peak", "step", "regressed", "a")]


def test_saved_baselines_are_the_default_and_keep_their_commits(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        host = {"git": {"commit": "ab" * 20, "dirty": True}} if number == 1 else None
        make(number, xla_act_temp_bytes=1, host=host, xla_peak_bytes=1000 if number < 2 else 800)
        assert main(["baseline", "save", f"v{3 - number}", f"r{number}"]) == 0
    capsys.readouterr()
    found = content(capsys)
    assert [(one["name"], one["commits"]) for one in found["runs"]] == [
        ("v3", ["0000000000"]),
        ("v2", ["ababababab+"]),
        ("v1", ["2222222222"]),
    ]
    assert changes_of(found) == both("xla_peak", "step", "improved", "v1")
    mixed = content(capsys, "v3", "r1", "v1")
    assert [one["name"] for one in mixed["runs"]] == ["v3", "r1", "v1"]


def test_a_change_of_one_run_is_a_spike(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(number, 1.5 if number == 3 else 1.0) for number in range(7)]
    assert changes_of(content(capsys, *runs)) == both("throughput", "spike", "regressed", "r3")
    assert main(["history", *runs]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 spikes (2 worse) in 4 figures over 7 runs\n")
    assert "One run stands out from those before and after it." in out


def test_a_drift_has_no_single_run(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(number, 1.03**number) for number in range(8)]
    found = content(capsys, *runs)
    assert changes_of(found) == both("throughput", "drift", "regressed", "r0")
    assert [one["changes"][0]["after"] for one in found["series"] if one["changes"]] == [["r6", "r7"]] * 2
    assert main(["history", *runs]) == 0
    assert capsys.readouterr().out.startswith("2 drifts (2 worse) in 4 figures over 8 runs\n")


def test_a_step_at_the_newest_run_is_to_be_confirmed(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(number, 1.4 if number == 4 else 1.0) for number in range(5)]
    assert main(["history", *runs]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "2 steps at the newest run: a later run has yet to confirm what begins there." in out


def test_too_few_repeats_leave_a_change_open(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(number, 1.3 if number >= 2 else 1.0, repeats=1) for number in range(3)]
    assert changes_of(content(capsys, *runs)) == both("throughput", "step", "inconclusive", "r2")
    assert main(["history", *runs]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith("No step in 4 figures over 3 runs; 2 changes could not be judged")
    assert "-21.9 % (threshold 10 %), but 2 and 1 repeats cannot tell it from noise" in out
    assert "2 changes that could not be judged" in out
    many = [make(10 + number, 1.3 if number >= 6 else 1.0, repeats=1) for number in range(12)]
    assert changes_of(content(capsys, *many)) == both("throughput", "step", "regressed", "r16")


def test_a_point_that_is_missing_in_the_middle(make: Make, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its figures before and after are compared; where it failed is said."""
    runs = [make(number, 1.3 if number >= 3 else 1.0) for number in range(6)]
    broken = [record(agents=16, status="oom", update_cpu_seconds=None, xla_peak_bytes=None)]
    run_folder(folder / "r2b", [*broken, record(agents=64, timestamp="2026-11-03T11:00:00+00:00")])
    found = content(capsys, *runs, "r2b")
    assert [one["name"] for one in found["runs"]] == ["r0", "r1", "r2", "r2b", "r3", "r4", "r5"]
    assert changes_of(found) == both("throughput", "step", "regressed", "r3")
    assert main(["history", *runs, "r2b"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "sable chunkwise, 16 agents: oom in r2b" in out
    assert "sable chunkwise, 32 agents: not tried in r2b" in out


@pytest.mark.parametrize(
    ("change", "metrics", "why"),
    [
        ({"cpu": "Abacus 4"}, ["throughput"], "CPU: Abacus 3 in r3, Abacus 4 in r4"),
        ({"governor": "powersave"}, ["throughput"], "CPU frequency governor: performance in r3, powersave in r4"),
        (
            {"packages": {"jax": "0.11", "jaxlib": "0.10.2"}},
            ["xla_peak", "throughput"],
            "jax: 0.10.2 in r3, 0.11 in r4",
        ),
    ],
)
def test_no_step_is_looked_for_across_what_is_not_comparable(
    make: Make, capsys: pytest.CaptureFixture[str], change: dict[str, Any], metrics: list[str], why: str
) -> None:
    later = {"slower": 1.5, "xla_peak_bytes": 2_000_000, "host": change}
    runs = [make(number, **(later if number >= 4 else {})) for number in range(8)]
    found = content(capsys, *runs)
    stopped = {one["metric"] for one in found["series"] if one["not_comparable"]}
    assert stopped == set(metrics)
    assert {(b["run"], b["reason"]) for one in found["series"] for b in one["not_comparable"]} == {("r4", why)}
    assert {metric for _, metric, *_ in changes_of(found)} == {"xla_peak", "throughput"} - stopped
    assert main(["history", *runs, "--all"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"r4 ({', '.join(metrics)}): {why}" in out
    assert "| = not comparable with the runs before" in out
    assert main(["history", *runs, "--cross-machine"]) == 0
    assert f"Compared despite a difference: {why}." in " ".join(capsys.readouterr().out.split())
    across = content(capsys, *runs, "--cross-machine")
    assert {metric for _, metric, *_ in changes_of(across)} == {"xla_peak", "throughput"}


def test_figures_from_other_columns_are_not_joined(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rate per CPU second says nothing of one per second of wall time, also where a run between them has both."""
    rates = (("a", 0.1, None), ("b", 0.1, 900.0), ("c", None, 900.0), ("d", None, 900.0))
    for name, cpu, wall in rates:
        table(folder / f"{name}.csv", record(update_cpu_seconds=cpu, agent_steps_per_second=wall))
    found = content(capsys, "a.csv", "b.csv", "c.csv", "d.csv", "--metrics", "throughput")
    (one,) = found["series"]
    assert [figure["median"] for figure in one["figures"]] == pytest.approx([3200, 3200, 900, 900])
    assert one["not_comparable"] == [{"run": "c", "reason": "measured in b, missing in c"}]
    assert one["changes"] == []
    found = content(capsys, "a.csv", "c.csv", "d.csv", "--metrics", "throughput", "--cross-machine")
    assert [broken["run"] for broken in found["series"][0]["not_comparable"]] == ["c"]


def test_incomplete_runs_are_left_out_and_named(make: Make, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(number, 1.5 if number == 2 else 1.0) for number in range(4)]
    (folder / "r2" / "manifest.json").write_text(json.dumps({"schema": 1, "points": 12}))
    found = content(capsys, *runs)
    assert [one["name"] for one in found["runs"]] == ["r0", "r1", "r3"]
    assert found["left_out"] == ["r2 is incomplete: 10 of 12 records"]
    assert main(["history", *runs]) == 0
    assert "Left out: r2 is incomplete: 10 of 12 records" in capsys.readouterr().out
    assert len(content(capsys, *runs, "--allow-incomplete")["runs"]) == 4
    assert main(["history", "r1", "r2"]) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "scaleprof: r2: 10 of 12 records\n"
        "scaleprof: nothing to compare: fewer than two runs are left "
        "(r2 is incomplete: 10 of 12 records; --allow-incomplete takes such runs)\n"
    )


def test_metrics_points_and_thresholds_can_be_chosen(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(number, 1.3 if number >= 3 else 1.0) for number in range(6)]
    found = content(capsys, *runs, "--metrics", "throughput", "--where", "agents>=32")
    assert [(one["point"]["agents"], one["metric"]) for one in found["series"]] == [(32, "throughput")]
    assert len(changes_of(found)) == 1
    assert changes_of(content(capsys, *runs, "--threshold", "throughput=40%")) == []
    Path("pyproject.toml").write_text('[tool.scaleprof.check."agents=16"]\nthroughput = "40%"\n')
    assert [agents for agents, *_ in changes_of(content(capsys, *runs))] == [32]


def test_of_live_pairs_the_new_side_is_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = [record(side="base", xla_peak_bytes=5_000_000), record(side="new", xla_peak_bytes=2_000_000)]
    table(folder / "pair.csv", *pair)
    table(folder / "run.csv", record())
    (one,) = [one for one in content(capsys, "run.csv", "pair.csv")["series"] if one["metric"] == "xla_peak"]
    assert [figure["median"] for figure in one["figures"]] == [1_000_000, 2_000_000]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("", 2, "there is no saved baseline: give two or more baselines, run directories or CSV files"),
        ("r0", 2, "one run is no history: give two or more baselines, run directories or CSV files"),
        ("r0 ./r0", 2, "one run is no history: give two or more baselines, run directories or CSV files"),
        ("r0 r0", 2, "one run is no history: give two or more baselines, run directories or CSV files"),
        (
            "r0 r9",
            2,
            "r9 is no saved baseline, and there is no such run directory or file: no baseline is saved",
        ),
        ("r0 .", 2, ". is not a run: it has no records.jsonl"),
        ("r0 r1 --plot x.gif", 2, "--plot: 'x.gif' does not end in .png or .svg or .pdf: rename the file"),
        ("r0 r1 --plot no/x.png", 2, "--plot: there is no folder no: create it, or name another file"),
        ("r0 r1 --html x.htm", 2, "--html: 'x.htm' does not end in .html: rename the file"),
        ("r0 r1 --where agents=7", 2, "--where: no record has agents=7: found 16, 32"),
        ("r0 r1 --metrics speed", 2, "--metrics: unknown metric 'speed'"),
        ("r0 r1 --format csv", 2, "--format: history has no format 'csv'"),
        (
            "r0 other.csv",
            4,
            "nothing to compare: no point has figures in two of the runs; compare runs of the same grid",
        ),
        (
            "r0 r2 --metrics throughput",
            4,
            "nothing to compare: CPU: Abacus 3 in r0, Z in r2 (--cross-machine compares anyway)",
        ),
    ],
)
def test_bad_input_is_one_line(
    make: Make, folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, code: int, said: str
) -> None:
    make(0), make(1), make(2, host={"cpu": "Z"})
    table(folder / "other.csv", record(agents=999))
    before = sorted(folder.iterdir())
    assert main(["history", *arguments.split()]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"scaleprof: {said}")
    assert captured.err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


HOSTILE = "a|b <img src=x onerror=alert(1)> [red]*\x07\x1b[2J http://x.y $x$ \u202e::error::"


@pytest.fixture
def hostile(make: Make) -> list[str]:
    """Runs of a model with a hostile name, that step."""
    return [make(number, 1.3 if number >= 3 else 1.0, model=HOSTILE) for number in range(6)]


@pytest.mark.parametrize("columns", ["24", "40", "80", "200"])
@pytest.mark.parametrize("form", ["table", "markdown"])
def test_nothing_in_data_steers_the_terminal(
    hostile: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str, form: str
) -> None:
    """No figure is cut at any width."""
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["history", *hostile, "--format", form]) == 0
    out = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in out)
    monkeypatch.setenv("COLUMNS", "500")
    assert main(["history", *hostile, "--format", form]) == 0
    numbers = re.compile(r"\d[\d.]*[kx]\b|\b3{10}\b")
    assert set(numbers.findall(out)) == set(numbers.findall(capsys.readouterr().out)) > {"3.20k", "3333333333"}
    if form == "markdown":
        assert "<img" not in out
        assert "http://" not in out


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_picture(hostile: list[str], capsys: pytest.CaptureFixture[str], ending: str) -> None:
    for name in ("a", "b"):
        assert main(["history", *hostile, "--plot", f"{name}.{ending}"]) == 0
        assert capsys.readouterr().err == f"Written to {name}.{ending}\n"
    drawn = Path(f"a.{ending}").read_bytes()
    assert drawn == Path(f"b.{ending}").read_bytes()
    if ending == "svg":
        text = drawn.decode()
        for wanted in (
            "throughput, relative to the first comparable run (less is worse)",
            "step down, worse",
            "&gt; [",
        ):
            assert wanted in text
        assert "<img" not in text


def test_points_without_a_change_share_one_line_of_the_legend(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    host = {"cpu": "Abacus 4"}
    runs = [make(number, host=host if number == 3 else None) for number in range(4)]
    assert main(["history", *runs, "--plot", "x.svg"]) == 0
    text = Path("x.svg").read_text()
    assert text.count("a point without a change") == 1
    assert "16 agents" not in text
    assert "not comparable with the runs before" in text
    assert "No step in 4 figures over 4 runs" in text


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    started = browser.start(tmp_path_factory.mktemp("chrome"))
    yield started
    started.quit()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_the_page_in_a_browser(
    hostile: list[str], folder: Path, chrome: Any, capsys: pytest.CaptureFixture[str], width: int, dark: bool
) -> None:
    for name in ("h", "again"):
        assert main(["history", *hostile, "--html", f"{name}.html"]) == 0
    assert capsys.readouterr().err == "Written to h.html\nWritten to again.html\n"
    page = folder / "h.html"
    assert page.read_bytes() == Path("again.html").read_bytes()
    browser.show(chrome, page, width=width, dark=dark)
    assert browser.console(chrome) == []
    assert [url for url in browser.requests(chrome) if not url.startswith(("data:", page.as_uri()))] == []
    script = "return [...document.querySelectorAll('img')].map(image => [image.complete, image.naturalWidth > 0])"
    assert chrome.execute_script(script) == [[True, True]]
    assert chrome.execute_script("return document.querySelectorAll('script').length") == 0
    assert chrome.execute_script("return document.documentElement.scrollWidth") <= width
    text = chrome.execute_script("return document.body.innerText")
    for wanted in ("2 steps (2 worse) in 4 figures over 6 runs", "r3 (commit 3333333333): throughput worse", "*2.4"):
        assert wanted in text
    headings = chrome.execute_script("return [...document.querySelectorAll('h2')].map(one => one.innerText)")
    assert headings[0] == "2 steps, worse"
    assert "throughput: agent-steps per second of process CPU time" in headings
