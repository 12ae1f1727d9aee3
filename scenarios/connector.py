"""`connector`: N pairs of points on a board must be connected by wires that do not cross. Jumanji's Connector (1.1.2).

Task          each agent lays a wire from its start to its target, one cell per timestep. Wires stay on the board, and
              no wire may cross another.
Observation   54 numbers per agent: row and column of its head, divided by the board's side − 1, in [0, 1] (2); rows and
              columns from its head to its target, divided by 3 (2); the 5×5 window around its head in row order, 1
              where there is a head, a wire or the outside of the board (25); the same window, 1 at its own target and
              −1 at targets of others (25).
Actions       5 discrete: stay, up, right, down, left.
Mask          an unconnected agent may move onto an empty cell or its own target; staying is always legal. An illegal
              action means staying. If several agents move onto one cell, only the last of them does.
Reward        −0.03 for every timestep that begins unconnected and 1 for connecting: each agent its own (`individual`)
              or the team's mean (`shared`).
Episode       a termination when every agent is connected or has no legal move; a truncation after `horizon` timesteps
              (50). All episodes start at timestep 0.
Scaling rule  10 cells per agent: the board is a square of side ⌈√(10N)⌉. Starts are uniform; a target is uniform among
              the free cells at most 3 rows and 3 columns from its start, so at most 6 moves away on a free path. (After
              64 failed draws the search widens by one cell per draw.)
Largest N     4096: time and memory are O(N).
Optimum       near 1 − 0.03·(distance − 1) per agent; not every board can be solved.
Published     `con-5x5x3a` … `con-15x15x23a`: sizes and time limits as in the papers (Mava), on solvable boards of the
              library's own `RandomWalkGenerator`; N is in the name. Agents see windows, as above, instead of the
              published whole board, and the offset to the target is divided by side − 1. `shared` times N is the
              reward in the papers. An episode lasts side² timesteps.

Differences from the library: our own generator places starts and targets in O(N) (`RandomWalkGenerator` is O(N²),
`UniformRandomGenerator` puts targets more than 50 moves away); collisions are found in O(N) from claimed cells instead
of by comparing all pairs, with the same outcome; agents see windows instead of the board; `shared` is the mean instead
of the sum.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from jumanji.environments.routing.connector.constants import EMPTY, PATH
from jumanji.environments.routing.connector.env import Connector
from jumanji.environments.routing.connector.generator import Generator, RandomWalkGenerator
from jumanji.environments.routing.connector.types import Agent, State
from jumanji.environments.routing.connector.utils import (
    get_action_masks,
    get_path,
    get_position,
    get_target,
    is_target,
)

from scenarios.configs import CONNECTOR_HORIZON, CONNECTOR_PUBLISHED, ConnectorConfig
from scenarios.jumanji_adapter import Adapted

CELLS_PER_AGENT = 10
REACH = 3
"""Rows and columns that a target is away from its start, at most."""
PATIENCE = 64
"""Draws after which a pair without a free cell looks further away."""
SIGHT = 2
WINDOW = 2 * SIGHT + 1


class Placing(NamedTuple):
    """Points being placed on a board."""

    occupied: Bool[Array, " C"]
    """By cell, row by row."""
    cells: Int[Array, " N"]
    """−1 where not placed yet."""
    draws: Int[Array, ""]
    key: PRNGKeyArray


class NearbyGenerator(Generator):
    """Boards with every target near its start, no cell taken twice, in O(N) time and memory."""

    def __call__(self, key: PRNGKeyArray) -> State:
        """One board."""
        state_key, start_key, target_key = jax.random.split(key, 3)
        side, agents = self.grid_size, jnp.arange(self.num_agents)
        nothing = jnp.zeros(side * side, dtype=bool)
        anywhere = jnp.zeros((self.num_agents, 2), dtype=jnp.int32)
        starts = place(nothing, anywhere, side, side, start_key)
        start = jnp.stack(jnp.divmod(starts, side), axis=-1)
        targets = place(nothing.at[starts].set(True), start, REACH, side, target_key)
        grid = nothing.astype(jnp.int32).at[starts].set(get_position(agents)).at[targets].set(get_target(agents))
        grid = grid.reshape(side, side)
        agent = Agent(id=agents, start=start, target=jnp.stack(jnp.divmod(targets, side), axis=-1), position=start)
        return State(
            key=state_key,
            grid=grid,
            step_count=jnp.zeros((), dtype=jnp.int32),
            agents=agent,
            action_mask=get_action_masks(agent, grid),
        )


def place(
    occupied: Bool[Array, " C"], around: Int[Array, "N 2"], reach: int, side: int, key: PRNGKeyArray
) -> Int[Array, " N"]:
    """One free cell for every agent, uniform among those at most `reach` rows and columns from `around`.

    All agents draw at once; those whose cell is taken, or also drawn by an earlier agent, draw again. The number of
    rounds grows as log N.
    """
    ids = jnp.arange(around.shape[0])

    def unplaced(placing: Placing) -> Bool[Array, ""]:
        return (placing.cells < 0).any()

    def draw(placing: Placing) -> Placing:
        key, draw_key = jax.random.split(placing.key)
        distance = reach + jnp.maximum(placing.draws - PATIENCE, 0)
        low, high = jnp.maximum(around - distance, 0), jnp.minimum(around + distance, side - 1)
        row, column = jax.random.randint(draw_key, around.shape, low, high + 1).T
        drawn = row * side + column
        wanting = (placing.cells < 0) & ~placing.occupied[drawn]
        first = jnp.full(side * side, len(ids)).at[drawn].min(jnp.where(wanting, ids, len(ids)))
        placed = wanting & (first[drawn] == ids)
        return Placing(
            occupied=placing.occupied.at[drawn].max(placed),
            cells=jnp.where(placed, drawn, placing.cells),
            draws=placing.draws + 1,
            key=key,
        )

    start = Placing(occupied, jnp.full(ids.shape, -1), jnp.zeros((), dtype=jnp.int32), key)
    cells: Int[Array, " N"] = jax.lax.while_loop(unplaced, draw, start).cells
    return cells


class LinearConnector(Connector):
    """Jumanji's Connector with moves in O(N) instead of O(N²)."""

    def _step_agents(self, state: State, action: Int[Array, " N"]) -> tuple[Agent, Int[Array, "S S"]]:
        """All moves at once; if several agents move onto one cell, the last one does."""
        ids, position = state.agents.id, state.agents.position
        moves = jnp.array([[0, 0], [-1, 0], [0, 1], [1, 0], [0, -1]])
        legal = state.action_mask[ids, action] & (action > 0)
        wanted = jnp.where(legal[:, None], position + moves[action], position)
        last = jnp.full(state.grid.shape, -1).at[wanted[:, 0], wanted[:, 1]].max(jnp.where(legal, ids, -1))
        moving = legal & (last[wanted[:, 0], wanted[:, 1]] == ids)
        # Agents that stay get an index outside the board, which drops the write.
        old, new = (jnp.where(moving[:, None], cell, self.grid_size) for cell in (position, wanted))
        grid = state.grid.at[old[:, 0], old[:, 1]].set(get_path(ids), mode="drop")
        grid = grid.at[new[:, 0], new[:, 1]].set(get_position(ids), mode="drop")
        return dataclasses.replace(state.agents, position=jnp.where(moving[:, None], wanted, position)), grid


