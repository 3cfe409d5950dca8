import time

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, GPT2Config, LlamaConfig, LongformerConfig, T5Config, ViTConfig

from models import TRAIN_SETS, Group, Part
from models.bodies import architecture
from models.cost import cost
from models.fpt import PackedFPT
from models.groups import assign
from models.heads import Heads
from models.initialise import body_state, input_layer, output_layer
from models.randomness import DropoutStreams
from models.sizes import paper_trained_parameters
from models.states import run_state

WIDTH, LAYERS, HEADS, UNITS, TOKENS, BATCH = 32, 2, 4, 48, 5, 2
SHARED = {"num_hidden_layers": LAYERS, "hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": UNITS}
ARCHITECTURES = {
    "gpt2": architecture("gpt2", config=GPT2Config(n_layer=LAYERS, n_embd=WIDTH, n_head=HEADS, n_positions=16)),
    "bert": architecture("bert", config=BertConfig(**SHARED)),
    "vit": architecture("vit", config=ViTConfig(**SHARED)),
    "t5": architecture("t5", config=T5Config(num_layers=LAYERS, d_model=WIDTH, num_heads=HEADS, d_kv=6, d_ff=UNITS)),
    "longformer": architecture("longformer", config=LongformerConfig(**SHARED, attention_window=10)),
    "llama": architecture("llama", config=LlamaConfig(**SHARED, num_key_value_heads=2, head_dim=6)),
    "lstm": architecture("lstm", size="nano", num_layers=2),
    "lstm-residual": architecture("lstm-residual", size="nano", num_layers=2),
}
TRAIN_SETS_HERE = [
    *TRAIN_SETS.values(),
    (Group.OUTPUT, Group.LAYERNORM),
    (Group.OUTPUT, Group.ATTENTION),
    (Group.OUTPUT, Group.FEEDFORWARD),
    (Group.INPUT,),
    (Group.OUTPUT, Group.POSITIONS),
    (Group.OUTPUT, Part.ATTENTION_LAST),
]


class PlainModel(nn.Module):
    """Linear input, positions, body, linear output on the last tokens; trains `groups`."""

    def __init__(self, arch, *, num_features, num_outputs, num_readouts, groups, device="cpu"):
        super().__init__()
        self.num_readouts = num_readouts
        self.input = nn.Linear(num_features, arch.width, device=device)
        # Eager attention: a fused one computes its scores twice, which is its own business.
        self.core = arch.build(attention="eager", device=device)
        self.output = nn.Linear(arch.width, num_outputs, device=device)
        self.positions = None
        if arch.position_name is not None:
            self.positions = nn.Parameter(torch.zeros(TOKENS, arch.width, device=device))
            self.positions.requires_grad_(Group.POSITIONS in groups)
        self.input.requires_grad_(Group.INPUT in groups)
        self.output.requires_grad_(Group.OUTPUT in groups)
        group_of = assign(arch.core_shapes, arch.patterns)
        for name, parameter in self.core.named_parameters():
            is_last = group_of[name] is Group.ATTENTION and f".{LAYERS - 1}." in name
            parameter.requires_grad_(group_of[name] in groups or (is_last and Part.ATTENTION_LAST in groups))

    def forward(self, x):
        hidden = self.input(x)
        hidden = hidden if self.positions is None else hidden + self.positions
        return self.output(self.core(hidden)[:, -self.num_readouts :])


def cost_of(arch, groups, *, num_tokens=TOKENS, precision="fp32"):
    return cost(
        arch,
        num_tokens=num_tokens,
        num_features=5,
        num_symbols=None,
        num_readouts=3,
        num_outputs=7,
        groups=groups,
        batch_size=BATCH,
        precision=precision,
    )


def model_of(arch, groups, device="cpu"):
    return PlainModel(arch, num_features=5, num_outputs=7, num_readouts=3, groups=groups, device=device)


def counted(function):
    with FlopCounterMode(display=False) as counter:
        result = function()
    return counter.get_total_flops(), result


