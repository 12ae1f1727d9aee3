"""What the parts of the library hand to each other.

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
"""What a model remembers between environment steps, a pytree with B leading; `()` for a model without memory."""


Actions: TypeAlias = Int[Array, "B N"] | Float[Array, "B N A"]
"""One timestep's actions: their indices, or A numbers each where they are continuous."""
ActionSequence: TypeAlias = Int[Array, "B T N"] | Float[Array, "B T N A"]
"""The same of a whole sequence."""


class Space(NamedTuple):
    """What a model needs to know of its scenario."""

    num_agents: int
    features: int
    actions: int
    """Actions to choose from, or dimensions of an action where it is continuous."""
    continuous: bool = False
    """Actions are vectors in [−1, 1]^A instead of indices."""


class Observation(NamedTuple):
    """What the agents see at one timestep; `...` is nothing, (B,) or (B, T)."""

    features: Float[Array, "... N F"]
    action_mask: Bool[Array, "... N A"]
    """True where an action is legal: everywhere if actions are continuous."""
    step_count: Int[Array, "..."]
    """Timestep within the episode, 0 at its start."""


class Step(NamedTuple):
    """What one environment step returns; a leading B where environments are batched."""

    state: PyTree[Any]
    observation: Observation
    """Already the next episode's where `ended`."""
    reward: Float[Array, "... N"]
    discount: Float[Array, "..."]
    """0 at a termination, 1 otherwise (also at a time-limit truncation)."""
    ended: Bool[Array, "..."]
    terminal_observation: Observation
    """The observation after this step, before any reset."""


@runtime_checkable
class Scenario(Protocol):
    """A batch of B environments of N agents."""

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


class Action(NamedTuple):
    """What a policy chose at one timestep."""

    actions: Actions
    """Continuous ones before they are squashed; see `sable.distributions`."""
    log_prob: Float[Array, "B N"]
    value: Float[Array, "B N"]
    carry: Carry
    decoder_steps: Int[Array, " B"]
    """Decoder passes that had to wait for each other: N agent by agent, the sweeps of a fixed-point iteration; 0 where
    nothing is decoded."""


class Evaluation(NamedTuple):
    """What a policy says of given actions."""

    log_prob: Float[Array, "B T N"]
    entropy: Float[Array, "B T N"]
    value: Float[Array, "B T N"]


@runtime_checkable
class Policy(Protocol):
    """All that the trainer knows of a model.

    `reset` is true where an observation starts an episode: the carry is zeroed there before it is used, and only then
    decays. `evaluate` on the actions that `act` took, from the carry it started with, gives the same log-probabilities
    and values.
    """

    def init(self, key: PRNGKeyArray) -> Params:
        """Fresh parameters."""
        ...

    def init_carry(self, envs: int) -> Carry:
        """The carry at the very start."""
        ...

    def permute_carry(self, carry: Carry, order: Int[Array, " N"]) -> Carry:
        """The carry of the same agents in another order: agent i is agent order[i] of before."""
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
        """The value alone, for the bootstrap: nothing is decoded and the carry is left as it is."""
        ...


class Transition(NamedTuple):
    """What a rollout stores of every timestep."""

    observation: Observation
    actions: ActionSequence
    log_prob: Float[Array, "B T N"]
    value: Float[Array, "B T N"]
    decoder_steps: Int[Array, "B T"]
    reward: Float[Array, "B T N"]
    discount: Float[Array, "B T"]
    ended: Bool[Array, "B T"]
    reset: Bool[Array, "B T"]
    """True where this timestep's observation starts an episode: `reset[t + 1] = ended[t]`."""
    terminal_value: Float[Array, "B T N"]
    """Value of the terminal observation where an episode was cut off by its time limit, 0 elsewhere."""


class Trajectory(NamedTuple):
    """A rollout of T timesteps from B environments."""

    transitions: Transition
    carry: Carry
    """The carry before the first timestep."""
    last_value: Float[Array, "B N"]
    """Value of the observation after the last timestep (meaningless where the last timestep ended an episode)."""


class TrainState(NamedTuple):
    """Everything that training carries from one update to the next."""

    params: Params
    opt_state: PyTree[Any]
    env_state: PyTree[Any]
    observation: Observation
    reset: Bool[Array, " B"]
    carry: Carry
    key: PRNGKeyArray
