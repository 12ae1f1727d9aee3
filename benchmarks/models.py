"""All models side by side: compile, act and learn times, XLA's temporary memory, fitted exponents, over agent counts.

One learning step is the value and gradient of the PPO loss over one minibatch; acting is one step of all agents in all
environments. Figures are of one process pinned to `--cores` cores, in one run. Sizes default to those of the figures in
docs/performance.md.

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
    parser.add_argument("--models", default=",".join(MODELS), help="models (all their modes) or model:mode pairs")
    parser.add_argument("--agents", default="16,64,256")
    add_common_options(parser)
    options = parser.parse_args()
    return run_table(variants(options.models), options)


def variants(text: str) -> list[tuple[str, str]]:
    """(model, mode) pairs; modes that only a GPU runs are left out of a bare name."""
    pairs = []
    for name in text.split(","):
        model, colon, mode = name.partition(":")
        entry = MODELS[model]
        pairs += [(model, mode)] if colon else [(model, m) for m in entry.modes or ("",) if m not in entry.gpu_only]
    return pairs


if __name__ == "__main__":
    sys.exit(main())
