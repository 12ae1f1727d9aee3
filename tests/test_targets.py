"""The devices to plan for: their data files, and what is refused."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

from scaleprof.errors import UserError
from scaleprof.planning.planner import check_compiler, pinned
from scaleprof.planning.target import CPU, FOLDER, REQUIRED, find_target, read_text_format, target_names

GPUS = sorted(file.stem for file in FOLDER.glob("*.txtpb"))
H100 = (FOLDER / "h100.txtpb").read_text(encoding="utf-8")


def test_the_cards_that_people_have_are_there() -> None:
    assert {"a100", "b200", "h100", "h200", "l4", "rtx4090", "tpu-v5e"} < set(target_names())
    assert target_names()[0] == CPU
    assert find_target(CPU) is None
    assert find_target("") is None


@pytest.mark.parametrize("name", GPUS)
def test_every_card_has_all_fields_and_a_source(name: str) -> None:
    target = find_target(name)
    assert target is not None
    assert target.platform == "cuda"
    assert target.title in target.description.splitlines()[0]
    assert re.search(r"^# .*(OpenXLA|NVIDIA)", "\n".join(target.description.splitlines()[1:]), re.MULTILINE)
    assert 0.74 < target.usable_bytes / target.memory_bytes < 0.76
    info = read_text_format(target.description, name)["gpu_device_info"]
    assert set(REQUIRED) < set(info)


def test_a_tpu_is_a_topology() -> None:
    target = find_target("tpu-v5e")
    assert target is not None
    assert (target.platform, target.description) == ("tpu", "v5e:2x2")
    assert target.usable_bytes == target.memory_bytes == pytest.approx(15.75 * 2**30, rel=1e-9)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.txtpb"
    file.write_text(H100.replace("84942979072", "1000"), encoding="utf-8")
    target = find_target(str(file))
    assert target is not None
    assert (target.memory_bytes, target.usable_bytes) == (1000, 750)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("  core_count: 132\n", ""), "lacks gpu_device_info.core_count: add it"),
        (lambda text: text.replace("core_count: 132", "core_count: 0"), "core_count is 0: it must be a number above 0"),
        (lambda text: text.replace("core_count: 132", "core_count: many"), "core_count is many: it must be a number"),
        (lambda text: text.replace("1.98", "-1.98"), "clock_rate_ghz is -1.98: it must be a number above 0"),
        (lambda text: text.replace("major: 9 }\n  reg", "minor: 1 }\n  reg"), "lacks gpu_device_info.cuda_compute_cap"),
        (lambda text: text.replace('"CUDA"', '"ROCM"'), 'platform_name is ROCM: only "CUDA" can be planned for'),
        (lambda text: text.replace("gpu_device_info", "device"), "has no gpu_device_info: it is no description"),
        (lambda text: text + "}\n", "is not in XLA's text format"),
        (lambda text: text.rpartition("registers")[0], "is not in XLA's text format"),
        (lambda text: "", "has no gpu_device_info"),
        (lambda text: "# " + "x" * 2**20, "it has more than 1 MiB"),
    ],
)
def test_a_description_that_xla_would_crash_on(tmp_path: Path, change: object, message: str) -> None:
    file = tmp_path / "bad.txtpb"
    assert callable(change)
    file.write_text(change(H100), encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        find_target(str(file))
    assert str(refused.value).startswith(f"--target: {file}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("h1000", "unknown target 'h1000': did you mean 'h100'"),
        ("nothing.txtpb", "nothing.txtpb is no file"),
        (f"{FOLDER}.txtpb", "is no file"),
    ],
)
def test_an_unknown_target(name: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        find_target(name)


def test_a_compiler_that_is_not_there_or_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"jax": importlib.metadata.version("jax")}
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in versions:
            return versions[name]
        if name in ("libtpu", "jax-cuda12-pjrt"):
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    card, chip = find_target("h100"), find_target("tpu-v5e")
    assert card is not None
    assert chip is not None
    for target, extra in ((card, "plan-gpu"), (chip, "plan-tpu")):
        with pytest.raises(UserError, match=re.escape(f"pip install 'scaleprof[{extra}]'")):
            check_compiler(target)
    versions |= {"jax-cuda12-pjrt": "0.0.1", "libtpu": "0.0.1"}
    for target in (card, chip):
        with pytest.raises(UserError, match=r"is 0\.0\.1, but jax .* needs "):
            check_compiler(target)
    versions |= {"jax-cuda12-pjrt": versions["jax"], "libtpu": pinned("libtpu").replace("*", "1")}
    check_compiler(card)
    check_compiler(chip)


def test_jax_itself_names_the_version_of_the_compiler_for_tpus() -> None:
    assert re.fullmatch(r"[\d.]+\.\*", pinned("libtpu"))
    assert pinned("no-such-package") == ""
