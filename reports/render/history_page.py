"""A history as one self-contained HTML page: its picture and its tables, without any script."""

from __future__ import annotations

import base64
import os

from reports.history.history_documents import history_document
from reports.history.steps import History
from reports.records.files import file_errors, write_whole
from reports.render.history_figure import history_picture
from reports.render.page import page_templates


def write_history_page(history: History, path: str | os.PathLike[str]) -> None:
    """Write the page of `history` to the file `path`. Equal histories give equal files.

    Raises:
        ValueError: the file cannot be written; an existing file is then unchanged.
    """
    text = history_page(history)
    with file_errors(path, "written"):
        write_whole(path, text.encode("utf-8", "replace"))


def history_page(history: History) -> str:
    """The page as text. The picture stands in it as an image, so that nothing in it can run."""
    return (
        page_templates()
        .get_template("history.html")
        .render(
            document=history_document(history, everything=True),
            picture=base64.b64encode(history_picture(history, "svg")).decode(),
        )
    )
