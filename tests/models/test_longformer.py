"""Longformer's window: what a token sees, on sequences longer than it, padded, and packed."""

import pytest
import torch
from transformers import LongformerConfig, LongformerModel

from models import TRAIN_SETS
from models.bodies import architecture
from models.fpt import PackedFPT
from models.heads import Heads
from models.initialise import body_state, input_layer, output_layer
from models.packed import PackState
from models.randomness import DropoutStreams
from models.states import run_state

WIDTH = 16


def config_of(window, num_layers=2):
    return LongformerConfig(
        num_hidden_layers=num_layers,
        hidden_size=WIDTH,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=66,
        attention_window=window,
        vocab_size=11,
    )


def pair_of(window):
    """Our core and transformers' model with the same large weights."""
    torch.manual_seed(0)
    reference = LongformerModel(config_of(window), add_pooling_layer=False).eval()
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.nn.init.zeros_(reference.embeddings.position_embeddings.weight)
    arch = architecture("longformer", config=config_of(window))
    core = arch.build().eval()
    core.load_state_dict({name: reference.get_parameter(name) for name in arch.core_shapes})
    return core, reference


# Reaches of 2 and 3; one block, three, several, and a last one that is not full.
@pytest.mark.parametrize("num_tokens", [1, 3, 5, 6, 7, 9, 12, 25])
@pytest.mark.parametrize("window", [4, [4, 12]])
def test_a_window_equals_transformers_forward_and_backward(window, num_tokens):
    core, reference = pair_of(window)
    ours = torch.randn(2, num_tokens, WIDTH, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    output, expected = core(ours), reference(inputs_embeds=theirs).last_hidden_state
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(output)
    (output * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_tokens", [6, 25])
def test_padding_is_not_seen(num_tokens):
    """Examples of 3 and of all tokens; with 25, whole blocks of the first are padding that sees nothing but padding."""
    core, reference = pair_of(4)
    lengths = torch.tensor([3, num_tokens])
    for module in core.modules():
        object.__setattr__(module, "pack", PackState(lengths=lengths))
    hidden = torch.randn(2, num_tokens, WIDTH, requires_grad=True)
    mask = (torch.arange(num_tokens) < lengths.unsqueeze(1)).long()
    expected = reference(inputs_embeds=hidden.detach(), attention_mask=mask).last_hidden_state
    output = core(hidden)
    torch.testing.assert_close(output[1], expected[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output[0, :3], expected[0, :3], rtol=1e-5, atol=1e-5)
    output[0, 2].sum().backward()
    assert hidden.grad.isfinite().all() and hidden.grad[0, :3].any() and not hidden.grad[0, 3:].any()


def test_a_token_sees_its_window_per_layer_and_no_farther():
    core, _ = pair_of(4)
    hidden = torch.randn(1, 25, WIDTH)
    changed = hidden.clone()
    changed[0, 12] += 1
    differs = (core(hidden) != core(changed)).any(-1)[0].nonzero().flatten().tolist()
    assert differs == list(range(12 - 2 * 2, 12 + 2 * 2 + 1))


def packed(num_runs, *, num_tokens=11):
    arch = architecture("longformer", config=config_of(4))
    heads = Heads(num_tokens=num_tokens, num_features=3, num_symbols=None, num_readouts=2, num_targets=1, num_classes=4)
    states = []
    for k in range(num_runs):
        generator = torch.Generator().manual_seed(k)
        first = input_layer(num_features=3, num_symbols=None, width=WIDTH, gain=1.0, generator=generator)
        last = output_layer(width=WIDTH, num_outputs=4, generator=generator)
        ends = {f"input.{n}": t for n, t in first.items()} | {f"output.{n}": t for n, t in last.items()}
        states.append(run_state(body_state(arch, "random", seed=k), ends, architecture=arch, num_tokens=num_tokens))
    device = torch.device("cpu")
    model = PackedFPT(
        arch,
        heads=heads,
        states=states,
        groups=TRAIN_SETS["fpt"],
        dropout=0.5,
        device=device,
        compute_dtype=torch.float32,
    )
    model.pack.dropout = DropoutStreams(range(num_runs), device)
    return model


def test_every_run_of_a_pack_drops_what_it_drops_alone():
    """Eight runs with bodies of their own on sequences longer than the window, dropout on."""
    inputs = torch.randn(8, 2, 11, 3)
    together = packed(8)(inputs)
    torch.testing.assert_close(packed(1)(inputs[:1])[0], together[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(packed(1)(inputs[1:2])[0], together[1], rtol=1e-2)


def test_positions_begin_after_the_padding_rows():
    arch = architecture("longformer", size="base")
    assert arch.max_tokens == 4096
    assert arch.checkpoint.first_position == 2
    # allenai/longformer-base-4096 without words, positions, pooler and the projections for global attention.
    layer = 12 * 768**2 + 13 * 768
    assert sum(shape.numel() for shape in arch.core_shapes.values()) == 12 * layer + 768 + 2 * 768


@pytest.mark.parametrize("window", [0, 3, [4], [4, 4, 4]])
def test_windows_that_cannot_be_are_refused(window):
    with pytest.raises(ValueError, match="attention_window of a Longformer must be an even number") as error:
        architecture("longformer", config=config_of(window))
    assert "\n" not in str(error.value)
