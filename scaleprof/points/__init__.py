"""What to measure: axes, the grid and the frozen plan. Plain data: no subprocess, no jax."""
