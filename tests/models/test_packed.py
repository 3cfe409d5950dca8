"""Packed leaves and the packed model against torch's and transformers' own, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models import BODIES, TRAIN_SETS, Group
from models.activation import TanhGelu
from models.attention import ATTENTION_NAME, packed_attention
from models.bodies import architecture
from models.fpt import PackedFPT
from models.heads import Heads
from models.initialise import body_state, input_layer, output_layer
from models.packed import PackState, packed_twin
from models.randomness import DropoutStreams
from models.states import run_state

K, B, T, D = 3, 2, 5, 8


def leaves() -> list[nn.Module]:
    from transformers.models.llama.modeling_llama import LlamaRMSNorm
    from transformers.models.t5.modeling_t5 import T5LayerNorm
    from transformers.pytorch_utils import Conv1D

    norms = [nn.LayerNorm(D), LlamaRMSNorm(D), T5LayerNorm(D)]
    return [nn.Linear(D, 6), nn.Linear(D, 6, bias=False), Conv1D(6, D), *norms]


@pytest.mark.parametrize("leaf", leaves(), ids=lambda leaf: f"{type(leaf).__name__}-{len(list(leaf.parameters()))}")
@pytest.mark.parametrize("num_runs", [1, K])
def test_packed_leaf_computes_what_each_runs_own_leaf_computes(leaf: nn.Module, num_runs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    values = {
        name: torch.randn(num_runs, *p.shape, generator=generator, requires_grad=True)
        for name, p in leaf.named_parameters()
    }
    x = torch.randn(num_runs * B, T, D, generator=generator, requires_grad=True)
    twin = packed_twin(leaf, PackState(num_runs=num_runs))
    for name, value in values.items():
        setattr(twin, name, value)
    out = twin(x)
    each = [
        torch.func.functional_call(leaf, {name: v[k] for name, v in values.items()}, (x[k * B : (k + 1) * B],))
        for k in range(num_runs)
    ]
    torch.testing.assert_close(out, torch.cat(each), rtol=1e-5, atol=1e-6)
    weights = torch.randn(out.shape, generator=generator)
    inputs = [x, *values.values()]
    ours = torch.autograd.grad((out * weights).sum(), inputs)
    theirs = torch.autograd.grad((torch.cat(each) * weights).sum(), inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_packed_embedding_looks_up_in_each_runs_own_table() -> None:
    tables = torch.randn(K, 7, D)
    twin = packed_twin(nn.Embedding(7, D), PackState(num_runs=K))
    twin.weight = tables
    ids = torch.randint(7, (K * B, T))
    expected = torch.cat([F.embedding(ids[k * B : (k + 1) * B], tables[k]) for k in range(K)])
    assert torch.equal(twin(ids), expected)


@pytest.mark.parametrize("num_tokens", [6, 300])
@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("is_padded", [True, False])
@pytest.mark.parametrize("num_biases", [0, 1, 2])
def test_attention_is_softmax_of_scores_times_values(
    num_tokens: int, is_causal: bool, is_padded: bool, num_biases: int
) -> None:
    module = nn.Module()
    module.is_causal = is_causal
    lengths = torch.tensor([num_tokens, 3]) if is_padded else None
    module.pack = PackState(num_runs=2, lengths=lengths)
    query, key, value = torch.randn(3, 2, 4, num_tokens, 8).unbind(0)
    biases = torch.randn(num_biases, 4, num_tokens, num_tokens) if num_biases else None
    out, _ = packed_attention(module, query, key, value, None, position_bias=biases)
    scores = query.double() @ key.double().transpose(-1, -2) / 8**0.5
    # Two runs of one example: a bias of their own for each, or one for both.
    scores = scores if biases is None else scores + biases.double()
    hidden = torch.zeros(2, 1, num_tokens, num_tokens, dtype=torch.bool)
    if is_causal:
        hidden = torch.ones(num_tokens, num_tokens, dtype=torch.bool).triu(1)
    elif lengths is not None:
        hidden = (torch.arange(num_tokens) >= lengths[:, None])[:, None, None, :]
    expected = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ value.double()
    torch.testing.assert_close(out.transpose(1, 2), expected.float(), rtol=1e-4, atol=1e-5)


def test_attention_shares_keys_between_grouped_queries() -> None:
    module = nn.Module()
    module.pack = PackState()
    query, key, value = torch.randn(1, 4, T, 8), torch.randn(1, 2, T, 8), torch.randn(1, 2, T, 8)
    out, _ = packed_attention(module, query, key, value, None)
    each = [F.scaled_dot_product_attention(query[:, h], key[:, h // 2], value[:, h // 2]) for h in range(4)]
    torch.testing.assert_close(out.transpose(1, 2), torch.stack(each, 1), rtol=1e-4, atol=1e-5)


def packed_model(body: str, groups: tuple[Group, ...], num_runs: int, *, own_bodies: bool = False) -> PackedFPT:
    arch = architecture(body, size="nano", num_layers=2)
    heads = Heads(num_tokens=T, num_features=3, num_symbols=None, num_readouts=2, num_targets=2, num_classes=4)
    shared = body_state(arch, "random", seed=0)
    states = []
    for k in range(num_runs):
        generator = torch.Generator().manual_seed(k)
        first = input_layer(num_features=3, num_symbols=None, width=arch.width, gain=1.41, generator=generator)
        last = output_layer(width=arch.width, num_outputs=heads.num_outputs, generator=generator)
        ends = {f"input.{n}": t for n, t in first.items()} | {f"output.{n}": t for n, t in last.items()}
        body_of_run = body_state(arch, "random", seed=k) if own_bodies else shared
        states.append(run_state(body_of_run, ends, architecture=arch, num_tokens=T))
    device = torch.device("cpu")
    return PackedFPT(
        arch, heads=heads, states=states, groups=groups, dropout=0.1, device=device, compute_dtype=torch.float32
    )


@pytest.mark.parametrize("body", BODIES)
def test_packed_body_equals_the_plain_one_with_the_same_tensors(body: str) -> None:
    """The engine's replaced leaves and attention against the core as transformers computes it, forward and backward."""
    model = packed_model(body, TRAIN_SETS["fpt"], num_runs=1)
    arch = architecture(body, size="nano", num_layers=2)
    plain = arch.build(attention="sdpa", dropout=0.0)
    plain.load_state_dict({name: body_state(arch, "random", seed=0)[name] for name in arch.core_shapes})
    hidden = torch.randn(B, T, arch.width, requires_grad=True)
    ours, theirs = model.core(hidden), plain(hidden)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(theirs)
    (a,) = torch.autograd.grad((ours * weights).sum(), hidden)
    (b,) = torch.autograd.grad((theirs * weights).sum(), hidden)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_read", [1, 3, T])
