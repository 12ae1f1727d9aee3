"""What a run keeps of the variables that its processes had."""

from __future__ import annotations

from scaleprof.launch.host_description import relevant


def test_only_what_figures_may_depend_on_is_kept() -> None:
    variables = {
        "XLA_FLAGS": "--xla_cpu_use_onednn=false",
        "TF_GPU_ALLOCATOR": "cuda_malloc_async",
        "LD_PRELOAD": "libjemalloc.so",
        "HOME": "/home/joe",
        "TF_CLI_CONFIG_FILE": "/home/joe/.terraformrc",
        "MY_TOKEN": "secret",
    }
    assert list(relevant(variables)) == ["LD_PRELOAD", "TF_GPU_ALLOCATOR", "XLA_FLAGS"]


def test_a_cards_number_is_kept_as_its_hash() -> None:
    kept = relevant({"CUDA_VISIBLE_DEVICES": "0,GPU-11111111-2222-3333-4444-555555555555"})
    first, second = kept["CUDA_VISIBLE_DEVICES"].split(",")
    assert first == "0"
    assert second.isalnum()
    assert "1111" not in second
