"""File systems, machines and settings that are not as usual: a sweep goes on, and says what it could not do."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import pytest
from compiler import QUICK_FLAGS

import scaleprof
from reports.records.redaction import redacted
from scaleprof.cli.app import main
from scaleprof.cli.run_sweep import claimed_folder
from scaleprof.errors import UserError
from scaleprof.launch.host_description import command_line, describe
from scaleprof.launch.preflight import changed_fields
from scaleprof.runs.store import RunDirectory, load_records
from scenarios import make_scenario

ROOT = Path(__file__).parents[1]


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


def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without an entry in the password file and without HOME, as containers run under any number."""

    def unknown(number: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError):
        Path.home()


RECORDED = Path(__file__).parent / "golden" / "run_0_1"


def test_nobody_needs_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    homeless(monkeypatch)
    assert redacted("/home/joe/run and /root") == "~/run and ~"
    shutil.copytree(RECORDED, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    for command in (
        ["list", "models"],
        ["report", "run"],
        ["report", "run", "--html", "page.html"],
        ["export", "run"],
        ["check", "run", "run", "--allow-incomplete"],
        ["sweep", "--agents", "2", "--dry-run"],
    ):
        code = main(command)
        said = capsys.readouterr()
        assert (code, "bug" in said.err) in ((0, False), (4, False)), (command, said.err)
        assert said.out or Path("page.html").exists()
    host = describe(command_line(), {"together": {"PYTHONPATH": "/home/joe"}}, {}, [])
    assert host["variables"] == {"together": {"PYTHONPATH": "~"}}


def test_what_does_need_a_home_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    homeless(monkeypatch)
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert main(["--install-completion", "bash"]) == 2
    assert capsys.readouterr().err == "scaleprof: no home folder is known: set HOME\n"


@pytest.mark.parametrize(
    "command",
    [["doctor"], ["doctor", "--scenario", "neom"], ["sweep", "--agents", "2", "--out", "run"]],
    ids=" ".join,
)
def test_no_folder_for_temporary_files(
    command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container whose root is read-only."""

    def read_only(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.mkdtemp", read_only)
    assert main(command) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "scaleprof: no folder for temporary files can be written to: set TMPDIR to one that can"
    assert not (folder / "run").exists()


BARE = {"PATH": os.environ["PATH"]}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"HOME": "/proc/none"},
        {"HOME": "relative"},
        {"TMPDIR": "/proc/none", "HOME": ""},
        {"LANG": "C", "LC_ALL": "POSIX", "TERM": ""},
    ],
    ids=lambda given: " ".join(f"{name}={value}" for name, value in given.items()) or "empty",
)
@pytest.mark.parametrize("command", [["list", "models"], ["report", str(RECORDED)]], ids=["list", "report"])
def test_variables_that_are_missing_or_lead_nowhere(variables: dict[str, str], command: list[str]) -> None:
    """`env -i`, a home that cannot be read, no user name, no language."""
    done = subprocess.run(
        [sys.executable, "-m", "scaleprof", *command],
        cwd=ROOT,
        env={**BARE, **variables},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert set(done.stderr.decode().splitlines()) <= {f"scaleprof: {RECORDED}: 2 of 4 records"}
    assert done.stdout


def test_a_sweep_needs_no_variable_but_the_path(tmp_path: Path) -> None:
    """Real processes, in which the kernel also does not let peaks of memory be reset."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'scaleprof.worker' in sys.orig_argv:\n"
        "    from pathlib import Path\n"
        "    from scaleprof.probes import host\n"
        "    host._CLEAR_REFS = Path('/proc/none')\n"
    )
    sizes = ["--agents", "2", "--seq-len", "2", "--envs", "2", "--model", "ippo"]
    work = ["--min-updates", "1", "--min-seconds", "0", "--warmup-updates", "0", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "scaleprof", "sweep", *sizes, *work, "--out", str(tmp_path / "run")],
        cwd=tmp_path,
        env={**BARE, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "XLA_FLAGS": QUICK_FLAGS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (record,) = load_records(tmp_path / "run")
    assert (record.status, record.memory_source) == ("ok", "XLA's plan")
    assert record.host_rss_peak_bytes is record.host_peak_rise_bytes is record.host_compile_peak_bytes is None
    assert record.host_base_bytes is not None
