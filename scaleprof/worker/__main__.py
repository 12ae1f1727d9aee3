"""`python -m scaleprof.worker`: one child process."""

import sys

from scaleprof.worker.entry import main

if __name__ == "__main__":
    sys.exit(main())
