"""`search-rescue`: N agents fly over a field and find targets in it. Jumanji's SearchAndRescue (1.1.2).

Task          an agent finds a target that comes within 0.02 of it inside its field of view, ±72° around its heading.
              Targets drift slowly at random. The field is a square that wraps around at its edges.
Observation   99 numbers per agent, as in the library: along each of 32 rays, evenly spread over the field of view, the
              distance to the nearest other agent divided by the agents' range of 0.4, −1 for nothing (32); the same for
              found targets, divided by the targets' range of 0.1 (32), and for unfound targets (32); the share of
              targets that are still unfound (1); its position divided by the field's side (2). Everything seen has a
              radius of 0.02. Heading, speed and time are not observed.
Actions       2 continuous in [−1, 1]: a turn of up to 45° to either side; acceleration of up to 0.005 per timestep,
              with a speed from 0.005 to 0.02.
Mask          none: all actions are legal.
Reward        1 − t/`horizon` for a target found at timestep t (from 0), split evenly among the agents that find it at
              the same timestep: each agent its own (`individual`, as in the library) or the team's mean (`shared`).
Episode       a termination when all targets are found; a truncation after `horizon` timesteps (400). All episodes start
              at timestep 0.
Scaling rule  25 agents and 25 targets per unit of area: the field is a square of side √(N/25), with the library's
              speeds and ranges. Agents and targets start uniformly. At every N an agent has one target to find and,
              from 16 agents on, about 12 other agents within 0.4, 5 of them in view.
Smallest N    4: a smaller field is narrower than an agent's range.
Largest N     1024: a step is O(N) while agents spread out; if all gather in one place it is O(N²) time, O(N) memory.
Optimum       below 1 per agent: nobody finds everything at once.

Differences from the library: neighbours come from a grid of cells in blocks of candidates, and finds are counted
without N×N flags, with the same outcome; there are as many targets as agents; the time limit is a truncation.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped
from jumanji.environments.swarms.common.types import AgentState
from jumanji.environments.swarms.common.updates import angular_width, update_state, view
from jumanji.environments.swarms.search_and_rescue.env import SearchAndRescue
from jumanji.environments.swarms.search_and_rescue.generator import RandomGenerator
from jumanji.environments.swarms.search_and_rescue.observations import AgentAndTargetObservationFn
from jumanji.environments.swarms.search_and_rescue.types import Observation, State, TargetState
from jumanji.environments.swarms.search_and_rescue.utils import searcher_detect_targets
from jumanji.environments.swarms.search_and_rescue.viewer import SearchAndRescueViewer
from jumanji.types import TimeStep, termination, transition

from scenarios.configs import SearchRescueConfig
from scenarios.jumanji_adapter import Adapted

AGENTS_PER_AREA = 25
RAYS = 32
AGENT_SIGHT = 0.4
TARGET_SIGHT = 0.1
VIEW_ANGLE = 0.4
"""Of π, to either side."""
CONTACT = 0.02
BLOCK = 8
"""Candidates that all agents examine at a time."""
Carry = TypeVar("Carry")


class Near(NamedTuple):
    """Candidates near each of N viewers: the things in 3×3 cells around it, of M things in all.

    The things of a row of cells are a run in `order` that wraps from `end` to `begin`, as the field does.
    """

    order: Int[Array, " M"]
    """All things by cell, cells row by row."""
    first: Int[Array, "N R"]
    """Start of a viewer's run in `order`."""
    begin: Int[Array, "N R"]
    """Start of the row in `order`."""
    end: Int[Array, "N R"]
    """End of the row in `order`."""
    upto: Int[Array, "N R"]
    """Number of things in this run and the runs before it."""

    def block(self, start: Int[Array, ""]) -> tuple[Int[Array, "N K"], Bool[Array, "N K"]]:
        """The candidates of every viewer from the `start`-th on, and whether each exists (else any index)."""
        number = start + jnp.arange(BLOCK)[None]
        run = (number[..., None] >= self.upto[:, None, :]).sum(axis=-1)
        there = run < self.upto.shape[1]
        before = jnp.pad(self.upto, ((0, 0), (1, 0)))
        first, begin, end, earlier = (
            jnp.take_along_axis(of_runs, jnp.where(there, run, 0), axis=1)
            for of_runs in (self.first, self.begin, self.end, before)
        )
        at = first + number - earlier
        return self.order[jnp.where(at < end, at, at - end + begin)], there


