"""Runs kept under a name, and the noise that thresholds are drawn from."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import tomllib
from pathlib import Path
from typing import Any

import children
import pytest
from checked import HOST, NOISE, record, repeats, run_folder, table

from reports import load_run
from reports.checks.metrics import METRICS
from reports.checks.noise import as_toml, measure_noise, recommended_threshold
from scaleprof.cli.app import main

pytestmark = pytest.mark.usefixtures("folder")


def test_a_baseline_holds_what_a_check_needs_and_nothing_of_the_machine(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = record(
        agents=32,
        status="error",
        reason="no file /home/joe/data/x.npz",
        stderr_tail="File '/home/joe/code/a.py'",
        files="0001-joe",
        settings="model.path=/home/joe/w",
    )
    run_folder(folder / "runs" / "older", [*repeats(), failed])
    assert main(["baseline", "save", "main"]) == 0
    kept = folder / ".scaleprof" / "baselines" / "main"
    assert sorted(path.name for path in kept.iterdir()) == ["checksum.json", "host.json", "results.csv"]
    assert sorted(path.name for path in kept.parent.iterdir()) == ["main"]
    text = "".join(path.read_text() for path in kept.iterdir())
    assert "joe" not in text
    assert "no file" not in text
    assert "--xla_dump_to=dump" in text
    assert capsys.readouterr().out.startswith("Saved ")
    assert main(["baseline", "list"]) == 0
    assert capsys.readouterr().out.startswith("main: 2 points, 6 records, ")
    assert main(["check", "--baseline", "main", "runs/older"]) == 0
    assert main(["check", str(kept), "runs/older"]) == 0


def test_a_check_against_a_baseline_takes_the_newest_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder(folder / "runs" / "b", repeats())
    assert main(["baseline", "save", "v1.0", "runs/b"]) == 0
    assert main(["check", "--baseline", "v1.0"]) == 0
    run_folder(folder / "runs" / "a", repeats(slower=1.3))
    assert main(["check", "--baseline", "v1.0"]) == 1
    other = {**HOST, "cpu": "Abacus 4"}
    run_folder(folder / "runs" / "c", repeats(), other)
    capsys.readouterr()
    assert main(["check", "--baseline", "v1.0"]) == 4
    assert "CPU: Abacus 3 in BASE, Abacus 4 in NEW" in capsys.readouterr().out


def test_a_baseline_is_not_overwritten_by_accident(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = table(folder / "a.csv", record()), table(folder / "b.csv", *repeats(3))
    assert main(["baseline", "save", "main", names[0]]) == 0
    assert main(["baseline", "save", "main", names[1]]) == 2
    assert "baseline 'main' already exists (" in capsys.readouterr().err
    assert len(load_run(folder / ".scaleprof/baselines/main/results.csv").records) == 1
    assert main(["baseline", "save", "main", names[1], "--force"]) == 0
    assert len(load_run(folder / ".scaleprof/baselines/main/results.csv").records) == 3
    assert [path.name for path in (folder / ".scaleprof" / "baselines").iterdir()] == ["main"]


def test_baselines_belong_to_the_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pyproject.toml").write_text("")
    (folder / "deep").mkdir()
    monkeypatch.chdir(folder / "deep")
    assert main(["baseline", "save", "main", table(folder / "a.csv", record())]) == 0
    assert (folder / ".scaleprof" / "baselines" / "main" / "results.csv").is_file()


def test_what_cannot_be_a_baseline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "save", "main", table(folder / "a.csv", record(status="oom"))]) == 2
    assert "a.csv: no point was measured, so there is nothing to save" in capsys.readouterr().err
    (folder / ".scaleprof").write_text("in the way")
    assert main(["baseline", "save", "main", table(folder / "b.csv", record())]) == 2
    assert "cannot write to " in capsys.readouterr().err


def test_a_damaged_baseline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "list"]) == 0
    assert capsys.readouterr().out.startswith("No baselines. Save one: ")
    run = run_folder(folder / "run", repeats())
    assert main(["baseline", "save", "main", run]) == 0
    (folder / ".scaleprof" / "baselines" / "main" / "host.json").write_text("{")
    assert main(["check", "--baseline", "main", run]) == 2
    assert "host.json is not a JSON object: the file was edited or damaged" in capsys.readouterr().err
    assert main(["check", "--baseline", "mian", run]) == 2
    assert "unknown baseline 'mian' in " in capsys.readouterr().err


def test_a_baseline_of_a_resumed_run_and_of_pairs(folder: Path) -> None:
    sides = [dataclasses.replace(one, side=side) for side in ("new", "base") for one in repeats(2)]
    run = run_folder(folder / "run", sides)
    (folder / "run" / "host-2.json").write_text(json.dumps(HOST))
    (folder / "run" / "host-3.json").write_text(json.dumps({**HOST, "cores": 8}))
    assert main(["baseline", "save", "main", run]) == 0
    kept = folder / ".scaleprof" / "baselines" / "main"
    assert sorted(path.name for path in kept.iterdir()) == ["checksum.json", "host-2.json", "host.json", "results.csv"]
    assert {one.side for one in load_run(kept / "results.csv").records} == {"new"}


def test_noise_recommends_what_can_be_pasted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [repeats(5, agents=16 * i, slower=1 + i / 500) for i in range(1, 9)]
    again = [repeats(5, agents=16 * i, slower=1 + i / 250) for i in range(1, 9)]
    names = [
        run_folder(folder / name, [one for some in sweep for one in some])
        for name, sweep in (("a", points), ("b", again))
    ]
    assert main(["noise", *names]) == 0
    text = capsys.readouterr().out
    pasted = text[text.index("[tool.scaleprof.check]") :]
    assert tomllib.loads(pasted)["tool"]["scaleprof"]["check"] == {"throughput": "4.5%"}
    (folder / "pyproject.toml").write_text(pasted)
    assert main(["check", *names]) == 0
    assert max(map(len, text.splitlines())) <= 80
    assert "# scaleprof noise: a and b on Abacus 3, cpu" in pasted


def test_one_run_is_split_in_two(folder: Path) -> None:
    records = [one for i in range(1, 4) for one in repeats(4, agents=16 * i)]
    found = measure_noise(load_run(run_folder(folder / "a", records)))
    speed = next(one for one in found.metrics if one.metric.name == "throughput")
    halves = (NOISE[0] + NOISE[2]) / 2, (NOISE[1] + NOISE[3]) / 2
    assert speed.points == 3
    assert speed.largest == pytest.approx(halves[1] / halves[0] - 1, rel=1e-3)
    assert found.changed == ()
    assert "# host_peak" not in as_toml(found)


def test_a_run_is_measured_again(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By real sweeps, all of whose own output is on stderr."""
    children.install(monkeypatch)
    sizes = "--agents 2 --model ippo --envs 2 --seq-len 2 --embed-dim 8 --min-updates 1 --min-seconds 0"
    assert main(["sweep", *sizes.split(), "--memory-limit", "4GiB", "--device", "cpu", "--out", "first"]) == 0
    capfd.readouterr()
    assert main(["noise", "first", "--again"]) == 0
    captured = capfd.readouterr()
    (second,) = (folder / "runs").iterdir()
    assert captured.out.startswith(f"Noise between first and {second.name}\n")
    assert "# throughput: 1 undisturbed point, needs 3" in captured.out
    assert f"Run runs/{second.name}" in captured.err
    assert [record.status for record in load_run(second).records] == ["ok"]
    first, again = (json.loads((path / "manifest.json").read_text()) for path in (folder / "first", second))
    assert again == first