@pytest.mark.parametrize("groups", TRAIN_SETS_HERE, ids="+".join)
@pytest.mark.parametrize("body", ARCHITECTURES)
def test_operations_equal_torchs_count(body, groups):
    arch = ARCHITECTURES[body]
    model = model_of(arch, groups, device="meta")
    inputs = torch.zeros(BATCH, TOKENS, 5, device="meta")
    forward, output = counted(lambda: model(inputs))
    backward = counted(lambda: output.sum().backward())[0] if output.requires_grad else 0
    # torch counts the whole square of scores; a causal body needs the lower triangle and the diagonal.
    unseen = TOKENS * (TOKENS - 1) // 2 if arch.is_causal and arch.num_heads else 0
    unseen *= 4 * (arch.attention_width or arch.width) * BATCH
    # Gradients stop before the first attention where nothing below it is trained.
    visits = {(Group.OUTPUT,): 0, (Group.OUTPUT, Group.FEEDFORWARD): arch.num_layers - 1}
    visits[(Group.OUTPUT, Part.ATTENTION_LAST)] = 1
    num_visited = visits.get(groups, arch.num_layers)
    result = cost_of(arch, groups)
    assert result.forward_flops == forward - unseen * arch.num_layers
    assert result.backward_flops == backward - 2 * unseen * num_visited


@pytest.mark.parametrize("body", ARCHITECTURES)
def test_parameters_by_group_sum_to_the_built_model(body):
    arch = ARCHITECTURES[body]
    for groups in TRAIN_SETS_HERE:
        model = model_of(arch, groups, device="meta")
        result = cost_of(arch, groups)
        assert result.num_params_total == sum(p.numel() for p in model.parameters())
        assert result.num_params_trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert sum(result.params_by_group.values()) == result.num_params_total
        assert set(result.params_by_group) == set(Group)


@pytest.mark.parametrize("num_tokens", [1, 3, 4, 11])
def test_a_window_costs_the_pairs_within_reach(num_tokens):
    arch = architecture("longformer", config=LongformerConfig(**SHARED, attention_window=[4, 6]))
    whole = architecture("bert", config=BertConfig(**SHARED))
    tokens = range(num_tokens)
    unseen = sum(abs(i - j) > reach for reach in (2, 3) for i in tokens for j in tokens)
    results = [cost_of(each, TRAIN_SETS["fpt"], num_tokens=num_tokens) for each in (whole, arch)]
    assert results[0].forward_flops - results[1].forward_flops == 4 * WIDTH * unseen * BATCH
    assert results[0].backward_flops - results[1].backward_flops == 8 * WIDTH * unseen * BATCH


def test_embedding_input_costs_no_operations():
    arch = ARCHITECTURES["gpt2"]
    sizes = {"num_tokens": TOKENS, "num_readouts": 1, "num_outputs": 2, "batch_size": BATCH, "precision": "fp32"}
    linear = cost(arch, num_features=5, num_symbols=None, groups=TRAIN_SETS["fpt"], **sizes)
    lookup = cost(arch, num_features=None, num_symbols=9, groups=TRAIN_SETS["fpt"], **sizes)
    assert lookup.params_by_group[Group.INPUT] == 9 * WIDTH
    assert linear.train_flops_per_step - lookup.train_flops_per_step == BATCH * 4 * 5 * WIDTH * TOKENS


def test_a_frozen_body_costs_four_and_a_trained_one_six_operations_per_weight_and_token():
    arch = architecture("gpt2", size="base")
    num_weights = 12 * 12 * 768**2
    pairs = 12 * 768 * TOKENS * (TOKENS + 1) // 2
    ends = {"num_features": 1, "num_symbols": None, "num_readouts": 1, "num_outputs": 1}
    for groups, factor in ((TRAIN_SETS["fpt"], 4), (TRAIN_SETS["full"], 6)):
        result = cost(arch, num_tokens=TOKENS, groups=groups, batch_size=1, precision="fp32", **ends)
        body_flops = factor * num_weights * TOKENS + 12 * pairs
        assert result.train_flops_per_step == pytest.approx(body_flops, rel=1e-4)


