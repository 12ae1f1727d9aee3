"""`cleaner`: N agents clean the tiles of a maze within a time limit. Jumanji's Cleaner (1.1.2).

Task          a tile is clean once an agent has stood on it. Agents do not block each other; several may share a tile.
Observation   77 numbers per agent: row and column divided by the maze's side − 1, in [0, 1] (2); the 5×5 window around
              it in row order, 1 for a wall or the outside of the maze (25); the same window, 1 for a dirty tile (25);
              the same window, 1 where there is at least one other agent (25).
Actions       4 discrete: up, right, down, left. Agents cannot stay.
Mask          moving onto any tile that is not a wall is legal; every tile has a neighbour. An agent that moves
              illegally stays, and the episode ends.
Reward        1 for every cleaned tile and −0.5 for every timestep, for the team. `shared`: every agent receives 1/N of
              that; `individual`: 1 for an own tile, split among agents that reach it together, and 1/N of −0.5, with
              the same sum; `team`: every agent receives all of it, as in Jumanji.
Episode       a termination when every tile is clean or any agent moved illegally; a truncation after `horizon`
              timesteps (100). All episodes start at timestep 0. One illegal move in the joint action ends the episode,
              so in a large team a policy that ignores the mask sees episodes of one or two timesteps.
Scaling rule  10 cells per agent, about half of them walls: the maze is a square with the odd side nearest to √(10N)
              (walls stand in odd rows and columns). Agents start on uniformly drawn tiles, so each has 4 to 8 tiles to
              clean at every size. `cleaner:corner` starts all agents in the upper left corner, as in Jumanji: that task
              changes with size, because most of a large maze is out of reach.
Largest N     4096: a step is O(N). Mazes are built wall by wall, so build them in a pool, one after the other.
Optimum       below 5 per agent in a large team: all tiles except the starts of agents, minus the penalty.

Differences from the library: where agents start (`corner` starts as the library does); agents see windows instead of
the maze; the reward is divided by N, so that returns do not grow with the team (except `team`); the time limit is a
truncation.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from jumanji.environments.routing.cleaner.constants import CLEAN, DIRTY, WALL
from jumanji.environments.routing.cleaner.env import Cleaner
from jumanji.environments.routing.cleaner.generator import RandomGenerator
from jumanji.environments.routing.cleaner.types import State

from scenarios.configs import CleanerConfig
from scenarios.jumanji_adapter import Adapted

CELLS_PER_AGENT = 10
SIGHT = 2
WINDOW = 2 * SIGHT + 1
CENTRE = WINDOW * SIGHT + SIGHT


class SpreadGenerator(RandomGenerator):
    """Jumanji's mazes, odd and square, with agents on independently and uniformly drawn tiles."""

    def __call__(self, key: PRNGKeyArray) -> State:
        """One maze; the environment adds the mask."""
        maze_key, start_key = jax.random.split(key)
        state = super().__call__(maze_key)
        walls = state.grid == WALL
        tiles = jnp.flatnonzero(~walls, size=maze_tiles(self.num_rows))
        starts = jax.random.choice(start_key, tiles, (self.num_agents,))
        row, column = jnp.divmod(starts, self.num_cols)
        grid = jnp.where(walls, state.grid, DIRTY).at[row, column].set(CLEAN)
        return dataclasses.replace(state, grid=grid, agents_locations=jnp.stack([row, column], axis=-1))


class FreeCleaner(Cleaner):
    """Jumanji's Cleaner, but the generator places the agents, and `extras` tell why an episode ended."""

    def reset(self, key: PRNGKeyArray) -> tuple[State, Any]:
        """Start an episode with the mask of the agents' places."""
        state, timestep = super().reset(key)
        mask = self._compute_action_mask(state.grid, state.agents_locations)
        state = dataclasses.replace(state, action_mask=mask)
        return state, dataclasses.replace(timestep, observation=self._observation_from_state(state))

    def step(self, state: State, action: Int[Array, " N"]) -> tuple[State, Any]:
        """One timestep; `extras["cut_off"]` is whether only the time limit ended the episode."""
        after, timestep = super().step(state, action)
        legal = self._is_action_valid(action, state.action_mask).all()
        cut_off = timestep.last() & legal & (timestep.extras["num_dirty_tiles"] > 0)
        return after, dataclasses.replace(timestep, extras=timestep.extras | {"cut_off": cut_off})


class DividedCleaner(FreeCleaner):
    """The same with a reward per agent; the rewards add up to the team's."""

    def _compute_reward(self, prev_state: State, state: State) -> Float[Array, " N"]:
        """The reward of a tile is split among the agents on it, the penalty among all agents."""
        row, column = state.agents_locations.T
        cleaned = (prev_state.grid != state.grid)[row, column]
        rewards: Float[Array, " N"] = cleaned / crowds(state)[row, column] - self.penalty_per_timestep / self.num_agents
        return rewards


def crowds(state: State) -> Int[Array, "S S"]:
    """Number of agents on each tile."""
    row, column = state.agents_locations.T
    return jnp.zeros(state.grid.shape, dtype=jnp.int32).at[row, column].add(1)


def observe(state: State, timestep: Any) -> Float[Array, "N 77"]:
    """The observations of all agents; see the module's docstring."""
    place, side = state.agents_locations, state.grid.shape[0]
    rows, columns = (place[:, axis, None] + jnp.arange(WINDOW)[None] for axis in (0, 1))

    def window(cells: Int[Array, "S S"], outside: int) -> Int[Array, "N W"]:
        padded = jnp.pad(cells, SIGHT, constant_values=outside)
        return padded[rows[:, :, None], columns[:, None, :]].reshape(-1, WINDOW * WINDOW)

    tiles = window(state.grid, WALL)
    others = window(crowds(state), 0) - (jnp.arange(WINDOW * WINDOW) == CENTRE)[None]
    features = [place / (side - 1), tiles == WALL, tiles == DIRTY, others > 0]
    return jnp.concatenate([field.astype(jnp.float32) for field in features], axis=-1)


def cut_off(state: State, timestep: Any) -> Bool[Array, ""]:
    """Whether only the time limit ended the episode; Jumanji calls that a termination too."""
    ended: Bool[Array, ""] = timestep.extras["cut_off"]
    return ended


def maze_side(num_agents: int) -> int:
    """Cells along each side of the maze: the odd number nearest to √(10N)."""
    return 2 * (math.isqrt(CELLS_PER_AGENT * num_agents) // 2) + 1


def maze_tiles(side: int) -> int:
    """Cells that are not walls in any maze with an odd side: with m = (side + 1) / 2, m² rooms and m² − 1 passages.

    Rooms have even rows and columns; passages connect them to a tree, so there is one fewer.
    """
    return 2 * ((side + 1) // 2) ** 2 - 1


def make(num_agents: int, config: CleanerConfig) -> Adapted:
    """The registry's factory."""
    side = maze_side(num_agents)
    mazes = RandomGenerator if config.task == "corner" else SpreadGenerator
    cleaner = FreeCleaner if config.reward == "team" else DividedCleaner
    environment = cleaner(mazes(side, side, num_agents), time_limit=config.horizon)
    return Adapted(environment, observe, reward=None if config.reward == "team" else config.reward, truncated=cut_off)
