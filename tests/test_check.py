"""`check` and `compare` through the command line: every verdict, exit code and error."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checked import HOST, record, repeats, run_folder, saved, several, table, verdicts

from reports import Record
from reports.checks.metrics import METRICS
from scaleprof.cli.app import main

pytestmark = pytest.mark.usefixtures("folder")

Check = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Check two lists of records as CSV files; gives the exit code and the JSON."""

    def run(base: list[Record], new: list[Record], *options: str) -> tuple[int, dict[str, Any]]:
        names = saved(folder / "base", *base), saved(folder / "new", *new)
        code = main(["check", *names, "--format", "json", *options])
        captured = capsys.readouterr()
        assert captured.err == ""
        content: dict[str, Any] = json.loads(captured.out)
        assert content["exit_code"] == code or "--exit-zero" in options
        return code, content

    return run


def failed(status: str, count: int = 5, **changes: Any) -> list[Record]:
    return [record(repeat=i, status=status, reason=f"the {status} reason", **changes) for i in range(count)]


def test_an_untouched_run_passes(check: Check) -> None:
    code, content = check(several(5), several(5, slower=1.02))
    assert code == 0
    assert {verdict for _, _, verdict in verdicts(content)} == {"unchanged"}
    assert content["counts"]["unchanged"] == content["matched_points"] * 2 == 8


def test_more_memory_needs_no_significance_test(check: Check) -> None:
    larger = [*repeats(1), *repeats(1, agents=32, xla_peak_bytes=1_020_000)]
    code, content = check([*repeats(1), *repeats(1, agents=32)], larger)
    assert code == 1
    assert [found for found in verdicts(content) if found[2] == "regressed"] == [(32, "xla_peak", "regressed")]
    assert check(larger, [*repeats(1), *repeats(1, agents=32)])[1]["counts"]["improved"] == 1


@pytest.mark.parametrize(
    ("peak", "verdict"), [(1_010_000, "unchanged"), (1_010_001, "regressed"), (989_999, "improved")]
)
def test_a_change_equal_to_the_threshold_passes(check: Check, peak: int, verdict: str) -> None:
    _, content = check([record()], [record(xla_peak_bytes=peak)], "--metrics", "xla_peak")
    assert verdicts(content) == {(16, "xla_peak", verdict)}


def test_programs_are_judged_separately(check: Check) -> None:
    parts = {f"xla_act_{part}_bytes": 1000 for part in ("argument", "output", "alias", "temp")}
    _, content = check([record(**parts)], [record(**parts | {"xla_act_alias_bytes": 900})])
    assert (16, "xla_act", "regressed") in verdicts(content)
    assert (16, "xla_peak", "unchanged") in verdicts(content)


def test_a_slowdown_of_all_points(check: Check) -> None:
    code, content = check(several(5), several(5, slower=1.3))
    assert code == 1
    slow = [found for found in content["findings"] if found["verdict"] == "regressed"]
    assert [(found["point"]["agents"], found["metric"]) for found in slow] == [
        (n, "throughput") for n in (16, 32, 48, 64)
    ]
    assert all(found["p_value"] == 1 / math.comb(10, 5) == found["p_adjusted"] for found in slow)
    assert all(found["ratio"] == pytest.approx(1 / 1.3) for found in slow)
    assert all(low < 1 / 1.3 < high < 0.9 for low, high in (found["interval"] for found in slow))


def test_a_slowdown_of_one_point_of_many_needs_more_repeats(check: Check) -> None:
    slow = [*several(5, points=19), *repeats(5, agents=320, slower=1.3)]
    code, content = check(several(5, points=20), slow)
    found = next(found for found in content["findings"] if found["verdict"] == "inconclusive")
    assert (code, found["point"]["agents"], found["needed_repeats"]) == (0, 320, 6)  # C(12, 6) = 924 > 20 / 0.05
    code, content = check(several(6, points=20), [*several(6, points=19), *repeats(6, agents=320, slower=1.3)])
    assert code == 1
    assert (320, "throughput", "regressed") in verdicts(content)