@pytest.mark.parametrize(("size", "count"), [("base", 106), ("medium", 190), ("large", 300)])
def test_papers_trained_parameters(size, count):
    arch = architecture("gpt2", size=size)
    assert round(paper_trained_parameters(width=arch.width, num_layers=arch.num_layers) / 1000) == count


def test_released_code_trains_more_on_cifar10_than_the_paper_says():
    # Released code, base: 37,632 in the input, 7,690 in the output, 38,400 in the norms; 64 positions counted.
    result = cost(
        architecture("gpt2", size="base"),
        num_tokens=64,
        num_features=48,
        num_symbols=None,
        num_readouts=1,
        num_outputs=10,
        groups=TRAIN_SETS["fpt"],
        batch_size=1,
        precision="fp32",
    )
    assert result.num_params_trained == 37_632 + 7_690 + 38_400 + 64 * 768


def packed_model(arch, groups, *, num_runs, dtype):
    """The engine's model of `num_runs` runs on one body, dropout on."""
    heads = Heads(
        num_tokens=TOKENS, num_features=5, num_symbols=None, num_readouts=TOKENS, num_targets=1, num_classes=7
    )
    body = body_state(arch, "random", seed=0)
    generator = torch.Generator().manual_seed(0)
    states = []
    for _ in range(num_runs):
        first = input_layer(num_features=5, num_symbols=None, width=arch.width, gain=1.41, generator=generator)
        last = output_layer(width=arch.width, num_outputs=7, generator=generator)
        ends = {f"input.{name}": value for name, value in first.items()}
        ends |= {f"output.{name}": value for name, value in last.items()}
        states.append(run_state(body, ends, architecture=arch, num_tokens=TOKENS))
    device = torch.device("cpu")
    model = PackedFPT(arch, heads=heads, states=states, groups=groups, dropout=0.1, device=device, compute_dtype=dtype)
    model.pack.dropout = DropoutStreams(range(num_runs), device)
    return model


def kept_bytes(model, inputs):
    """Bytes that autograd keeps for the backward pass, parameters and the inputs left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), model.matrix, inputs]}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # The tensor is held too, or its address would be given out again.
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(inputs)
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("train_set", ["fpt", "full"])
@pytest.mark.parametrize("body", ["gpt2", "bert", "vit", "t5", "longformer", "llama", "lstm"])
def test_activation_memory_of_a_pack_is_estimated_within_a_quarter(body, train_set, precision):
    arch = architecture(body, size="nano", num_layers=2)
    groups, num_runs = TRAIN_SETS[train_set], 4
    model = packed_model(
        arch, groups, num_runs=num_runs, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    )
    measured = kept_bytes(model, torch.zeros(num_runs, BATCH, TOKENS, 5))
    assert 0.8 < num_runs * cost_of(arch, groups, precision=precision).activation_bytes / measured < 1.25


def test_without_gradients_below_the_output_only_one_step_is_held():
    arch = architecture("gpt2", size="nano")
    held = cost_of(arch, TRAIN_SETS["output-only"]).activation_bytes
    assert held == BATCH * TOKENS * 4 * 128 * 4
    num_converted = 7 * 129
    in_half = cost_of(arch, TRAIN_SETS["output-only"], precision="bf16").activation_bytes
    assert in_half == held // 2 + 2 * num_converted


def test_cost_is_fast_enough_to_plan_thousands_of_runs():
    arch = architecture("gpt2", size="xl")
    cost_of(arch, TRAIN_SETS["fpt"])
    start = time.perf_counter()
    for num_tokens in range(1, 21):
        cost_of(arch, TRAIN_SETS["fpt"], num_tokens=num_tokens)
    assert (time.perf_counter() - start) / 20 < 0.02
