"""Every table of the paper and of its critique, by name: the registry of what `study list grids` shows as table-...."""

from __future__ import annotations

from functools import cache

from study.grids import paper_models
from study.grids.cells import Cell, Scale, Table, unique
from study.spec import RunSpec

_PAPER = "arXiv 2103.05247v2, table {}"

TABLES = {
    table.name: table
    for table in (
        Table("T1", "FPT against full training", _PAPER.format(1), paper_models.table_1),
        Table("T2", "Pretraining modality, all frozen", _PAPER.format(2), paper_models.table_2),
    )
}


@cache
def cells(name: str, scale: Scale) -> tuple[Cell, ...]:
    """The cells of a table, row by row."""
    return tuple(TABLES[name].make(scale))


def table_runs(name: str, scale: str) -> list[RunSpec]:
    """The runs of a table, each once."""
    return unique(run for cell in cells(name, Scale(scale)) for run in (*cell.runs, *cell.against))
