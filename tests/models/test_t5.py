"""What T5 has and no other body: gates by version, distances in buckets, initial values and precisions of its own."""

import math

import pytest
import torch
from transformers import T5Config, T5EncoderModel
from transformers.models.t5.modeling_t5 import T5Attention

from models import TRAIN_SETS, Group
from models.bodies import architecture
from models.cost import cost
from models.fpt import PackedFPT
from models.groups import assign
from models.heads import Heads
from models.initialise import body_state, input_layer, output_layer
from models.states import run_state
from models.t5 import relative_buckets

SHARED = {"num_layers": 2, "d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 48, "vocab_size": 11}


@pytest.mark.parametrize("feedforward", ["relu", "gated-gelu", "gated-silu"])
def test_every_kind_of_feedforward_equals_transformers(feedforward):
    config = T5Config(**SHARED, feed_forward_proj=feedforward)
    torch.manual_seed(0)
    reference = T5EncoderModel(config).eval()
    arch = architecture("t5", config=config)
    core = arch.build().eval()
    core.load_state_dict({name: reference.get_parameter(f"encoder.{name}") for name in arch.core_shapes})
    # Beyond the largest distance that has a bucket of its own.
    hidden = torch.randn(2, 150, 32)
    expected = reference(inputs_embeds=hidden).last_hidden_state
    torch.testing.assert_close(core(hidden), expected, rtol=1e-5, atol=1e-5)
    groups = assign(arch.core_shapes, arch.patterns)
    num_feeds = sum(group is Group.FEEDFORWARD for group in groups.values())
    assert num_feeds == (6 if feedforward.startswith("gated") else 4)
    assert groups["block.0.layer.0.SelfAttention.relative_attention_bias.weight"] is Group.ATTENTION


@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (8, 20), (64, 1000)])
def test_buckets_of_distances_are_transformers(num_buckets, max_distance):
    distances = torch.arange(-2000, 2001)
    ours = relative_buckets(distances, num_buckets=num_buckets, max_distance=max_distance)
    theirs = T5Attention._relative_position_bucket(distances, num_buckets=num_buckets, max_distance=max_distance)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("feedforward", ["relu", "gated-gelu"])
def test_a_random_t5_is_drawn_as_transformers_draws_it(feedforward):
    config = T5Config(**{**SHARED, "d_model": 128, "d_ff": 300}, feed_forward_proj=feedforward)
    torch.manual_seed(0)
    reference = T5EncoderModel(config).encoder
    state = body_state(architecture("t5", config=config), "random", seed=0)
    assert not state.pop("positions.weight").any()
    for name, tensor in state.items():
        theirs = reference.get_parameter(name).detach()
        if tensor.ndim == 1:
            assert torch.equal(tensor, theirs)
            continue
        # Two samples of n values each: the log of the ratio of their deviations has a deviation of 1/sqrt(n).
        assert abs(math.log(tensor.std() / theirs.std())) < 5 / math.sqrt(tensor.numel()), name
        assert abs(tensor.mean()) < 5 * tensor.std() / math.sqrt(tensor.numel()), name


def test_random_scaled_divides_what_writes_into_the_residual_stream():
    arch = architecture("t5", config=T5Config(**SHARED))
    plain, scaled = (body_state(arch, init, seed=0) for init in ("random", "random-scaled"))
    for name in plain:
        factor = 0.5 if name.endswith((".o.weight", ".wo.weight")) else 1.0
        torch.testing.assert_close(scaled[name], plain[name] * factor, rtol=1e-6, atol=0)


def test_published_sizes():
    """t5-small and t5-base have 60.5 and 222.9 million parameters with decoder; these are their encoders' by hand."""
    for size, num_layers, width in (("small", 6, 512), ("base", 12, 768)):
        shapes = architecture("t5", size=size).core_shapes
        num_norms = (2 * num_layers + 1) * width
        expected = num_layers * 12 * width**2 + num_norms + 32 * width // 64
        assert sum(shape.numel() for shape in shapes.values()) == expected


def test_attention_narrower_than_the_body_is_counted_as_it_is():
    """FLAN's small T5 has six heads of 64 in a body of 512."""
    wide, narrow = (architecture("t5", config=T5Config(**{**SHARED, "d_kv": d_kv})) for d_kv in (8, 6))
    sizes = {"num_features": 1, "num_symbols": None, "num_readouts": 1, "num_outputs": 1, "batch_size": 1}
    flops = [cost(arch, num_tokens=7, groups=(), precision="fp32", **sizes).forward_flops for arch in (wide, narrow)]
    # Four matrices of 8 columns fewer, and 8 values fewer in each of the two products over 49 pairs.
    assert flops[0] - flops[1] == 2 * (2 * 4 * 8 * 32 * 7 + 4 * 8 * 49)


@pytest.mark.parametrize("train_set", ["fpt", "full"])
def test_activations_keep_the_precision_of_the_run(train_set):
    """transformers' feedforward layer converts them to the precision of its weights, which are fp32 where trained."""
    arch = architecture("t5", config=T5Config(**SHARED))
    generator = torch.Generator().manual_seed(0)
    first = input_layer(num_features=3, num_symbols=None, width=32, gain=1.0, generator=generator)
    last = output_layer(width=32, num_outputs=2, generator=generator)
    ends = {f"input.{n}": t for n, t in first.items()} | {f"output.{n}": t for n, t in last.items()}
    heads = Heads(num_tokens=5, num_features=3, num_symbols=None, num_readouts=1, num_targets=1, num_classes=2)
    model = PackedFPT(
        arch,
        heads=heads,
        states=[run_state(body_state(arch, "random", seed=0), ends, architecture=arch, num_tokens=5)],
        groups=TRAIN_SETS[train_set],
        dropout=0.0,
        device=torch.device("cpu"),
        compute_dtype=torch.bfloat16,
    )
    seen = []
    for layer in model.core.block:
        layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output[0].dtype))
    model(torch.randn(1, 2, 5, 3))
    assert seen == [torch.bfloat16] * 2
