"""Weights of the first layer's attention against transformers' own eager models, for every body that attends."""

from __future__ import annotations

from typing import Any

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
)

from models import TRAIN_SETS
from models.bodies import architecture, position_key
from models.fpt import PackedFPT
from models.heads import Heads
from models.initialise import body_state, input_layer, output_layer
from models.randomness import DropoutStreams, NormalStreams
from models.states import State, run_state

WIDTH, TOKENS, READ, NUM_HEADS = 16, 7, 3, 2
BERT: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": WIDTH,
    "num_attention_heads": NUM_HEADS,
    "intermediate_size": 24,
    "vocab_size": 11,
}
CONFIGS = {
    "gpt2": GPT2Config(n_layer=2, n_embd=WIDTH, n_head=NUM_HEADS, n_positions=16, vocab_size=11),
    "bert": BertConfig(**BERT, max_position_embeddings=16),
    "vit": ViTConfig(
        num_hidden_layers=2, hidden_size=WIDTH, num_attention_heads=NUM_HEADS, intermediate_size=24, image_size=4
    ),
    "t5": T5Config(num_layers=2, d_model=WIDTH, num_heads=NUM_HEADS, d_kv=6, d_ff=24, vocab_size=11),
    "longformer": LongformerConfig(**BERT, max_position_embeddings=66, attention_window=4),
    "llama": LlamaConfig(
        num_hidden_layers=2,
        hidden_size=WIDTH,
        num_attention_heads=NUM_HEADS,
        num_key_value_heads=1,
        intermediate_size=24,
        max_position_embeddings=16,
        vocab_size=11,
    ),
}


def packed(body: str, num_runs: int, *, num_layers: int = 2, dtype: torch.dtype = torch.float64) -> PackedFPT:
    """Runs with bodies of their own, whose weights are large enough for attention to be far from uniform."""
    whole = architecture(body, config=CONFIGS[body]) if body in CONFIGS else lstm()
    arch = architecture(body, config=CONFIGS[body], num_layers=num_layers) if body in CONFIGS else lstm()
    heads = Heads(num_tokens=TOKENS, num_features=1, num_symbols=None, num_readouts=READ, num_targets=1, num_classes=2)
    states: list[State] = []
    for seed in range(num_runs):
        generator = torch.Generator().manual_seed(seed)
        first = input_layer(num_features=1, num_symbols=None, width=arch.width, gain=1.41, generator=generator)
        last = output_layer(width=arch.width, num_outputs=2, generator=generator)
        ends = {f"input.{n}": t for n, t in first.items()} | {f"output.{n}": t for n, t in last.items()}
        state = body_state(whole, "random", seed=seed)
        # Norms stay near 1, so that the layers' outputs stay in a sensible range.
        large = {
            n: t + torch.empty(t.shape).normal_(0, 0.4 if t.ndim > 1 else 0.1, generator=generator)
            for n, t in state.items()
        }
        large = {n: t for n, t in large.items() if n in arch.core_shapes or n == position_key(arch)}
        run = run_state(large, ends, architecture=arch, num_tokens=TOKENS)
        states.append({name: tensor.to(torch.float64) for name, tensor in run.items()})
    return PackedFPT(
        arch,
        heads=heads,
        states=states,
        groups=TRAIN_SETS["fpt"],
        dropout=0.5,
        device=torch.device("cpu"),
        compute_dtype=dtype,
    )


def lstm():
    return architecture("lstm", size="nano", num_layers=1)


def attended(model: PackedFPT, inputs: torch.Tensor) -> torch.Tensor | None:
    # As in the middle of training: streams of dropout are there, and must not be drawn from.
    model.pack.dropout = DropoutStreams(list(range(model.pack.num_runs)), torch.device("cpu"))
    with model.evaluating(model.matrix, range(model.pack.num_runs)):
        return model.first_attention(inputs)


def values(model: PackedFPT, name: str, run: int) -> torch.Tensor:
    views = {**model._views(model.matrix.detach()), **model._owned}
    return views[name][run]


def hidden_of(model: PackedFPT, inputs: torch.Tensor, run: int) -> torch.Tensor:
    """What the body is given, [B, T, D]."""
    hidden = inputs[run] @ values(model, "input.weight", run).T + values(model, "input.bias", run)
    return hidden + values(model, "positions", run)


def load(model: PackedFPT, module: torch.nn.Module, run: int, prefix: str = "") -> None:
    names = dict(module.named_parameters())
    for name in model.group_of:
        if name.startswith("body."):
            names[prefix + name.removeprefix("body.")].data = values(model, name, run)
    for table in ("wpe.weight", "embeddings.position_embeddings.weight"):  # positions are in the inputs
        if table in names:
            names[table].data.zero_()


