"""What spoils a measurement is found and said, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pynvml
import pytest
from fake_nvml import FakeCard, FakeDriver

from scaleprof.cli.app import main
from scaleprof.launch import spoilers as here
from scaleprof.launch.spoilers import spoilers, throttle_count
from scaleprof.points.plan import SweepPlan
from scaleprof.probes import cgroup, host
from scaleprof.probes.nvml import Nvml

QUIET: dict[str, Any] = {
    "load": lambda: (0.0, 9.0, 9.0),
    "swapped": lambda: 0,
    "throttled": lambda: None,
    "nvml": lambda: Nvml(None),
}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Two cores, no governor, no control group."""
    monkeypatch.setattr(host, "usable_cpus", lambda: (0, 1))
    monkeypatch.setattr(here, "governor", lambda: None)
    monkeypatch.setattr(cgroup, "cpu_quota", lambda: None)
    return monkeypatch


def test_a_quiet_machine() -> None:
    assert spoilers({"JAX_DEBUG_NANS": "0", "JAX_DISABLE_JIT": "False", "XLA_FLAGS": "--xla_a"}, **QUIET) == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"JAX_DEBUG_NANS": "1"}, "JAX_DEBUG_NANS is set: every program is checked for NaN"),
        ({"JAX_DEBUG_INFS": "True"}, "JAX_DEBUG_INFS is set: every program is checked for infinity"),
        ({"JAX_DISABLE_JIT": "yes"}, "JAX_DISABLE_JIT is set: nothing is compiled"),
        ({"XLA_FLAGS": "--xla_a --xla_dump_to=/tmp/x"}, "XLA_FLAGS holds --xla_dump_to"),
    ],
)
def test_variables(variables: dict[str, str], said: str) -> None:
    (found,) = spoilers(variables, **QUIET)
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("changes", "pin", "said"),
    [
        ({"load": lambda: (1.5, 0.0, 0.0)}, (), "other processes run: load 1.5 on 2 cores"),
        ({"load": lambda: (0.9, 0.0, 0.0)}, (1,), "other processes run: load 0.9 on 1 core"),
        ({"swapped": lambda: 2**30}, (), "1.00 GiB of memory are swapped to disk"),
        ({"throttled": lambda: 7}, (), "the processor has slowed down because of heat (7 times since it started)"),
    ],
)
def test_the_state_of_the_machine(changes: dict[str, Any], pin: tuple[int, ...], said: str) -> None:
    assert spoilers({}, pin, **QUIET | changes) == [said]
    assert spoilers({}, (0, 1), **QUIET) == []


def test_governor_and_quota(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(here, "governor", lambda: "powersave")
    machine.setattr(cgroup, "cpu_quota", lambda: 1.5)
    assert spoilers({}, **QUIET) == [
        "CPU frequency governor powersave: the clock changes with the load (performance does not)",
        "the control group allows 1.5 of 2 cores: more are stopped and started",
    ]
    machine.setattr(here, "governor", lambda: "performance")
    assert spoilers({}, (0,), **QUIET) == [], "one core is within the quota"


def test_throttling_is_counted_over_all_packages(tmp_path: Path) -> None:
    for core, text in enumerate(["3\n", "5\n", "unreadable"]):
        (tmp_path / f"cpu{core}").mkdir()
        (tmp_path / f"cpu{core}" / "count").write_text(text)
    assert throttle_count(f"{tmp_path}/cpu*/count") == 5
    assert throttle_count(f"{tmp_path}/none*/count") is None


def test_cards_that_have_lowered_their_clock() -> None:
    hot = pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
    cards = FakeCard(uuid="GPU-1"), FakeCard(uuid="GPU-2", reasons=hot)
    (found,) = spoilers({}, **QUIET | {"nvml": lambda: Nvml(FakeDriver(*cards))})
    assert re.fullmatch(r"card 1 has lowered its clock: \w+[\w ]*", found)


def test_a_sweep_says_so_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_device(plan: SweepPlan) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scaleprof.cli.run_sweep.preflight", no_device)
    monkeypatch.setattr("scaleprof.cli.run_sweep.spoilers", lambda variables, pin: [f"pinned to {pin}"])
    assert main(["sweep", "--agents", "2", "--pin", "0"]) == 130
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("6 points, up to ")
    assert second == "scaleprof: may spoil the measurement: pinned to (0,)"
