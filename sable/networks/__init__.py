"""Flax NNX networks: the one encoder/decoder skeleton and the layers it is put together from."""
