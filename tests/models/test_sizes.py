"""Sizes by depth and width: one spelling for one size, and the body that transformers builds of it."""

import pytest
import torch
from transformers import GPT2Config, GPT2Model

from models import BODIES, SIZES
from models.bodies import architecture
from models.initialise import body_state
from models.sizes import canonical, nearest, shape


@pytest.mark.parametrize(("body", "size"), [(body, size) for body in BODIES for size in SIZES[body]])
def test_a_named_size_is_a_point_of_the_grammar(body, size):
    whole = architecture(body, size=size)
    num_layers, width, num_heads = shape(body, size)
    assert (whole.num_layers, whole.width) == (num_layers, width)
    assert num_heads == (whole.num_heads or num_heads)
    assert canonical(body, f"{num_layers}x{width}") == size == canonical(body, size)


def test_sizes_without_a_name_keep_their_spelling():
    assert canonical("gpt2", "2x64") == "2x64"
    assert canonical("gpt2", "6x512") == "6x512"  # small is a name of T5's only
    assert canonical("lstm", "4x128") == "4x128"  # nano has three layers there
    assert [canonical("gpt2", text) for text in ("tiny", "2x", "02x64", "x64", "2x64 ", "0x64")] == [None] * 6


@pytest.mark.parametrize("size", ["2x48", "2x416", "97x64", "2x12352"])
def test_shapes_that_cannot_be_are_refused(size):
    with pytest.raises(ValueError, match=f"size '{size}' must have 1 to 96 layers"):
        canonical("gpt2", size)


def test_heads_have_32_values_where_bodies_are_narrow_and_64_elsewhere():
    assert [shape("gpt2", size).num_heads for size in ("1x32", "2x96", "2x352", "2x384", "2x448")] == [1, 3, 11, 6, 7]


def test_recipes_come_from_the_widest_named_size_that_is_no_wider():
    sizes = ("1x32", "8x352", "8x384", "2x512", "2x800", "xl")
    assert [nearest(size) for size in sizes] == ["nano", "nano", "mini", "small", "base", "xl"]


def test_a_body_without_a_name_is_the_one_of_transformers():
    whole = architecture("gpt2", size="2x96")
    state = {name: tensor for name, tensor in body_state(whole, "random", seed=1).items() if name in whole.core_shapes}
    config = GPT2Config(n_layer=2, n_embd=96, n_head=3, n_positions=16, vocab_size=7)
    reference = GPT2Model(config).eval()
    reference.load_state_dict(state, strict=False)
    core = whole.build().eval()
    core.load_state_dict(state)
    hidden = torch.randn(3, 7, 96)
    torch.nn.init.zeros_(reference.wpe.weight)
    torch.testing.assert_close(core(hidden), reference(inputs_embeds=hidden).last_hidden_state, rtol=1e-5, atol=1e-5)
