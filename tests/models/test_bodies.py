import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    LongformerConfig,
    LongformerModel,
    T5Config,
    T5EncoderModel,
    ViTConfig,
    ViTModel,
)

from models import BODIES, SIZES
from models.bodies import architecture, position_key, position_table
from models.groups import assign
from models.initialise import body_state

WIDTH, LAYERS, TOKENS = 32, 3, 7

TINY = {
    "gpt2": GPT2Config(n_layer=LAYERS, n_embd=WIDTH, n_head=4, n_positions=16, vocab_size=11),
    "bert": BertConfig(
        num_hidden_layers=LAYERS,
        hidden_size=WIDTH,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=16,
        vocab_size=11,
    ),
    "vit": ViTConfig(
        num_hidden_layers=LAYERS,
        hidden_size=WIDTH,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=4,
        patch_size=2,
    ),
    "t5": T5Config(
        num_layers=LAYERS,
        d_model=WIDTH,
        num_heads=4,
        d_kv=6,
        d_ff=48,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=6,
        vocab_size=11,
    ),
    "longformer": LongformerConfig(
        num_hidden_layers=LAYERS,
        hidden_size=WIDTH,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=16,
        attention_window=[4, 4, 8],
        vocab_size=11,
    ),
    "llama": LlamaConfig(
        num_hidden_layers=LAYERS,
        hidden_size=WIDTH,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        max_position_embeddings=16,
        vocab_size=11,
    ),
}
REFERENCES = {
    "gpt2": GPT2Model,
    "bert": BertModel,
    "vit": ViTModel,
    "t5": T5EncoderModel,
    "longformer": LongformerModel,
    "llama": LlamaModel,
}


def reference_output(body, model, embeds):
    """What transformers' model makes of embeddings [N, T, D], its own positions added."""
    if body != "vit":
        return model(inputs_embeds=embeds).last_hidden_state
    # ViTModel takes pixels only: feed the encoder through a stub in place of its embedding module.
    model.embeddings.forward = lambda pixel_values, **_: embeds
    pixels = torch.zeros(embeds.shape[0], 3, 4, 4)
    return model(pixels).last_hidden_state


