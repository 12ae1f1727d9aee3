"""An explanation of a peak as one self-contained HTML page with a treemap, from a file and without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from reports.records.files import file_errors, write_whole
from reports.render.page import page_templates, script_hash, script_json
from reports.report.explanation import explanation_document, percent
from reports.report.live_buffers import Branch, Explanation, tree_of
from reports.text.plain import one_line
from reports.text.style import COLOURS
from reports.text.units import format_bytes

ROOT = "peak"
GAPS = "gaps and alignment"


def write_explanation_page(found: Explanation, path: str | os.PathLike[str]) -> None:
    """Write the page of an explanation to the file `path`. Equal explanations give equal files.

    Raises:
        ValueError: the file cannot be written; an existing file is then unchanged.
    """
    text = explanation_page(found)
    with file_errors(path, "written"):
        write_whole(path, text.encode("utf-8", "replace"))


def explanation_page(found: Explanation) -> str:
    """The page as text."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    templates = page_templates()
    loader = templates.loader
    assert loader is not None
    plotly = get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")
    script = loader.get_source(templates, "scripts/treemap.js")[0]
    return templates.get_template("explanation.html").render(
        title=one_line(found.label),
        document=explanation_document(found),
        data=Markup(script_json(treemap(found))),
        plotly=Markup(plotly),
        script=Markup(script),
        script_hashes=[Markup(script_hash(plotly)), Markup(script_hash(script))],
    )


def treemap(found: Explanation) -> dict[str, Any]:
    """Tiles of the treemap as columns: each part of the model with its bytes; their largest part chooses the colour."""
    root = tree_of(found.buffers)
    tiles = [_tile(ROOT, "", ROOT, found.peak_bytes, found, 0)]
    for number, branch in enumerate(root.sorted):
        tiles += _tiles(branch, ROOT, found, number)
    if found.rest_bytes:
        tiles.append(_tile(f"{ROOT}/{GAPS}", ROOT, GAPS, found.rest_bytes, found, len(root.children)))
    return {name: [tile[name] for tile in tiles] for name in tiles[0]}


def _tiles(branch: Branch, parent: str, found: Explanation, number: int) -> Iterator[dict[str, Any]]:
    name = one_line(branch.name)
    place = f"{parent}/{name}"
    yield _tile(place, parent, name, branch.size, found, number)
    if not branch.children:
        return
    for child in branch.sorted:
        yield from _tiles(child, place, found, number)


def _tile(place: str, parent: str, name: str, size: int, found: Explanation, number: int) -> dict[str, Any]:
    return {
        "ids": place,
        "parents": parent,
        "labels": name,
        "values": size,
        "texts": f"{format_bytes(size)}, {percent(size, found)}",
        "colours": COLOURS[number % len(COLOURS)] if parent else "#888888",
    }
