"""`neom`: a team of N agents must hold a fixed pattern of levels.

Our reconstruction of the scaling task of the Sable paper (arXiv 2410.01706, section 4 and appendix). Its code is not
public: the choices below are ours, from its description.

Task          the target level of agent i is pattern[i mod period]. `simple-sine` has the pattern 0.5, 0.7, 0.8, 0.7,
              0.5, 0.3, 0.2, 0.3; `quick-flip` has 0.5, 0, −0.5, 0; in `half-1-half-(-1)` the target is 1 for the first
              ⌈N/2⌉ agents and −1 for the others (its period is N).
Actions       one discrete action per distinct level of the pattern, all legal.
Reward        score = 1 − |level − target| / span, span = highest − lowest level. Each agent receives the team's mean
              score (`shared`, as in the paper) or its own (`individual`, learned much faster at large N).
Observation   A + 10 numbers per agent: whether its last action was on target (1), its last action one-hot (A, zeros at
              the start), timestep / horizon (1), sine and cosine of its index at four wavelengths (8): the pattern's
              period, 32, 512 and 2N. The period must be among them, or agents of a large team could not tell their
              place in the pattern.
Episode       `horizon` timesteps (128), then a termination (discount 0).
Scaling rule  none needed: the task of one agent is the same at every N. O(N) time and memory.
Optimum       1.0 per timestep, known by construction.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from sable.types import Observation, Space
from scenarios.configs import NeomConfig
from scenarios.wrappers import EnvironmentStep

PATTERNS: dict[str, tuple[float, ...]] = {
    "simple-sine": (0.5, 0.7, 0.8, 0.7, 0.5, 0.3, 0.2, 0.3),
    "half-1-half-(-1)": (1.0, -1.0),
    "quick-flip": (0.5, 0.0, -0.5, 0.0),
}
"""The levels of each task. Each agent is given one in turn, or (`half-1-half-(-1)`) each half of the team one."""
HALVES = "half-1-half-(-1)"
POSITIONS = 8


class NeomState(NamedTuple):
    """The state of one environment."""

    step_count: Int[Array, ""]
    last_action: Int[Array, " N"]
    """−1 at the start of an episode."""


class Neom:
    """One environment; see the module's docstring for the task."""

    def __init__(self, num_agents: int, config: NeomConfig) -> None:
        self.task = config.task
        self.levels = np.unique(np.asarray(PATTERNS[config.task], dtype=np.float32))
        self.horizon = config.horizon
        self.shared = config.reward == "shared"
        self.space = Space(num_agents, features=len(self.levels) + 2 + POSITIONS, actions=len(self.levels))

    @property
    def episode_limit(self) -> int:
        """Timesteps of an episode."""
        return self.horizon

    def reset(self, key: PRNGKeyArray, elapsed: Float[Array, ""]) -> tuple[NeomState, Observation]:
        """Start an episode of which the fraction `elapsed` in [0, 1) has already passed."""
        start = jnp.floor(elapsed * self.horizon).astype(jnp.int32)
        state = NeomState(start, jnp.full(self.space.num_agents, -1, dtype=jnp.int32))
        return state, self._observe(state)

    def step(self, state: NeomState, actions: Int[Array, " N"], key: PRNGKeyArray) -> EnvironmentStep:
        """Score the chosen levels and advance one timestep."""
        state = NeomState(state.step_count + 1, actions.astype(jnp.int32))
        score = self.score(actions)
        ended = state.step_count >= self.horizon
        return EnvironmentStep(
            state=state,
            observation=self._observe(state),
            reward=jnp.full_like(score, score.mean()) if self.shared else score,
            discount=1.0 - ended.astype(jnp.float32),
            ended=ended,
        )

    def score(self, actions: Int[Array, " N"]) -> Float[Array, " N"]:
        """1 − |level − target| / span of every agent; 1 is best."""
        span = float(np.ptp(self.levels))
        return 1.0 - jnp.abs(jnp.asarray(self.levels)[actions] - self.targets()) / span

    def targets(self) -> Float[Array, " N"]:
        """The target level of every agent."""
        agents = jnp.arange(self.space.num_agents)
        pattern = jnp.asarray(PATTERNS[self.task], dtype=jnp.float32)
        if self.task == HALVES:
            return pattern[(agents >= -(-self.space.num_agents // 2)).astype(jnp.int32)]
        return pattern[agents % len(pattern)]

    def _observe(self, state: NeomState) -> Observation:
        agents, actions = self.space.num_agents, self.space.actions
        acted = state.last_action >= 0
        on_target = acted & (self.score(state.last_action) >= 1.0)
        elapsed = jnp.full((agents, 1), state.step_count / self.horizon, dtype=jnp.float32)
        features = [
            on_target[:, None].astype(jnp.float32),
            jax.nn.one_hot(state.last_action, actions),
            elapsed,
            self._positions(),
        ]
        return Observation(
            features=jnp.concatenate(features, axis=-1),
            action_mask=jnp.ones((agents, actions), dtype=bool),
            step_count=state.step_count,
        )

    def _positions(self) -> Float[Array, "N 8"]:
        """Sine and cosine of the agent's index at the wavelengths period, 32, 512 and 2N.

        Angles use the index modulo the wavelength, which is exact in float32.
        """
        agents = self.space.num_agents
        period = agents if self.task == HALVES else len(PATTERNS[self.task])
        wavelengths = jnp.asarray([[period, 32, 512, 2 * agents]])
        angles = 2.0 * jnp.pi * (jnp.arange(agents)[:, None] % wavelengths) / wavelengths
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def make(num_agents: int, config: NeomConfig) -> Neom:
    """The registry's factory."""
    return Neom(num_agents, config)
