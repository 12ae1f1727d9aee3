"""The documentation: links lead somewhere, the README stays one page, and the commands it shows exist."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaleprof.cli import main

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*(ROOT.glob("*.md")), *(ROOT / "docs").glob("*.md"))
}
README = PAGES["README.md"]
BASELINE_COMMANDS = ("baseline save", "baseline list")
TOP = ("sweep", "explain", "report", "export", "list", "doctor", "compare", "check", "noise", "history")
COMMANDS = (*TOP, *BASELINE_COMMANDS)

BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}(scaleprof .*)$", re.MULTILINE)
INLINE = re.compile(r"`(scaleprof [^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:benchmarks|docs|reports|sable|scaleprof|scenarios|tests)/[\w./-]*)`")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The names that links can give to the headings of a page."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(BLOCK.sub("", text))}


def shown_commands(text: str) -> Iterator[list[str]]:
    """Every `scaleprof …` of a page, as words: those in code blocks, indented code and inline code."""
    blocks = BLOCK.findall(text)
    prose = BLOCK.sub("", text)
    lines = [line for block in blocks for line in block.splitlines()]
    for line in (*lines, *INDENTED.findall(prose), *INLINE.findall(prose)):
        for part in re.split(r"&&|\||;", line.partition(" #")[0]):
            command = part.strip().removeprefix("- run: ")
            if command.startswith("scaleprof ") and not command.startswith("scaleprof COMMAND"):
                yield shlex.split(command)[1:]


@functools.cache
def options_of(command: str) -> frozenset[str]:
    """The options that the help of a command names."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as text:
        patch.setenv("COLUMNS", "200")
        assert main([*command.split(), "--help"]) == 0
    return frozenset(re.findall(r"--[a-z][\w-]*", text.getvalue()))


@pytest.mark.parametrize("name", PAGES)
def test_relative_links_lead_to_files_and_headings(name: str) -> None:
    folder = (ROOT / name).parent
    broken = []
    for link in LINK.findall(BLOCK.sub("", PAGES[name])):
        target, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        path = folder / target if target else ROOT / name
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            broken.append(link)
    assert not broken


def test_every_page_is_linked_from_the_readme() -> None:
    assert {name for name in PAGES if name.startswith("docs/")} <= set(LINK.findall(README))


def test_the_readme_is_one_page() -> None:
    assert len(README.splitlines()) < 150


@pytest.mark.parametrize("name", [name for name in PAGES if name != "CHANGELOG.md"])
def test_named_files_exist(name: str) -> None:
    assert [path for path in FILE.findall(PAGES[name]) if not (ROOT / path).exists()] == []


def test_every_command_is_shown() -> None:
    shown = {command[0] for text in PAGES.values() for command in shown_commands(text)}
    assert shown >= {name.partition(" ")[0] for name in COMMANDS}


@pytest.mark.parametrize("name", PAGES)
def test_shown_commands_and_their_options_exist(name: str) -> None:
    wrong = []
    for first, *rest in shown_commands(PAGES[name]):
        command = f"{first} {rest[0]}" if first == "baseline" and rest else first
        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
        if command not in COMMANDS or not given <= options_of(command):
            wrong.append(" ".join([first, *rest]))
    assert not wrong
