"""`python -m scaleprof`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # `-m` puts the current folder first on the path: a reports.py there must not replace ours.
    if not sys.flags.safe_path and Path(sys.path[0]).resolve() != Path(__file__).resolve().parent.parent:
        del sys.path[0]

    try:
        from scaleprof.cli.app import run

        run()
    except KeyboardInterrupt:  # during the imports
        sys.exit(130)
