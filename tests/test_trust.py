"""What a run may show, read, write and start: secrets, links, code named in a manifest, and quoted text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports.records.redaction import is_secret, redacted, redacted_values
from reports.records.run import load_run
from scaleprof.launch import host_description
from scaleprof.launch.host_description import relevant
from scaleprof.launch.kept_variables import VARIABLES


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA_API_KEY",
        "JAX_AUTH_TOKEN",
        "XLA_REMOTE_CACHE_CREDENTIALS",
        "CUDA_REPO_PASSWORD",
        "PYTHON_KEYRING_BACKEND",
        "MALLOC_SECRET",
        "OMP_SOMETHING_NEW",
        "PYTHONSTARTUP",
        "JAX_COORDINATOR_ADDRESS",
    ],
)
def test_a_variable_is_not_kept_for_its_beginning(name: str) -> None:
    assert relevant({name: "hidden", "XLA_FLAGS": "--xla_a=1"}) == {"XLA_FLAGS": "--xla_a=1"}


def test_what_changes_a_program_is_kept() -> None:
    names = {
        *("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "JAX_DEBUG_NANS", "JAX_DEFAULT_MATMUL_PRECISION"),
        *("JAX_DEFAULT_PRNG_IMPL", "JAX_DISABLE_JIT", "JAX_ENABLE_X64", "JAX_NUMPY_DTYPE_PROMOTION", "JAX_PLATFORMS"),
        *("JAX_THREEFRY_PARTITIONABLE", "MALLOC_ARENA_MAX", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS"),
        *("PYTHONPATH", "TF_GPU_ALLOCATOR", "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE"),
    }
    assert set(relevant(dict.fromkeys(names, "1"))) == names


def test_no_name_that_looks_like_a_secret_is_on_the_list() -> None:
    assert [name for name in VARIABLES if is_secret(name)] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--xla_dump_to=/home/joe/dump", "--xla_dump_to=~/dump"),
        ("/home/joe/a:/Users/jane/b:/root", "~/a:~/b:~"),
        ("/homeless/joe and /data/home/x", "/homeless/joe and /data/home/x"),
        ("https://joe:hunter2@host/x.git", "https://(removed)@host/x.git"),
        ("git+ssh://ghp_1@host", "git+ssh://(removed)@host"),
        ("https://host/x?token=abc&b=1", "https://host/x?token=(removed)&b=1"),
        ("--proxy_api_key=abc,other=1", "--proxy_api_key=(removed),other=1"),
        ("--xla_disable_hlo_passes=fusion", "--xla_disable_hlo_passes=fusion"),
    ],
)
def test_values_show_no_secret_and_no_home(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted_values({"variables": [{"A": text, "A_TOKEN": "x"}]}) == {"variables": [{"A": shown}]}


def test_the_users_own_home_wherever_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/export/people/joe")
    assert redacted("/export/people/joe/run /export/people/joey") == "~/run /export/people/joey"


def test_the_kept_command_line_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/joe/bin/scaleprof", "sweep", "--out", "/home/joe/r", "--csv", "s3://a:b@c"])
    assert host_description.command_line() == ["scaleprof", "sweep", "--out", "~/r", "--csv", "s3://(removed)@c"]


def test_a_description_of_the_host_shows_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_description, "git_state", lambda folder: {"commit": "https://joe:x@host"})
    devices = {"source": "/home/joe/code/scaleprof", "platform": "cpu"}
    variables = {"together": {"NVIDIA_API_KEY": "hidden", "PYTHONPATH": "/home/joe/code"}}
    described = host_description.describe(["scaleprof"], variables, devices, [])
    assert described["variables"] == {"together": {"PYTHONPATH": "~/code"}}
    assert described["source"] == "~/code/scaleprof"
    assert "joe" not in json.dumps(described)


def test_a_secret_in_the_file_of_an_earlier_version_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").touch()
    host = {"variables": {"together": {"NVIDIA_API_KEY": "nvapi-x", "XLA_FLAGS": "--a=/home/joe"}}}
    (tmp_path / "environment.json").write_text(json.dumps(host))
    assert load_run(tmp_path).hosts == ({"variables": {"together": {"XLA_FLAGS": "--a=~"}}},)
