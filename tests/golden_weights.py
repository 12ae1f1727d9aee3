"""Reading the golden arrays, and putting the published weights into our networks."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sable.policies.encoder_decoder_policy import EncoderDecoderPolicy
from sable.types import Params

FOLDER = Path(__file__).parent / "golden"

Weights = dict[str, np.ndarray]


def load(name: str) -> Weights:
    """All arrays of one golden file."""
    with np.load(FOLDER / name) as file:
        return {key: file[key] for key in file.files}


def published_name(path: tuple[str, ...], model: str) -> str:
    """The published path of the parameter that our network holds at `path`."""
    name = "/".join(path)
    shared = {
        "observation_embedding/norm": "encoder/obs_encoder/layers_0",
        "observation_embedding/linear": "encoder/obs_encoder/layers_1",
        "encoder_norm": "encoder/ln",
        "decoder_norm": "decoder/ln",
        "action_embedding/linear": "decoder/action_encoder/layers_0",
        "value_head": "encoder/head",
        "action_head": "decoder/head",
        "/hidden/": "/layers_0/",
        "head/norm": "head/layers_2",
        "head/output": "head/layers_3",
        "/norm1": "/ln1",
        "/norm2": "/ln2",
        "/norm3": "/ln3",
    }
    sable = {
        "encoder_blocks/0/mixer": "encoder/encoder_block_0/retn",
        "decoder_blocks/0/self_mixer": "decoder/decoder_block_0/retn1",
        "decoder_blocks/0/cross_mixer": "decoder/decoder_block_0/retn2",
        "encoder_blocks/0": "encoder/encoder_block_0",
        "decoder_blocks/0": "decoder/decoder_block_0",
        "feed_forward/gate/kernel": "ffn/W_gate",
        "feed_forward/linear/kernel": "ffn/W_linear",
        "feed_forward/output/kernel": "ffn/W_output",
        "query/kernel": "retention_heads_0/w_q",
        "key/kernel": "retention_heads_0/w_k",
        "value/kernel": "retention_heads_0/w_v",
        "retn/gate/kernel": "retn/w_g",
        "retn1/gate/kernel": "retn1/w_g",
        "retn2/gate/kernel": "retn2/w_g",
        "retn/output/kernel": "retn/w_o",
        "retn1/output/kernel": "retn1/w_o",
        "retn2/output/kernel": "retn2/w_o",
        "retn/norm": "retn/group_norm",
        "retn1/norm": "retn1/group_norm",
        "retn2/norm": "retn2/group_norm",
    }
    mat = {
        "encoder_blocks/0/mixer": "encoder/blocks/layers_0/attn",
        "encoder_blocks/0": "encoder/blocks/layers_0",
        "decoder_blocks/0/self_mixer": "decoder/cross_attention_block_0/attn1",
        "decoder_blocks/0/cross_mixer": "decoder/cross_attention_block_0/attn2",
        "decoder_blocks/0": "decoder/cross_attention_block_0",
        "feed_forward/layers_0": "mlp/layers_0",
        "feed_forward/output": "mlp/layers_2",
        "attn/output": "attn/proj",
        "attn1/output": "attn1/proj",
        "attn2/output": "attn2/proj",
    }
    for ours, theirs in [*shared.items(), *(sable if model == "sable" else mat).items()]:
        name = name.replace(ours, theirs)
    return name


def golden_params(policy: EncoderDecoderPolicy, weights: Weights, prefix: str, model: str) -> Params:
    """Our parameters, filled from the published weights; every published array must be used exactly once."""
    state = jax.eval_shape(policy.init, jax.random.key(0))
    paths, tree = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(state))
    used = []
    leaves = []
    for path, leaf in paths:
        name = prefix + published_name(tuple(str(part.key) for part in path), model)
        used.append(name)
        assert weights[name].shape == leaf.shape, (name, weights[name].shape, leaf.shape)
        leaves.append(jnp.asarray(weights[name]))
    assert sorted(used) == sorted(name for name in weights if name.startswith(prefix))
    nnx.replace_by_pure_dict(state, jax.tree.unflatten(tree, leaves))
    return state


def named_leaves(params: Params, prefix: str, model: str) -> Weights:
    """Our parameters (or gradients) by their published names."""
    paths, _ = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(params))
    return {
        prefix + published_name(tuple(str(part.key) for part in path), model): np.asarray(leaf) for path, leaf in paths
    }
