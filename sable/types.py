"""The types and contracts that the parts of the library share.

Axis legend, used in every shape of this project:

    B  environments          T  timesteps of a sequence     N  agents
    E  embedding width       H  heads                       d  channels of a head (E / H)
    A  actions; dimensions of an action where it is continuous
    F  features of one agent's observation

A token is (t, i): agent i at timestep t. Tokens are ordered time-major, agent-minor.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

Params: TypeAlias = Any
"""The trainable arrays of a model, as a pytree."""
Carry: TypeAlias = Any
"""A model's memory between environment steps, a pytree with B leading; `()` for a model without memory."""


Actions: TypeAlias = Int[Array, "B N"] | Float[Array, "B N A"]
"""The actions of one timestep: indices, or vectors of A numbers if actions are continuous."""
ActionSequence: TypeAlias = Int[Array, "B T N"] | Float[Array, "B T N A"]
"""The actions of a whole sequence."""


class Space(NamedTuple):
    """The sizes that a model needs from its scenario."""

    num_agents: int
    features: int
    actions: int
    """Number of actions, or dimensions of a continuous action."""
    continuous: bool = False
    """Actions are vectors in [−1, 1]^A instead of indices."""


class Observation(NamedTuple):
    """The agents' observations; `...` is empty, (B,) or (B, T)."""

    features: Float[Array, "... N F"]
    action_mask: Bool[Array, "... N A"]
    """True for legal actions; all true if actions are continuous."""
    step_count: Int[Array, "..."]
    """Timestep within the episode, 0 at its start."""


class Step(NamedTuple):
    """The result of one environment step; B leads if environments are batched."""

    state: PyTree[Any]
    observation: Observation
    """The first observation of the next episode where `ended`."""
    reward: Float[Array, "... N"]
    discount: Float[Array, "..."]
    """0 at a termination, 1 otherwise (also at a time-limit truncation)."""
    ended: Bool[Array, "..."]
    terminal_observation: Observation
    """The observation after this step, before any reset."""


class EpisodeStatistics(NamedTuple):
    """Statistics of each environment's episodes."""

    running_return: Float[Array, " B"]
    """Reward per agent, summed over the current episode so far."""
    whole: Bool[Array, " B"]
    """False during a first episode that started late: its return and length are not counted."""
    last_return: Float[Array, " B"]
    """Return of the last whole episode; 0 before the first."""
    last_length: Int[Array, " B"]
    """Timesteps of the last whole episode; 0 before the first."""
    episodes: Int[Array, " B"]
    """Number of whole episodes that have ended."""


@runtime_checkable
class Scenario(Protocol):
    """A batch of B environments of N agents.

    A scenario may also be a `PooledScenario` or a `CountingScenario`.
    """

    @property
    def space(self) -> Space: ...
    @property
    def envs(self) -> int: ...
    def reset(self, key: PRNGKeyArray) -> tuple[PyTree[Any], Observation]:
        """Start all environments."""
        ...

    def step(self, state: PyTree[Any], actions: Actions, key: PRNGKeyArray) -> Step:
        """Advance all environments by one timestep and reset those whose episode ended."""
        ...


@runtime_checkable
class PooledScenario(Protocol):
    """A scenario that takes its episode starts from a pool, which the trainer refreshes every few updates."""

    @property
    def pool_size(self) -> int:
        """Number of starts in the pool; 0 if there is no pool, and `refresh` is never called."""
        ...

    def refresh(self, state: PyTree[Any], key: PRNGKeyArray) -> PyTree[Any]:
        """Return the same state with a new pool."""
        ...


@runtime_checkable
class CountingScenario(Protocol):
    """A scenario that counts its episodes."""

    def episode_statistics(self, state: PyTree[Any]) -> EpisodeStatistics:
        """Return the statistics of every environment."""
        ...


