"""The page as a text: what is in it, that it fetches nothing, and that data stays data."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sweeps import MODELS, failed, sweep

from reports import Record, Run, write_records
from reports.records.columns import format_value
from reports.render.page import make_page, script_json, write_page
from reports.render.page_files import TIMELINE_POINTS

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&\u2028{{ 7*7 }}"


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the texts of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data


def data_of(page: str) -> dict[str, Any]:
    found = json.loads(Elements(page).scripts[0])
    assert isinstance(found, dict)
    return found


def cells(data: dict[str, Any], name: str) -> list[Any]:
    return [row[data["columns"].index(name)] for row in data["records"]]


def run_directory(folder: Path, record: Record, **files: str) -> Run:
    """A run with one record, its per-point files in `folder`, and the facts of a host."""
    for kind, text in files.items():
        (folder / kind).mkdir()
        (folder / kind / "0000.csv").write_text(text, encoding="utf-8")
    host = {"cpu": HOSTILE, "packages": {"jax": "0.10.2"}, "affinity": [0, 1], "governor": None, "cards": []}
    return Run(folder.name, folder, (dataclasses.replace(record, files="0000"),), (host,))


SMALL = sweep(MODELS[:2], agents=(4, 16), repeats=1)
PAGE = make_page([SMALL])


def test_nothing_is_fetched() -> None:
    links = ("src", "href", "action", "srcset", "data", "poster")
    named = {
        value for _, attributes in Elements(PAGE).found for name in links if (value := attributes.get(name)) is not None
    }
    assert {value for value in named if not value.startswith("#")} == {"data:,"}
    assert "@import" not in PAGE.partition("<script")[0]


def test_only_its_own_two_scripts_may_run() -> None:
    page = Elements(PAGE)
    policy = next(attributes["content"] for tag, attributes in page.found if attributes.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src" not in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in page.scripts]
    assert allowed == set(hashes[1:])
    assert len(hashes) == 3


def test_scripts_format_no_number() -> None:
    """They show the texts that come with the data."""
    script = Elements(PAGE).scripts[2]
    assert not re.findall(r"to(?:Fixed|Precision|Exponential|LocaleString)|padStart|Intl\b", script)
    data = data_of(PAGE)
    for name in ("agents", "memory_bytes", "agent_steps_per_second", "update_seconds"):
        place = data["columns"].index(name)
        shown = [row[place] for row in data["texts"]]
        assert shown == [format_value(name, getattr(record, name)) for record in SMALL.records]


def test_equal_runs_give_equal_pages() -> None:
    assert make_page([SMALL]) == PAGE


def test_the_download_is_the_results_file() -> None:
    stream = io.StringIO(newline="")
    write_records(SMALL.records, stream)
    assert data_of(PAGE)["csv"] == stream.getvalue()


def test_all_known_columns_are_there() -> None:
    data = data_of(PAGE)
    assert cells(data, "agents") == [record.agents for record in SMALL.records]
    assert cells(data, "host_peak_rise_bytes") == [record.host_peak_rise_bytes for record in SMALL.records]
    assert "device_peak_bytes" not in data["columns"]
    assert "run" not in data["columns"]
    both = data_of(make_page([SMALL, dataclasses.replace(SMALL, path=Path("runs/other"))]))
    assert set(cells(both, "run")) == {"runs/sweep", "runs/other"}


def test_charts_name_records_by_their_place() -> None:
    data = data_of(PAGE)
    (one,) = data["slices"]
    field = data["memory"][0]["field"]
    places = [place for curve in one["curves"] for point in curve["measured"][field] for place in point["places"]]
    assert sorted(places) == list(range(len(SMALL.records)))
    assert [measure["field"] for measure in data["memory"]] == ["memory_bytes", "host_rss_peak_bytes"]


def test_data_is_no_markup(tmp_path: Path) -> None:
    record = dataclasses.replace(
        failed(HOSTILE, HOSTILE, 4, 8, 0, "oom", HOSTILE), settings=HOSTILE, stderr_tail=HOSTILE
    )
    files = {"samples": f"update,phase,{HOSTILE}\n0,{HOSTILE},1\n", "timelines": "seconds,phase,rss_bytes\n0,<b>,1\n"}
    page = make_page([dataclasses.replace(run_directory(tmp_path, record, **files), name=HOSTILE)])
    mine, plain = Elements(page), Elements(PAGE)
    tags = {tag for tag, _ in plain.found} | {"details", "summary", "tr", "th", "td"}
    assert {tag for tag, _ in mine.found} <= tags
    assert not [name for _, attributes in mine.found for name in attributes if name.startswith("on")]
    assert len(mine.scripts) == 3
    assert "{{ 7*7 }}" in page
    assert cells(data_of(page), "model") == [HOSTILE.replace("\u2028", " ")]


def test_json_inside_a_script() -> None:
    text = script_json({"a": [HOSTILE, "\u2029", None, 1.5]})
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == {"a": [HOSTILE, "\u2029", None, 1.5]}


def test_formulas_are_escaped_in_the_download() -> None:
    record = failed("mat", "", 4, 8, 0, "error", "=cmd()")
    data = data_of(make_page([Run("run", Path("run"), (record,))]))
    assert ",'=cmd()," in data["csv"]
    assert cells(data, "reason") == ["=cmd()"]


def test_files_of_a_point(tmp_path: Path) -> None:
    looks = [f"{n / 20},measure,{1000 + n}\n" for n in range(3000)]
    looks[1234] = "61.7,measure,999999\n"
    run = run_directory(
        tmp_path,
        SMALL.records[0],
        samples="update,phase,update_seconds,policy_loss\n0,warm up,0.123456789,nan\n1,measure,0.1,-2.5\n",
        timelines="".join(["seconds,phase,rss_bytes\n", *looks]),
    )
    page = make_page([run])
    (files,) = data_of(page)["files"]
    assert files["samples"]["values"] == {
        "update": [0, 1],
        "phase": ["warm up", "measure"],
        "update_seconds": [0.123457, 0.1],
        "policy_loss": [None, -2.5],
    }
    assert files["samples"]["texts"] == {
        "update": ["0", "1"],
        "phase": ["warm up", "measure"],
        "update_seconds": ["123 ms", "100 ms"],
        "policy_loss": ["", "-2.50"],
    }
    assert files["samples"]["ticks"] == [[0, "0 s"], [0.05, "50 ms"], [0.1, "100 ms"]]
    kept = files["timeline"]["values"]["rss_bytes"]
    assert TIMELINE_POINTS / 2 < len(kept) <= TIMELINE_POINTS
    assert max(kept) == 999999
    assert files["timeline"]["texts"][0] == "350 ms: 1007 B"
    assert files["timeline"]["ticks"][-1] == [786432, "768 KiB"]
    assert '<th>packages.jax</th><td class="text">0.10.2</td>' in page
    assert '<th>affinity</th><td class="text">0 1</td>' in page
    assert "governor" not in page.partition("<script")[0]
    assert data_of(PAGE)["files"] == [None] * len(SMALL.records)


def test_non_finite_numbers_stay_visible() -> None:
    records = (dataclasses.replace(SMALL.records[0], value_loss=float("nan"), update_seconds=float("inf")),)
    data = data_of(make_page([Run("run", Path("run"), records)]))
    assert (cells(data, "value_loss"), cells(data, "update_seconds")) == (["nan"], ["inf"])


def test_failures_are_listed_with_their_reasons() -> None:
    records = [failed("mat", "dense", 64, 8, n, "oom", "needs 9 GiB & more") for n in range(2)]
    page = make_page([Run("run", Path("run"), (*SMALL.records, *records))])
    row = re.search(r"<tr><th>mat dense, agents=64.*?</tr>", page)
    assert row is not None
    assert "2 of 2" in row[0]
    assert "needs 9 GiB &amp; more" in row[0]
    assert 'id="failures"' not in PAGE


def test_direction_marks_are_not_shown(tmp_path: Path) -> None:
    turned = "s\u202ea\u2067b"
    record = dataclasses.replace(failed(turned, turned, 4, 8, 0, "oom", turned), scenario=turned)
    run = run_directory(tmp_path, record, samples=f"update,{turned}\n0,1\n")
    page = make_page([dataclasses.replace(run, name=turned, hosts=({turned: turned},))])
    visible, script, _ = page.partition('<script type="application/json"')
    assert script
    assert not set(visible) & set("\u202e\u2067")
    data = data_of(page)
    assert turned in data.pop("csv")
    assert "\\u20" not in script_json(data)
    assert cells(data, "model") == ["s a b"]
    assert list(data["files"][0]["samples"]["values"]) == ["update", "s a b"]
    assert data["slices"][0]["curves"][0]["label"] == "s a b s a b"


def test_lone_surrogates_are_dropped(tmp_path: Path) -> None:
    record = dataclasses.replace(SMALL.records[0], model="a\ud800b", stderr_tail="\x00\x1b[31m")
    write_page([Run("\ud800", Path("run"), (record,))], tmp_path / "page.html")
    assert cells(data_of((tmp_path / "page.html").read_text(encoding="utf-8")), "model") == ["a b"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"runs/none: no records, so there is nothing to show"):
        write_page([Run("none", Path("runs/none"), ())], tmp_path / "page.html")
    with pytest.raises(
        ValueError, match=r"page\.html: cannot be written \(No such file or directory\); check the path"
    ):
        write_page([SMALL], tmp_path / "none" / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_the_answer_and_growth_come_first() -> None:
    page = make_page([sweep(MODELS[:2])])
    best = "At 1024 agents, sable chunkwise needs the least memory ("
    places = [page.index(text) for text in (best, "How cost grows with the number of agents", "<h2>Cost at scale")]
    assert places == sorted(places)
    assert re.search(r"sable recurrent +4x the agents", page)
    tables = page[places[1] : places[2]]
    assert "<h2>Peak memory by number of agents</h2>" in tables
    assert "<strong>*" in tables
    assert re.search(r"<small>[\d.]+x</small>", tables)


def test_points_and_their_repeats_are_counted_apart() -> None:
    assert ">4 points, 12 repeats in all:</span>" in make_page([sweep(MODELS[:2], agents=(4, 16), repeats=3)])
    assert ">4 points:</span>" in make_page([sweep(MODELS[:2], agents=(4, 16), repeats=1)])