def observe(state: State, timestep: Any, reach: int = REACH) -> Float[Array, "N 54"]:
    """The observations of all agents, with offsets to targets divided by `reach`; see the module's docstring."""
    head, target, side = state.agents.position, state.agents.target, state.grid.shape[0]
    padded = jnp.pad(state.grid, SIGHT, constant_values=PATH)
    offsets = jnp.arange(WINDOW)
    rows, columns = head[:, 0, None] + offsets[None], head[:, 1, None] + offsets[None]
    seen = padded[rows[:, :, None], columns[:, None, :]].reshape(-1, WINDOW * WINDOW)
    targets: Bool[Array, "N W"] = jnp.asarray(is_target(seen))  # type: ignore[arg-type]  # works on arrays too
    own = seen == get_target(state.agents.id)[:, None]
    features = [
        head / (side - 1),
        (target - head) / reach,
        (seen != EMPTY) & ~targets,
        jnp.where(own, 1.0, jnp.where(targets, -1.0, 0.0)),
    ]
    return jnp.concatenate([field.astype(jnp.float32) for field in features], axis=-1)


def board_side(num_agents: int) -> int:
    """Cells along each side of the board: ⌈√(10N)⌉."""
    return math.isqrt(CELLS_PER_AGENT * num_agents - 1) + 1


def make(num_agents: int, config: ConnectorConfig) -> Adapted:
    """The registry's factory."""
    published = CONNECTOR_PUBLISHED.get(config.task)
    if published is not None:
        return Adapted(
            LinearConnector(RandomWalkGenerator(published.side, num_agents), time_limit=published.horizon),
            functools.partial(observe, reach=published.side - 1),
            reward=config.reward,
        )
    generator = NearbyGenerator(board_side(num_agents), num_agents)
    limit = config.horizon or CONNECTOR_HORIZON
    return Adapted(LinearConnector(generator, time_limit=limit), observe, reward=config.reward)