class Action(NamedTuple):
    """A policy's output at one timestep."""

    actions: Actions
    """Continuous actions are given before they are squashed; see `sable.distributions`."""
    log_prob: Float[Array, "B N"]
    value: Float[Array, "B N"]
    carry: Carry
    decoder_steps: Int[Array, " B"]
    """Sequential decoder passes: N agent by agent, the sweeps of a fixed-point iteration, 0 without a decoder."""


class Evaluation(NamedTuple):
    """A policy's evaluation of given actions."""

    log_prob: Float[Array, "B T N"]
    entropy: Float[Array, "B T N"]
    value: Float[Array, "B T N"]


@runtime_checkable
class Policy(Protocol):
    """Everything the trainer needs from a model.

    `reset` is true where an observation starts an episode: there the carry is zeroed before it decays and is used.
    Given the actions that `act` took and the carry it started from, `evaluate` returns the same log-probabilities and
    values.

    A policy may also be a `SegmentedPolicy` or a `LoopingPolicy`, which lets a profiler describe its cost better.
    """

    def init(self, key: PRNGKeyArray) -> Params:
        """Fresh parameters."""
        ...

    def init_carry(self, envs: int) -> Carry:
        """The carry before the first timestep."""
        ...

    def permute_carry(self, carry: Carry, order: Int[Array, " N"]) -> Carry:
        """The carry with the agents reordered: new agent i is old agent order[i]."""
        ...

    def act(
        self, params: Params, observation: Observation, reset: Bool[Array, " B"], carry: Carry, key: PRNGKeyArray
    ) -> Action:
        """Sample one action for every agent."""
        ...

    def evaluate(
        self,
        params: Params,
        observation: Observation,
        actions: ActionSequence,
        resets: Bool[Array, "B T"],
        carry: Carry,
    ) -> Evaluation:
        """Log-probability, entropy and value of given actions over whole sequences."""
        ...

    def value(
        self, params: Params, observation: Observation, reset: Bool[Array, " B"], carry: Carry
    ) -> Float[Array, "B N"]:
        """The value for the bootstrap: nothing is decoded and the carry does not change."""
        ...


@runtime_checkable
class SegmentedPolicy(Protocol):
    """A policy that learns from a sequence in segments and recomputes their activations in the backward pass."""

    def segment_timesteps(self, envs: int, timesteps: int, agents: int) -> int | None:
        """Timesteps whose activations `evaluate` keeps at once for inputs of this size; None if unknown."""
        ...


@runtime_checkable
class LoopingPolicy(Protocol):
    """A policy whose programs contain while loops with a length that only the data decides."""

    def while_trips(self, agents: int) -> float:
        """Mean number of iterations of such a loop, for counting its arithmetic.

        It holds for all loops that contain no other. A loop around one counts once: its count is a lower bound.
        """
        ...


class Transition(NamedTuple):
    """What a rollout stores for every timestep."""

    observation: Observation
    actions: ActionSequence
    log_prob: Float[Array, "B T N"]
    value: Float[Array, "B T N"]
    decoder_steps: Int[Array, "B T"]
    reward: Float[Array, "B T N"]
    discount: Float[Array, "B T"]
    ended: Bool[Array, "B T"]
    reset: Bool[Array, "B T"]
    """True where the observation starts an episode: `reset[t + 1] = ended[t]`."""
    terminal_value: Float[Array, "B T N"]
    """Value of the terminal observation where a time limit ended the episode, 0 elsewhere."""


class Trajectory(NamedTuple):
    """A rollout of T timesteps from B environments."""

    transitions: Transition
    carry: Carry
    """The carry before the first timestep."""
    last_value: Float[Array, "B N"]
    """Value of the observation after the last timestep; unused where the last timestep ended an episode."""


class TrainState(NamedTuple):
    """The state that training carries from one update to the next."""

    params: Params
    opt_state: PyTree[Any]
    env_state: PyTree[Any]
    observation: Observation
    reset: Bool[Array, " B"]
    carry: Carry
    key: PRNGKeyArray
