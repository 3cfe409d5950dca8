"""What a table of a paper is made of: cells, each with the runs that answer it. Analysis joins rows to cells by run id.

A cell is named as printed: (table, row, column), which is also the key of its published number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from study.spec import Protocol, RunSpec


class Scale(StrEnum):
    """`full`: the paper's sizes, batches and steps; `small`: bodies and sequences for a workstation."""

    FULL = "full"
    SMALL = "small"


class Metric(StrEnum):
    """What a cell states; accuracies are at the step selected on the validation split."""

    TEST_ACCURACY = "test_accuracy"
    TRAIN_ACCURACY = "train_accuracy"
    TUNED_TEST_ACCURACY = "tuned_test_accuracy"
    """At the learning rate with the best mean validation accuracy among the cell's runs."""
    STEPS_TO_CONVERGENCE = "steps_to_convergence"
    SPEEDUP = "speedup"
    """Steps to convergence of the runs `against` over those of `runs`."""
    EPOCH_SPEEDUP = "epoch_speedup"
    """Seconds of an epoch of the runs `against` over those of `runs`, whose features are cached."""
    NUM_PARAMS_TOTAL = "num_params_total"
    NUM_PARAMS_TRAINED = "num_params_trained"
    ATTENTION = "attention"
    """First-layer attention, drawn as a map."""


# Tasks and bodies whose two protocols are two different things; of everything else only `fixed` is run, and its runs
# count under both.
DIFFERING_TASKS = ("listops", "cifar10-lra", "homology")
DIFFERING_BODIES = ("lstm", "lstm-residual")


def protocols(task: str, body: str) -> tuple[Protocol, ...]:
    """The protocols that a task on a body is run under: `fixed` alone where `paper` does the same."""
    if task in DIFFERING_TASKS or body in DIFFERING_BODIES:
        return (Protocol.PAPER, Protocol.FIXED)
    return (Protocol.FIXED,)


def counts_under(protocol: str, *, of_run: str, task: str, body: str) -> bool:
    """Whether a run of protocol `of_run` answers a question about `protocol`."""
    return of_run == protocol or len(protocols(task, body)) == 1


@dataclass(frozen=True)
class Cell:
    """One entry of a table.

    Attributes:
        table: key of `study.grids.tables.TABLES`, such as "T2".
        row, column: as printed.
        runs: of both protocols; empty where this study has none, and only a published number stands there.
        metric: what of them is stated.
        against: the runs that a ratio compares with.
    """

    table: str
    row: str
    column: str
    runs: tuple[RunSpec, ...] = ()
    metric: Metric = Metric.TEST_ACCURACY
    against: tuple[RunSpec, ...] = ()

    def under(self, protocol: str) -> tuple[RunSpec, ...]:
        """The runs that count under a protocol."""
        return runs_under(self.runs, protocol)


def runs_under(runs: Iterable[RunSpec], protocol: str) -> tuple[RunSpec, ...]:
    """Those of the runs that count under a protocol."""
    return tuple(run for run in runs if counts_under(protocol, of_run=run.protocol, task=run.task, body=run.body))


@dataclass(frozen=True)
class Table:
    """A table or figure of a paper.

    Attributes:
        name: "T2"; as printed in the paper, "C..." in the critique.
        title: one line.
        source: where it is printed.
        make: its cells at a scale, row by row.
    """

    name: str
    title: str
    source: str
    make: Callable[[Scale], list[Cell]]


def unique(runs: Iterable[RunSpec]) -> list[RunSpec]:
    """Each run once, where it comes first."""
    return list({run.run_id: run for run in runs}.values())
