"""Compare all models over agent counts: compile, act and learn times, XLA's temporary memory, exponents.

Learn is the value and gradient of the PPO loss over one minibatch; act is one step of all agents in all environments.
One process, pinned to `--cores` cores, measures everything. The default sizes are those of docs/performance.md.

    python benchmarks/models.py --models sable:factored,mat --agents 16,64,256 --json out.json
"""

from __future__ import annotations

import argparse
import sys

from harness import add_common_options, run_table

from sable.models import MODELS


def main() -> int:
    """Measure every model and mode at every size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="models (in all modes) or model:mode pairs")
    parser.add_argument("--agents", default="16,64,256", help="agent counts, as a list")
    add_common_options(parser)
    options = parser.parse_args()
    return run_table(variants(options.models), options)


def variants(text: str) -> list[tuple[str, str]]:
    """(model, mode) pairs; a bare model name leaves out modes that need a GPU."""
    pairs = []
    for name in text.split(","):
        model, colon, mode = name.partition(":")
        entry = MODELS[model]
        pairs += [(model, mode)] if colon else [(model, m) for m in entry.modes or ("",) if m not in entry.gpu_only]
    return pairs


if __name__ == "__main__":
    sys.exit(main())
