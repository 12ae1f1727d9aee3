"""Draw every scenario after a few steps of random play, for docs/scenarios.md.

Jumanji's environments render themselves; `neom` and the diagnostics are drawn as their observations over time.

    python benchmarks/pictures.py FOLDER [--agents 16]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

STEPS = 8
DOTS_PER_INCH = 60


def draw(name: str, agents: int, file: Path) -> None:
    """Draw one scenario after at most `STEPS` steps."""
    import jax
    import matplotlib as mpl
    import numpy as np

    mpl.use("agg")
    import matplotlib.pyplot as plt

    import scenarios
    from scenarios.checks import random_actions

    environment = scenarios.make_environment(name, agents, {})
    keys = jax.random.split(jax.random.key(1), STEPS + 1)
    state, observation = jax.jit(environment.reset)(keys[0], 0.0)
    step, generator = jax.jit(environment.step), np.random.default_rng(0)
    seen = [observation]
    for key in keys[1:]:
        result = step(state, random_actions(environment.space, observation, generator), key)
        if bool(result.ended):
            break
        state, observation = result.state, result.observation
        seen.append(observation)
    plt.close("all")
    inner: Any = getattr(environment, "environment", None)
    if inner is not None:
        inner.render(state.environment)
        figure = plt.gcf()
    else:
        figure, axes = plt.subplots(figsize=(5, 5))
        axes.imshow(
            [row for one in seen for row in one.features.tolist()],
            aspect="auto",
            cmap="viridis",
            interpolation="nearest",
        )
        axes.set_xlabel("feature")
        axes.set_ylabel("agent within timestep")
    figure.set_size_inches(5, 5)
    figure.savefig(file, dpi=DOTS_PER_INCH)


def main() -> int:
    """Draw all scenarios."""
    import scenarios

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the PNG files go")
    parser.add_argument("--agents", type=int, default=16, help="number of agents")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in scenarios.SCENARIOS:
        draw(name, options.agents, options.folder / f"{name}.png")
        print(options.folder / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
