"""`rware`: N robots bring requested shelves to the goals of a warehouse. Jumanji's RobotWarehouse (1.1.2).

Task          a robot drives under a shelf, lifts it, carries it along the corridors to one of the two goals, and must
              put it down in any free shelf place before it can lift another. As many shelves are requested as there are
              robots; a delivered shelf is replaced by a random new request.
Observation   66 numbers per agent, as in the library: row and column divided by height − 1 and width − 1, in [0, 1]
              (2); carrying (1); direction one-hot (4); on a corridor (1); for each of the 8 cells around it in row
              order, whether a robot is there and its direction (5 each); for each of the 9 cells, whether a shelf is
              there and whether it is requested (2 each).
Actions       5 discrete: stay, forward, turn left, turn right, lift or put down.
Mask          a robot with a shelf may not move forward onto another shelf; everything else is legal. An illegal action
              means staying.
Reward        1 to every agent for every delivery: only a team reward.
Episode       **a termination when any two robots collide**, as in the library, also when one drives onto a cell that a
              robot with a higher number leaves at the same timestep; a truncation after `horizon` timesteps (500). All
              episodes start at timestep 0. With more robots, episodes of a random policy get shorter: two timesteps at
              256 agents.
Scaling rule  at least 50 cells and one requested shelf per agent: about as wide as high, clusters of 8×2 shelves. Two
              goals and 500 timesteps at every N.
Largest N     256 for a meaningful task: a goal is then about 90 cells away, and two goals serve all. 1024 is a stress
              test. Memory is O(N). Robots move one after the other, and XLA copies arrays for each of them, so a step
              grows faster than N: it takes 9 times as long at 1024 as at 256.
Optimum       not known.
Published     `tiny-2ag` … `xlarge-4ag-hard`: shelves, agents and requests as in the papers (Mava), N in the name; row
              and column are not divided.

Differences from the library: windows are gathered for all agents at once, and the next request is found without
comparing all shelves with all requests; after a collision, which ends the episode, the library shifts a window by one
cell if another robot is on the agent's own; row and column are divided; the time limit is a truncation, not a
termination.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from jumanji.environments.routing.robot_warehouse.constants import _AGENTS, _SHELVES
from jumanji.environments.routing.robot_warehouse.env import RobotWarehouse
from jumanji.environments.routing.robot_warehouse.generator import RandomGenerator
from jumanji.environments.routing.robot_warehouse.types import Agent, Shelf, State

from scenarios.configs import RWARE_PUBLISHED, RwareConfig, Warehouse
from scenarios.jumanji_adapter import Adapted

CELLS_PER_AGENT = 50
COLUMN_HEIGHT = 8
SIGHT = 1
WINDOW = 2 * SIGHT + 1
AROUND = np.delete(np.arange(WINDOW**2), WINDOW**2 // 2)
"""The cells of a window except the middle one."""


class LinearWarehouse(RobotWarehouse):
    """Jumanji's RobotWarehouse in O(N): windows are gathered, and new requests need no comparison of all shelves."""

    def _make_observations(self, grid: Int[Array, "2 R C"], agents: Agent, shelves: Shelf) -> Float[Array, "N 66"]:
        """The observations of all agents in the library's layout."""
        row, column = agents.position
        padded = jnp.pad(grid, ((0, 0), (SIGHT, SIGHT), (SIGHT, SIGHT)))
        offsets = jnp.arange(WINDOW)[None]
        rows, columns = row[:, None] + offsets, column[:, None] + offsets
        seen = padded[:, rows[:, :, None], columns[:, None, :]].reshape(2, -1, WINDOW**2)
        shelf, robot = seen[_SHELVES], seen[_AGENTS][:, AROUND]
        directions = jax.nn.one_hot(agents.direction, 4)
        robots = jnp.pad(directions, ((0, 0), (1, 0)), constant_values=1.0)
        wanted = jnp.stack([jnp.ones_like(shelves.is_requested), shelves.is_requested], axis=-1)
        features = [
            jnp.column_stack([row, column, agents.is_carrying]),
            directions,
            self.highways[row, column, None],
            jnp.where((robot > 0)[..., None], robots[robot - 1], 0.0),
            jnp.where((shelf > 0)[..., None], wanted[shelf - 1], 0.0),
        ]
        return jnp.concatenate([each.reshape(len(row), -1).astype(jnp.float32) for each in features], axis=-1)

    def _update_reward_and_request_queue(
        self,
        key: Any,
        reward: Float[Array, ""],
        request_queue: Int[Array, " Q"],
        grid: Int[Array, "2 R C"],
        shelves: Shelf,
        goal: Int[Array, "2"],
    ) -> tuple[Any, Any, Int[Array, " Q"], Shelf]:
        """A reward and a new request if a requested shelf is at the goal, with the same random draw as the library."""
        shelf = grid[_SHELVES, goal[1], goal[0]] - 1

        def deliver() -> tuple[Any, Float[Array, ""], Int[Array, " Q"], Shelf]:
            following, draw_key = jax.random.split(key)
            unwanted = jnp.flatnonzero(shelves.is_requested == 0, size=self.not_in_queue_size)
            wish = jax.random.choice(draw_key, unwanted, replace=False)
            queue = jnp.where(request_queue == shelf, wish, request_queue)
            wanted = shelves.is_requested.at[shelf].set(0).at[wish].set(1)
            return following, reward + 1.0, queue, shelves._replace(is_requested=wanted)

        delivered = (shelf >= 0) & (shelves.is_requested[shelf] > 0)
        after: tuple[Any, Float[Array, ""], Int[Array, " Q"], Shelf] = jax.lax.cond(
            delivered, deliver, lambda: (key, reward, request_queue, shelves)
        )
        return after


def observe(state: State, timestep: Any, extent: tuple[int, int]) -> Float[Array, "N 66"]:
    """The observations of all agents, with row and column divided by `extent`; see the module's docstring."""
    view: Float[Array, "N 66"] = timestep.observation.agents_view
    return view.at[:, :2].divide(jnp.asarray(extent, dtype=jnp.float32))


def undisturbed(state: State, timestep: Any) -> Bool[Array, ""]:
    """Whether no two agents collided: an episode that ends without a collision is truncated."""
    row, column = state.agents.position
    own: Bool[Array, " N"] = state.grid[_AGENTS, row, column] == 1 + jnp.arange(len(row))
    return own.all()


def warehouse(num_agents: int) -> Warehouse:
    """The smallest warehouse with at least 50 cells per agent that is about as wide as high."""
    cells = CELLS_PER_AGENT * num_agents
    columns = max(3, math.isqrt(cells - 1) // 3)
    columns -= 1 - columns % 2
    rows = -(-(-(-cells // (3 * columns + 1)) - 2) // (COLUMN_HEIGHT + 1))
    return Warehouse(num_agents, shelf_rows=max(1, rows), shelf_columns=columns, requests=num_agents)


def make(num_agents: int, config: RwareConfig) -> Adapted:
    """The registry's factory."""
    published = RWARE_PUBLISHED.get(config.task)
    sizes = published or warehouse(num_agents)
    generator = RandomGenerator(
        shelf_rows=sizes.shelf_rows,
        shelf_columns=sizes.shelf_columns,
        column_height=COLUMN_HEIGHT,
        num_agents=num_agents,
        sensor_range=SIGHT,
        request_queue_size=sizes.requests,
    )
    height, width = generator.grid_size
    return Adapted(
        LinearWarehouse(generator, time_limit=config.horizon),
        functools.partial(observe, extent=(1, 1) if published else (height - 1, width - 1)),
        truncated=undisturbed,
    )
