"""Tables 10 to 21 of "Pretrained Transformers as Universal Computation Engines", but for 17: what of it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from study.grids.cells import Cell, Metric, Scale
from study.grids.paper_models import FPT, RANDOM, full, labelled, rows
from study.grids.paper_settings import COLUMNS
from study.grids.variants import Variant, runs_of
from study.spec import Features

# Features once, without dropout (section 3.9); the input layer stays as drawn.
CACHED = Variant(train_set="output-only", features=Features.CACHED)
# Trained groups beside the output layer, in the order of tables 15, 19 and 21.
SUCCESSIVE = {
    "output only": "output-only",
    "+ layernorm": "output+layernorm",
    "+ input": "input+output+layernorm",
    "+ positions": "fpt",
}
# One group at a time, in the order of tables 18 and 20.
SINGLE = {
    "output only": "output-only",
    "+ input": "input+output",
    "+ positions": "output+positions",
    "+ layernorm": "output+layernorm",
}
_FEEDFORWARD = "input+output+positions+layernorm+feedforward"
# Layers of tables 11 and 12 and the size of the body, None for the scale's: a nano has four layers, a base twelve.
LAYERS_NORM = {Scale.FULL: {1: None, 2: None, 6: None}, Scale.SMALL: {1: None, 2: None, 4: None}}
LAYERS_OUTPUT = {
    Scale.FULL: {1: None, 3: None, 6: None, 12: None, 24: "medium"},
    Scale.SMALL: {1: None, 3: None, 4: None},
}


def table_10(scale: Scale) -> list[Cell]:
    """Output layer only, on cached features, against an ordinary epoch."""
    cells = []
    for task in ("listops", "cifar10-lra"):
        name, cached, fpt = COLUMNS[task], runs_of(CACHED, task, scale), runs_of(FPT, task, scale)
        cells += [
            Cell("T10", name, "speedup", cached, Metric.EPOCH_SPEEDUP, fpt),
            Cell("T10", name, "output only", cached),
            Cell("T10", name, "FPT", fpt),
            Cell("T10", name, "Full", runs_of(full(task), task, scale)),
        ]
    return cells


def table_11(scale: Scale) -> list[Cell]:
    """Depth, with output layer and layer norms trained, on ListOps."""
    return _depths("T11", scale, LAYERS_NORM[scale], "output+layernorm")


def table_12(scale: Scale) -> list[Cell]:
    """Depth, with the output layer alone trained, on ListOps. The paper leaves some cells out; they are run here."""
    return _depths("T12", scale, LAYERS_OUTPUT[scale], "output-only")


def _depths(table: str, scale: Scale, depths: Mapping[int, str | None], train_set: str) -> list[Cell]:
    return [
        Cell(
            table,
            str(num_layers),
            init,
            runs_of(
                Variant(init=weights, size=size, num_layers=num_layers, train_set=train_set),
                "listops",
                scale,
            ),
        )
        for num_layers, size in depths.items()
        for init, weights in (("pretrained", "language"), ("random", "random"))
    ]


def table_13(scale: Scale) -> list[Cell]:
    """More is trained than FPT trains; attention diverges at the paper's learning rate on two tasks."""
    more = {
        "FPT": FPT,
        "+ feedforward": Variant(train_set=_FEEDFORWARD),
        "+ attention": Variant(train_set="input+output+positions+layernorm+attention"),
        "+ both": Variant(train_set="full"),
    }
    return rows("T13", more, scale)


def table_14(scale: Scale) -> list[Cell]:
    """More is trained, layer by layer, on CIFAR-10."""
    more = {
        "FPT": FPT,
        "+ all feedforward": Variant(train_set=_FEEDFORWARD),
        "+ last attention layer": Variant(train_set=f"{_FEEDFORWARD}+attention-last"),
    }
    return rows("T14", more, scale, ["cifar10"])


def table_16(scale: Scale) -> list[Cell]:
    """Layer norms frozen or trained, on CIFAR-10.

    What else the paper trained beside frozen norms is not certain: input and output, or positions too. Both are run.
    """
    columns = {
        "frozen LN": "input+output",
        "frozen LN, positions trained": "input+output+positions",
        "finetuned LN": "fpt",
    }
    return [
        Cell("T16", name, head, runs_of(replace(variant, train_set=train_set), "cifar10", scale))
        for name, variant in (("pretrained", FPT), ("random", RANDOM))
        for head, train_set in columns.items()
    ]


def _groups(table: str, init: str, train_sets: dict[str, str], scale: Scale) -> list[Cell]:
    variants = {name: Variant(init=init, train_set=train_set) for name, train_set in train_sets.items()}
    return labelled(table, variants, scale)


def table_18(scale: Scale) -> list[Cell]:
    """One group at a time, pretrained."""
    return _groups("T18", "language", SINGLE, scale)


def table_19(scale: Scale) -> list[Cell]:
    """Groups in succession, pretrained; table 15 is its part in the main text."""
    return _groups("T19", "language", SUCCESSIVE, scale)


def table_20(scale: Scale) -> list[Cell]:
    """One group at a time, random."""
    return _groups("T20", "random", SINGLE, scale)


def table_21(scale: Scale) -> list[Cell]:
    """Groups in succession, random."""
    return _groups("T21", "random", SUCCESSIVE, scale)