def test_too_few_repeats_are_inconclusive(check: Check) -> None:
    code, content = check(repeats(1), repeats(1, slower=2))
    assert code == 0
    found = next(found for found in content["findings"] if found["metric"] == "throughput")
    assert (found["verdict"], found["needed_repeats"]) == ("inconclusive", 3)
    assert "needs 3 repeats" in found["reason"]
    assert check(repeats(1), repeats(1, slower=2), "--threshold-only")[0] == 1
    assert check(repeats(1), repeats(1, slower=1.05), "--threshold-only")[0] == 0
    assert (16, "throughput", "inconclusive") in verdicts(check(repeats(1, slower=2), repeats(1))[1])


def test_a_change_within_the_noise_is_unchanged(check: Check) -> None:
    base = [record(repeat=i, update_cpu_seconds=0.1 * (1 + i / 5)) for i in range(8)]
    new = [record(repeat=i, update_cpu_seconds=0.12 * (1 + i / 5)) for i in range(8)]
    code, content = check(base, new)
    found = next(found for found in content["findings"] if found["metric"] == "throughput")
    assert (code, found["verdict"]) == (0, "unchanged")
    assert "within the noise" in found["reason"]
    assert check(base, new, "--threshold-only")[0] == 1


@pytest.mark.parametrize(("slower", "p_value"), [(1.03, 1.0), (1.04, 1 / 252), (1 / 1.03, 1.0), (1 / 1.04, 1 / 252)])
def test_the_null_hypothesis_is_a_third_of_the_threshold(check: Check, slower: float, p_value: float) -> None:
    """Machines drift between runs by more than the repeats of one run show."""
    base = [record(repeat=i, update_cpu_seconds=0.1) for i in range(5)]
    new = [record(repeat=i, update_cpu_seconds=0.1 * slower) for i in range(5)]
    _, content = check(base, new, "--metrics", "throughput")
    (found,) = content["findings"]
    assert (found["verdict"], found["p_value"]) == ("unchanged", p_value)


def test_repeats_that_are_hardly_slower_are_not_evidence_for_a_large_change(check: Check) -> None:
    base = [record(repeat=i, update_cpu_seconds=0.1) for i in range(5)]
    new = [record(repeat=i, update_cpu_seconds=seconds) for i, seconds in enumerate((0.102, 0.102, 0.12, 0.12, 0.12))]
    code, content = check(base, new, "--metrics", "throughput")
    (found,) = content["findings"]
    assert (code, found["verdict"]) == (0, "unchanged")
    assert "but within the noise" in found["reason"]


def test_improvements(check: Check) -> None:
    code, content = check(several(5, slower=1.3), several(5))
    assert code == 0
    assert content["counts"]["improved"] == 4


def test_a_stricter_false_discovery_rate(check: Check) -> None:
    code, content = check(repeats(5), repeats(5, slower=1.3), "--alpha", "0.001")
    assert (code, content["policy"]["alpha"]) == (0, 0.001)
    assert (16, "throughput", "inconclusive") in verdicts(content)


@pytest.mark.parametrize("status", ["oom", "timeout", "crashed", "error", "skipped", "interrupted", "pending"])
def test_a_point_that_is_no_longer_measured(check: Check, status: str) -> None:
    code, content = check(several(2, points=2), [*repeats(2), *failed(status, 2, agents=32)])
    assert code == 1
    assert (32, "status", "regressed") in verdicts(content)


def test_a_point_that_vanished_and_one_that_is_new(check: Check) -> None:
    code, content = check(several(2, points=2), repeats(2))
    assert (code, (32, "status", "regressed") in verdicts(content)) == (1, True)
    code, content = check(repeats(2), several(2, points=2))
    assert (code, (32, "status", "new") in verdicts(content)) == (0, True)


def test_a_point_that_was_learned_from_in_another_way_is_no_regression(check: Check) -> None:
    """Such as after a change of the defaults: BASE is by an earlier version."""
    tuned = [dataclasses.replace(one, accumulate="auto", segment="auto") for one in repeats(2)]
    common = [dataclasses.replace(one, agents=32) for one in repeats(2)]
    code, content = check([*tuned, *common], [*repeats(2), *common])
    assert code == 0
    assert (16, "status", "not comparable") in verdicts(content)
    said = [one["reason"] for one in content["findings"] if one["verdict"] == "not comparable"]
    assert said == ["accumulate auto → 1, segment auto → all: learned from in another way"]
    code, content = check([*tuned, *common], common)
    assert (code, (16, "status", "regressed") in verdicts(content)) == (1, True)


