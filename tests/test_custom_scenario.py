"""Somebody's own scenario by its module and function, through the real command line; what the doctor says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import children
import pytest

from reports.records.csv_file import read_records
from scaleprof.cli import diagnosis
from scenarios import SCENARIOS, ScenarioEntry, checks, make_environment

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
SMALL = ["--model", "ippo", "--agents", "3", "--envs", "2", "--seq-len", "4", "--warmup-updates", "0"]
SMALL += ["--min-updates", "1", "--min-seconds", "0"]

BROKEN = """
import os
import jax.numpy as jnp
from custom_scenario import Gather

class Wrong(Gather):
    def step(self, state, actions, key):
        step = super().step(state, actions, key)
        return step._replace(reward=step.reward.mean(), ended=jnp.zeros(()))

class Unending(Gather):
    def step(self, state, actions, key):
        return super().step(state, actions, key)._replace(ended=jnp.zeros((), dtype=bool))

def raises(num_agents):
    raise ValueError("no board for\\n%d agents" % num_agents)

def aborts(num_agents):
    os.abort()
"""


def shell(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in `folder`."""
    environment = children.variables(EXAMPLES.parents[1], EXAMPLES)
    command = [*children.COMMAND, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder with a module of scenarios that are not right."""
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["custom_scenario:make", "custom_scenario:make_jumanji"])
def test_the_examples_are_measured(tmp_path: Path, name: str) -> None:
    done = shell(EXAMPLES, "sweep", "--scenario", name, *SMALL, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    (record,) = read_records(tmp_path / "run" / "results.csv")
    assert (record.scenario, record.agents, record.status) == (name, 3, "ok"), record.reason
    assert record.env_seconds


@pytest.mark.parametrize(("name", "features"), [("custom_scenario:make", 2), ("custom_scenario:make_jumanji", 4)])
def test_the_examples_are_right_at_every_size(monkeypatch: pytest.MonkeyPatch, name: str, features: int) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert checks.check_scenario(name, 12, {}) == []
    assert make_environment(name, 12, {}).space.features == make_environment(name, 1, {}).space.features == features


def test_a_scenario_that_is_not_right_is_a_row_with_one_line(broken: Path) -> None:
    done = shell(broken, "sweep", "--scenario", "broken:Wrong", *SMALL, "--out", "run")
    assert "Traceback" not in done.stderr
    (record,) = read_records(broken / "run" / "results.csv")
    assert record.status == "error"
    assert "'broken:Wrong': it returned Wrong: step's reward is float32[]: it must be float32[3]" in record.reason


def test_the_doctor_finds_nothing_wrong(tmp_path: Path) -> None:
    done = shell(tmp_path, "doctor", "--scenario", "custom_scenario:make", "--agents", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "custom_scenario:make: no defects found with 3 agents\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            "Wrong",
            ["step's reward is float32[]: it must be float32[4]", "step's ended is float32[]: it must be bool[]"],
        ),
        ("Unending", ["timestep 20: the episode has not ended: it must end by episode_limit (20)"]),
        ("raises", ["ValueError: no board for 4 agents"]),
    ],
)
def test_the_doctor_says_in_a_line_each_what_is_wrong(broken: Path, function: str, said: list[str]) -> None:
    done = shell(broken, "doctor", "--scenario", f"broken:{function}")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.splitlines() == [f"broken:{function}: {line}" for line in said]


def test_a_scenario_that_kills_its_process(broken: Path) -> None:
    done = shell(broken, "doctor", "--scenario", "broken:aborts")
    assert (done.returncode, done.stderr) == (2, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith("broken:aborts: killed by SIGABRT")


def test_a_scenario_that_takes_too_long(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "START_TIMEOUT_SECONDS", 0.01)
    assert diagnosis.check_scenario("neom", None, "cpu") == 2
    assert capfd.readouterr() == ("neom: building and playing it took more than 0.01 s\n", "")


def test_a_few_agents_are_as_many_as_a_task_needs() -> None:
    entry = ScenarioEntry(
        name="x", summary="", factory="", config=object, tasks=("scaled", "con-5x5x3a"), min_agents=6, max_agents=8,
        fixed_agents=(("con-5x5x3a", 3),),
    )  # fmt: skip
    assert (entry.few_agents("scaled"), entry.few_agents("con-5x5x3a")) == (6, 3)
    assert SCENARIOS["turn-taking"].few_agents("") == 4
