"""Scenarios: cooperative tasks for a team of agents, from one agent to thousands.

`import scenarios` is light: a scenario's code, and with it jax, is imported where an environment is built.
"""

from scenarios.build import make_custom, make_environment, make_scenario
from scenarios.registry import MAX_AGENTS, SCENARIOS, ScenarioEntry, find, is_custom, resolve

__all__ = [
    "MAX_AGENTS",
    "SCENARIOS",
    "ScenarioEntry",
    "find",
    "is_custom",
    "make_custom",
    "make_environment",
    "make_scenario",
    "resolve",
]