def test_what_cannot_be_measured_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(folder / "a.csv", *repeats())
    run_folder(folder / "b", repeats())
    for command, said in (
        ("a.csv --again", "--again: a.csv is a file: name the folder of a run"),
        ("b --again", "--again: b is not a run: it has no manifest.json"),
        ("b a.csv --again", "--again: RUN2 is already given, a.csv: omit one of them"),
    ):
        assert main(["noise", *command.split()]) == 2
        assert capsys.readouterr().err == f"scaleprof: {said}\n"
    assert not (folder / "runs").exists()


def test_what_is_no_noise(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [
        run_folder(folder / "a", repeats()),
        run_folder(folder / "b", repeats(xla_peak_bytes=9), {**HOST, "cpu": "Abacus 4"}),
        run_folder(folder / "c", repeats(xla_peak_bytes=9)),
    ]
    assert main(["noise", names[0], names[1]]) == 2
    assert "ran under different conditions, so this is not noise: CPU: Abacus 3 in BASE" in capsys.readouterr().err
    other = table(folder / "other.csv", *repeats(agents=99))
    assert main(["noise", names[0], other]) == 4
    assert "have no point in common: agents is 16 in the first and 99 in the second" in capsys.readouterr().err
    assert main(["noise", names[0], names[2]]) == 0
    text = capsys.readouterr().out
    assert "Runs of the same code should agree exactly, but these metrics differ: xla_peak." in " ".join(text.split())
    assert "# throughput: 1 undisturbed point, needs 3" in text


def test_wall_time_of_a_busy_machine_recommends_nothing(folder: Path) -> None:
    times: tuple[dict[str, Any], ...] = (
        {"update_seconds": 0.1},
        {"update_seconds": 0.12, "contended": 1, "others_cpu_share": 0.5},
    )
    runs = [
        load_run(run_folder(folder / name, [one for i in range(1, 5) for one in repeats(agents=i, **some)]))
        for name, some in zip("ab", times, strict=True)
    ]
    found = {one.metric.name: one for one in measure_noise(*runs).metrics}
    assert (found["wall_time"].points, found["throughput"].points) == (0, 4)


def test_the_recommended_threshold_is_passed_as_seldom_as_it_says() -> None:
    speed = next(metric for metric in METRICS if metric.name == "wall_time")
    draw = random.Random(1)
    alarms = 0
    for _ in range(1000):
        threshold = recommended_threshold([draw.gauss(0, 0.05) for _ in range(10)], speed)
        assert threshold is not None
        alarms += any(math.expm1(draw.gauss(0, 0.05)) > threshold for _ in range(10))
    assert alarms <= 20


def test_one_damaged_baseline_hides_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = table(folder / "a.csv", record())
    for name in ("a", "b", "c"):
        assert main(["baseline", "save", name, run]) == 0
    (folder / ".scaleprof" / "baselines" / "b" / "checksum.json").write_text("{")
    capsys.readouterr()
    assert main(["baseline", "list"]) == 2
    captured = capsys.readouterr()
    assert [line.partition(":")[0] for line in captured.out.splitlines()] == ["a", "c"]
    assert captured.err.startswith("scaleprof: ")
    assert "baselines/b/checksum.json is not a JSON object: the file was edited or damaged" in captured.err
    assert captured.err.count("\n") == 1


def test_incomplete_runs_are_compared_without_verdict_and_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        run_folder(folder / name, [one for i in range(1, 4) for one in repeats(4, agents=16 * i)])
        points = 13 if name == "a" else 12
        (folder / name / "manifest.json").write_text(json.dumps({"schema": 1, "points": points, "options": {}}))
    for command in (["noise", "a", "b"], ["noise", "b", "a"], ["noise", "a"], ["compare", "a", "b"]):
        assert main(command) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"{'BASE' if command[0] == 'compare' else 'A'} is incomplete: 12 of 13 records" in said
    (folder / "b" / "manifest.json").unlink()
    assert main(["compare", "a", "b"]) == 0
    assert "whether NEW lacks records is not known" in " ".join(capsys.readouterr().out.split())
    assert main(["history", "a", "b", "--allow-incomplete"]) == 0
    assert "Whether b lacks records is not known" in " ".join(capsys.readouterr().out.split())


def test_why_a_metric_has_no_recommendation(folder: Path) -> None:
    first = {"compile_cache": "written", "host_rss_peak_bytes": 1000}
    records = [
        record(agents=16 * i, repeat=n, update_cpu_seconds=0.1, **(first if n == 0 else {"compile_cache": "read"}))
        for i in range(1, 4)
        for n in range(4)
    ]
    said = as_toml(measure_noise(load_run(run_folder(folder / "a", records))))
    assert "# host_peak: not measured in all repeats: one that reads compiled programs has no figure" in said
    busy = [dataclasses.replace(one, update_seconds=0.1) for one in records]
    worse = [dataclasses.replace(one, update_seconds=0.2, contended=1, others_cpu_share=0.9) for one in records]
    runs = [load_run(run_folder(folder / name, some)) for name, some in (("b", busy), ("c", worse))]
    assert "# wall_time: other processes competed for the CPU at every point" in as_toml(measure_noise(*runs))
    other = [dataclasses.replace(one, host_memory_quality="repeatable") for one in records]
    runs = [load_run(run_folder(folder / name, some)) for name, some in (("d", records), ("e", other))]
    assert "# host_peak: allocator: noisy in d, repeatable in e" in as_toml(measure_noise(*runs))
