"""How curves and failures look in pictures and on the page; they differ in shape as well as in colour."""

from __future__ import annotations

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colour-blind safe palette (2008), without its yellow, which is too light for white paper."""

ON_DARK = {"#0072B2": "#3D9FE6", "#56B4E9": "#A6DDFF", "#000000": "#FFFFFF"}
"""Replacements for colours with too little contrast on a dark page."""

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
"""Markers of curves: matplotlib's name, plotly's name, and a 10-pixel SVG path for the legend.

Their number is coprime to that of the colours, so that 63 curves differ.
"""

DASHES: tuple[tuple[float, ...], ...] = ((), (9, 2), (6, 2, 1.5, 2), (1.5, 1.5), (9, 2, 1.5, 2, 1.5, 2))
"""Line styles of curves: alternating lengths of dashes and gaps in points; empty is solid."""

FAILURES = {
    "oom": ("X", "x", "out of memory"),
    "timeout": ("d", "hourglass", "timeout"),
    "crashed": ("8", "octagon", "crashed"),
    "error": ("h", "hexagon2", "error"),
    "skipped": (">", "triangle-right", "skipped"),
    "interrupted": ("H", "hexagon", "interrupted"),
}
"""Marks of failures at the top edge: matplotlib's marker, plotly's marker, and the legend text."""


def colour_of(style: int) -> str:
    """The colour of the curve with this number."""
    return COLOURS[style % len(COLOURS)]