def near(viewers: Float[Array, "N 2"], things: Float[Array, "M 2"], reach: float, side: float) -> Near:
    """Candidates for being within `reach` of each viewer in a square of this side: each thing in reach exactly once."""
    cells = max(1, math.floor(side / reach))
    runs = min(cells, 3)

    def cell(position: Float[Array, "K 2"]) -> Int[Array, "K 2"]:
        return jnp.clip((position * (cells / side)).astype(jnp.int32), 0, cells - 1)

    number = cell(things) @ jnp.array([cells, 1])
    order = jnp.argsort(number)
    starts = jnp.searchsorted(number[order], jnp.arange(cells * cells + 1))
    row, column = (cell(viewers) - (runs - 1) // 2).T % cells
    rows = cells * ((row[:, None] + jnp.arange(runs)[None]) % cells)
    first, begin, end = starts[rows + column[:, None]], starts[rows], starts[rows + cells]
    beyond = column[:, None] + runs
    last = starts[rows + jnp.where(beyond > cells, beyond - cells, beyond)]
    length = last - first + jnp.where(beyond > cells, end - begin, 0)
    return Near(order, first, begin, end, jnp.cumsum(length, axis=1))


def over_candidates(
    look: Callable[[Carry, Int[Array, "N K"], Bool[Array, "N K"]], Carry], carry: Carry, candidates: Near
) -> Carry:
    """Fold `look` over the candidates, block by block, until no viewer has more."""
    most = candidates.upto[:, -1].max()

    def step(state: tuple[Int[Array, ""], Carry]) -> tuple[Int[Array, ""], Carry]:
        start, before = state
        return start + BLOCK, look(before, *candidates.block(start))

    start = jnp.zeros((), dtype=jnp.int32)
    return jax.lax.while_loop(lambda state: state[0] < most, step, (start, carry))[1]


def of_pairs(
    function: Callable[..., Any], viewers: Any, things: Any, index: Int[Array, "N K"]
) -> Shaped[Array, "N K *V"]:
    """Apply a function of one viewer and one thing to each viewer and its things, given by index."""
    pairs: Array = jax.vmap(jax.vmap(function, (None, 0)))(viewers, jax.tree.map(lambda field: field[index], things))
    return pairs


class NearbyView(AgentAndTargetObservationFn):
    """Jumanji's view of agents and targets by its own rays, computed in blocks of candidates."""

    def __call__(self, state: State) -> Float[Array, "N 3 V"]:
        """Distance along each ray to agents, found targets and unfound targets; −1 for nothing."""
        searchers, found = state.searchers, state.targets.found
        own = jnp.arange(len(searchers.heading))[:, None]
        agents = self._nearest(searchers, searchers, self.searcher_vision_range, lambda thing: (thing != own)[None])
        targets = self._nearest(
            searchers,
            state.targets,
            self.target_vision_range,
            lambda thing: jnp.stack([found[thing], ~found[thing]]),
        )
        nearest = jnp.concatenate([agents, targets]).swapaxes(0, 1)
        return jnp.where(jnp.isinf(nearest), -1.0, nearest)

    def _nearest(
        self,
        viewers: AgentState,
        things: AgentState | TargetState,
        reach: float,
        kinds: Callable[[Int[Array, "N K"]], Bool[Array, "C N K"]],
    ) -> Float[Array, "C N V"]:
        """Distance along each ray to the nearest thing of each kind, divided by `reach`; infinity for nothing."""
        rays = functools.partial(
            view,
            (self.view_angle, self.agent_radius),
            n_view=self.num_vision,
            i_range=reach,
            env_size=self.env_size,
        )

        def look(
            nearest: Float[Array, "C N V"], index: Int[Array, "N K"], there: Bool[Array, "N K"]
        ) -> Float[Array, "C N V"]:
            distance = of_pairs(rays, viewers, things, index)
            met = (kinds(index) & there)[..., None] & (distance >= 0) & (distance <= 1)
            return jnp.minimum(nearest, jnp.where(met, distance, jnp.inf).min(axis=2))

        count = len(viewers.heading)
        nothing = jnp.full((len(kinds(jnp.zeros((count, 1), jnp.int32))), count, self.num_vision), jnp.inf)
        return over_candidates(look, nothing, near(viewers.pos, things.pos, reach, self.env_size))


class LinearSearch(SearchAndRescue):
    """Jumanji's SearchAndRescue without N×N flags."""

    def step(self, state: State, actions: Float[Array, "N 2"]) -> tuple[State, TimeStep[Observation]]:
        """Agents move, targets drift, and agents in contact with an unfound target find it."""
        key, target_key = jax.random.split(state.key)
        searchers = update_state(self.generator.env_size, self.searcher_params, state.searchers, actions)
        targets = self._target_dynamics(target_key, state.targets, self.generator.env_size)
        finders, share = self._find(searchers, targets)
        state = State(
            searchers=searchers,
            targets=dataclasses.replace(targets, found=targets.found | (finders > 0)),
            key=key,
            step=state.step + 1,
        )
        reward = share * ((self.time_limit - state.step + 1) / self.time_limit)
        ended = state.targets.found.all() | (state.step >= self.time_limit)
        ends = (functools.partial(end, shape=(self.num_agents,)) for end in (termination, transition))
        return state, jax.lax.cond(ended, *ends, reward, self._state_to_observation(state))

    def _find(self, searchers: AgentState, targets: TargetState) -> tuple[Int[Array, " M"], Float[Array, " N"]]:
        """Number of agents that find each target, and every agent's share of the finds."""
        side, angle = self.generator.env_size, self._observation_fn.view_angle

        def finds(searcher: AgentState, target: TargetState) -> Bool[Array, ""]:
            distance, *_ = angular_width(
                searcher.pos, target.pos, searcher.heading, self.target_contact_range, 0.0, side
            )
            flags = searcher_detect_targets(angle, searcher, (0, target), env_size=side, n_targets=1)
            found: Bool[Array, ""] = (distance <= 1) & flags[0]
            return found

        def count(finders: Int[Array, " M"], index: Int[Array, "N K"], there: Bool[Array, "N K"]) -> Int[Array, " M"]:
            return finders.at[index].add(there & of_pairs(finds, searchers, targets, index))

        def divide(
            share: Float[Array, " N"], index: Int[Array, "N K"], there: Bool[Array, "N K"]
        ) -> Float[Array, " N"]:
            found = there & of_pairs(finds, searchers, targets, index)
            return share + (found / jnp.maximum(finders[index], 1)).sum(axis=1)

        # The view that follows uses the same candidates, so XLA gathers them only once.
        candidates = near(searchers.pos, targets.pos, self._observation_fn.target_vision_range, side)
        finders = over_candidates(count, jnp.zeros(len(targets.found), dtype=jnp.int32), candidates)
        return finders, over_candidates(divide, jnp.zeros(len(searchers.heading)), candidates)


def observe(state: State, timestep: Any) -> Float[Array, "N 99"]:
    """The observations of all agents; see the module's docstring."""
    seen = timestep.observation
    agents = len(seen.positions)
    remaining = jnp.broadcast_to(seen.targets_remaining, (agents, 1))
    views: Float[Array, "N W"] = seen.searcher_views.reshape(agents, -1)
    return jnp.concatenate([views, remaining, seen.positions], axis=-1)


def cut_off(state: State, timestep: Any) -> Bool[Array, ""]:
    """Whether only the time limit ended the episode; Jumanji calls that a termination too."""
    missing: Bool[Array, ""] = ~state.targets.found.all()
    return missing


def field_side(num_agents: int) -> float:
    """Length of each side of the field: √(N/25)."""
    return math.sqrt(num_agents / AGENTS_PER_AREA)


def make(num_agents: int, config: SearchRescueConfig) -> Adapted:
    """The registry's factory."""
    side = field_side(num_agents)
    environment = LinearSearch(
        target_contact_range=CONTACT,
        time_limit=config.horizon,
        viewer=SearchAndRescueViewer(env_size=(side, side)),
        generator=RandomGenerator(num_searchers=num_agents, num_targets=num_agents, env_size=side),
        observation=NearbyView(RAYS, AGENT_SIGHT, TARGET_SIGHT, VIEW_ANGLE, CONTACT, side),
    )
    return Adapted(environment, observe, reward=config.reward, truncated=cut_off)
