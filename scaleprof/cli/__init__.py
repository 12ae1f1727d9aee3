"""The command line, one file per command: text in, exit code out."""

from scaleprof.own_packages import refuse_hidden_packages

refuse_hidden_packages()

from scaleprof.cli.app import main, run  # noqa: E402

__all__ = ["main", "run"]
