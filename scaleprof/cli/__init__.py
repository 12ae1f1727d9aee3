"""The command line, one file a command: text in, an exit code out."""

from scaleprof.cli.app import main, run

__all__ = ["main", "run"]
