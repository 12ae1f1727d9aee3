"""Scenarios: cooperative tasks for teams of one to thousands of agents.

`import scenarios` does not import jax; a scenario's code is imported when an environment is built.
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
