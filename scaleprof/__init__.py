"""The tool: sweeps agent counts and sequence lengths, one fresh process per repeat of a point, and records what it cost."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("scaleprof")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
