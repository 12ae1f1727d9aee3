"""The page in a real browser: charts, table and details work, nothing is fetched, and data does not run."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from selenium.webdriver import Chrome
from sweeps import MIB, MODELS, failed, sweep

from reports import Run, write_records
from reports.records.columns import format_value
from reports.render.page import write_page
from reports.text.ticks import tick_label, ticks

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'><b>=cmd()</b>"
SAMPLES = "update,phase,update_seconds,policy_loss,value_loss,mean_return\n" + "".join(
    f"{n},{'warm up' if n < 3 else 'measure'},{0.1 + n / 100},{n / 7},{1 / (n + 1)},{n}\n" for n in range(9)
)
TIMELINE = "seconds,phase,rss_bytes\n" + "".join(
    f"{n / 20},{'start' if n < 5 else 'compile act' if n < 9 else 'start'},{n * 2**24}\n" for n in range(20)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def chrome(folder: Path) -> Iterator[Chrome]:
    driver = browser.start(folder)
    yield driver
    driver.quit()


@pytest.fixture
def fresh(chrome: Chrome, page: Path) -> Iterator[Chrome]:
    """A freshly loaded page, for tests that change it; later tests load it again."""
    chrome.get("about:blank")
    browser.show(chrome, page)
    yield chrome
    chrome.get("about:blank")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """Two models that grow, one whose names are markup, and the files of the first point."""
    plain = sweep((MODELS[0], MODELS[4]), agents=(4, 16, 64, 256), seq_lens=(8, 32))
    hostile = [
        failed(HOSTILE, HOSTILE, 16, 8, 0, "oom", HOSTILE),
        dataclasses.replace(plain.records[2], model=HOSTILE, mode=HOSTILE, repeat=1),
    ]
    first = dataclasses.replace(plain.records[0], files="0000")
    for kind, text in (("samples", SAMPLES), ("timelines", TIMELINE)):
        (folder / kind).mkdir()
        (folder / kind / "0000.csv").write_text(text, encoding="utf-8")
    host = {"cpu": HOSTILE, HOSTILE: {"jax": "0.10.2"}}
    return Run(f"real {HOSTILE}", folder, (first, *plain.records[1:], *hostile), (host,))


@pytest.fixture(scope="module")
def page(run: Run, folder: Path) -> Path:
    write_page([run], folder / "page.html")
    return folder / "page.html"


def count(chrome: Chrome, selector: str) -> int:
    found: int = chrome.execute_script("return document.querySelectorAll(arguments[0]).length", selector)
    return found


def texts(chrome: Chrome, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)"
    found: list[str] = chrome.execute_script(script, selector)
    return found


def choose(chrome: Chrome, name: str, value: str) -> None:
    """Set a field and fire its events, as a user does."""
    chrome.execute_script(
        "const [name, value] = arguments; const field = document.getElementById(name);"
        "if (field.type === 'checkbox') field.checked = value === 'on'; else field.value = value;"
        "field.dispatchEvent(new Event('input')); field.dispatchEvent(new Event('change'));",
        name,
        value,
    )


def layout(chrome: Chrome, chart: str) -> dict[str, Any]:
    found: dict[str, Any] = chrome.execute_script(
        f"return JSON.parse(JSON.stringify(document.getElementById('{chart}').layout))"
    )
    return found


@pytest.mark.parametrize("width", [1280, 390])
def test_charts_are_drawn_without_errors(chrome: Chrome, page: Path, width: int) -> None:
    chrome.get("about:blank")
    browser.show(chrome, page, width=width)
    for chart in ("memory-chart", "speed-chart"):
        assert count(chrome, f"#{chart} svg .scatterlayer .trace path.js-line") >= 4  # lines and fits of two curves
        assert count(chrome, f"#{chart} svg .scatterlayer .trace path.point") >= 16
        marks = f"return document.getElementById('{chart}').data.filter(one => one.meta === 'failure').length"
        assert chrome.execute_script(marks) == 2  # one of the hostile model, and the largest of mat
    assert texts(chrome, "#memory-chart .ytick text")[0].endswith("iB")
    assert count(chrome, "#memory-chart .shapelayer path") == 2  # the limit, and the edge of the strip of failures
    assert count(chrome, "#legend button") == 3
    tops = [
        chrome.execute_script(f"return document.getElementById('{n}-chart').offsetTop") for n in ("memory", "speed")
    ]
    assert (tops[0] == tops[1]) == (width == 1280)
    assert chrome.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.console(chrome) == []
    assert {url for url in browser.requests(chrome) if not url.startswith("data:")} == {page.as_uri()}


@pytest.mark.parametrize("width", [1280, 390])
def test_failures_stand_in_a_strip_above_the_axes(chrome: Chrome, page: Path, width: int) -> None:
    browser.show(chrome, page, width=width)
    for chart in ("memory-chart", "speed-chart"):
        shown = layout(chrome, chart)
        _, top = shown["yaxis"]["domain"]
        assert 0.5 < top < 1
        assert shown["yaxis2"]["domain"] == [top, 1]
        assert "no result" in texts(chrome, f"#{chart} .annotation text")
        drawn = f"return document.getElementById('{chart}').data"
        marks = chrome.execute_script(f"{drawn}.filter(one => ['failure', 'whose'].includes(one.meta))")
        assert {mark["yaxis"] for mark in marks} == {"y2"}
        assert not chrome.execute_script(f"{drawn}.filter(one => one.meta === 'median' && one.yaxis)")
        values = chrome.execute_script(f"{drawn}.filter(one => one.meta === 'median').flatMap(one => one.y)")
        low, high = (10**power for power in shown["yaxis"]["range"])
        highest = max(*values, 3796 * MIB if chart == "memory-chart" else 0)
        assert low < min(values) < highest < high < 1.5 * highest  # failures take nothing of the scale
    hidden = "[...document.querySelectorAll('#legend button')].slice(1).forEach(one => one.click())"
    chrome.execute_script(hidden)
    assert layout(chrome, "memory-chart")["yaxis"]["domain"] == [0, 1]
    assert "no result" not in texts(chrome, "#memory-chart .annotation text")
    chrome.execute_script(hidden)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_failed_row_is_one_line(chrome: Chrome, folder: Path, width: int) -> None:
    reason = "the learn program needs 24.8 GiB by XLA's analysis plus 420 MiB already resident; " * 4 + "the end"
    records = [
        failed("mat", "dense", 4, 8, 0, "oom", reason),
        failed("mat", "dense", 16, 8, 0, "skipped", "larger than what ran out of memory"),
        *sweep(MODELS[:1], agents=(4, 16)).records,
    ]
    write_page([Run("reasons", folder, tuple(records))], folder / "reasons.html")
    chrome.get("about:blank")
    browser.show(chrome, folder / "reasons.html", width=width)

    def heights(selector: str) -> list[float]:
        script = "return [...document.querySelectorAll(arguments[0])].map(one => one.offsetHeight)"
        found: list[float] = chrome.execute_script(script, selector)
        return found

    assert len(heights("#failures tbody tr")) == 2
    assert max(heights("#failures tbody tr")) < 1.5 * min(heights("#table tbody tr"))
    assert len(set(heights("#table tbody tr"))) == 1
    titles = "return [...document.querySelectorAll(arguments[0])].map(one => one.title)"
    assert chrome.execute_script(titles, "#failures summary") == [reason]
    assert chrome.execute_script(titles, "#table td[title]") == [reason]
    chrome.execute_script("document.querySelector('#failures summary').click()")
    browser.until(chrome, lambda: max(heights("#failures tbody tr")) > 2 * min(heights("#failures tbody tr")))
    assert texts(chrome, "#failures summary") == [reason]
    assert browser.console(chrome) == []


def test_data_does_not_run(chrome: Chrome, page: Path, run: Run) -> None:
    browser.show(chrome, page)
    hostile = len(run.records) - 1
    chrome.execute_script(f"document.querySelectorAll('#table tbody tr')[{hostile}].click()")
    assert chrome.execute_script("return window.hacked") is None
    assert count(chrome, "script") == 3
    assert count(chrome, "img") == count(chrome, "#legend b") == count(chrome, "#table b") == 0
    assert texts(chrome, "h1") == [run.name]
    assert texts(chrome, "#legend button")[2] == f"{HOSTILE} {HOSTILE}"
    assert texts(chrome, "#detail-title")[0].startswith(HOSTILE)
    chrome.execute_script("document.getElementById('close').click()")
    assert browser.console(chrome) == []


def test_hints_show_text_as_it_is(chrome: Chrome, page: Path) -> None:
    browser.show(chrome, page)
    shown = chrome.execute_script(
        "const chart = document.getElementById('memory-chart');"
        "const curve = chart.data.findIndex(one => one.meta === 'failure' && one.text[0].includes('cmd'));"
        "Plotly.Fx.hover(chart, [{curveNumber: curve, pointNumber: 0}], ['xy2']);"
        "return [...chart.querySelectorAll('.hoverlayer text')].map(one => one.textContent).join('')"
    )
    assert HOSTILE in shown


def test_the_table_filters_and_sorts(fresh: Chrome, run: Run) -> None:
    rows = len(run.records)
    assert texts(fresh, "#count") == [f"{rows} of {rows} rows"]
    assert count(fresh, "#table tbody tr") == rows
    for query, matching in (
        ("MAT agents=16", [r for r in run.records if r.model == "mat" and r.agents == 16]),
        ("agents=6", []),
        ("cmd() oom", [run.records[-2]]),
        ("larger than what", [r for r in run.records if r.reason.startswith("larger")]),
        ("constructor=", []),
    ):
        choose(fresh, "filter", query)
        assert count(fresh, "#table tbody tr") == len(matching)
        assert texts(fresh, "#count") == [f"{len(matching)} of {rows} rows"]
    choose(fresh, "filter", "")
    choose(fresh, "status", "oom")
    assert count(fresh, "#table tbody tr") == sum(record.status == "oom" for record in run.records)
    choose(fresh, "status", "")
    columns = texts(fresh, "#table thead th")
    place = columns.index("memory_bytes") + 1
    for order in (sorted, lambda values: sorted(values, reverse=True)):
        fresh.execute_script(f"document.querySelector('#table thead th:nth-child({place}) button').click()")
        shown = texts(fresh, f"#table tbody td:nth-child({place})")
        values = [r.memory_bytes for r in run.records if r.memory_bytes is not None]
        mebibytes = [float(text.split()[0]) * {"MiB": 1, "GiB": 1024}[text.split()[1]] for text in shown[: len(values)]]
        assert mebibytes == pytest.approx([value / 2**20 for value in order(values)], rel=5e-3)
        assert set(shown[len(values) :]) == {""}
    choose(fresh, "every-column", "on")
    assert len(texts(fresh, "#table thead th")) > len(columns)


def test_bars_reach_from_the_lowest_to_the_highest_repeat(chrome: Chrome, folder: Path) -> None:
    first, second, third, *others = sweep(MODELS[:1], agents=(4, 16), repeats=3).records
    rises = (2 * 2**20, 3 * 2**20, 7 * 2**20)
    repeats = [
        dataclasses.replace(one, agents=4, repeat=number, host_peak_rise_bytes=rise)
        for number, (one, rise) in enumerate(zip((first, second, third), rises, strict=True))
    ]
    single = dataclasses.replace(others[0], agents=16, repeat=0)
    write_page([Run("bars", folder, (*repeats, single))], folder / "bars.html")
    browser.show(chrome, folder / "bars.html")
    traces = "document.getElementById('memory-chart').data.find(one => one.meta === 'median')"
    bars = chrome.execute_script(f"return {traces}.error_y")
    assert chrome.execute_script(f"return {traces}.x") == [4, 16]
    assert (bars["array"], bars["arrayminus"]) == ([4 * 2**20, 0], [2**20, 0])
    assert count(chrome, "#memory-chart .errorbar path.yerror") > 0
    write_page([Run("bars", folder, (repeats[0], single))], folder / "single.html")
    browser.show(chrome, folder / "single.html")
    assert chrome.execute_script(f"return {traces}.error_y") is None
    assert browser.console(chrome) == []


def test_values_with_spaces_can_be_filtered(chrome: Chrome, folder: Path) -> None:
    first, *others = sweep(MODELS[:1], agents=(4, 16), repeats=2).records
    devices = ("NVIDIA A100-SXM4-80GB", "NVIDIA", "NVIDIA A100-SXM4-80GB", "cpu")
    records = [dataclasses.replace(one, device=name) for one, name in zip((first, *others), devices, strict=True)]
    records[0] = dataclasses.replace(records[0], chunk=4)
    write_page([Run("devices", folder, tuple(records))], folder / "devices.html")
    browser.show(chrome, folder / "devices.html")
    for query, matching in (
        ("device=NVIDIA A100-SXM4-80GB", [0, 2]),
        ("agents=4 device=nvidia  a100-sxm4-80gb sable", [0]),
        ('device="NVIDIA A100-SXM4-80GB" agents=16', [2]),
        ('device="NVIDIA', [1]),
        ("device=NVIDIA", [1]),
        ("device=NVIDIA sable", [1]),
        ('device="NVIDIA" A100', []),
        ('"idia a100"', [0, 2]),
        ("device=NVIDIA A100", []),
        ("chunk= agents=4", [1]),
        ("toString=", []),
    ):
        choose(chrome, "filter", query)
        assert texts(chrome, "#count") == [f"{len(matching)} of 4 rows"], query
        column = texts(chrome, "#table thead th").index("device") + 1
        assert texts(chrome, f"#table tbody td:nth-child({column})") == [devices[place] for place in matching]
    assert browser.console(chrome) == []


EXACT = (
    0.0,
    0.125,
    12.25,
    12.35,
    999.4,
    999.5,
    999.6,
    1012.5,
    1013.0,
    1023.7,
    0.000994,
    1.2e-5,
    3e-10,
    1225000.0,
    1.5e7,
)
TIMES = (59.94, 59.96, 125.0, 3599.6, 3720.0, 86_399.0, 273_600.0, -1.5, 0.9996, float("inf"), float("nan"))


def test_numbers_are_written_as_in_the_terminal(chrome: Chrome, folder: Path) -> None:
    draws = random.Random(0)
    values = [*EXACT, *TIMES, *(draws.uniform(-1, 10) * 10 ** draws.randint(-9, 12) for _ in range(300))]
    sizes = [int(value * unit) for value in EXACT for unit in (1, 2**20, 2**60)]
    sizes += [draws.randrange(2 ** draws.randint(1, 70)) for _ in values[len(sizes) :]]
    (one,) = sweep(MODELS[:1], agents=(4,), repeats=1).records
    records = [
        dataclasses.replace(
            one,
            repeat=place,
            xla_peak_bytes=size,
            traffic_bytes_per_update=value,
            agent_steps_per_second=value,
            update_seconds=value,
            update_cv=value,
            parameters=place,
        )
        for place, (value, size) in enumerate(zip(values, sizes, strict=True))
    ]
    write_page([Run("numbers", folder, tuple(records))], folder / "numbers.html")
    browser.show(chrome, folder / "numbers.html")
    choose(chrome, "every-column", "on")
    columns = texts(chrome, "#table thead th")
    names = ("repeat", "xla_peak_bytes", "traffic_bytes_per_update", "agent_steps_per_second", "update_seconds")
    for name in (*names, "update_cv", "parameters"):
        shown = texts(chrome, f"#table tbody td:nth-child({columns.index(name) + 1})")
        assert shown == [format_value(name, getattr(record, name)) for record in records], name
    assert browser.console(chrome) == []


def test_a_mark_opens_its_point(chrome: Chrome, page: Path) -> None:
    browser.show(chrome, page)
    chrome.execute_script(
        "const chart = document.getElementById('memory-chart');"
        "const trace = chart.data.find(one => one.meta === 'median');"
        "chart.emit('plotly_click', {points: [{customdata: trace.customdata[0]}]})"
    )
    assert chrome.execute_script("return document.getElementById('detail').open")
    assert texts(chrome, "#detail-title") == ["sable:chunkwise, 4 agents, 8 timesteps"]
    assert texts(chrome, "#detail-charts .gtitle") == [
        "Update time",
        "Loss",
        "Return and reward",
        "Resident memory by phase",
    ]
    assert count(chrome, "#detail-charts .small:nth-child(4) .trace path.js-line") == 3  # start, compile, start
    assert count(chrome, "#samples tbody tr") == 9
    assert "host_peak_rise_bytes" in texts(chrome, "#facts th")
    assert texts(chrome, "#repeats button") == ["repeat 0: ok", "repeat 1: ok"]
    chrome.execute_script("document.querySelectorAll('#repeats button')[1].click()")
    assert count(chrome, "#detail-charts .small") == 0
    assert chrome.execute_script("return !document.getElementById('no-files').hidden")
    chrome.execute_script("document.getElementById('close').click()")
    assert not chrome.execute_script("return document.getElementById('detail').open")
    assert browser.console(chrome) == []


def test_charts_can_be_chosen(fresh: Chrome) -> None:
    assert texts(fresh, "#slice option") == ["8 timesteps", "32 timesteps"]
    choose(fresh, "axis", "seq_len")
    assert layout(fresh, "memory-chart")["xaxis"]["ticktext"] == ["8", "32"]
    assert texts(fresh, "#slice option") == ["4 agents", "16 agents", "64 agents", "256 agents"]
    choose(fresh, "memory-measure", "1")
    assert layout(fresh, "memory-chart")["yaxis"]["title"]["text"] == "Peak memory, resident"
    lines = "return document.getElementById('speed-chart').data.filter(one => one.meta === 'median').length"
    assert fresh.execute_script(lines) == 3
    fresh.execute_script("document.querySelector('#legend button').click()")
    assert fresh.execute_script(lines) == 2
    assert (
        fresh.execute_script("return document.querySelector('#legend button').getAttribute('aria-pressed')") == "false"
    )
    choose(fresh, "axis", "agents")
    fresh.execute_script("return Plotly.relayout('memory-chart', {'yaxis.range': [8, 8.2]})")
    zoomed = layout(fresh, "memory-chart")["yaxis"]["tickvals"]
    assert 2 <= len(zoomed) <= 9
    for chart, axis, unit in (
        ("memory-chart", "yaxis", "bytes"),
        ("memory-chart", "xaxis", "count"),
        ("speed-chart", "yaxis", "rate"),
    ):
        shown = layout(fresh, chart)[axis]
        assert shown["ticktext"] == [tick_label(value, unit) for value in shown["tickvals"]]
    for chart, unit in (("memory-chart", "bytes"), ("speed-chart", "rate")):
        shown = layout(fresh, chart)["yaxis"]
        low, high = (10**power for power in shown["range"])
        assert shown["tickvals"] == ticks(low, high, unit)
    assert all(10**8 <= value <= 10**8.2 for value in zoomed)


def test_the_results_file_is_downloaded(chrome: Chrome, page: Path, run: Run, folder: Path) -> None:
    browser.show(chrome, page)
    with (folder / "expected.csv").open("w", encoding="utf-8", newline="") as stream:
        write_records(run.records, stream)
    chrome.execute_script("document.getElementById('csv').click()")
    saved = folder / "results.csv"
    browser.until(chrome, saved.exists)
    assert saved.read_bytes() == (folder / "expected.csv").read_bytes()


@pytest.mark.parametrize(
    ("dark", "ink", "paper"), [(True, "#e6e9ed", "rgb(21, 24, 28)"), (False, "#1b1f24", "rgb(255, 255, 255)")]
)
def test_it_follows_the_colour_scheme(chrome: Chrome, page: Path, dark: bool, ink: str, paper: str) -> None:
    browser.show(chrome, page, dark=dark)
    browser.until(chrome, lambda: layout(chrome, "memory-chart")["font"]["color"] == ink)
    assert chrome.execute_script("return getComputedStyle(document.body).backgroundColor") == paper


def test_a_value_that_no_axis_can_show_is_left_out(chrome: Chrome, folder: Path) -> None:
    one, other = sweep(MODELS[:1], agents=(4,)).records
    records = (dataclasses.replace(one, agent_steps_per_second=1e308), other)
    write_page([Run("nonsense", folder, records)], folder / "nonsense.html")
    browser.show(chrome, folder / "nonsense.html")
    drawn = "return document.getElementById('speed-chart').data.flatMap(trace => trace.y)"
    assert chrome.execute_script(drawn) == [other.agent_steps_per_second]
    assert layout(chrome, "speed-chart")["yaxis"]["range"][1] < 6
    assert browser.console(chrome) == []


def test_a_run_without_a_measured_point(chrome: Chrome, folder: Path) -> None:
    nothing = Run("oom", folder, (failed("mat", "dense", 4, 8, 0, "oom", "too large"),))
    write_page([nothing], folder / "nothing.html")
    browser.show(chrome, folder / "nothing.html")
    assert chrome.execute_script("return !document.getElementById('no-charts').hidden")
    assert count(chrome, "#table tbody tr") == 1
    assert browser.console(chrome) == []


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_a_browser(
    required: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SCALEPROF_REQUIRE_BROWSER", required)
    with pytest.raises(outcome, match="no browser: Debian has it in the packages chromium and chromium-driver"):
        browser.start(tmp_path)


def test_the_caption_explains_only_what_is_drawn(chrome: Chrome, folder: Path) -> None:
    plain, full = folder / "plain.html", folder / "full.html"
    write_page([sweep(MODELS[:1], agents=(4, 16), repeats=1)], plain)
    write_page([sweep(MODELS[:1], agents=(4, 16, 64, 256), repeats=5)], full)
    browser.show(chrome, plain)
    assert texts(chrome, "#drawn") == [""]
    browser.show(chrome, full)
    (said,) = texts(chrome, "#drawn")
    assert "Thin short dashes: the law" in said
    assert "95" in said
    assert "lowest to the highest repeat" in said
    chrome.get("about:blank")


def test_a_phone_shows_the_values_of_the_host(chrome: Chrome, folder: Path) -> None:
    page = folder / "phone.html"
    host = {
        "memory_bytes": 25276510208,
        "import_seconds": 1.3363,
        "variables": {"together": {"A_LONG_NAME" * 5: "b" * 90}},
    }
    write_page([dataclasses.replace(sweep(MODELS[:2], agents=(4, 16, 64, 256)), hosts=(host,))], page)
    browser.show(chrome, page, width=390)
    places = chrome.execute_script(
        "return [...document.querySelectorAll('#host td, #answer pre')].map((one) => one.getBoundingClientRect().right)"
    )
    assert places
    assert max(places) <= 390
    wide = chrome.execute_script(
        "return [...document.querySelectorAll('#answer pre')].some((one) => one.scrollWidth > one.clientWidth)"
    )
    assert not wide
    assert {"23.5 GiB", "1.34 s"} <= set(texts(chrome, "#host td"))
    chrome.get("about:blank")
