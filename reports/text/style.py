"""How curves and failures look, the same in pictures and on the page: seen without colour too."""

from __future__ import annotations

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette (2008), told apart by eyes of every kind; without its yellow, which paper swallows."""

ON_DARK = {"#0072B2": "#3D9FE6", "#56B4E9": "#A6DDFF", "#000000": "#FFFFFF"}
"""What takes the place of a colour that a dark page would swallow, and of its neighbour."""

MARKERS = (
    ("o", "circle", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"),
    ("s", "square", "M-4-4h8v8h-8z"),
    ("^", "triangle-up", "M0-5L5 4H-5z"),
    ("D", "diamond", "M0-5L5 0L0 5L-5 0z"),
    ("v", "triangle-down", "M0 5L5-4H-5z"),
    ("P", "cross", "M-2-5h4v3h3v4h-3v3h-4v-3h-3v-4h3z"),
    ("*", "star", "M0-6L1.5-2H6L2.5 1L4 5.5L0 3L-4 5.5L-2.5 1L-6-2H-1.5z"),
    ("p", "pentagon", "M0-5L5-1L3 5H-3L-5-1z"),
    ("<", "triangle-left", "M-5 0L4-5V5z"),
)
"""Of a curve's points: matplotlib's name, plotly's, and an SVG path of 10 pixels for a legend of our own.

Their number has no factor in common with that of the colours, so that 63 curves differ.
"""

DASHES: tuple[tuple[float, ...], ...] = ((), (9, 2), (6, 2, 1.5, 2), (1.5, 1.5), (9, 2, 1.5, 2, 1.5, 2))
"""Of a curve's line: lengths drawn and left out in turns, in points; none is a solid line."""

FAILURES = {
    "oom": ("X", "x", "out of memory"),
    "timeout": ("d", "hourglass", "timeout"),
    "crashed": ("8", "octagon", "crashed"),
    "error": ("h", "hexagon2", "error"),
    "skipped": (">", "triangle-right", "skipped"),
    "interrupted": ("H", "hexagon", "interrupted"),
}
"""Of a failure at the top edge: matplotlib's marker, plotly's, and what the legend says."""


def colour_of(style: int) -> str:
    """The colour of the curve with this number."""
    return COLOURS[style % len(COLOURS)]