REFERENCES = {
    "gpt2": GPT2Model,
    "bert": BertModel,
    "t5": T5EncoderModel,
    "llama": LlamaModel,
    "longformer": LongformerModel,
}


def eager(body: str, model: PackedFPT, inputs: torch.Tensor, run: int) -> torch.Tensor:
    """[B, H, T, ...] of transformers' own model with eager attention and this run's tensors, in double precision."""
    reference = REFERENCES[body](CONFIGS[body])
    reference.to(torch.float64).eval()
    if body != "longformer":
        reference.set_attn_implementation("eager")
    load(model, reference, run, prefix="encoder." if body == "t5" else "")
    with torch.no_grad():
        return reference(inputs_embeds=hidden_of(model, inputs, run), output_attentions=True).attentions[0]


def inputs_of(num_runs: int) -> torch.Tensor:
    return torch.randn(num_runs, 4, TOKENS, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


# transformers computes root-mean-square norms in single precision.
@pytest.mark.parametrize(("body", "tolerance"), [("gpt2", 1e-9), ("bert", 1e-9), ("t5", 1e-5), ("llama", 1e-5)])
def test_weights_are_those_of_transformers_eager_model(body: str, tolerance: float) -> None:
    model, inputs = packed(body, 3), inputs_of(3)
    weights = attended(model, inputs)
    assert weights is not None and weights.shape == (3, 4, NUM_HEADS, READ, TOKENS)
    assert weights.std() > 0.1  # nothing like uniform
    for run in range(3):
        expected = eager(body, model, inputs, run)[:, :, -READ:]
        torch.testing.assert_close(weights[run], expected, rtol=tolerance, atol=1e-10)


def test_weights_of_a_vision_transformer_are_those_of_transformers_eager_attention() -> None:
    """Its model takes pictures only, so its first layer is asked."""
    model, inputs = packed("vit", 2), inputs_of(2)
    weights = attended(model, inputs)
    assert weights is not None
    for run in range(2):
        core: Any = architecture("vit", config=CONFIGS["vit"]).build(attention="eager").double().eval()
        load(model, core, run)
        layer = core.layers[0]
        with torch.no_grad():
            _, expected = layer.attention(layer.layernorm_before(hidden_of(model, inputs, run)))
        # Its softmax is in single precision.
        torch.testing.assert_close(weights[run], expected[:, :, -READ:], rtol=1e-5, atol=1e-6, check_dtype=False)


def test_weights_of_a_window_lie_at_the_keys_they_belong_to() -> None:
    """transformers lists them by distance: key = query - reach + place."""
    model, inputs = packed("longformer", 2), inputs_of(2)
    weights = attended(model, inputs)
    assert weights is not None
    reach = 2
    for run in range(2):
        by_distance = eager("longformer", model, inputs, run)
        expected = torch.zeros(4, NUM_HEADS, TOKENS, TOKENS, dtype=torch.float64)
        for query in range(TOKENS):
            for key in range(max(0, query - reach), min(TOKENS, query + reach + 1)):
                expected[:, :, query, key] = by_distance[:, :, query, key - query + reach]
        torch.testing.assert_close(weights[run], expected[:, :, -READ:], rtol=1e-5, atol=1e-6)  # single precision there


@pytest.mark.parametrize("body", CONFIGS)
def test_one_layer_and_one_run_give_the_same_weights(body: str) -> None:
    """A body of one layer computes its last tokens only; the layers behind the first do not matter."""
    inputs = inputs_of(2)
    both = attended(packed(body, 2), inputs)
    alone = attended(packed(body, 1, num_layers=1), inputs[:1])
    assert both is not None and alone is not None
    torch.testing.assert_close(both[:1], alone, rtol=1e-9, atol=1e-12)


def test_asking_changes_nothing() -> None:
    model, inputs = packed("gpt2", 2), inputs_of(2)
    before = model(inputs)
    dropped = torch.get_rng_state()
    attended(model, inputs)
    assert torch.equal(torch.get_rng_state(), dropped) and model.pack.watch is None
    model.pack.dropout = None
    torch.testing.assert_close(model(inputs), before, rtol=0, atol=0)


def test_half_precision_gives_weights_in_single_precision() -> None:
    weights = attended(packed("gpt2", 1, dtype=torch.bfloat16), inputs_of(1))
    assert weights is not None and weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_a_body_that_does_not_attend_has_no_weights() -> None:
    model = packed("lstm", 1)
    model.pack.normals = NormalStreams.seeded([0], torch.device("cpu"))
    assert attended(model, inputs_of(1)) is None
