"""What a run costs: parameters by group, operations of a step, memory of its activations. Nothing is run or allocated.

Operations are those of matrix products, two per multiplication and addition, as in Kaplan et al. (2020, section 2.1):
a weight of n values costs 2 n per token forward, 2 n more where its input needs a gradient, 2 n more where the weight
itself is trained. A frozen body therefore costs 4 n per token where a trained one costs 6 n, and nothing below the
lowest trained parameter is visited backward at all. Attention adds 4 D forward and 8 D backward for each pair of a
token and one that it sees, all heads together: T pairs per token, (T + 1) / 2 where the body is causal, those within
reach where it sees a window. Norms, activation functions, softmax and the optimizer are left out, and so are savings
and extra work of an implementation: fused attention that recomputes, a last layer that is computed for the read tokens
only, keys in the blocks of a window that are out of reach.

Shapes: B examples, T tokens, F features, V symbols, D width, R readouts, O outputs per readout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from models import WHOLE_OF, Group, Part
from models.bodies import Architecture
from models.groups import assign, trained_names

_BYTES = {"fp32": 4, "bf16": 2}
# Groups whose parameters are not the body's own.
_ENDS = (Group.INPUT, Group.OUTPUT, Group.POSITIONS)

# Attention with dropout keeps weights, mask and their product for each pair of tokens and head.
_KEPT_PER_PAIR = 3


@dataclass(frozen=True)
class Cost:
    """One run.

    Attributes:
        params_by_group: number of parameters of every group, trained or not; token embeddings of a checkpoint are no
            part of the model.
        num_params_total, num_params_trained: their sum, and that of what is trained.
        forward_flops, backward_flops: of one training step of B examples.
        activation_bytes: estimate of what is kept for the backward pass of such a step, dropout on, parameters and
            optimizer left out. In a pack it is within a quarter of what the engine holds (measured in the tests): good
            for choosing the size of a pack, not for filling a device to the brim.
    """

    params_by_group: Mapping[Group, int]
    num_params_total: int
    num_params_trained: int
    forward_flops: float
    backward_flops: float
    activation_bytes: int

    @property
    def train_flops_per_step(self) -> float:
        """Forward and backward."""
        return self.forward_flops + self.backward_flops


def cost(
    architecture: Architecture,
    *,
    num_tokens: int,
    num_features: int | None,
    num_symbols: int | None,
    num_readouts: int,
    num_outputs: int,
    groups: Iterable[Group | Part],
    batch_size: int,
    precision: str,
) -> Cost:
    """Cost of one run.

    Args:
        architecture: the body.
        num_tokens: T.
        num_features, num_symbols: F of a linear or V of an embedding input layer, exactly one of them.
        num_readouts: R, tokens that the output layer reads.
        num_outputs: O, width of the output layer.
        groups: trained groups, and parts of groups.
        batch_size: B.
        precision: `fp32` or `bf16`, of the activations.
    """
    assert (num_features is None) != (num_symbols is None)
    width = architecture.width
    params = dict.fromkeys(Group, 0)
    for name, group in _groups(architecture).items():
        params[group] += architecture.core_shapes[name].numel()
    params[Group.INPUT] = (num_features + 1) * width if num_features else (num_symbols or 0) * width
    params[Group.OUTPUT] = (width + 1) * num_outputs
    params[Group.POSITIONS] = num_tokens * width if architecture.position_name else 0
    # A group that the body has no parameter of sends no gradients through it.
    trained = frozenset(group for group in groups if params[WHOLE_OF[group]])

    body = _walk(architecture, num_tokens, trained)
    # A lookup costs nothing, and the data need no gradient.
    input_flops = 2 * (num_features or 0) * width * num_tokens
    output_flops = 2 * width * num_outputs * num_readouts
    forward = input_flops + body.forward + output_flops
    backward = input_flops * (Group.INPUT in trained) + body.backward
    backward += output_flops * ((Group.OUTPUT in trained) + body.is_live)
    num_trained = sum(params[group] for group in _ENDS if group in trained)
    num_trained += sum(architecture.core_shapes[name].numel() for name in _trained(architecture, trained))
    # Trained weights are kept in fp32 and converted where they are used: a recurrent one for each token.
    copies = (num_trained + body.num_reconverted) * _BYTES[precision] if precision == "bf16" else 0
    return Cost(
        params_by_group=params,
        num_params_total=sum(params.values()),
        num_params_trained=num_trained,
        forward_flops=float(batch_size * forward),
        backward_flops=float(batch_size * backward),
        activation_bytes=batch_size * max(body.num_kept, body.num_transient) * _BYTES[precision] + copies,
    )


@cache
def _groups(architecture: Architecture) -> dict[str, Group]:
    return assign(architecture.core_shapes, architecture.patterns)


@cache
def _trained(architecture: Architecture, groups: frozenset[Group | Part]) -> frozenset[str]:
    """The body's own parameters that are trained."""
    last_layer = architecture.order.prefix.format(architecture.num_layers - 1)
    return trained_names(_groups(architecture), groups, last_layer=last_layer)


