"""Names of tensors in words: what a tensor is, whatever its architecture calls it and whichever layer it is in."""

from __future__ import annotations

import re
from collections import Counter

import pandas as pd

# Part of a group, by the end of the module's name within its layer: the names of transformers' GPT-2, BERT, ViT,
# Llama, T5 and Longformer, and of our LSTM. An unknown module keeps its own name.
_PARTS = {
    ("attention", r"c_attn"): "attention qkv",
    ("attention", r"query|q_proj|q"): "attention query",
    ("attention", r"key|k_proj|k"): "attention key",
    ("attention", r"value|v_proj|v"): "attention value",
    ("attention", r"relative_attention_bias"): "attention relative positions",
    ("attention", r"query_global"): "global query",
    ("attention", r"key_global"): "global key",
    ("attention", r"value_global"): "global value",
    ("attention", r"c_proj|output\.dense|o_proj|o"): "attention output",
    ("feedforward", r"c_fc|intermediate\.dense|fc1|up_proj|wi|wi_1"): "feedforward in",
    ("feedforward", r"gate_proj|wi_0"): "feedforward gate",
    ("feedforward", r"c_proj|output\.dense|fc2|down_proj|wo"): "feedforward out",
    ("feedforward", r"input_gates"): "input gates",
    ("feedforward", r"recurrent_gates"): "recurrent gates",
}


def within_layer(name: str, layer: float | None) -> str:
    """The name without what says the layer: ("h.3.attn.c_attn.weight", 3) -> "attn.c_attn.weight"."""
    if layer is None or pd.isna(layer):
        return name
    _, found, rest = name.partition(f".{int(layer)}.")
    return rest if found else name


def kinds(tensors: pd.DataFrame) -> pd.Series:
    """What each tensor is, in words; tensors of one body that differ only in their layer are of one kind.

    Args:
        tensors: of bodies of one architecture, in the order in which data pass them; columns name, group, layer.
    """
    names = pd.Series(map(within_layer, tensors["name"], tensors["layer"]), index=tensors.index, dtype=object)
    distinct = tensors.assign(inner=names, inside=tensors["layer"].notna()).drop_duplicates("inner")
    modules = distinct["inner"].map(_module)
    norms = modules[(distinct["group"] == "layernorm") & distinct["inside"]].drop_duplicates().tolist()
    words = {}
    for row, module in zip(distinct.itertuples(), modules, strict=True):
        if module in norms:
            label = f"layer norm {norms.index(module) + 1}"
        else:
            label = _part(row.group, module)
        is_bias = row.inner.endswith("bias")
        suffix = " bias" if is_bias else " weight" if module in norms else ""
        words[row.inner] = label + suffix
    counted = Counter(words.values())
    return names.map({inner: word if counted[word] == 1 else inner for inner, word in words.items()})


def _module(name: str) -> str:
    return re.sub(r"\.(weight|bias)$", "", name)


def _part(group: str | None, module: str) -> str:
    if group == "positions":
        return "positions"
    for (of, ending), label in _PARTS.items():
        if of == group and re.search(rf"(^|\.)({ending})$", module):
            return label
    return module
