"""Compare Sable's modes over agents and timesteps: compile, act and learn times, memory, arithmetic rate, exponents.

Learn is the value and gradient of the PPO loss over one minibatch; act is one step of all agents in all environments.
One process, pinned to `--cores` cores, measures everything, so rows are comparable. The default sizes are those of
docs/performance.md.

    python benchmarks/retention.py --agents 16,64,256 --forms factored,chunkwise --json out.json
"""

from __future__ import annotations

import argparse
import sys

from harness import add_common_options, run_table


def main() -> int:
    """Measure every mode at every size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", default="factored,chunkwise,recurrent,parallel", help="modes, as a list")
    parser.add_argument("--agents", default="16,64,256", help="agent counts, as a list")
    add_common_options(parser)
    options = parser.parse_args()
    return run_table([("sable", form) for form in options.forms.split(",")], options)


if __name__ == "__main__":
    sys.exit(main())
