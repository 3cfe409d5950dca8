import math

import pytest
import torch
from torch import nn

from models.bodies import architecture
from models.initialise import body_state
from models.lstm import LstmConfig, LstmCore

WIDTH = 16


def loaded(body, protocol="fixed", num_layers=2, seed=0):
    """A core of width 128 with random values, and its state."""
    arch = architecture(body, size="nano", num_layers=num_layers, protocol=protocol)
    state = body_state(arch, "random", seed=seed)
    core = arch.build()
    core.load_state_dict({name: state[name] for name in arch.core_shapes})
    return core, state


def test_without_norms_it_is_torchs_lstm_forward_and_backward():
    torch.manual_seed(0)
    reference = nn.LSTM(WIDTH, WIDTH, num_layers=2, batch_first=True)
    core = LstmCore(LstmConfig(WIDTH, is_residual=False), num_layers=2)
    for i, layer in enumerate(core.layers):
        for norm in ("norm_input", "norm_recurrent", "norm_cell"):
            setattr(layer, norm, nn.Identity())
        for ours, theirs in (("input_gates", "ih"), ("recurrent_gates", "hh")):
            for kind in ("weight", "bias"):
                # torch orders its gates input, forget, candidate, output.
                gates = getattr(reference, f"{kind}_{theirs}_l{i}").detach().chunk(4)
                value = torch.cat([gates[0], gates[1], gates[3], gates[2]])
                getattr(layer.get_submodule(ours), kind).data = value
    inputs = torch.randn(3, 6, WIDTH, requires_grad=True)
    twin = inputs.detach().clone().requires_grad_()
    output, (expected, _) = core(inputs), reference(twin)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)
    output.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(inputs.grad, twin.grad, rtol=1e-4, atol=1e-6)


def plain_layer(layer, x, carries_normalised_cell, h, c):
    """One example [T, D] through one layer, written from the equations with plain arithmetic."""

    def norm(value, module):
        centred = value - value.mean()
        return centred / (centred.square().mean() + 1e-6).sqrt() * module.weight + module.bias

    outputs = []
    for x_t in x:
        gates = norm(layer.input_gates.weight @ x_t + layer.input_gates.bias, layer.norm_input)
        gates = gates + norm(layer.recurrent_gates.weight @ h + layer.recurrent_gates.bias, layer.norm_recurrent)
        i, f, o, g = gates.chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        n = norm(c, layer.norm_cell)
        h = torch.sigmoid(o) * torch.tanh(n)
        c = n if carries_normalised_cell else c
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.parametrize("protocol", ["fixed", "paper"])
@pytest.mark.parametrize("body", ["lstm", "lstm-residual"])
def test_layers_follow_the_equations(body, protocol):
    core, _ = loaded(body, protocol)
    starts = torch.randn(4, 2, 128, generator=torch.Generator().manual_seed(1))
    feed = iter(starts)
    core.initial_state = lambda num_rows, width: next(feed)
    inputs = torch.randn(2, 5, 128, generator=torch.Generator().manual_seed(2))
    output = core(inputs)
    for example in range(2):
        hidden = inputs[example]
        for i, layer in enumerate(core.layers):
            h, c = starts[2 * i : 2 * i + 2, example] / math.sqrt(128) * (protocol == "paper")
            out = plain_layer(layer, hidden, protocol == "paper", h, c)
            hidden = hidden + out if body == "lstm-residual" else out
        torch.testing.assert_close(output[example], hidden, rtol=1e-4, atol=1e-5)


def test_released_variant_draws_states_at_every_pass_and_tiny_gains():
    core, state = loaded("lstm", "paper")
    generator = torch.Generator().manual_seed(0)
    core.initial_state = lambda num_rows, width: torch.randn(num_rows, width, generator=generator)
    inputs = torch.ones(1, 3, 128)
    assert not torch.equal(core.eval()(inputs), core(inputs))
    generator.manual_seed(0)
    first = core(inputs)
    generator.manual_seed(0)
    assert torch.equal(core(inputs), first)
    gain = state["layers.0.norm_input.weight"]
    assert 0.8 / math.sqrt(512) < gain.abs().max() <= 1 / math.sqrt(512)
    assert state["layers.0.norm_cell.bias"].any()


def test_released_variant_refuses_to_draw_states_of_its_own():
    core, _ = loaded("lstm", "paper")
    with pytest.raises(AssertionError, match="initial_state"):
        core(torch.zeros(1, 2, 128))


def test_clean_variant_is_deterministic_with_unit_gains():
    core, state = loaded("lstm")
    inputs = torch.randn(2, 4, 128)
    assert torch.equal(core(inputs), core(inputs))
    assert torch.equal(state["layers.1.norm_cell.weight"], torch.ones(128))
    bound = 1 / math.sqrt(128)
    largest = state["layers.0.recurrent_gates.weight"].abs().max()
    assert 0.99 * bound < largest <= bound


def test_depth_is_free_and_positions_belong_to_the_residual_variant():
    assert architecture("lstm", size="base").num_layers == 3
    assert architecture("lstm", size="base", num_layers=12).num_layers == 12
    assert architecture("lstm-residual", size="base").num_layers == 12
    assert architecture("lstm", size="nano").position_name is None
    assert architecture("lstm-residual", size="nano").shapes["positions.weight"] == (2048, 128)
