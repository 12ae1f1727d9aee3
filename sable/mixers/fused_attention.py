"""Softmax attention by cuDNN's fused kernel, through `jax.nn.dot_product_attention`; NVIDIA GPUs only.

The kernel computes in half precision: queries, keys and values are cast to bfloat16. It calls (B, T, N, H) what this
project calls (environments × timesteps, N, H, d).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float


def check_fused(head_dim: int, dtype: DTypeLike, platform: str) -> None:
    """Raise `ValueError` if the kernel does not support these heads, or the platform that is compiled for."""
    if platform != "gpu":
        raise ValueError(f"mode fused needs an NVIDIA GPU with cuDNN, not {platform}: use dense or blockwise")
    if jnp.dtype(dtype) != jnp.bfloat16:
        raise ValueError(f"mode fused computes in bfloat16, dtype is {dtype}: use bfloat16, or dense or blockwise")
    if head_dim % 8 or head_dim > 128:
        raise ValueError(
            f"mode fused needs heads of 8, 16, … 128 channels, embed_dim / heads is {head_dim}: change one of them"
        )


def fused(
    q: Float[Array, "... N H d"], k: Float[Array, "... N H d"], v: Float[Array, "... N H d"], *, causal: bool
) -> Float[Array, "... N H d"]:
    """Attention in one kernel: O(N) memory."""

    def flat(x: Array) -> Array:
        return x.reshape(-1, *x.shape[-3:]).astype(jnp.bfloat16)

    y = jax.nn.dot_product_attention(flat(q), flat(k), flat(v), is_causal=causal, implementation="cudnn")
    return y.reshape(q.shape).astype(q.dtype)
