"""`scaleprof explain`: reading XLA's dump, naming what is in memory at the peak, and what needs less."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import browser
import children
import pytest

from reports.render.explanation_page import write_explanation_page
from reports.report.explanation import explanation_document
from reports.report.live_buffers import Explanation, LiveBuffer, Variant, grouped, tree_of
from scaleprof.cli import main
from scaleprof.launch.launcher import Outcome
from scaleprof.planning import explaining
from scaleprof.planning.parts import operation_of, part_of, part_of_argument, phase_of
from scaleprof.planning.xla_dump import Dump, element_of, live_buffers, read_dump, total_bytes
from scaleprof.points.plan import SweepPlan

DUMPS = Path(__file__).parent / "golden" / "xla_dump"
TINY = ("explain", "--model", "mat", "--agents", "16", "--seq-len", "8", "--envs", "4")
HOSTILE = "</script><script>window.hacked = 1</script>"


def shorten(file: str) -> str:
    return file.partition("/project/")[2] if "/lib/" not in file else ""


def golden(name: str) -> tuple[LiveBuffer, ...]:
    return live_buffers(read_dump(DUMPS / name, "jit_learn"), shorten)


def test_dense_mat_is_scores_and_softmax() -> None:
    found = golden("mat_h100")
    scores, softmax = ([one for one in found if one.part[-1:] == (name,)] for name in ("scores", "softmax"))
    assert {one.part[0] for one in scores} == {"encoder block 0", "decoder block 0"}
    assert [(one.operation, one.phase, one.dtype, one.size) for one in scores] == [
        ("dot_general", "forward", "f32", 4 * 256 * 64 * 64)
    ] * 3
    assert {one.shape for one in softmax} == {(4, 16, 4, 64, 64)}
    assert {one.source.partition(":")[0] for one in (*scores, *softmax)} == {"sable/mixers/attention.py"}
    assert found[:6] == tuple(sorted((*scores, *softmax), key=found.index))
    assert total_bytes(read_dump(DUMPS / "mat_h100", "jit_learn")) == 68508841


def test_factored_sable_is_norms_blocks_and_a_trajectory() -> None:
    found = {one.part: one for one in reversed(golden("sable_h100"))}
    norm = found["decoder block 0", "norm"]
    assert (norm.shape, norm.phase) == ((4, 16, 64, 64), "forward")
    assert norm.count == 3
    assert norm.source.startswith("sable/layers/norms.py:")
    assert ("decoder block 0", "self", "retention", "within blocks") in found
    trajectory = found["trajectory", "observation features"]
    assert (trajectory.phase, trajectory.operation, trajectory.shape) == ("inputs", "argument", (8, 16, 64, 15))


def test_what_a_loop_carries_is_named_after_what_it_is_handed() -> None:
    parameters = next(one for one in golden("mat_h100") if one.part == ("parameters",))
    assert (parameters.shape, parameters.phase) == ((64, 64), "inputs")


@pytest.mark.parametrize(
    ("name", "part", "phase", "operation"),
    [
        (
            "jit(learn)/while/body/closed_call/jvp(encoder_block_0)/attention/scores/dot_general",
            ("encoder block 0", "attention", "scores"),
            "forward",
            "dot_general",
        ),
        ("jit(learn)/transpose(jvp(vmap(norm)))/mul", ("norm",), "backward", "mul"),
        ("jit(learn)/transpose(jvp(checkpoint))/rematted_computation/gate/add", ("gate",), "recomputed", "add"),
        ("jit(learn)/jvp(a/b)/...nhd,...mhd->...hnm/dot_general", ("a", "b"), "forward", "dot_general"),
        ("jit(learn)/while/body/minibatch/jit(_take)/gather", ("minibatch",), "other", "gather"),
        ("jit(learn)/cond/branch_1_fun/closed_call", (), "other", ""),
        ("", (), "other", ""),
    ],
)
def test_names_of_operations(name: str, part: tuple[str, ...], phase: str, operation: str) -> None:
    assert (part_of(name), phase_of(name), operation_of(name)) == (part, phase, operation)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("state.params['norm']", ("parameters",)),
        ("state.opt_state[1][0].mu", ("optimiser",)),
        ("state.env_state.step", ("environment state",)),
        ("trajectory.transitions.observation.action_mask", ("trajectory", "observation action mask")),
        ("trajectory", ("trajectory",)),
        ("seed", ("arguments",)),
    ],
)
def test_names_of_arguments(path: str, part: tuple[str, ...]) -> None:
    assert part_of_argument(path) == part


def written_by_hand(*live: str) -> Dump:
    hlo = """\
