"""`lbf`: N agents collect food that takes several of them. Jumanji's LevelBasedForaging (1.1.2).

Task          food lies on a board. Agents of level 1 or 2 next to it take it by loading at the same timestep if the sum
              of their levels is at least its level, which is uniform from 1 to the sum of the three lowest agent levels
              (3 in all but small teams).
Observation   75 numbers per agent, as in the library's grid observer: three 5×5 windows around the agent in row order:
              levels of agents (its own in the middle), levels of food, and 1 for free cells. Outside the board all
              three are 0.
Actions       6 discrete: stay, up, down, left, right, load.
Mask          moving onto a free cell is legal, as are loading next to food and staying. An illegal action means
              staying. If several agents move onto one cell, none of them does.
Reward        N times the library's: food of level l pays N·l / (sum of all food levels of the episode), divided among
              those who took it in proportion to their levels. Each agent its own (`individual`) or the team's mean
              (`shared`).
Episode       a termination when no food is left; a truncation after `horizon` timesteps (100). All episodes start at
              timestep 0.
Scaling rule  20 cells and one food item per agent: the board is a square of side ⌈√(20N)⌉. Agents see 2 cells in each
              direction. A team that takes all food has a return of 1 per agent at every N.
Largest N     1024, slowly 4096: time and memory are O(N) per step, O(N log N) per reset.
Optimum       a return of 1, if all food can be taken in time.
Published     `8x8-2p-2f-coop` … `15x15-4p-5f`: the library's own environment as Mava builds it, with the library's
              placement and its vector observer: 3 numbers (row, column, level) for every food item and every agent,
              (−1, −1, 0) if unseen. N is in the name. `shared` is the reward in the papers: the sum of the library's.

Differences from the library: moves, loading, windows and masks are computed in O(N) on boards instead of by comparing
all pairs, with the same outcome; agents are uniform over the cells without food (the library leaves out whole rows, and
puts agents onto food if no row is left); food is drawn from the library's distribution (off the edge, no two items side
by side), all at once; the reward is N times as large, because the return of one agent would otherwise fall as 1/N;
there is no penalty.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
from jumanji.environments.routing.lbf.constants import LOAD, MOVES
from jumanji.environments.routing.lbf.env import LevelBasedForaging
from jumanji.environments.routing.lbf.generator import RandomGenerator
from jumanji.environments.routing.lbf.observer import GridObserver
from jumanji.environments.routing.lbf.types import Agent, Food, Observation, State
from jumanji.types import TimeStep, termination, transition, truncation

from scenarios.configs import LBF_PUBLISHED, LbfConfig
from scenarios.jumanji_adapter import Adapted

CELLS_PER_AGENT = 20
SIGHT = 2


class Spreading(NamedTuple):
    """Which cells are undecided and which are taken, (S, S) each."""

    undecided: Bool[Array, "S S"]
    taken: Bool[Array, "S S"]


class UniformGenerator(RandomGenerator):
    """Boards with no two food items side by side and agents anywhere else, in O(N log N); without `force_coop`."""

    def __call__(self, key: Any) -> State:
        """One board."""
        state_key, food_key, agent_key, level_key, food_level_key = jax.random.split(key, 5)
        food = self.sample_food(food_key)
        free = jnp.ones((self.grid_size, self.grid_size), dtype=bool).at[food[:, 0], food[:, 1]].set(False)
        level = self.sample_levels(self.max_agent_level, (self.num_agents,), level_key)
        weakest_three: Any = jnp.sort(level)[:3].sum()
        return State(
            agents=Agent(
                id=jnp.arange(self.num_agents),
                position=self.sample_agents(agent_key, free.ravel()),
                level=level,
                loading=jnp.zeros(self.num_agents, dtype=bool),
            ),
            food_items=Food(
                id=jnp.arange(self.num_food),
                position=food,
                level=self.sample_levels(weakest_three, (self.num_food,), food_level_key),
                eaten=jnp.zeros(self.num_food, dtype=bool),
            ),
            step_count=jnp.zeros((), dtype=jnp.int32),
            key=state_key,
        )

    def sample_food(self, key: Any) -> Int[Array, "F 2"]:
        """Cells off the edge, no two side by side, each uniform among those that earlier ones left free."""
        side = self.grid_size
        order = jax.random.permutation(key, side * side).reshape(side, side)
        return spread(order, self.num_food)


def spread(order: Int[Array, "S S"], count: int) -> Int[Array, "F 2"]:
    """The first `count` cells off the edge that are taken by visiting all cells by ascending `order`.

    A cell is taken unless a neighbour is taken already. Cells before all their neighbours are decided at once; the
    number of rounds grows as log S.
    """
    side = order.shape[0]
    inside = jnp.zeros(order.shape, dtype=bool).at[1:-1, 1:-1].set(True)

    def decide(cells: Spreading) -> Spreading:
        waiting = jnp.where(cells.undecided, order, side * side)
        first = cells.undecided & (waiting < beside(waiting, side * side).min(axis=0))
        left = cells.undecided & ~first & ~beside(first, False).any(axis=0)
        return Spreading(left, cells.taken | first)

    start = Spreading(inside, jnp.zeros_like(inside))
    taken = jax.lax.while_loop(lambda cells: cells.undecided.any(), decide, start).taken
    rank = jnp.where(taken, order, side * side).ravel()
    return jnp.stack(jnp.divmod(jnp.argsort(rank)[:count], side), axis=-1)


def beside(board: Array, outside: int | bool) -> Array:
    """The four neighbours of every cell, (4, S, S): above, below, left, right."""
    padded = jnp.pad(board, 1, constant_values=outside)
    return jnp.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])


class WindowObserver(GridObserver):
    """Jumanji's grid observer in O(N): windows and masks are gathered from one board."""

    def state_to_observation(self, state: State) -> Observation:
        """The windows (N, 3, 2·fov + 1, 2·fov + 1), the masks (N, 6) and the timestep."""
        agents, food = boards(state, self.grid_size)
        free = jnp.pad((agents + food) == 0, self.fov)
        offsets = jnp.arange(2 * self.fov + 1)
        row, column = state.agents.position.T[:, :, None] + offsets[None, None]
        layers = jnp.stack([jnp.pad(agents, self.fov), jnp.pad(food, self.fov), free.astype(agents.dtype)])
        view = layers[:, row[:, :, None], column[:, None, :]].swapaxes(0, 1)
        step_count = state.step_count
        return Observation(agents_view=view, action_mask=legal(state, agents, food), step_count=step_count)


