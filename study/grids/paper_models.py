"""Tables 1 to 9 of "Pretrained Transformers as Universal Computation Engines": which model is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from study.grids.cells import Cell, Metric, Scale
from study.grids.paper_settings import COLUMNS, TASKS
from study.grids.variants import Variant, runs_of
from study.spec import Protocol, RunSpec

FPT = Variant()
RANDOM = Variant(init="random")
# The paper's bit-memory body is a GPT-2, its vision body a ViT; table 2.
BIT = Variant(init="bit-memory")
VIT = Variant(body="vit", init="vision")
LSTM = Variant(body="lstm", init="random")
LSTM_STAR = Variant(body="lstm-residual", init="random")
STATISTICS = Variant(init="statistics")

# Full training of 12 layers is unstable at the paper's learning rate, so its Full is a 3-layer one on these tasks
# (appendix D.1); of the others nothing is said: 12 layers, like everything they stand beside.
SHALLOW_TASKS = ("listops", "cifar10", "cifar10-lra")
NUM_SHALLOW_LAYERS = 3
# Bodies of table 8; the row of table 1 that says FPT is the largest of them on CIFAR-10 (appendix D.1).
SIZES = {
    Scale.FULL: {"Small": "base", "Medium": "medium", "Large": "large"},
    Scale.SMALL: {"2x64": "2x64", "Nano": "nano", "Mini": "mini"},
}
# Layers of the scale's transformer, which the deep LSTMs have too.
DEPTH = {Scale.FULL: 12, Scale.SMALL: 4}
RESIDUAL = Variant(body="lstm-residual", init="random", train_set="input+output+layernorm")


def row(table: str, name: str, variant: Variant, scale: Scale, tasks: Iterable[str] = TASKS) -> list[Cell]:
    """One variant on several tasks, a column each."""
    return [Cell(table, name, COLUMNS[task], runs_of(variant, task, scale)) for task in tasks]


def rows(table: str, variants: Mapping[str, Variant], scale: Scale, tasks: Iterable[str] = TASKS) -> list[Cell]:
    """Several variants, a row each."""
    tasks = list(tasks)
    return [cell for name, variant in variants.items() for cell in row(table, name, variant, scale, tasks)]


def labelled(table: str, variants: Mapping[str, Variant], scale: Scale, tasks: Iterable[str] = TASKS) -> list[Cell]:
    """Several variants, a column each, with the tasks as rows."""
    return [
        Cell(table, COLUMNS[task], name, runs_of(variant, task, scale))
        for task in tasks
        for name, variant in variants.items()
    ]


def full(task: str) -> Variant:
    """The paper's transformer that is trained from scratch, everything of it."""
    return Variant(init="random", train_set="full", num_layers=NUM_SHALLOW_LAYERS if task in SHALLOW_TASKS else None)


def largest(scale: Scale) -> Variant:
    """The largest pretrained body of table 8."""
    return Variant(size=list(SIZES[scale].values())[-1])


def table_1(scale: Scale) -> list[Cell]:
    """FPT, full training and a full LSTM."""
    cells = []
    for task in TASKS:
        cells += row("T1", "FPT", largest(scale) if task == "cifar10" else FPT, scale, [task])
    for task in TASKS:
        cells += row("T1", "Full transformer", full(task), scale, [task])
    full_lstm = Variant(body="lstm", init="random", train_set="full")
    return cells + row("T1", "Full LSTM", full_lstm, scale)


def table_2(scale: Scale) -> list[Cell]:
    """Pretraining modality, all frozen."""
    return rows("T2", {"FPT": FPT, "Random": RANDOM, "Bit": BIT, "ViT": VIT}, scale)


def table_3(scale: Scale) -> list[Cell]:
    """Transformer against LSTM, both random and frozen."""
    return rows("T3", {"Trans.": RANDOM, "LSTM": LSTM, "LSTM*": LSTM_STAR}, scale)


