"""The wheel: what is in it, and that what it installs works far from the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import children
import pytest

from reports.render.page import SCRIPTS
from scaleprof import __version__
from scaleprof.runs.store import load_records

ROOT = Path(__file__).parents[1]
PACKAGES = ("reports", "sable", "scaleprof", "scenarios")


@dataclass(frozen=True)
class Installed:
    """A wheel and the folder that it was installed into."""

    wheel: Path
    target: Path

    def run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Python in `folder`, where the installed packages come before any others."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=children.variables(self.target),
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    for command in (
        ["build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        ["pip", "--isolated", "install", "--no-deps", "--no-index", "--target", str(folder / "site")],
    ):
        wheels = [str(path) for path in folder.glob("*.whl")]
        done = subprocess.run([sys.executable, "-m", *command, *wheels], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return Installed(wheel, folder / "site")


def test_contents(installed: Installed) -> None:
    assert installed.wheel.name == f"scaleprof-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
        information = f"scaleprof-{__version__}.dist-info"
        entry_points = archive.read(f"{information}/entry_points.txt").decode()
        metadata = archive.read(f"{information}/METADATA").decode()
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, information}
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert "scaleprof/presets/paper-neom.toml" in names
    assert {f"reports/render/templates/page.{kind}" for kind in ("html", "css")} <= names
    assert {f"reports/render/templates/scripts/{name}.js" for name in SCRIPTS} <= names
    assert f"{information}/licenses/LICENSE" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert entry_points.split() == ["[console_scripts]", "scaleprof", "=", "scaleprof.cli:run"]
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata


def test_every_module_is_in_it(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        packed = {name for name in archive.namelist() if name.endswith(".py")}
    assert packed == {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


@pytest.mark.parametrize("safe_path", [[], ["-P"]], ids=["parent", "child"])
def test_what_is_imported(installed: Installed, tmp_path: Path, safe_path: list[str]) -> None:
    code = f"import {', '.join(PACKAGES)}\nfor p in ({', '.join(PACKAGES)}): print(p.__file__)"
    done = installed.run(tmp_path, *safe_path, "-c", code)
    assert [Path(line).parent for line in done.stdout.splitlines()] == [installed.target / name for name in PACKAGES]


def test_commands(installed: Installed, tmp_path: Path) -> None:
    models = installed.run(tmp_path, "-m", "scaleprof", "list", "models")
    assert (models.returncode, models.stderr) == (0, "")
    assert models.stdout.startswith("sable: ")
    script = installed.run(tmp_path, str(installed.target / "bin" / "scaleprof"), "--version")
    assert (script.returncode, script.stdout, script.stderr) == (0, f"{__version__}\n", "")
    preset = installed.run(tmp_path, "-m", "scaleprof", "sweep", "--preset", "paper-neom", "--dry-run")
    assert (preset.returncode, preset.stderr) == (0, "")
    assert preset.stdout.endswith("\n18 points\n")
    assert list(tmp_path.iterdir()) == []


def test_a_sweep(installed: Installed, tmp_path: Path) -> None:
    sizes = "--agents 2 --seq-len 2 --envs 2 --embed-dim 8 --heads 2 --device cpu"
    sizes += " --min-updates 1 --min-seconds 0 --warmup-updates 0"
    done = installed.run(tmp_path, "-m", "children", "sweep", "--model", "mat", *sizes.split(), "--out", "run")
    assert done.returncode == 0, done.stderr
    (record,) = load_records(tmp_path / "run")
    assert record.status == "ok", record.reason
    assert record.parameters_moved is not None
    assert record.parameters_moved > 0
    assert "1 point: 1 ok, 0 failed" in done.stdout