def boards(state: State, side: int) -> tuple[Int[Array, "S S"], Int[Array, "S S"]]:
    """Levels of agents and of remaining food by cell; 0 for empty cells."""
    nothing = jnp.zeros((side, side), dtype=jnp.int32)
    agents, food = state.agents, state.food_items
    return (
        nothing.at[agents.position[:, 0], agents.position[:, 1]].set(agents.level),
        nothing.at[food.position[:, 0], food.position[:, 1]].set(food.level * ~food.eaten),
    )


def legal(state: State, agents: Int[Array, "S S"], food: Int[Array, "S S"]) -> Bool[Array, "N 6"]:
    """The legal actions of every agent: stay, the four moves, load."""
    row, column = state.agents.position.T
    free = beside((agents + food) == 0, False)[:, row, column].T
    near = (beside(food, 0)[:, row, column] > 0).any(axis=0)
    return jnp.column_stack([jnp.ones_like(near), free, near])


class LinearForaging(LevelBasedForaging):
    """Jumanji's LevelBasedForaging in O(N) per step, with windows, no penalty and N times the reward."""

    def __init__(self, generator: RandomGenerator, time_limit: int) -> None:
        super().__init__(generator, time_limit=time_limit, grid_observation=True)
        self._observer = WindowObserver(self.fov, self.grid_size, self.num_agents, self.num_food)

    def step(self, state: State, actions: Int[Array, " N"]) -> tuple[State, TimeStep[Observation]]:
        """All moves at once, then all loading."""
        agents = self._move(state, actions)
        food, reward = self._eat(agents, state.food_items)
        state = dataclasses.replace(state, agents=agents, food_items=food, step_count=state.step_count + 1)
        observation = self._observer.state_to_observation(state)
        finished, late = food.eaten.all(), state.step_count >= self.time_limit
        ends = [transition, truncation, termination]
        timestep = jax.lax.switch(
            jnp.where(finished, 2, late.astype(jnp.int32)),
            [lambda _, end=end: end(reward, observation, shape=self.num_agents) for end in ends],
            None,
        )
        timestep.extras = self._get_extra_info(state, timestep)
        return state, timestep

    def _move(self, state: State, actions: Int[Array, " N"]) -> Agent:
        """The agents after their moves; if several move onto one cell, none of them does."""
        position = state.agents.position
        masks = legal(state, *boards(state, self.grid_size))
        moving = masks[jnp.arange(self.num_agents), actions] & (actions != LOAD)
        wanted = position + jnp.where(moving[:, None], MOVES[actions], 0)
        claims = jnp.zeros((self.grid_size, self.grid_size), dtype=jnp.int32).at[wanted[:, 0], wanted[:, 1]].add(1)
        alone = claims[wanted[:, 0], wanted[:, 1]] == 1
        return dataclasses.replace(
            state.agents, position=jnp.where(alone[:, None], wanted, position), loading=actions == LOAD
        )

    def _eat(self, agents: Agent, food: Food) -> tuple[Food, Float[Array, " N"]]:
        """The remaining food, and N times every agent's share of the food taken."""
        side = self.grid_size
        lifting = agents.level * agents.loading
        lifted = jnp.zeros((side, side), dtype=jnp.int32).at[agents.position[:, 0], agents.position[:, 1]].set(lifting)
        row, column = food.position.T
        total = beside(lifted, 0).sum(axis=0)[row, column]
        taken = ~food.eaten & (total >= food.level)
        level, weight = (
            jnp.zeros((2, side, side), dtype=jnp.int32)
            .at[:, row, column]
            .set(jnp.stack([jnp.where(taken, food.level, 0), total * food.level.sum()]))
        )
        row, column = agents.position.T
        share = lifting * beside(level, 0)[:, row, column] / jnp.maximum(beside(weight, 0)[:, row, column], 1)
        return dataclasses.replace(food, eaten=food.eaten | taken), self.num_agents * share.sum(axis=0)


