"""Documents as the terminal and Markdown draw them, and who may draw at all."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

import reports
from reports.render.markdown import markdown
from reports.render.terminal import print_document
from reports.text.section import Cell, Document, Section, TableColumn, label
from reports.text.wrapping import NARROWEST, wrap

WHY = ("the host differs", "the host differs", "", "was ok, now oom")
EVERYTHING = Document(
    "A title",
    ("A paragraph.",),
    (
        Section(
            "Figures",
            ("Below the table.",),
            labels=(label("point", ["a", "b", "c", "d"]), label("metric", ["x", "y", "x", "status"])),
            columns=(
                TableColumn("base", (Cell("1 B", best=True), Cell("2 B", details=("3x",)), Cell("-"), Cell("-"))),
                TableColumn("why", tuple(map(Cell, WHY)), right=False, below=True),
            ),
            caption="* = lowest",
            tone="bad",
        ),
        Section("Later", code="[table]\nkey = 1\n", collapsed=True),
        Section(lines=("The end.",)),
    ),
)
TERMINAL = """\
A title
A paragraph.

Figures
* = lowest

point  metric  base
───────────────────
a      x       *1 B
b      y        2 B
                 3x
c      x          -
  2 rows: the host differs
  d: status: was ok, now oom
  Below the table.

Later

[table]
key = 1

The end.
"""
MARKDOWN = """\
## A title

A paragraph.

**Figures**

&#42; = lowest

| point | metric | base | why |
| :--- | :--- | ---: | :--- |
| a | x | **&#42;1 B** | the host differs |
| b | y | 2 B<br>3x | the host differs |
| c | x | - |  |
| d | status | - | was ok, now oom |

- Below the table.

<details><summary>Later</summary>

```
[table]
key = 1
```

</details>

The end.
"""


def printed(document: Document, width: int = 80) -> str:
    stream = io.StringIO()
    print_document(Console(file=stream, width=width, color_system=None), document)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def test_everything_in_a_terminal() -> None:
    assert printed(EVERYTHING) == TERMINAL


def test_everything_as_markdown() -> None:
    assert markdown(EVERYTHING) == MARKDOWN


def test_a_reason_that_all_rows_share_is_written_once() -> None:
    figures = TableColumn("base", (Cell("1"), Cell("2")))
    why = TableColumn("why", (Cell("same"), Cell("same")), right=False, below=True)
    section = Section("Head", labels=(label("point", ["a", "b"]),), columns=(figures, why))
    assert "\n  All rows: same\n" in printed(Document(sections=(section,)))


def test_labels_fold_before_columns_are_split() -> None:
    names = label("point", ["a point with quite a long name, 16 agents", "another point, 32 agents"])
    columns = tuple(TableColumn(f"column {n}", (Cell("1.23 MiB"), Cell("4.56 MiB"))) for n in range(4))
    section = Section("Head", labels=(names,), columns=columns)
    for width, tables in ((120, 1), (60, 1), (40, 2)):
        text = printed(Document(sections=(section,)), width)
        assert text.count("point  ") == tables
        assert text.count("1.23 MiB") == 4
        assert max(map(len, text.splitlines())) <= width


def test_tones_are_colours_of_the_heading() -> None:
    stream = io.StringIO()
    sections = (Section("Bad", tone="bad"), Section("Good", tone="good"))
    console = Console(file=stream, width=80, force_terminal=True, color_system="standard")
    print_document(console, Document(sections=sections))
    assert "\x1b[1;31mBad\x1b[0m" in stream.getvalue()
    assert "\x1b[32mGood\x1b[0m" in stream.getvalue()


def test_code_cannot_leave_its_block() -> None:
    text = markdown(Document(sections=(Section("Code", code="a\n````\n# b\n"),)))
    assert text.endswith("`````\na\n````\n# b\n`````\n")


def test_lines_are_wrapped_between_words() -> None:
    assert wrap("two-part words stay whole", 20, first="  ", rest="    ") == "  two-part words\n    stay whole"
    assert wrap("a word " * 9, 1) == wrap("a word " * 9, NARROWEST)


@pytest.mark.parametrize(
    ("pattern", "module"),
    [
        (r"\btextwrap\b", "reports/text/wrapping.py"),
        (r"\bTable\(", "reports/render/terminal.py"),
        (r"\bzip_longest\b", "reports/render/terminal.py"),
        (r"&#\{", "reports/render/markdown.py"),
        (r":---", "reports/render/markdown.py"),
    ],
)
def test_each_medium_has_one_drawer(pattern: str, module: str) -> None:
    """One wrapping function, one terminal table, one Markdown escaper and table."""
    root = Path(reports.__file__).parent
    found = {
        f"reports/{path.relative_to(root)}"
        for path in root.rglob("*.py")
        if re.search(pattern, path.read_text(encoding="utf-8"))
    }
    assert found == {module}
