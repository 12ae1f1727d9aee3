"""The devices to plan for, by name: data files in `targets`, each with the source of its numbers.

A GPU is a file of XLA's text format (`GpuTargetConfigProto`), also one of the user's own. A TPU is the name that its
compiler has for it. `cpu` is this machine.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.records.files import file_errors
from reports.text.hints import nearest
from scaleprof.errors import UserError, user_errors

FOLDER = Path(__file__).parent / "targets"
CPU = "cpu"
ALLOCATOR_SHARE = {"cuda": 0.75, "tpu": 1.0}
"""The share of a device's memory that jax may use by default (`XLA_CLIENT_MEM_FRACTION`); a TPU has it all."""
EXTRAS = {"cuda": ("plan-gpu", "jax-cuda12-pjrt"), "tpu": ("plan-tpu", "libtpu")}
"""The extra of scaleprof that brings the compiler for a platform, and the distribution that it needs."""
REQUIRED = (
    "threads_per_block_limit",
    "threads_per_warp",
    "shared_memory_per_block",
    "shared_memory_per_core",
    "threads_per_core_limit",
    "core_count",
    "fpus_per_core",
    "block_dim_limit_x",
    "block_dim_limit_y",
    "block_dim_limit_z",
    "memory_bandwidth",
    "l2_cache_size",
    "clock_rate_ghz",
    "device_memory_size",
    "shared_memory_per_block_optin",
    "registers_per_core_limit",
    "registers_per_block_limit",
)
"""The fields of `gpu_device_info` without which XLA divides by zero, or plans for another card without a word."""
VARIABLES = {
    "JAX_PLATFORMS": "cpu",  # else the GPU plugin asks for a driver, and is not registered
    "TPU_SKIP_MDS_QUERY": "1",  # else the TPU's compiler asks a metadata server where it runs
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
"""Variables of every process that plans."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.+-]+|[{}:]')
_LARGEST_FILE = 2**20


@dataclass(frozen=True)
class Target:
    """A device that is not there."""

    name: str
    title: str
    """The device's name in full."""
    platform: str
    """The platform that XLA compiles for: `cuda` or `tpu`."""
    memory_bytes: int
    description: str
    """The text of a GPU's description, or the name of a TPU's topology."""

    @property
    def usable_bytes(self) -> int:
        """The memory that jax uses of it by default."""
        return int(self.memory_bytes * ALLOCATOR_SHARE[self.platform])


def target_names() -> tuple[str, ...]:
    """Every target by name, this machine first."""
    return (CPU, *sorted(file.stem for file in FOLDER.iterdir() if file.suffix in (".txtpb", ".toml")))


def find_target(name: str, option: str = "--target") -> Target | None:
    """The target of this name, or in this file; None for this machine.

    Raises `UserError`, naming `option`, for an unknown name, a file that cannot be read, and a description that lacks
    a field or has none that is above zero.
    """
    if name in ("", CPU):
        return None
    if name.endswith(".txtpb"):
        file = Path(name)
    elif name in target_names():
        file = next(path for suffix in (".txtpb", ".toml") if (path := FOLDER / f"{name}{suffix}").exists())
    else:
        raise UserError(f"{option}: unknown target '{name}': {nearest(name, target_names())}, or give a FILE.txtpb")
    with user_errors(option), file_errors(file, "read"):
        if not file.is_file():
            raise ValueError(f"{file} is no file")
        if file.stat().st_size > _LARGEST_FILE:
            raise ValueError(f"{file} is no description of a GPU: it has more than 1 MiB")
        text = file.read_text(encoding="utf-8")
        return _tpu(name, text) if file.suffix == ".toml" else _gpu(name, file, text)


def _tpu(name: str, text: str) -> Target:
    values = tomllib.loads(text)
    return Target(name, values["title"], "tpu", values["memory_bytes"], values["topology"])


def _gpu(name: str, file: Path, text: str) -> Target:
    """Raises `ValueError` for a description that XLA would crash on or misread."""
    found = read_text_format(text, str(file))
    info = found.get("gpu_device_info")
    if not isinstance(info, dict):
        raise ValueError(f"{file} has no gpu_device_info: it is no description of a GPU (GpuTargetConfigProto)")
    capability = info.get("cuda_compute_capability")
    numbers: dict[str, Any] = {field: info.get(field) for field in REQUIRED}
    numbers["cuda_compute_capability.major"] = capability.get("major") if isinstance(capability, dict) else None
    for field, value in numbers.items():
        if value is None:
            raise ValueError(f"{file} lacks gpu_device_info.{field}: add it")
        if not _above_zero(value):
            raise ValueError(f"{file}: gpu_device_info.{field} is {value}: it must be a number above 0")
    if found.get("platform_name") != "CUDA":
        raise ValueError(f'{file}: platform_name is {found.get("platform_name")}: only "CUDA" can be planned for')
    title = found.get("device_description_str")
    return Target(name, title if isinstance(title, str) else file.stem, "cuda", int(info["device_memory_size"]), text)


def _above_zero(value: Any) -> bool:
    try:
        return float(value) > 0
    except (TypeError, ValueError):
        return False


def read_text_format(text: str, source: str) -> Mapping[str, Any]:
    """The fields of a protocol buffer in text format: text by name, and a mapping for a message.

    Of a repeated field the last is kept. Raises `ValueError`, naming `source`, for anything else.
    """
    plain = "\n".join(line.partition("#")[0] for line in text.splitlines())
    tokens = _TOKEN.findall(plain)
    if "".join(tokens) != re.sub(r"\s+", "", plain) and '"' not in plain:
        raise ValueError(f"{source} is not in XLA's text format")
    fields: dict[str, Any] = {}
    stack, place = [fields], 0
    while place < len(tokens):
        name, place = tokens[place], place + 1
        if name == "}":
            stack.pop()
            if not stack:
                break
            continue
        rest = tokens[place : place + 2]
        if rest[:1] == [":"] and rest[1:] == ["{"]:
            place, rest = place + 1, ["{"]
        if rest[:1] == ["{"]:
            stack[-1][name] = {}
            stack.append(stack[-1][name])
            place += 1
        elif rest[:1] == [":"] and len(rest) == 2:
            stack[-1][name] = rest[1].strip('"')
            place += 2
        else:
            stack = []
            break
    if len(stack) != 1:
        raise ValueError(f"{source} is not in XLA's text format")
    return fields
