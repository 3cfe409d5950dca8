import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import BODIES
from models.bodies import architecture
from models.initialise import body_state, input_layer, output_layer


def nano(body, num_layers=2):
    return architecture(body, size="nano", num_layers=num_layers)


@pytest.fixture(scope="module")
def source():
    """A state whose tensors have means and deviations of their own, and one constant tensor."""
    shapes = nano("gpt2").shapes
    state = {name: torch.randn(shape) * (i + 1) / 10 + i for i, (name, shape) in enumerate(shapes.items())}
    state["ln_f.bias"].fill_(0.25)
    return state


@pytest.mark.parametrize("body", BODIES)
def test_random_bodies_are_repeatable_differ_by_seed_and_leave_the_global_state_alone(body):
    before = torch.get_rng_state()
    first, again, other = (body_state(nano(body), "random", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert list(first) == list(nano(body).shapes)
    assert all(torch.equal(first[name], again[name]) for name in first)
    matrices = [name for name in first if first[name].ndim == 2 and name != "positions.weight"]
    assert matrices and not any(torch.equal(first[name], other[name]) for name in matrices)


@pytest.mark.parametrize("body", ["gpt2", "bert", "vit", "longformer", "llama"])
def test_random_is_transformers_4_1_1(body):
    state = body_state(nano(body), "random", seed=0)
    for name, tensor in state.items():
        if name == "positions.weight" or name.endswith("bias"):
            assert not tensor.any(), name
        elif tensor.ndim == 1:
            assert torch.equal(tensor, torch.ones_like(tensor)), name
        else:
            assert abs(tensor.std() / 0.02 - 1) < 5 / math.sqrt(tensor.numel()), name
            assert abs(tensor.mean()) < 5 * 0.02 / math.sqrt(tensor.numel()), name


def test_tensors_of_one_shape_are_independent():
    state = body_state(nano("gpt2"), "random", seed=0)
    first, second = state["h.0.attn.c_attn.weight"], state["h.1.attn.c_attn.weight"]
    assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 0.02


def test_random_scaled_divides_residual_projections_by_the_whole_depth():
    plain, scaled = (body_state(nano("gpt2"), init, seed=0) for init in ("random", "random-scaled"))
    for name in plain:
        # nano has 4 layers, though only 2 are built; transformers scales by 1 / sqrt(2 * layers).
        factor = 1 / math.sqrt(8) if name.endswith("c_proj.weight") else 1.0
        torch.testing.assert_close(scaled[name], plain[name] * factor, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("body", "count"), [("bert", 4), ("vit", 4), ("t5", 4), ("longformer", 4), ("llama", 4)])
def test_two_projections_of_each_layer_write_into_the_residual_stream(body, count):
    plain, scaled = (body_state(nano(body), init, seed=0) for init in ("random", "random-scaled"))
    assert sum(not torch.equal(plain[name], scaled[name]) for name in plain) == count


def test_random_scaled_does_not_exist_without_residual_projections():
    with pytest.raises(ValueError, match="'random-scaled' does not exist for body 'lstm'"):
        body_state(nano("lstm"), "random-scaled", seed=0)


def test_statistics_keep_mean_and_deviation_of_each_tensor(source):
    state = body_state(nano("gpt2"), "statistics", seed=0, source=source)
    for name, tensor in state.items():
        count = tensor.numel()
        if name == "ln_f.bias":
            assert torch.equal(tensor, source[name])
            continue
        deviation = source[name].std(correction=0)
        assert abs(tensor.mean() - source[name].mean()) < 5 * deviation / math.sqrt(count), name
        assert abs(tensor.std() / deviation - 1) < 5 / math.sqrt(2 * count), name
        assert abs(torch.corrcoef(torch.stack([tensor.flatten(), source[name].flatten()]))[0, 1]) < 5 / math.sqrt(count)


def test_shuffled_permutes_within_each_tensor(source):
    state = body_state(nano("gpt2"), "shuffled", seed=0, source=source)
    for name, tensor in state.items():
        assert torch.equal(tensor.flatten().sort().values, source[name].flatten().sort().values)
        assert torch.equal(tensor, source[name]) == (name == "ln_f.bias")


def test_a_derived_body_uses_the_first_layers_of_a_deeper_source(source):
    short = body_state(nano("gpt2", num_layers=1), "shuffled", seed=0, source=source)
    whole = body_state(nano("gpt2"), "shuffled", seed=0, source=source)
    assert set(short) < set(whole)
    assert all(torch.equal(short[name], whole[name]) for name in short)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="unknown init 'randon'; did you mean 'random'"):
        body_state(nano("gpt2"), "randon", seed=0)
    with pytest.raises(ValueError, match="'shuffled' needs the pretrained body"):
        body_state(nano("gpt2"), "shuffled", seed=0)
    with pytest.raises(ValueError, match=r"h\.0\.ln_1\.weight must have shape \(128,\), is missing"):
        body_state(nano("gpt2"), "statistics", seed=0, source={})
    with pytest.raises(ValueError, match=r"is of shape \(3,\)"):
        body_state(nano("gpt2"), "statistics", seed=0, source={"h.0.ln_1.weight": torch.zeros(3)})


@settings(deadline=None, max_examples=25)
@given(num_features=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_linear_input_layers_are_orthogonal(num_features, width, seed):
    generator = torch.Generator().manual_seed(seed)
    layer = input_layer(num_features=num_features, num_symbols=None, width=width, gain=1.41, generator=generator)
    weight = layer["weight"].double()
    gram = weight @ weight.T if width <= num_features else weight.T @ weight
    torch.testing.assert_close(gram, 1.41**2 * torch.eye(len(gram), dtype=torch.float64), rtol=0, atol=1e-5)
    assert layer["weight"].shape == (width, num_features)
    assert torch.equal(layer["bias"], torch.zeros(width))


def test_embedding_and_output_layers_follow_torch():
    generator = torch.Generator().manual_seed(0)
    table = input_layer(num_features=None, num_symbols=200, width=64, gain=1.41, generator=generator)
    assert list(table) == ["weight"]
    assert table["weight"].shape == (200, 64)
    assert abs(table["weight"].std() - 1) < 0.03
    layer = output_layer(width=64, num_outputs=300, generator=generator)
    reference = torch.nn.Linear(64, 300)
    for name, tensor in layer.items():
        assert tensor.shape == reference.get_parameter(name).shape
        assert 0.98 / 8 < tensor.abs().max() <= 1 / 8