@pytest.mark.parametrize("status", ["oom", "timeout", "skipped"])
def test_a_point_that_is_measured_now(check: Check, status: str) -> None:
    code, content = check(failed(status), repeats())
    assert (code, verdicts(content)) == (0, {(16, "status", "improved")})


def test_repeats_that_failed_in_part(check: Check) -> None:
    some = [*repeats(4), record(repeat=4, status="crashed", reason="killed by SIGABRT")]
    code, content = check(repeats(5), some)
    assert (code, (16, "status", "regressed") in verdicts(content)) == (1, True)
    reason = next(found["reason"] for found in content["findings"] if found["metric"] == "status")
    assert reason == "was ok, now 4 of 5 ok, 1 of 5 crashed (killed by SIGABRT)"
    assert (16, "status", "improved") in verdicts(check(some, repeats(5))[1])
    code, content = check(some, some)
    assert (code, (16, "status", "unchanged") in verdicts(content)) == (0, True)
    assert check(some, failed("oom"))[0] == 1


def test_nothing_measured_in_both_runs_does_not_pass(check: Check) -> None:
    code, content = check(failed("oom"), failed("timeout"))
    assert (code, verdicts(content)) == (4, {(16, "status", "unchanged")})
    assert check(failed("oom"), failed("timeout"), "--exit-zero")[0] == 0


NO_MATCH = [
    ([record()], [record(seq_len=20)], "have no point in common: seq_len is 10 in the first and 20 in the second"),
    ([record()], [record(agents=4, seq_len=10), record(agents=8)], "agents is 16 in the first and 4, 8 in the second"),
    ([record()], [], "new has no measured point"),
    ([record(status="pending")], [record()], "base has no measured point"),
]


@pytest.mark.parametrize(("base", "new", "said"), NO_MATCH)
def test_no_common_point(
    folder: Path, capsys: pytest.CaptureFixture[str], base: list[Record], new: list[Record], said: str
) -> None:
    names = saved(folder / "base", *base), saved(folder / "new", *new)
    for command in ("check", "compare"):
        assert main([command, *names]) == 4
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert said in captured.err


def test_another_device(check: Check) -> None:
    other = [dataclasses.replace(one, device="Xeon") for one in repeats()]
    code, content = check(repeats(), other)
    assert code == 4
    assert verdicts(content) == {(16, "xla_peak", "unchanged"), (16, "throughput", "not comparable")}
    assert content["differences"] == ["device: cpu in BASE, Xeon in NEW"]
    assert check(repeats(), other, "--cross-machine")[0] == 0
    assert check(repeats(), [dataclasses.replace(one, xla_peak_bytes=2_000_000) for one in other])[0] == 1
    assert check(repeats(), other, "--metrics", "xla_peak")[0] == 0
    slow = [dataclasses.replace(one, device="Xeon") for one in repeats(slower=1.5)]
    assert check(repeats(), slow, "--cross-machine")[0] == 1


def test_another_platform(check: Check) -> None:
    other = [dataclasses.replace(one, platform="gpu", device="H100", agent_steps_per_second=1.0) for one in repeats()]
    code, content = check(repeats(), other)
    assert code == 4
    assert {verdict for _, _, verdict in verdicts(content)} == {"not comparable"}


def host(**changes: Any) -> dict[str, Any]:
    return HOST | changes


ALIKE = [
    host(affinity=[2, 3]),
    host(variables={"together": {"XLA_FLAGS": "--xla_dump_to=/elsewhere/dump", "PYTHONPATH": "/other"}}),
    host(packages=HOST["packages"] | {"numpy": "2.5"}),
    host(cpu=None),
    {},
]
UNLIKE = [
    (host(cpu="Abacus 4"), "CPU: Abacus 3 in BASE, Abacus 4 in NEW"),
    (host(cores=8), "cores: 4 in BASE, 8 in NEW"),
    (host(governor="powersave"), "CPU frequency governor: performance in BASE, powersave in NEW"),
    (host(affinity=[0]), "usable cores: 2 in BASE, 1 in NEW"),
    (host(packages={"jax": "0.11", "jaxlib": "0.10.2"}), "jax: 0.10.2 in BASE, 0.11 in NEW"),
    (
        host(variables={"together": {"XLA_FLAGS": "--xla_a"}}),
        "XLA_FLAGS: --xla_dump_to=dump in BASE, --xla_a in",
    ),
    (
        host(variables={"together": HOST["variables"]["together"] | {"MALLOC_ARENA_MAX": "1"}}),
        "MALLOC_ARENA_MAX: not set in BASE, 1 in NEW",
    ),
    (host(variables={"speed": {"JAX_ENABLE_X64": "1"}}), "JAX_ENABLE_X64: not set in BASE, 1 in NEW"),
]