@dataclass
class _Walk:
    """Through the body in the order of the data, for one example.

    Attributes:
        is_live: what has been computed so far needs a gradient.
        forward, backward: operations.
        num_kept: values kept for the backward pass.
        num_transient: values of the widest step, which exist even where nothing is kept.
        num_reconverted: values of trained weights that are used anew for every token, all but once.
    """

    architecture: Architecture
    num_tokens: int
    trained: frozenset[Group | Part]
    is_live: bool
    forward: int = 0
    backward: int = 0
    num_kept: int = 0
    num_transient: int = 0
    num_reconverted: int = 0

    def visit(self, modules: tuple[str, ...], recurrent: tuple[str, ...] = ()) -> None:
        """One step: modules that read the same input, some of them fed back from the end of their own layer."""
        trained = _trained(self.architecture, self.trained)
        was_live = self.is_live
        self.is_live = was_live or any(f"{module}.weight" in trained for module in modules)
        # A layer that trains anything sends gradients back in time, but none to the state before the first token.
        is_layer_live = was_live or bool(recurrent and self.trained & {Group.FEEDFORWARD, Group.LAYERNORM})
        for module in modules:
            shape = self.architecture.core_shapes[f"{module}.weight"]
            if len(shape) == 1:
                # Its input and, in a pack, the normalised input that each run scales by gains of its own.
                self.num_kept += 2 * self.num_tokens * shape.numel() * self.is_live
                continue
            num_products = shape.numel() * self.num_tokens
            self.forward += 2 * num_products
            is_trained = f"{module}.weight" in trained
            self.backward += 2 * num_products * is_trained
            self.num_kept += num_products // max(shape) * is_trained
            if module in recurrent:
                self.backward += 2 * shape.numel() * (self.num_tokens - 1) * is_layer_live
                self.num_reconverted += shape.numel() * (self.num_tokens - 1) * is_trained
            else:
                self.backward += 2 * num_products * was_live
            self.num_transient = max(self.num_transient, self.num_tokens * max(shape))

    def attend(self, layer: int) -> None:
        """The products of queries with keys and of weights with values."""
        num_tokens = self.num_tokens
        width = self.architecture.attention_width or self.architecture.width
        reach = self.architecture.reaches[layer] if self.architecture.reaches else num_tokens
        num_pairs = num_tokens * (num_tokens + 1) // 2 if self.architecture.is_causal else _num_pairs(num_tokens, reach)
        self.forward += 4 * num_pairs * width
        self.backward += 8 * num_pairs * width * self.is_live
        # A window is computed in blocks of queries, each with three blocks of keys.
        num_scores = num_tokens * min(num_tokens, 3 * reach) * self.architecture.num_heads
        self.num_kept += (4 * num_tokens * width + _KEPT_PER_PAIR * num_scores) * self.is_live
        self.num_transient = max(self.num_transient, num_scores)

    def keep_elementwise(self, num_units: int) -> None:
        """What the activation functions and the two dropout sites of one layer keep."""
        per_token = self.architecture.order.num_kept_per_unit * num_units + 2 * self.architecture.width
        self.num_kept += round(self.num_tokens * per_token) * self.is_live


@cache
def _walk(architecture: Architecture, num_tokens: int, trained: frozenset[Group | Part]) -> _Walk:
    """The whole body; gradients are needed from the inputs on where these or their positions are trained."""
    order = architecture.order
    walk = _Walk(architecture, num_tokens, trained, is_live=bool(trained & {Group.INPUT, Group.POSITIONS}))
    for step in order.before:
        walk.visit(step)
    for i in range(architecture.num_layers):
        prefix = order.prefix.format(i)
        recurrent = tuple(prefix + module for module in order.recurrent)
        for step in order.layer:
            if step:
                walk.visit(tuple(prefix + module for module in step), recurrent)
            else:
                walk.attend(i)
        walk.keep_elementwise(_num_units(architecture, prefix))
    for step in order.after:
        walk.visit(step)
    return walk


def _num_pairs(num_tokens: int, reach: int) -> int:
    """Pairs of tokens at most `reach` apart, each token with itself included."""
    farthest = min(reach, num_tokens - 1)
    return num_tokens + 2 * farthest * num_tokens - farthest * (farthest + 1)


def _num_units(architecture: Architecture, prefix: str) -> int:
    """Rows of the widest feedforward step of one layer, gates included."""
    widest = 0
    for step in architecture.order.layer:
        names = [f"{prefix}{module}.weight" for module in step]
        feeds = [name for name in names if _groups(architecture)[name] is Group.FEEDFORWARD]
        widest = max(widest, sum(max(architecture.core_shapes[name]) for name in feeds))
    return widest