HloModule jit_learn
FileNames
1 "/project/sable/a.py"
2 "/project/lib/b.py"
FileLocations
1 {file_name_id=1 function_name_id=1 line=7 end_line=7 column=1 end_column=2}
2 {file_name_id=2 function_name_id=1 line=9 end_line=9 column=1 end_column=2}
StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=2}

ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0), metadata={op_name="state.params['w']"}
  %copy.1 = f32[2]{0:T(128)} copy(%x)
  %on_chip = f32[2]{0:T(128)S(1)} add(%x, %x), metadata={op_name="jit(learn)/norm/add" stack_frame_id=2}
  %again.remat = f32[2]{0} add(%x, %x), metadata={op_name="jit(learn)/jvp(norm)/add" stack_frame_id=2}
  %two = (f32[2]{0}, (s32[], /*index=1*/bf16[3,4]{1,0})) custom-call(%x), metadata={op_name="jit(learn)/sort"}
  %constant.1 = f32[2]{0} constant({1, 2})
  ROOT %mystery = f32[2]{0} custom-call(), custom_call_target="x"
}
"""
    lines = "".join(f"    {line} bytes (cumulative: 0 bytes)\n" for line in live)
    return Dump(hlo, f"x\n  Live ranges at 3 (peak):\n{lines}  Stack trace breakdown\n", "Total bytes used: 64 (64B)\n")


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        ("copy.1{}: 8", ("f32", (2,), "argument", "", ("parameters",), "inputs")),
        ("again.remat{}: 8", ("f32", (2,), "add", "sable/a.py:7", ("norm",), "recomputed")),
        ("two{1,1}: 24", ("bf16", (3, 4), "sort", "", (), "other")),
        ("constant.1{}: 8", ("f32", (2,), "constant", "", ("constants",), "other")),
        ("mystery{}: 8", ("f32", (2,), "", "", (), "other")),
        ("unheard.of{}: 8", ("", (), "", "", (), "other")),
    ],
)
def test_kinds_of_buffers(live: str, expected: tuple[object, ...]) -> None:
    (one,) = live_buffers(written_by_hand(live), shorten)
    assert (one.dtype, one.shape, one.operation, one.source, one.part, one.phase) == expected
    assert one.size == int(live.rpartition(" ")[2])


def test_a_loop_that_hands_on_what_it_got_ends() -> None:
    hlo = """\
%body (s: (f32[2], f32[2])) -> (f32[2], f32[2]) {
  %state = (f32[2]{0}, f32[2]{0}) parameter(0)
  %first = f32[2]{0} get-tuple-element(%state), index=0
  %second = f32[2]{0} get-tuple-element(%state), index=1
  ROOT %swapped = (f32[2]{0}, f32[2]{0}) tuple(%second, %first)
}