@pytest.mark.parametrize("other", ALIKE)
def test_hosts_that_are_alike(folder: Path, other: dict[str, Any]) -> None:
    names = run_folder(folder / "a", repeats()), run_folder(folder / "b", repeats(), other)
    assert main(["check", *names]) == 0


@pytest.mark.parametrize(("other", "said"), UNLIKE)
def test_hosts_that_differ(folder: Path, capsys: pytest.CaptureFixture[str], other: dict[str, Any], said: str) -> None:
    names = run_folder(folder / "a", repeats()), run_folder(folder / "b", repeats(), other)
    assert main(["check", *names, "--format", "json"]) == 4
    content = json.loads(capsys.readouterr().out)
    assert content["differences"][0].startswith(said)
    changes_programs = said.startswith(("jax", "XLA_", "JAX_"))
    assert (16, "xla_peak", "not comparable" if changes_programs else "unchanged") in verdicts(content)
    assert main(["check", *names, "--cross-machine"]) == 0


def test_static_figures_need_the_same_jaxlib(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = host(packages={"jax": "0.10.2", "jaxlib": "0.11"})
    names = run_folder(folder / "a", repeats()), run_folder(folder / "b", repeats(xla_peak_bytes=9), other)
    assert main(["check", *names, "--format", "json"]) == 4
    assert (16, "xla_peak", "not comparable") in verdicts(json.loads(capsys.readouterr().out))


def test_a_run_that_was_resumed_on_another_machine(folder: Path) -> None:
    names = run_folder(folder / "a", repeats()), run_folder(folder / "b", repeats())
    (folder / "b" / "host-2.json").write_text(json.dumps(host(cpu="Abacus 4")))
    assert main(["check", *names]) == 4


def test_a_results_file_alone_has_a_note(check: Check) -> None:
    notes = check(repeats(), repeats())[1]["notes"]
    assert sum("is a bare results file" in note for note in notes) == 2


@pytest.mark.parametrize(
    ("column", "platform", "metrics"),
    [
        ("host_peak_rise_bytes", "cpu", {"memory"}),
        ("device_peak_bytes", "gpu", {"memory", "device_peak"}),
        ("host_peak_rise_bytes", "gpu", set()),
    ],
)
def test_memory_is_one_metric(check: Check, column: str, platform: str, metrics: set[str]) -> None:
    """On a card its peak is judged beside it, more strictly; the rise on a host only where it is named."""
    base, new = ([*repeats(5, platform=platform, **{column: size})] for size in (1000, 1300))
    code, content = check(base, new)
    assert code == (1 if metrics else 0)
    assert {found["metric"] for found in content["findings"] if found["verdict"] == "regressed"} == metrics
    part = "device_peak" if column.startswith("device") else "host_rise"
    assert (16, part, "regressed") in verdicts(check(base, new, "--threshold", f"{part}=5%")[1])


def test_memory_of_two_qualities_is_never_mixed(check: Check) -> None:
    def with_memory(quality: str, size: int) -> list[Record]:
        return repeats(host_rss_peak_bytes=size, host_memory_quality=quality)

    code, content = check(with_memory("noisy", 1000), with_memory("repeatable", 500))
    found = next(found for found in content["findings"] if found["metric"] == "host_peak")
    assert (code, found["verdict"]) == (0, "not comparable")
    assert found["reason"] == "allocator: noisy in BASE, repeatable in NEW (see host_memory_quality)"
    later = [dataclasses.replace(one, repeat=one.repeat + 5) for one in with_memory("repeatable", 600)]
    code, content = check([*with_memory("noisy", 1), *later], with_memory("repeatable", 720))
    found = next(found for found in content["findings"] if found["metric"] == "host_peak")
    assert (code, found["verdict"], found["base"]["repeats"], found["ratio"]) == (1, "regressed", 5, 1.2)


def test_another_way_to_compile_is_no_regression(check: Check) -> None:
    """Programs that compile together leave more resident memory behind, and no time of each."""
    times: dict[str, Any] = {"compile_act_seconds": 1.0, "compile_rollout_seconds": 1.0, "compile_learn_seconds": 2.0}
    before = repeats(host_rss_peak_bytes=400, **times)
    after = repeats(host_rss_peak_bytes=500, compiling="together")
    found = {finding["metric"]: finding for finding in check(before, after)[1]["findings"]}
    for metric in ("host_peak", "compile_time"):
        assert found[metric]["verdict"] == "not comparable"
        assert found[metric]["reason"] == (
            "programs compiled one by one in BASE, together in NEW (sweep --measure compile)"
        )
    assert check(after, repeats(host_rss_peak_bytes=600, compiling="together"))[0] == 1
    later = [dataclasses.replace(one, repeat=one.repeat + 5) for one in after]  # as if an earlier run was resumed
    code, content = check(before, [*repeats(host_rss_peak_bytes=400, **times), *later])
    found = {finding["metric"]: finding for finding in content["findings"]}
    assert (code, found["host_peak"]["verdict"], found["host_peak"]["new"]["repeats"]) == (0, "unchanged", 5)


def test_repeats_that_compiled_nothing_have_no_compile_time(check: Check) -> None:
    times: dict[str, Any] = {"compile_act_seconds": 1.0, "compile_rollout_seconds": 1.0, "compile_learn_seconds": 2.0}
    first, *others = repeats()
    _, content = check([dataclasses.replace(first, **times), *others], repeats(5, **dict.fromkeys(times, 9.0)))
    found = next(found for found in content["findings"] if found["metric"] == "compile_time")
    assert (found["base"]["repeats"], found["new"]["repeats"], found["base"]["median"]) == (1, 5, 4.0)
    assert found["verdict"] == "inconclusive"
    assert (16, "compile_time", "not comparable") in verdicts(check(repeats(), repeats(**times))[1])


def test_waiting_shows_in_wall_time(check: Check) -> None:
    base, new = repeats(update_seconds=0.1, contended=0), repeats(update_seconds=0.2, contended=0)
    code, content = check(base, new)
    assert (code, (16, "wall_time", "regressed") in verdicts(content)) == (1, True)


@pytest.mark.parametrize(
    ("slower", "share", "ratio", "code"),
    [(2.0, 0.3, 1.4, 1), (2.0, 0.6, 1.0, 0), (0.5, 0.6, 0.5, 0), (4.0, 0.6, 1.6, 1)],
)
def test_contention_is_no_change_of_wall_time(
    check: Check, slower: float, share: float, ratio: float, code: int
) -> None:
    new = repeats(update_seconds=0.1 * slower, contended=1, others_cpu_share=share)
    found_code, content = check(repeats(update_seconds=0.1, contended=0), new)
    found = next(found for found in content["findings"] if found["metric"] == "wall_time")
    assert (found_code, found["ratio"]) == (code, pytest.approx(ratio))
    assert any(note.startswith("NEW: 5 of 5 repeats contended") for note in content["notes"])


def test_speed_on_a_gpu_is_wall_time(check: Check) -> None:
    def on_gpu(rate: float) -> list[Record]:
        return [
            dataclasses.replace(one, platform="gpu", device="H100", agent_steps_per_second=rate + i)
            for i, one in enumerate(repeats(slower=rate))
        ]

    _, content = check(on_gpu(1000), on_gpu(800))
    found = next(found for found in content["findings"] if found["metric"] == "throughput")
    assert (found["verdict"], found["source"]) == ("regressed", "agent-steps per second of wall time")
    _, content = check(repeats(), repeats())
    assert any(note == "throughput is agent-steps per second of process CPU time" for note in content["notes"])


def test_a_change_from_zero(check: Check) -> None:
    parts = [f"xla_learn_{part}_bytes" for part in ("argument", "output", "alias", "temp")]
    zero, some = (record(**{**dict.fromkeys(parts, 0), parts[0]: size}) for size in (0, 10))
    assert (16, "xla_learn", "unchanged") in verdicts(check([zero], [zero])[1])
    assert (16, "xla_learn", "regressed") in verdicts(check([zero], [some])[1])
    assert (16, "xla_learn", "improved") in verdicts(check([some], [zero])[1])


def test_non_finite_figures_are_unknown(check: Check) -> None:
    code, content = check(repeats(), [dataclasses.replace(one, update_cpu_seconds=math.nan) for one in repeats()])
    assert (code, (16, "throughput", "regressed") in verdicts(content)) == (1, True)


def test_of_duplicate_rows_the_last_wins(check: Check) -> None:
    _, content = check([*repeats(1), *repeats(1)], repeats(1))
    assert next(found for found in content["findings"] if found["metric"] == "throughput")["base"]["repeats"] == 1


def pair_records(count: int, slower: float) -> list[Record]:
    return [
        dataclasses.replace(one, side=side, pair_id=f"run/{one.repeat}", files=f"r{one.repeat}-{side}")
        for side, factor in (("new", slower), ("base", 1.0))
        for one in repeats(count, slower=factor)
    ]


def burst_samples(count: int, slower: float, drift: float = 0.0) -> dict[str, str]:
    """Sixteen bursts of two updates; the machine gets slower by `drift` from burst to burst."""
    return {
        f"r{repeat}-{side}": "update,phase,burst,update_seconds,update_cpu_seconds\n0,warm up,,9,9\n"
        + "".join(f"{i},measure,{i // 2},1,{factor * (1 + drift * i) * (1 + i % 3 / 100)}\n" for i in range(32))
        for side, factor in (("new", slower), ("base", 1.0))
        for repeat in range(count)
    }


def test_live_pairs_are_judged_by_pairs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for count, verdict in ((4, "inconclusive"), (5, "regressed")):
        name = saved(folder / "pairs", *pair_records(count, 1.3))
        assert main(["check", name, "--format", "json"]) == int(verdict == "regressed")
        found = json.loads(capsys.readouterr().out)["findings"]
        speed = next(one for one in found if one["metric"] == "throughput")
        assert (speed["verdict"], speed["units"]) == (verdict, f"{count} pairs")
        assert speed["p_value"] == 0.5**count
        assert speed["ratio"] == pytest.approx(1 / 1.3)


def test_live_pairs_are_judged_by_bursts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for slower, code, p_value in ((1.3, 1, 0.5**16), (1.02, 0, 1.0)):
        path = folder / f"pairs{slower}"
        run_folder(path, pair_records(1, slower), samples=burst_samples(1, slower, drift=0.05))
        assert main(["check", str(path), "--format", "json"]) == code
        found = json.loads(capsys.readouterr().out)["findings"]
        speed = next(one for one in found if one["metric"] == "throughput")
        assert (speed["units"], speed["ratio"]) == ("16 bursts of 1 pair", pytest.approx(1 / slower))
        assert speed["p_value"] == p_value


def test_pairs_are_those_of_one_pair_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the repeat numbers: here those of side base run backwards."""
    records = [
        record(repeat=repeat, side=side, pair_id=f"run/{pair}", update_cpu_seconds=0.1 * 2**pair)
        for pair in range(6)
        for side, repeat in (("new", pair), ("base", 5 - pair))
    ]
    assert main(["check", saved(folder / "pairs", *records), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    speed = next(one for one in found if one["metric"] == "throughput")
    assert (speed["units"], speed["ratio"], speed["interval"]) == ("6 pairs", 1.0, [1.0, 1.0])


def test_very_many_bursts_are_grouped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exact test of 1000 would take minutes."""
    samples = {
        f"r{repeat}-{side}": "update,phase,burst,update_seconds,update_cpu_seconds\n"
        + "".join(f"{i},measure,{i},1,{factor * (1 + i % 7 / 100)}\n" for i in range(200))
        for side, factor in (("new", 1.3), ("base", 1.0))
        for repeat in range(5)
    }
    path = run_folder(folder / "pairs", pair_records(5, 1.3), samples=samples)
    assert main(["check", path, "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    speed = next(one for one in found if one["metric"] == "throughput")
    assert speed["units"] == "125 groups of 8 bursts of 5 pairs"
    assert (speed["p_value"], speed["ratio"]) == (0.5**125, pytest.approx(1 / 1.3))


def test_figures_of_any_size(check: Check) -> None:
    """Their ratio overflows a float."""
    base = [record(repeat=i, update_cpu_seconds=1e-300) for i in range(5)]
    new = [record(repeat=i, update_cpu_seconds=1e300) for i in range(5)]
    code, content = check(base, new)
    assert (code, (16, "throughput", "regressed") in verdicts(content)) == (1, True)


def test_a_damaged_samples_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = burst_samples(1, 1.0)
    samples["r0-new"] = samples["r0-new"].replace("1,measure,0,1,1.01", "1,measure,0,1,fast")
    assert main(["check", run_folder(folder / "pairs", pair_records(1, 1.0), samples=samples)]) == 2
    said = capsys.readouterr().err
    assert "samples/r0-new.csv: update_cpu_seconds is 'fast' in burst 0, which is not a number" in said


def test_of_two_runs_of_pairs_the_new_sides_are_compared(check: Check) -> None:
    code, content = check(pair_records(5, 1.0), pair_records(5, 1.3))
    assert code == 1
    assert sum("holds live pairs" in note for note in content["notes"]) == 2


def test_thresholds_of_the_project_and_of_the_command_line(check: Check, folder: Path) -> None:
    base, new = several(5), several(5, slower=1.08)
    assert check(base, new)[0] == 0
    assert check(base, new, "--threshold", "throughput=5%")[0] == 1
    (folder / "pyproject.toml").write_text('[tool.scaleprof.check]\nthroughput = "5%"\nxla_peak = 0.5\nalpha = 0.04\n')
    code, content = check(base, [dataclasses.replace(one, xla_peak_bytes=1_400_000) for one in new])
    policy = content["policy"]
    assert (code, policy["alpha"], policy["thresholds"]["xla_peak"]) == (1, 0.04, 0.5)
    assert {metric for _, metric, verdict in verdicts(content) if verdict == "regressed"} == {"throughput"}
    code, content = check(base, new, "--threshold", "throughput=0.2", "--alpha", "0.03")
    assert (code, content["policy"]["thresholds"]["throughput"], content["policy"]["alpha"]) == (0, 0.2, 0.03)


def test_a_project_file_with_a_byte_order_mark(check: Check, folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.scaleprof.check]\nthroughput = "50%"', encoding="utf-8-sig")
    assert check(several(5), several(5, slower=1.3))[0] == 0


def test_the_nearest_table_upward_counts(check: Check, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pyproject.toml").write_text('[tool.scaleprof.check]\nxla_peak = "50%"\n')
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "pyproject.toml").write_text("[tool.other]\n")
    monkeypatch.chdir(folder / "deep" / "deeper")
    assert check([record()], [record(xla_peak_bytes=1_400_000)])[0] == 0


BAD_TOML = [
    (
        "[tool.scaleprof.check]\nthruput = 1",
        "thruput: unknown key: did you mean 'throughput'? Choose from: alpha, xla",
    ),
    ("[tool.scaleprof.check]\nthroughput = 5", "throughput: '5' means 500 %; write throughput = \"5%\" for 5 %"),
    ("[tool.scaleprof.check]\nthroughput = true", "throughput: 'True' is not a threshold; write a percentage"),
    ("[tool.scaleprof.check]\nthroughput = '-5%'", "throughput: '-5%' is not a threshold; write a percentage"),
    ("[tool.scaleprof.check]\nthroughput = '100%'", "throughput: '100%' can never be exceeded"),
    ("[tool.scaleprof.check]\nhost_peak = '2000%'", "host_peak: '2000%' is too large; write at most 1000%"),
    ("[tool.scaleprof.check]\nalpha = 1.5", "alpha: 1.5 is not a false discovery rate; give a number between 0"),
    ("[tool.scaleprof.check]\nalpha = 'x'", "alpha: 'x' is not a number; write alpha = 0.05"),
    ("[tool.scaleprof]\ncheck = 3", "tool.scaleprof.check is not a table; write [tool.scaleprof.check]"),
    ("[tool.scaleprof.check\n", "not valid TOML"),
]


@pytest.mark.parametrize(("text", "said"), BAD_TOML)
def test_an_invalid_project_file(folder: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    (folder / "pyproject.toml").write_text(text)
    assert main(["check", saved(folder / "base", record()), "base.csv"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert f"{folder}/pyproject.toml" in captured.err
    assert said in captured.err


BAD_INPUT = [
    ("check", "nothing to compare: give BASE and NEW, one run of live pairs, or --baseline NAME"),
    ("check a.csv a.csv a.csv", "3 runs are too many: give BASE and NEW"),
    ("check --baseline main a.csv a.csv", "2 runs are too many: give --baseline and NEW"),
    ("check a.csv", "a.csv: this run has no live pairs; name a second run or a baseline to compare it with"),
    ("check a.csv nowhere", "nowhere does not exist: name a run directory or its results.csv"),
    ("check a.csv .", ". is not a run: it has no records.jsonl"),
    ("check a.csv foreign.csv", "foreign.csv, row 1: no column 'schema_version', so this is not a scaleprof results"),
    (
        "check a.csv a.csv --format xml",
        "--format: check has no format 'xml': choose from: table, markdown, json, github, junit",
    ),
    ("check a.csv a.csv --threshold fast", "--threshold: 'fast' is not METRIC=PERCENT, such as"),
    (
        "check a.csv a.csv --threshold troughput=5%",
        "--threshold: unknown metric 'troughput': did you mean 'throughp",
    ),
    (
        "check a.csv a.csv --threshold throughput=few",
        "--threshold: 'few' is not a threshold; write a percentage such as",
    ),
    ("check a.csv a.csv --alpha 0", "--alpha: 0 is not a false discovery rate; give a number between 0 and 1"),
    ("check a.csv a.csv --metrics speed", "--metrics: unknown metric 'speed': "),
    (
        "compare a.csv a.csv --format junit",
        "--format: compare has no format 'junit': choose from: table, markdown, json",
    ),
    ("compare", "nothing to compare: give BASE and NEW"),
    ("check --baseline main", "--baseline: unknown baseline 'main' in "),
    ("noise a.csv", "a.csv has only one repeat per point; sweep with --repeats, or name a second run"),
    ("baseline save ../x a.csv", "'../x' is not a valid baseline name: use up to 64 letters"),
    ("baseline save main", "there is no run in "),
]


@pytest.mark.parametrize(("command", "said"), BAD_INPUT, ids=[command for command, _ in BAD_INPUT])
def test_bad_input(capsys: pytest.CaptureFixture[str], folder: Path, command: str, said: str) -> None:
    table(folder / "a.csv", record())
    (folder / "foreign.csv").write_text("a,b\n1,2\n")
    assert main(command.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"scaleprof: {said}")
    assert captured.err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv", "foreign.csv"]


@pytest.mark.parametrize("command", ["check", "compare", "noise", "baseline save", "baseline list"])
def test_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_the_documented_policy_is_the_actual_one() -> None:
    text = (Path(__file__).parents[1] / "docs" / "regression-checks.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    documented = {
        row[0]: (set(re.findall(r"`(\w+)`", row[1])), row[2], row[3], row[4]) for row in rows if len(row) == 5
    }
    assert documented == {
        f"`{metric.name}`": (
            set(metric.columns),
            "less" if metric.higher_is_better else "more",
            "deterministic" if metric.deterministic else "sampled",
            f"{metric.threshold * 100:g} %",
        )
        for metric in METRICS
    }


def test_the_peak_of_a_device_keeps_its_strict_threshold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Five per cent more on a card is a regression, although `memory` allows ten."""
    for name, size in (("old.csv", 1000), ("new.csv", 1050)):
        card: dict[str, Any] = {"platform": "gpu", "device": "A100", "update_cpu_seconds": None}
        table(folder / name, *(record(repeat=i, device_peak_bytes=size * 2**20 + i, **card) for i in range(8)))
    assert main(["check", "old.csv", "new.csv", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [one["metric"] for one in found if one["verdict"] == "regressed"] == ["device_peak"]