def test_the_last_tokens_of_gpt2_are_those_of_the_whole(num_read: int) -> None:
    core = packed_model("gpt2", TRAIN_SETS["fpt"], num_runs=1).core
    hidden = torch.randn(B, T, 128, requires_grad=True)
    part, whole = core.last(hidden, num_read), core(hidden)[:, -num_read:]
    torch.testing.assert_close(part, whole, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(part)
    (a,) = torch.autograd.grad((part * weights).sum(), hidden)
    (b,) = torch.autograd.grad((whole * weights).sum(), hidden)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_gelu_is_torchs_forward_and_backward() -> None:
    x = torch.linspace(-12, 12, 2001, dtype=torch.float64, requires_grad=True)
    ours, theirs = TanhGelu()(x), F.gelu(x, approximate="tanh")
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    (a,), (b,) = (torch.autograd.grad(y.sum(), x) for y in (ours, theirs))
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("groups", [TRAIN_SETS["fpt"], TRAIN_SETS["full"], TRAIN_SETS["output-only"]])
def test_runs_with_bodies_of_their_own_compute_what_they_compute_alone(groups: tuple[Group, ...]) -> None:
    packed = packed_model("gpt2", groups, K, own_bodies=True)
    inputs = torch.randn(K, B, T, 3)
    logits = packed(inputs)
    assert logits.shape == (K, B, 4, 4)
    with packed.evaluating(packed.matrix.detach()[1:2], [1]):
        torch.testing.assert_close(packed(inputs[1:2]), logits[1:2].detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(packed(inputs), logits, rtol=0, atol=0)


def test_evaluating_stops_dropout_and_gradients_and_restores_them() -> None:
    model = packed_model("gpt2", TRAIN_SETS["fpt"], 2)
    model.pack.dropout = DropoutStreams([0, 1], torch.device("cpu"))
    inputs = torch.randn(2, B, T, 3)
    with model.evaluating(model.matrix.detach(), [0, 1]):
        first, second = model(inputs), model(inputs)
        assert torch.equal(first, second)
        assert not first.requires_grad
    assert model(inputs).requires_grad
    assert not torch.equal(model(inputs), model(inputs))


def test_readout_follows_the_lengths_where_the_layout_says_so() -> None:
    arch = architecture("bert", size="nano", num_layers=1)
    heads = Heads(
        num_tokens=T,
        num_features=None,
        num_symbols=9,
        num_readouts=1,
        num_targets=1,
        num_classes=2,
        reads_last_real=True,
        masks_padding=True,
    )
    generator = torch.Generator().manual_seed(0)
    first = input_layer(num_features=None, num_symbols=9, width=arch.width, gain=1.0, generator=generator)
    last = output_layer(width=arch.width, num_outputs=2, generator=generator)
    ends = {f"input.{n}": t for n, t in first.items()} | {f"output.{n}": t for n, t in last.items()}
    state = run_state(body_state(arch, "random", seed=0), ends, architecture=arch, num_tokens=T)
    device = torch.device("cpu")
    model = PackedFPT(
        arch,
        heads=heads,
        states=[state],
        groups=TRAIN_SETS["fpt"],
        dropout=0.0,
        device=device,
        compute_dtype=torch.float32,
    )
    ids = torch.randint(1, 9, (1, 1, T))
    changed = ids.clone()
    changed[0, 0, 3:] = 0
    lengths = torch.tensor([[3]])
    torch.testing.assert_close(model(ids, lengths), model(changed, lengths))
    assert not torch.allclose(model(ids, lengths), model(ids, torch.tensor([[T]])))


def test_more_tokens_than_positions_are_refused() -> None:
    arch = architecture("bert", size="nano", num_layers=1)
    with pytest.raises(ValueError, match="513 tokens"):
        run_state(body_state(arch, "random", seed=0), {}, architecture=arch, num_tokens=513)


def test_attention_is_registered_under_the_name_that_bodies_are_built_with() -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    assert ALL_ATTENTION_FUNCTIONS[ATTENTION_NAME] is packed_attention