ENTRY %main () -> f32[2] {
  %empty = f32[2]{0} broadcast(), metadata={op_name="jit(learn)/broadcast_in_dim"}
  %start = (f32[2]{0}, f32[2]{0}) tuple(%empty, %empty)
  ROOT %loop = (f32[2]{0}, f32[2]{0}) while(%start), condition=%end, body=%body
}
"""
    live = "  Live ranges at 3 (peak):\n    empty{}: 8 bytes (cumulative: 8 bytes)\n"
    (one,) = live_buffers(Dump(hlo, live, ""), shorten)
    assert (one.operation, one.part, one.phase) == ("broadcast_in_dim", (), "other")


def test_what_a_tpu_keeps_on_the_chip_takes_no_memory() -> None:
    assert live_buffers(written_by_hand("on_chip{}: 8"), shorten) == ()


def test_a_dump_without_a_peak_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"names no peak"):
        live_buffers(Dump("", "", ""), shorten)
    with pytest.raises(ValueError, match=r"no total"):
        total_bytes(Dump("", "", ""))
    with pytest.raises(ValueError, match=r"XLA wrote no after_optimizations.txt for jit_learn"):
        read_dump(tmp_path, "jit_learn")


def test_elements_of_shapes() -> None:
    assert element_of("(f32[2]{0}, (s32[], bf16[3]{0:T(8,128)}))", (1, 1)) == "bf16[3]{0:T(8,128)}"
    assert element_of("f32[2]{0}", (3,)) == "f32[2]{0}"
    assert element_of("(f32[2]{0})", (3,)) == ""


def buffer(size: int, part: tuple[str, ...], **changes: Any) -> LiveBuffer:
    plain: dict[str, Any] = {
        "count": 1,
        "shape": (size // 4,),
        "dtype": "f32",
        "size": size,
        "operation": "add",
        "source": "a.py:1",
        "part": part,
        "phase": "forward",
    }
    return LiveBuffer(**{**plain, **changes})


def test_equal_buffers_are_one_row_and_parts_a_tree() -> None:
    one, other = buffer(400, ("block", "scores")), buffer(40, ("block",), phase="backward")
    assert [(found.count, found.size) for found in grouped([other, one, one])] == [(2, 800), (1, 40)]
    (block,) = tree_of([one, other]).sorted
    assert (block.name, block.size, dict(block.sizes)) == ("block", 440, {"forward": 400, "backward": 40})
    assert [child.name for child in block.sorted] == ["scores"]


def test_buffers_as_json() -> None:
    one = buffer(400, ("block", "scores"))
    assert LiveBuffer.from_json(one.to_json()) == one
    for wrong in ("{}", "[]", '"x"', one.to_json().replace("400", "-1"), one.to_json().replace('"forward"', '"x"')):
        with pytest.raises(ValueError, match=r"no live buffer"):
            LiveBuffer.from_json(wrong)


def explanation(**changes: Any) -> Explanation:
    plain: dict[str, Any] = {
        "label": "mat:dense · 4 agents · T 4",
        "device": "a card",
        "peak_bytes": 1000,
        "buffers": (
            buffer(600, ("encoder block 0", "attention", "scores")),
            buffer(300, (HOSTILE,)),
            buffer(50, (), operation="", source=""),
        ),
    }
    return Explanation(**{**plain, **changes})


def test_a_document_says_what_the_peak_is_made_of() -> None:
    found = explanation()
    assert found.coverage == 0.9
    assert found.rest_bytes == 50
    document = explanation_document(found)
    assert document.lines[0] == (
        "The learning step of mat:dense · 4 agents · T 4 peaks at 1000 B on a card. "
        "Most of it is encoder block 0 (60.0 %); by kind, most is scores (60.0 %)."
    )
    assert document.lines[1].startswith("Coverage: 90.0 % of the peak (900 B) is explained.")
    tree, table = document.sections
    assert [cell.text for cell in tree.labels[0].cells][:3] == ["encoder block 0", "  attention", "    scores"]
    assert [cell.text for cell in table.labels[0].cells] == ["encoder block 0, attention, scores", HOSTILE, "unnamed"]


@pytest.mark.parametrize(
    ("variants", "lines"),
    [
        (
            (("--segment 1", 100), ("--remat", 500), ("--accumulate 2", 990)),
            ("--segment 1: 1000 B to 100 B (planned).", "Also less: --remat 500 B."),
        ),
        ((("--remat", 1000), ("--segment 1", None)), ("No variant needs clearly less; tried --remat, --segment 1.",)),
    ],
)
def test_advice_is_what_was_planned(variants: tuple[tuple[str, int | None], ...], lines: tuple[str, ...]) -> None:
    made = tuple(Variant(option=option, peak_bytes=size) for option, size in variants)
    assert explanation_document(explanation(variants=made)).sections[-1].lines == lines


def test_a_page_draws_a_treemap_and_data_does_not_run(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_explanation_page(explanation(), page)
    text = page.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "default-src 'none'" in text
    chrome = browser.start(tmp_path)
    try:
        browser.show(chrome, page)
        tiles = "return [...document.querySelectorAll('#treemap .slice text')].map(one => one.textContent)"
        shown = " ".join(chrome.execute_script(tiles))
        assert "encoder block 0" in shown
        assert "600 B, 60.0 %" in shown
        assert chrome.execute_script("return window.hacked") is None
        assert browser.console(chrome) == []
        assert {url for url in browser.requests(chrome) if not url.startswith("data:")} == {page.as_uri()}
    finally:
        chrome.quit()


def test_a_real_compile_on_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    children.install(monkeypatch)
    assert main([*TINY, "--no-advice", "--format", "json", "--html", str(tmp_path / "page.html")]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert captured.err.startswith("Compiling learn of mat:dense · 16 agents · T 8\n")
    assert (found["program"], found["variants"]) == ("learn", [])
    assert 0.8 < found["coverage"] <= 1.0
    parts = {part["part"]: part for part in found["parts"]}
    assert {"encoder block 0", "decoder block 0", "parameters", "optimiser", "trajectory"} < parts.keys()
    assert parts["optimiser"]["phases"]["inputs"] == pytest.approx(2 * parts["parameters"]["phases"]["inputs"], abs=8)
    assert parts["encoder block 0"]["phases"]["forward"] > 100_000
    sources = [one["source"] for one in found["buffers"] if one["source"]]
    assert any(re.fullmatch(r"sable/\w+/\w+\.py:\d+", source) for source in sources)
    assert (tmp_path / "page.html").stat().st_size > 1_000_000


def pretend(monkeypatch: pytest.MonkeyPatch, outcome: Callable[[SweepPlan], Outcome]) -> list[SweepPlan]:
    """Let `outcome` stand for the child; returns the plans that it is asked about."""
    asked: list[SweepPlan] = []

    def compiled(plan: SweepPlan) -> Outcome:
        asked.append(plan)
        return outcome(plan)

    monkeypatch.setattr(explaining, "compiled", compiled)
    return asked


def planned(settings: Mapping[str, str]) -> Outcome:
    facts = {
        "device": "a card",
        "xla_peak_bytes": 250 if "model.remat" in settings else 1000,
        "compile_learn_seconds": 1.0,
        "live_buffers": [buffer(600, ("encoder block 0",)).to_json()],
    }
    return Outcome(status="ok", facts=facts)


def test_variants_are_compiled(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = pretend(monkeypatch, lambda plan: planned(dict(plan.points[0].settings)))
    assert main(["explain", "--model", "mat", "--agents", "4", "--seq-len", "8", "--envs", "8"]) == 0
    captured = capsys.readouterr()
    assert [line.removeprefix("Compiling with ") for line in captured.err.splitlines()[1:]] == [
        "--segment 2",
        "--accumulate 4",
        "--remat",
        "--model mat:blockwise",
    ]
    assert [dict(plan.points[0].settings).get("model.segment") for plan in asked][1] == "2"
    assert dict(asked[2].points[0].settings)["ppo.accumulate"] == "4"
    assert asked[4].points[0].mode == "blockwise"
    assert "--remat: 1000 B to 250 B (planned)." in captured.out


def test_a_variant_that_the_compiler_refuses_is_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcome(plan: SweepPlan) -> Outcome:
        settings = dict(plan.points[0].settings)
        return Outcome(status="error", reason="refused") if "model.remat" in settings else planned(settings)

    pretend(monkeypatch, outcome)
    assert main([*TINY, "--format", "json"]) == 0
    variants = {one["option"]: one for one in json.loads(capsys.readouterr().out)["variants"]}
    assert variants["--remat"] == {"option": "--remat", "peak_bytes": None, "reason": "refused"}


def test_a_point_that_cannot_be_compiled(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, lambda plan: Outcome(status="oom", reason="its compiler needs 20 GiB"))
    assert main([*TINY]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == (
        "scaleprof: mat:dense · 16 agents · T 8 could not be planned: oom: its compiler needs 20 GiB"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--agents 2,4 --model mat", "explain answers for one point, and these options make 2: give one of --agents"),
        ("--agents 2 --model mat,ippo", "explain answers for one point, and these options make 2: give one of --model"),
        ("--agents 2 --model mat --target h1000", "--target: unknown target 'h1000': did you mean 'h100'"),
        ("--agents 2 --model mat --format csv", "--format: explain has no format 'csv'"),
        ("--agents 2 --model mat --html page.pdf", "--html: 'page.pdf' does not end in .html: rename the file"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["explain", *options.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax_cuda12_plugin") is None, reason="needs the extra plan-gpu")
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("mat:dense", {"scores", "softmax"}),
        ("sable:factored", {"norm", "within blocks", "observation features"}),
    ],
)
def test_a_card_that_is_not_there(capsys: pytest.CaptureFixture[str], model: str, expected: set[str]) -> None:
    size = ("--agents", "64", "--seq-len", "16", "--envs", "8", "--target", "h100")
    assert main(["explain", "--model", model, *size, "--no-advice", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["coverage"] >= 0.95
    assert expected <= {name for one in found["buffers"] for name in one["part"]}