def observe(state: State, timestep: Any) -> Float[Array, "N F"]:
    """The observations of all agents; see the module's docstring."""
    view: Array = timestep.observation.agents_view
    return view.reshape(len(view), -1).astype(jnp.float32)


def board_side(num_agents: int) -> int:
    """Cells along each side of the board: ⌈√(20N)⌉."""
    return math.isqrt(CELLS_PER_AGENT * num_agents - 1) + 1


class PublishedLbf(LevelBasedForaging):
    """Jumanji's LevelBasedForaging with N times the reward, as in every task of this scenario."""

    def get_reward(self, *eaten: Any) -> Float[Array, " N"]:
        """N times the library's reward of every agent."""
        reward: Float[Array, " N"] = self.num_agents * super().get_reward(*eaten)
        return reward


def make(num_agents: int, config: LbfConfig) -> Adapted:
    """The registry's factory."""
    published = LBF_PUBLISHED.get(config.task)
    if published is None:
        uniform = UniformGenerator(board_side(num_agents), num_agents, num_food=num_agents, fov=SIGHT)
        return Adapted(LinearForaging(uniform, config.horizon), observe, reward=config.reward)
    generator = RandomGenerator(
        published.side, num_agents, published.food, published.sight, force_coop=published.cooperative
    )
    return Adapted(PublishedLbf(generator, time_limit=config.horizon), observe, reward=config.reward)
