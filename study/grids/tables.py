"""Every table of the paper and of its critique, by name, and the grids that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from study.grids import critique, paper_models, paper_training
from study.grids.cells import Cell, Scale, Table, unique
from study.spec import RunSpec

_PAPER = "arXiv 2103.05247v2, table {}"
_BLOG = "bair.berkeley.edu/blog/2021/03/23/universal-computation"
_CRITIQUE = "arXiv 2107.12460, table {}"

TABLES = {
    table.name: table
    for table in (
        Table("T1", "FPT against full training and a full LSTM", _PAPER.format(1), paper_models.table_1),
        Table("T2", "Pretraining modality, all frozen", _PAPER.format(2), paper_models.table_2),
        Table("T3", "Random transformer against random LSTMs, all frozen", _PAPER.format(3), paper_models.table_3),
        Table("T4", "Frozen LSTMs: depth and residual connections", _PAPER.format(4), paper_models.table_4),
        Table("T5", "Frozen LSTMs: residual connections and positions", _PAPER.format(5), paper_models.table_5),
        Table("T6", "Gradient steps to convergence", _PAPER.format(6), paper_models.table_6),
        Table("T7", "Over- and underfitting on C10 LRA", _PAPER.format(7), paper_models.table_7),
        Table("T8", "Size of the body on CIFAR-10", _PAPER.format(8), paper_models.table_8),
        Table("T9", "Pretrained weights, their statistics only, or random", _PAPER.format(9), paper_models.table_9),
        Table("T10", "Output layer only, on cached features", _PAPER.format(10), paper_training.table_10),
        Table("T11", "Depth, output layer and layer norms trained", _PAPER.format(11), paper_training.table_11),
        Table("T12", "Depth, output layer alone trained", _PAPER.format(12), paper_training.table_12),
        Table("T13", "Feedforward and attention trained too", _PAPER.format(13), paper_training.table_13),
        Table("T14", "Feedforward and the last attention trained too", _PAPER.format(14), paper_training.table_14),
        Table("T16", "Layer norms frozen or trained", _PAPER.format(16), paper_training.table_16),
        Table("T17", "Other language models", _PAPER.format(17), paper_models.table_17),
        Table("T18", "One trained group at a time, pretrained", _PAPER.format(18), paper_training.table_18),
        Table("T19", "Trained groups in succession, pretrained", _PAPER.format("19 (15)"), paper_training.table_19),
        Table("T20", "One trained group at a time, random", _PAPER.format(20), paper_training.table_20),
        Table("T21", "Trained groups in succession, random", _PAPER.format(21), paper_training.table_21),
        Table(
            "attention",
            "First-layer attention on the bit tasks",
            _BLOG,
            paper_models.attention,
        ),
        Table("C1", "Frozen and unfrozen, each at its best learning rate", _CRITIQUE.format(1), critique.table_1),
    )
}
PAPER = tuple(name for name in TABLES if name != "C1")


@cache
def cells(name: str, scale: Scale) -> tuple[Cell, ...]:
    """The cells of a table, row by row; some have no runs."""
    return tuple(TABLES[name].make(scale))


def table_runs(name: str, scale: Scale) -> list[RunSpec]:
    """The runs of a table, each once."""
    return unique(run for cell in cells(name, scale) for run in (*cell.runs, *cell.against))


def table_grid(name: str, scale: str) -> Callable[[], list[RunSpec]]:
    """The grid of one table."""
    table = TABLES[name]
    return _grid((name,), (Scale(scale),), f"{table.title} ({table.source}); scale {scale}.")


def paper(scale: str) -> Callable[[], list[RunSpec]]:
    """The grid of every table and figure of the paper."""
    return _grid(PAPER, (Scale(scale),), f"All tables of the paper (arXiv 2103.05247v2), each run once; scale {scale}.")


def everything() -> list[RunSpec]:
    """The paper and its critique at both scales."""
    return _grid(tuple(TABLES), tuple(Scale), "")()


def _grid(names: Sequence[str], scales: Sequence[Scale], title: str) -> Callable[[], list[RunSpec]]:
    def runs() -> list[RunSpec]:
        return unique(run for scale in scales for name in names for run in table_runs(name, scale))

    runs.__doc__ = title
    return runs
