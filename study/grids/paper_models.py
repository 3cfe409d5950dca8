"""Tables 1 to 9 of "Pretrained Transformers as Universal Computation Engines": which model is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from study.grids.cells import Cell, Scale
from study.grids.paper_settings import COLUMNS
from study.grids.variants import Variant, runs_of

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
    Scale.SMALL: {"Nano": "nano", "Mini": "mini"},
}


def row(table: str, name: str, variant: Variant, scale: Scale, tasks: Iterable[str] = COLUMNS) -> list[Cell]:
    """One variant on several tasks, a column each."""
    return [Cell(table, name, COLUMNS[task], runs_of(variant, task, scale)) for task in tasks]


def rows(table: str, variants: Mapping[str, Variant], scale: Scale, tasks: Iterable[str] = COLUMNS) -> list[Cell]:
    """Several variants, a row each."""
    tasks = list(tasks)
    return [cell for name, variant in variants.items() for cell in row(table, name, variant, scale, tasks)]


def full(task: str) -> Variant:
    """The paper's transformer that is trained from scratch, everything of it."""
    return Variant(init="random", train_set="full", num_layers=NUM_SHALLOW_LAYERS if task in SHALLOW_TASKS else None)


def largest(scale: Scale) -> Variant:
    """The largest pretrained body of table 8."""
    return Variant(size=list(SIZES[scale].values())[-1])


def table_1(scale: Scale) -> list[Cell]:
    """FPT, full training and a full LSTM."""
    cells = []
    for task in COLUMNS:
        cells += row("T1", "FPT", largest(scale) if task == "cifar10" else FPT, scale, [task])
    for task in COLUMNS:
        cells += row("T1", "Full transformer", full(task), scale, [task])
    full_lstm = Variant(body="lstm", init="random", train_set="full")
    return cells + row("T1", "Full LSTM", full_lstm, scale)


def table_2(scale: Scale) -> list[Cell]:
    """Pretraining modality, all frozen."""
    return rows("T2", {"FPT": FPT, "Random": RANDOM, "Bit": BIT, "ViT": VIT}, scale)