def table_4(scale: Scale) -> list[Cell]:
    """Frozen LSTMs: as deep as the transformer, and with residual connections.

    The values are not known to us and the rows are named here. A position table that is not trained stays at zero, so
    the residual row is LSTM* without positions.
    """
    depth = DEPTH[scale]
    deep = Variant(body="lstm", init="random", num_layers=depth)
    return rows("T4", {"LSTM": LSTM, f"{depth}-layer LSTM": deep, "+ residual": RESIDUAL}, scale)


def table_5(scale: Scale) -> list[Cell]:
    """Frozen LSTMs: residual connections without and with positions."""
    return rows("T5", {"+ residual": RESIDUAL, "+ residual + positions (LSTM*)": LSTM_STAR}, scale)


def table_6(scale: Scale) -> list[Cell]:
    """Gradient steps to convergence, of table 2's runs."""
    cells = []
    for name, variant in (("FPT", FPT), ("Random", RANDOM)):
        for task in TASKS:
            runs = runs_of(variant, task, scale)
            cells.append(Cell("T6", name, COLUMNS[task], runs, Metric.STEPS_TO_CONVERGENCE))
    for task in TASKS:
        runs, against = runs_of(FPT, task, scale), runs_of(RANDOM, task, scale)
        cells.append(Cell("T6", "speedup", COLUMNS[task], runs, Metric.SPEEDUP, against))
    return cells


def table_7(scale: Scale) -> list[Cell]:
    """Test and train accuracy on C10 LRA. The Linformer is none of our bodies."""
    task = "cifar10-lra"
    models = {
        "FPT (GPT-2)": runs_of(FPT, task, scale),
        "Vanilla transformer": runs_of(full(task), task, scale),
        "Linformer": (),
    }
    metrics = {"test": Metric.TEST_ACCURACY, "train": Metric.TRAIN_ACCURACY}
    return [Cell("T7", name, head, runs, metric) for name, runs in models.items() for head, metric in metrics.items()]


def table_8(scale: Scale) -> list[Cell]:
    """Size of the body, on CIFAR-10."""
    cells = []
    for name, size in SIZES[scale].items():
        fpt = runs_of(Variant(size=size), "cifar10", scale)
        random = runs_of(Variant(init="random", size=size), "cifar10", scale)
        cells += [
            Cell("T8", name, "total", fpt, Metric.NUM_PARAMS_TOTAL),
            Cell("T8", name, "trained", fpt, Metric.NUM_PARAMS_TRAINED),
            Cell("T8", name, "FPT", fpt),
            Cell("T8", name, "Random", random),
        ]
    return cells


def table_9(scale: Scale) -> list[Cell]:
    """What of the pretrained weights matters: all, or each tensor's mean and deviation."""
    return rows("T9", {"Pretrained": FPT, "Statistics only": STATISTICS, "Default": RANDOM}, scale)


def table_17(scale: Scale) -> list[Cell]:
    """Other language models. BERT has 512 positions, too few for the uncut ListOps of `fixed` at full scale."""
    bodies = {"GPT-2": "gpt2", "BERT": "bert", "T5 (encoder)": "t5", "Longformer": "longformer"}
    cells = rows("T17", {name: Variant(body=body) for name, body in bodies.items()}, scale, ["listops", "cifar10"])
    if scale is Scale.SMALL:
        return cells
    return [replace(cell, runs=tuple(run for run in cell.runs if not _is_too_long(run))) for cell in cells]


def _is_too_long(run: RunSpec) -> bool:
    return run.body == "bert" and run.task == "listops" and run.protocol is Protocol.FIXED


def attention(scale: Scale) -> list[Cell]:
    """First-layer attention on the bit tasks, of table 2's runs."""
    variants = {"FPT": FPT, "Random": RANDOM, "Bit": BIT}
    return [
        Cell("attention", name, COLUMNS[task], runs_of(variant, task, scale), Metric.ATTENTION)
        for name, variant in variants.items()
        for task in ("bit-xor", "bit-memory")
    ]
