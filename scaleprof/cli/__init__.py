"""The command line, one file per command: text in, exit code out."""

from scaleprof.cli.app import main, run

__all__ = ["main", "run"]
