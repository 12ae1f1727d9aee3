"""The code of the child process. It and the probes are the only code of the tool that imports jax."""
