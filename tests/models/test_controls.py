"""`statistics` and `shuffled`, tensor by tensor, on checkpoints of every body whose values look like trained ones."""

from __future__ import annotations

import math

import pytest
import torch
import transformers

from models.initialise import body_state
from models.weights import load_checkpoint

SHARED = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
TOKENS = {"vocab_size": 11, "max_position_embeddings": 24}
CHECKPOINTS = {
    "gpt2": ("GPT2Model", {"n_layer": 2, "n_embd": 32, "n_head": 4, "n_positions": 24, "vocab_size": 11}),
    "bert": ("BertModel", {**SHARED, **TOKENS}),
    "vit": ("ViTModel", {**SHARED, "image_size": 4, "patch_size": 2}),
    "t5": ("T5EncoderModel", {"num_layers": 2, "d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 64, "vocab_size": 11}),
    "longformer": ("LongformerModel", {**SHARED, **TOKENS, "attention_window": 4}),
    "llama": ("LlamaModel", {**SHARED, **TOKENS}),
}
CONSTANT = 0.125


@pytest.fixture(scope="module", params=CHECKPOINTS)
def loaded(request, tmp_path_factory):
    """Architecture and state of a checkpoint whose tensors differ in mean, scale and skew and have heavy tails.

    One gain is constant, as gains are that training did not move.
    """
    name, arguments = CHECKPOINTS[request.param]
    model_class = getattr(transformers, name)
    model = model_class(model_class.config_class(**arguments))
    torch.manual_seed(0)
    tails = torch.distributions.StudentT(3.0)
    with torch.no_grad():
        for i, tensor in enumerate(model.parameters()):
            draws = tails.sample(tensor.shape)
            tensor.copy_((i % 7 - 3) / 10 + 0.02 * (1 + i % 5) * torch.where(draws > 0, 2 * draws, draws))
        last_gain = [tensor for key, tensor in model.named_parameters() if "norm" in key.lower() or "ln_" in key][-1]
        last_gain.fill_(CONSTANT)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return load_checkpoint(str(folder))


def varying(state):
    """The tensors with more than one value, and how many there are without."""
    names = [name for name, tensor in state.items() if tensor.unique().numel() > 1]
    assert len(names) > 8
    return names, len(state) - len(names)


def correlation(a, b):
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).double())[0, 1].item()


def test_statistics_copy_mean_and_deviation_of_each_tensor_and_nothing_else(loaded):
    arch, source = loaded
    state = body_state(arch, "statistics", seed=0, source=source)
    names, num_constant = varying(source)
    assert num_constant == 1 + (arch.position_name == "positions.weight")
    for name in names:
        values, original = state[name].double(), source[name].double()
        count, deviation = values.numel(), original.std(correction=0)
        # Five deviations of the mean and of the deviation of `count` normal values.
        assert abs(values.mean() - original.mean()) < 5 * deviation / math.sqrt(count), name
        assert abs(values.std() / deviation - 1) < 5 / math.sqrt(2 * count), name
        # No value is where it was, nor near it.
        assert not (values == original).any(), name
        assert abs(correlation(values, original)) < 5 / math.sqrt(count), name
        # Normal: the heavy tails are not copied. 24 / n is the variance of a normal sample's fourth moment.
        if count >= 1024:
            standard = (values - values.mean()) / values.std()
            assert abs(standard.pow(4).mean() - 3) < 5 * math.sqrt(24 / count), name


def test_shuffled_has_the_same_sorted_values_in_another_order(loaded):
    arch, source = loaded
    state = body_state(arch, "shuffled", seed=0, source=source)
    names, _ = varying(source)
    for name in names:
        values, original = state[name], source[name]
        assert torch.equal(values.flatten().sort().values, original.flatten().sort().values), name
        # A random order leaves one value in its place on average, whatever the size; Poisson: 10 or more in 1e-7.
        assert (values == original).sum() < 10, name
        assert abs(correlation(values, original)) < 5 / math.sqrt(values.numel()), name
        if values.ndim == 2 and min(values.shape) > 8:
            rows, columns = (values.mean(dim).sort().values for dim in (0, 1))
            assert not torch.allclose(rows, original.mean(0).sort().values), name
            assert not torch.allclose(columns, original.mean(1).sort().values), name


@pytest.mark.parametrize("init", ["statistics", "shuffled"])
def test_the_seed_says_how_and_constants_stay(loaded, init):
    arch, source = loaded
    first, again, other = (body_state(arch, init, seed=seed, source=source) for seed in (0, 0, 1))
    names, _ = varying(source)
    for name in source:
        assert torch.equal(first[name], again[name])
        assert torch.equal(first[name], other[name]) == (name not in names)
        assert torch.equal(first[name], source[name]) == (name not in names)
    constants = {source[name].flatten()[0].item() for name in set(source) - set(names)}
    assert constants <= {CONSTANT, 0.0}
