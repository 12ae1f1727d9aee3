"""Pictures: what is drawn, that nothing covers anything, and that equal runs give equal files."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image
from sweeps import MIB, MODELS, failed, measured, sweep

from reports.records.run import Run
from reports.render.figures import draw, style, write_figure
from reports.text.style import FAILURES

ONE = sweep(MODELS[:1], agents=(16,))


@pytest.fixture
def figure() -> Figure:
    """Everything that there is to draw."""
    with style():
        return draw([sweep(MODELS[:5], seq_lens=(8, 32), repeats=5)])


def heights(line: Line2D) -> list[float]:
    return [float(value) for value in np.asarray(line.get_ydata())]


def marks(axes: Axes, marker: str) -> int:
    return sum(line.get_marker() == marker for line in axes.lines)


def test_what_is_drawn(figure: Figure) -> None:
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "Number of agents",
        "Number of agents",
        "Sequence length (timesteps per rollout)",
        "Sequence length (timesteps per rollout)",
    ]
    memory, speed, *_ = figure.axes
    assert (memory.get_xscale(), memory.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in memory.get_xticklabels()] == ["4", "16", "64", "256", "1024"]
    assert {label.get_text().split()[-1] for label in memory.get_yticklabels()} == {"MiB", "GiB"}
    assert "Agent-steps per second" in speed.get_ylabel()
    limit = [3796 * MIB] * 2  # less the 300 MiB that the process holds
    assert [line for line in memory.lines if heights(line) == limit]
    assert not [line for line in speed.lines if heights(line) == limit]
    assert marks(memory, FAILURES["skipped"][0]) == marks(speed, FAILURES["skipped"][0]) == 2
    bands = [one for one in memory.collections if isinstance(one, PolyCollection)]
    assert len(bands) == 3  # for each curve with sizes enough for a fit


def test_the_legend_is_complete_and_covers_nothing(figure: Figure) -> None:
    figure.draw_without_rendering()
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:5] == ["sable chunkwise", "sable recurrent", "sable parallel", "sable factored", "mat dense"]
    assert "memory limit 4 GiB, minus what the idle process holds" in texts
    assert "95 % interval of the law" in texts
    assert "lowest to highest repeat" in texts
    box = legend.get_window_extent()
    for axes in figure.axes:
        around = axes.get_tightbbox()
        assert around is not None
        assert not box.overlaps(around)
    assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1


def test_failures_stand_in_a_strip_above_the_axes(figure: Figure) -> None:
    figure.draw_without_rendering()
    shapes = {shape for shape, _, _ in FAILURES.values()}
    for axes in figure.axes[:2]:
        failures = [line.get_window_extent() for line in axes.lines if line.get_marker() in shapes]
        assert failures
        assert min(box.y0 for box in failures) > axes.bbox.y1
        (title,) = [text for text in axes.findobj(Text) if text.get_text() == axes.get_title(loc="left")]
        assert max(box.y1 for box in failures) < title.get_window_extent().y0
        assert "no result" in [text.get_text() for text in axes.texts]
    assert "no result" not in [text.get_text() for text in draw([ONE]).axes[0].texts]


def test_growth_stands_above_the_panels(figure: Figure) -> None:
    title = figure.get_suptitle()
    assert "sable chunkwise" in title
    assert "x the agents" in title
    many = sweep([(f"model{number}", "", 1.0) for number in range(14)])
    assert draw([many]).get_suptitle().endswith("and 2 more curves")


def test_error_bars_reach_from_the_lowest_to_the_highest_repeat() -> None:
    values = (40.0, 10.0, 20.0)
    several = [measured("ippo", "", 4, 8, n, mebibytes=value, seconds=0.1) for n, value in enumerate(values)]
    alone = measured("ippo", "", 16, 8, 0, mebibytes=50, seconds=0.1)
    axes, _ = draw([Run("run", Path("run"), (*several, alone))]).axes
    (bars,) = [one for one in axes.collections if isinstance(one, LineCollection)]
    (bar,) = bars.get_segments()
    assert np.asarray(bar).tolist() == [[4, 10 * MIB], [4, 40 * MIB]]
    assert any(heights(line) == [20 * MIB, 50 * MIB] for line in axes.lines)  # the medians


def test_titles_carry_the_answer(figure: Figure) -> None:
    assert [axes.get_title(loc="left").split("\n") for axes in figure.axes] == [
        ["Peak memory at 8 timesteps", "4x the agents: sable factored 3.4x, sable parallel 16x"],
        ["Agent-steps per second at 8 timesteps", "Fastest at 1024 agents: sable chunkwise 2.92M"],
        ["Peak memory at 16 agents", "4x the timesteps (8 to 32): sable chunkwise 2.5x, mat dense 4.0x"],
        ["Agent-steps per second at 16 agents", "Fastest at 32 timesteps: sable chunkwise 1.25M"],
    ]


@pytest.mark.parametrize(
    ("size", "seq_lens"),
    [
        (None, (8,)),
        ((7.0, 4.0), (8,)),
        ((4.0, 3.5), (8,)),
        ((3.5, 6.0), (8,)),
        ((16.0, 9.0), (8,)),
        ((8.0, 7.0), (8, 32)),
    ],
)
def test_no_text_is_cut_or_overlaps(size: tuple[float, float] | None, seq_lens: tuple[int, ...]) -> None:
    with style(size):
        figure = draw([sweep(MODELS[:3], seq_lens=seq_lens)], size)
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for axes in figure.axes for text in _texts(axes)]
        boxes += [text.get_window_extent() for text in (*figure.texts, *figure.legends[0].get_texts())]
    assert figure.get_size_inches() == pytest.approx(size or figure.get_size_inches())
    for place, box in enumerate(boxes):
        assert -1 <= box.x0 < box.x1 <= figure.bbox.x1 + 1
        assert -1 <= box.y0 < box.y1 <= figure.bbox.y1 + 1
        assert not [other for other in boxes[:place] if box.overlaps(other)]


def _texts(axes: Axes) -> list[Text]:
    """Everything written in and around the axes."""
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    titles = [text for text in axes.findobj(Text) if text.get_text() == axes.get_title(loc="left")]
    found = [*titles, *ticks, *axes.texts, axes.xaxis.label, axes.yaxis.label]
    return [text for text in found if text.get_text()]


def test_a_size_without_room() -> None:
    for size in ((2.0, 2.0), (1.0, 1.0), (20.0, 1.5)):
        with (
            style(size),
            pytest.raises(ValueError, match=r"x.* inches leave no room for the panels"),
        ):
            draw([sweep()], size)


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.pdf"])
def test_a_picture_has_the_size_that_is_asked_for(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_figure([ONE], path, (6.0, 4.0))
    if name == "a.png":
        with Image.open(path) as image:
            assert image.size == (960, 640)
    else:
        words = {"a.svg": b'width="432pt" height="288pt"', "a.pdf": b"/MediaBox [ 0 0 432 288 ]"}
        assert words[name] in path.read_bytes()


@pytest.mark.parametrize("run", [ONE, sweep()], ids=["one point", "eight curves"])
def test_a_png_is_sharp_and_has_something_on_it(run: Run, tmp_path: Path) -> None:
    write_figure([run], tmp_path / "a.PNG")
    with Image.open(tmp_path / "a.PNG") as image:
        assert image.info["dpi"] == pytest.approx((160, 160), abs=0.1)
        assert image.width == 1760
        assert np.asarray(image.convert("L")).std() > 5


def test_equal_runs_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.pdf", "b.pdf"):
        write_figure([ONE], tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert "<dc:date>" not in text
    words = ["".join(part.itertext()).strip() for part in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
    assert {"Number of agents", "Agent-steps per second", "sable chunkwise"} <= set(words)


def test_text_from_data_is_neither_formula_nor_markup(tmp_path: Path) -> None:
    hostile = "_$\\frac{1$</text><script>alert(1)</script>\x07\ud800名"
    records = tuple(dataclasses.replace(record, model=hostile) for record in ONE.records)
    for name in ("a.svg", "a.pdf"):
        write_figure([Run(hostile, Path("runs/x"), records)], tmp_path / name)
    root = ET.parse(tmp_path / "a.svg").getroot()
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert any("<script>alert(1)</script>" in "".join(part.itertext()) for part in root.iter())


def test_a_matplotlibrc_changes_nothing(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    write_figure([ONE], tmp_path / "a.svg")
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"axes.labelsize": 30.0, "figure.dpi": 40.0, "svg.fonttype": "path"}):
        write_figure([ONE], tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("nonsense", [1e308, 5e-324])
def test_a_value_that_no_axis_can_show_is_left_out(nonsense: float, tmp_path: Path) -> None:
    wrong = dataclasses.replace(ONE.records[0], agent_steps_per_second=nonsense)
    run = Run("run", Path("run"), (wrong, *ONE.records[1:]))
    _, speed = draw([run]).axes
    known = ONE.records[1].agent_steps_per_second
    assert known is not None
    assert {height for line in speed.lines for height in heights(line)} == {known}
    low, high = speed.get_ylim()
    assert low < known < high < 10 * known
    write_figure([run], tmp_path / "a.png")


def test_memory_alone_can_be_drawn() -> None:
    records = tuple(dataclasses.replace(r, update_seconds=None, agent_steps_per_second=None) for r in ONE.records)
    (axes,) = draw([Run("memory", Path("memory"), records)]).axes
    assert axes.get_ylabel() == "Peak memory"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.jpg", r"a\.jpg: a picture ends in \.png, \.svg or \.pdf; name the file so"),
        ("none/a.png", r"a\.png: cannot be written \(No such file or directory\); check the path"),
    ],
)
def test_what_cannot_be_written(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_figure([ONE], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_draw(tmp_path: Path) -> None:
    nothing = Run("oom", Path("runs/oom"), (failed("mat", "dense", 4, 8, 0, "oom"),))
    with pytest.raises(ValueError, match=r"runs/oom: no measured point, so there is nothing to draw; scaleprof report"):
        write_figure([nothing], tmp_path / "a.png")


def test_a_curve_without_a_result_shows_its_failures() -> None:
    records = (measured("ippo", "", 4, 8, 0, mebibytes=5, seconds=0.1), failed("mat", "dense", 4, 8, 0, "crashed"))
    memory, _ = draw([Run("run", Path("run"), records)]).axes
    assert marks(memory, FAILURES["crashed"][0]) == 1


def test_a_picture_of_an_incomplete_run_says_so() -> None:
    with style():
        text = draw([dataclasses.replace(ONE, incomplete="7 of 12 records")]).get_suptitle()
    assert "(incomplete: 7 of 12 records)" in text


def test_lines_of_growth_keep_every_word_and_their_heading() -> None:
    records = [
        dataclasses.replace(
            measured("mat", "dense", size, 8, 0, mebibytes=size**2, seconds=size), settings="long-name" * 12
        )
        for size in (4, 16, 64, 256)
    ]
    records += [measured("ippo", "", size, 8, 0, mebibytes=size, seconds=size) for size in (4, 16, 64, 256)]
    run = Run("run", Path("run"), tuple(records))
    with style():
        text = draw([run]).get_suptitle()
    assert "How cost grows with the number of agents (from 64 to 256):" in text
    assert "quadratic" in text
    assert max(map(len, text.splitlines())) <= 160


def test_the_legend_lists_only_what_is_drawn() -> None:
    drawn = [measured("ippo", "", size, 8, 0, mebibytes=size, seconds=1) for size in (4, 16)]
    without = dataclasses.replace(failed("mat", "dense", 4, 8, 0, "ok"), host_base_bytes=2)
    with style():
        figure = draw([Run("run", Path("run"), (*drawn, without))])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[0] == "ippo"
    assert "mat dense" not in texts
