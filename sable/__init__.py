"""The algorithm library: sequence models and one PPO trainer, in pure JAX, Flax NNX and Optax.

No clock, no file, no print, no command line. `sable.config` and `sable.models` are plain data that a process without
jax can import; everything else is loaded through them.
"""