def build_pair(body, attention):
    torch.manual_seed(0)
    config = TINY[body]
    reference = REFERENCES[body](config).eval()
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    arch = architecture(body, config=config)
    # T5's encoder is a part of its model; Longformer's positions begin after two rows of padding.
    state = {name.removeprefix("encoder.") if body == "t5" else name: p for name, p in reference.named_parameters()}
    key = position_key(arch)
    if key in state:
        state[key] = state[key][arch.checkpoint.first_position :]
    core = arch.build(attention=attention).eval()
    core.load_state_dict({name: state[name].detach() for name in arch.core_shapes})
    return arch, core, reference, state


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("body", TINY)
def test_core_equals_the_transformers_model_forward_and_backward(body, attention):
    arch, core, reference, state = build_pair(body, attention)
    ours = torch.randn(5, TOKENS, WIDTH, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    table = state.get(position_key(arch))
    output = core(ours if table is None else ours + table[:TOKENS])
    expected = reference_output(body, reference, theirs)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)

    weights = torch.randn_like(output)
    (output * weights).sum().backward()
    (expected * weights).sum().backward()
    scale = theirs.grad.abs().max()
    torch.testing.assert_close(ours.grad / scale, theirs.grad / scale, rtol=1e-5, atol=1e-5)
    for name, parameter in core.named_parameters():
        theirs_grad = reference.get_parameter(f"encoder.{name}" if body == "t5" else name).grad
        # The floor is for BERT's key bias, whose true gradient is zero.
        scale = theirs_grad.abs().max().clamp(min=0.1)
        torch.testing.assert_close(parameter.grad / scale, theirs_grad / scale, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("body", TINY)
def test_dropout_acts_while_training_only(body):
    arch = architecture(body, config=TINY[body])
    state = {name: tensor for name, tensor in body_state(arch, "random", seed=0).items() if name in arch.core_shapes}
    hidden = torch.randn(2, TOKENS, WIDTH)
    for dropout, differs in ((0.5, True), (0.0, False)):
        core = arch.build(dropout=dropout)
        core.load_state_dict(state)
        assert torch.equal(core(hidden), core(hidden)) != differs
        core.eval()
        assert torch.equal(core(hidden), core(hidden))


@pytest.mark.parametrize("body", TINY)
def test_fewer_layers_are_the_first_ones(body):
    whole = architecture(body, config=TINY[body])
    short = architecture(body, config=TINY[body], num_layers=1)
    for init in ("random", "random-scaled"):
        full_state, short_state = (body_state(arch, init, seed=3) for arch in (whole, short))
        assert set(short_state) < set(full_state)
        assert all(torch.equal(tensor, full_state[name]) for name, tensor in short_state.items())


@pytest.mark.parametrize(("body", "size"), [(body, size) for body in BODIES for size in SIZES[body]])
def test_patterns_cover_every_parameter_once(body, size):
    arch = architecture(body, size=size)
    groups = assign(arch.core_shapes, arch.patterns)
    assert list(groups) == list(arch.core_shapes)


# Weights and biases outside token, patch and position embeddings, from the published sizes: 12 d^2 + 13 d per layer
# plus the norms around the layers, and BERT's two token types.
@pytest.mark.parametrize(
    ("body", "size", "num_parameters"),
    [
        ("gpt2", "base", 124_439_808 - 50257 * 768 - 1024 * 768),
        ("gpt2", "medium", 354_823_168 - 50257 * 1024 - 1024 * 1024),
        ("gpt2", "large", 774_030_080 - 50257 * 1280 - 1024 * 1280),
        ("gpt2", "xl", 1_557_611_200 - 50257 * 1600 - 1024 * 1600),
        ("bert", "base", 109_482_240 - 30522 * 768 - 512 * 768 - (768 * 768 + 768)),
        ("vit", "base", 12 * (12 * 768**2 + 13 * 768) + 2 * 768),
    ],
)
def test_published_sizes(body, size, num_parameters):
    shapes = architecture(body, size=size).core_shapes
    assert sum(shape.numel() for shape in shapes.values()) == num_parameters


def test_building_leaves_the_global_random_state_alone_and_parameters_undefined():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    core = architecture("llama", config=TINY["llama"]).build()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.isnan().all() for parameter in core.parameters())
    assert core.get_buffer("rotary_emb.inv_freq")[0] == 1.0


def test_position_table_is_a_copy_of_the_first_rows():
    arch = architecture("gpt2", config=TINY["gpt2"])
    state = body_state(arch, "random", seed=0)
    table = position_table(arch, state, 5)
    assert torch.equal(table, state["wpe.weight"][:5])
    table.zero_()
    assert state["wpe.weight"][:5].abs().min() > 0
    with pytest.raises(ValueError, match=r"17 tokens, but body 'gpt2' has 16 positions"):
        position_table(arch, state, 17)


@pytest.mark.parametrize("body", ["vit", "llama"])
def test_own_position_tables_start_at_zero(body):
    arch = architecture(body, size="nano")
    assert not position_table(arch, body_state(arch, "random", seed=0), 9).any()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"body": "gtp2", "size": "base"}, "unknown body 'gtp2'; did you mean 'gpt2'"),
        ({"body": "gpt2", "size": "bas"}, "did you mean 'base'"),
        ({"body": "llama", "size": "xl"}, r"unknown size of body 'llama' 'xl' \(one of: nano, mini, LAYERSxWIDTH"),
        ({"body": "gpt2"}, "needs a size"),
        ({"body": "gpt2", "size": "nano", "num_layers": 5}, "num_layers is 5, but this gpt2 has 4"),
        ({"body": "gpt2", "size": "nano", "num_layers": 0}, "at least 1"),
    ],
)
def test_mistakes_are_named_in_one_line(names, message):
    with pytest.raises(ValueError, match=message) as error:
        architecture(**names)
    assert "\n" not in str(error.value)
