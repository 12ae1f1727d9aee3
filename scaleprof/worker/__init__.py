"""All that runs in the child process; with the probes the only code of the tool that imports jax."""
