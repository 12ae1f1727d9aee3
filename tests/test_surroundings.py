"""File systems, machines and settings that are not as usual: a sweep goes on, and says what it could not do."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import pytest

import scaleprof
from scaleprof.cli.app import main
from scaleprof.cli.run_sweep import claimed_folder
from scaleprof.errors import UserError
from scaleprof.launch.preflight import changed_fields
from scaleprof.runs.store import RunDirectory
from scenarios import make_scenario


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(number, "not here")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    RunDirectory.create(tmp_path / "run", {}, {}).close()
    assert capsys.readouterr().err == (
        f"scaleprof: {tmp_path / 'run'} is on a file system without locks: start no second sweep into it\n"
    )


def test_a_lock_that_fails_otherwise_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(UserError, match=r"--out: cannot write to .*run/lock: Input/output error"):
        RunDirectory.create(tmp_path / "run", {}, {})


def test_sweeps_that_start_in_the_same_second_have_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def begin(_: int) -> Path:
        with claimed_folder("neom:task") as folder:
            assert folder.is_dir()
            return folder

    with ThreadPoolExecutor(8) as threads:
        folders = list(threads.map(begin, range(16)))
    assert len(set(folders)) == 16
    assert all(folder.name[15:].startswith("-neom-task") for folder in folders)


def test_a_folder_is_given_up_if_the_sweep_cannot_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def no_device(*_: Any) -> None:
        raise UserError("--device: there is none")

    monkeypatch.setattr("scaleprof.cli.run_sweep.preflight", no_device)
    assert main(["sweep", "--agents", "2"]) == 2
    assert not Path("runs").exists()
    Path("runs").mkdir()
    assert main(["sweep", "--agents", "2"]) == 2
    assert list(Path("runs").iterdir()) == []


def test_a_folder_for_runs_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("")
    assert main(["sweep", "--agents", "2"]) == 2
    assert capsys.readouterr().err.startswith("scaleprof: --out: cannot write to runs: ")


def test_what_was_never_known_has_not_changed() -> None:
    now = {"python": "3.12", "cpu": "Abacus 3", "packages": {"jax": "1"}}
    assert changed_fields({}, now) == []
    assert changed_fields({"cpu": None, "python": "3.12", "git": {"commit": "a"}}, now) == []
    assert changed_fields({"cpu": "Abacus 4", "packages": {"jax": "2"}}, now) == ["packages", "cpu"]


@pytest.mark.parametrize("implementation", ["rbg", "unsafe_rbg", "threefry2x32"])
@pytest.mark.parametrize("scenario", ["connector", "rware", "neom"])
def test_keys_of_every_size(implementation: Any, scenario: str) -> None:
    with jax.default_prng_impl(implementation):
        made = make_scenario(scenario, 2, {}, 2)
        state, observation = jax.eval_shape(made.reset, jax.random.key(0))
        actions = jax.ShapeDtypeStruct((2, 2), int)
        result = jax.eval_shape(made.step, state, actions, jax.random.key(1))
    assert result.observation.features.shape == observation.features.shape


@pytest.mark.parametrize("name", ["reports.py", "sable/__init__.py", "scenarios", "scenarios.py"])
@pytest.mark.parametrize("command", [["-m", "scaleprof"], ["-c", "from scaleprof.cli import run; run()"]])
def test_a_module_that_hides_one_of_ours(tmp_path: Path, name: str, command: list[str]) -> None:
    file = tmp_path / name
    (file if name == "scenarios" else file.parent).mkdir(parents=True, exist_ok=True)
    if name != "scenarios":
        file.write_text("")
    root = Path(scaleprof.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-P", *command, "list", "models"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if name == "scenarios":  # a folder without __init__.py hides nothing
        assert done.returncode == 0, done.stderr
    else:
        ours = root / name.partition("/")[0].removesuffix(".py")
        remedy = "rename it, or take its folder out of PYTHONPATH"
        assert (done.returncode, done.stderr) == (2, f"scaleprof: {file} hides the package {ours}: {remedy}\n")
