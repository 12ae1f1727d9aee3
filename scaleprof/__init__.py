"""The tool: sweeps agent counts and sequence lengths, a fresh process per point, and records what each cost."""

__version__ = "0.1.0"
