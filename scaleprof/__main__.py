"""`python -m scaleprof`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # `-m` puts the current folder first: a reports.py that happens to lie there must not stand in for ours.
    if not sys.flags.safe_path and Path(sys.path[0]).resolve() != Path(__file__).resolve().parent.parent:
        del sys.path[0]

    try:
        from scaleprof.cli.app import run

        run()
    except KeyboardInterrupt:  # while things are still being imported
        sys.exit(130)
