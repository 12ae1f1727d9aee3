"""Retention forms over agents and timesteps: compile, act and learn times, memory, arithmetic rate, fitted exponents.

One learning step is the value and gradient of the PPO loss over one minibatch; acting is one step of all agents in all
environments. Figures are of one process pinned to `--cores` cores, in one run, so that rows can be compared with each
other. Sizes default to those of the figures in docs/performance.md.

    python benchmarks/retention.py --agents 16,64,256 --forms factored,chunkwise --json out.json
"""

from __future__ import annotations

import argparse
import sys

from harness import add_common_options, run_table


def main() -> int:
    """Measure every form at every size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", default="factored,chunkwise,recurrent,parallel")
    parser.add_argument("--agents", default="16,64,256")
    add_common_options(parser)
    options = parser.parse_args()
    return run_table([("sable", form) for form in options.forms.split(",")], options)


if __name__ == "__main__":
    sys.exit(main())
