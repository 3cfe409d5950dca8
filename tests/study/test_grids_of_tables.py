"""The papers' tables as grids: what is shared, crossed and left out, and that every stated reason holds."""

from collections import Counter
from itertools import product

import pytest

from analysis.published import of_table
from models import TRAIN_SETS, Group, Part
from models.bodies import architecture
from study.assemble import cost_of
from study.grids import GRIDS, grid_function, load_grid
from study.grids.cells import DIFFERING_BODIES, DIFFERING_TASKS, Scale, counts_under, protocols
from study.grids.critique import LEARNING_RATES, TASKS
from study.grids.paper_settings import COLUMNS, FULL_TASKS, SMALL_TASKS
from study.grids.tables import TABLES, cells, table_runs
from study.selection import select
from study.spec import Features
from tasks.catalogue import make_task

FULL, SMALL = Scale.FULL, Scale.SMALL
CELLS = [cell for name in TABLES for scale in Scale for cell in cells(name, scale)]


def runs_of(name, row, column, scale=FULL):
    (cell,) = [cell for cell in cells(name, scale) if (cell.row, cell.column) == (row, column)]
    return cell.runs


def test_cells_are_named_once() -> None:
    for name, scale in product(TABLES, Scale):
        keys = Counter((cell.table, cell.row, cell.column) for cell in cells(name, scale))
        assert set(keys.values()) == {1} and {table for table, _, _ in keys} == {name}


def test_runs_that_tables_share_are_the_same_runs() -> None:
    fpt = runs_of("T2", "FPT", "XOR")
    assert (
        fpt == runs_of("T1", "FPT", "XOR") == runs_of("T9", "Pretrained", "XOR") == runs_of("T19", "XOR", "+ positions")
    )
    assert fpt == runs_of("T6", "FPT", "XOR") == runs_of("T13", "FPT", "XOR") == runs_of("attention", "FPT", "XOR")
    assert (
        runs_of("T2", "Random", "MNIST") == runs_of("T3", "Trans.", "MNIST") == runs_of("T21", "MNIST", "+ positions")
    )
    assert runs_of("T1", "FPT", "CIFAR-10") == runs_of("T8", "Large", "FPT") != runs_of("T2", "FPT", "CIFAR-10")
    paper = load_grid("paper")
    assert len(paper) < sum(len(table_runs(name, FULL)) for name in TABLES) / 1.5


def test_what_differs_only_by_name_is_run_under_fixed_alone() -> None:
    """A task differs where its note does not say otherwise; a body where it has a released variant."""
    for task in COLUMNS:
        note = make_task(task, protocol="fixed", args={}).protocol_note
        assert (task in DIFFERING_TASKS) != ("do not differ" in note)
    for body in ("gpt2", "bert", "vit", "t5", "longformer", "llama", "lstm", "lstm-residual"):
        assert (body in DIFFERING_BODIES) == (architecture(body, size="nano").as_released is not None)
    assert (
        {run.protocol for run in runs_of("T2", "FPT", "ListOps")}
        == set(protocols("listops", "gpt2"))
        == {"paper", "fixed"}
    )
    assert {run.protocol for run in runs_of("T2", "FPT", "XOR")} == {"fixed"}
    assert {run.protocol for run in runs_of("T3", "LSTM", "XOR")} == {"paper", "fixed"}
    assert counts_under("paper", of_run="fixed", task="bit-xor", body="gpt2")
    assert not counts_under("paper", of_run="fixed", task="bit-xor", body="lstm")


def test_seeds_are_crossed_with_bodies_that_are_drawn_and_stay() -> None:
    def seeds(runs):
        return sorted((run.body_seed, run.seed) for run in runs if run.protocol == "fixed")

    crossed = sorted(product(range(3), range(3)))
    assert seeds(runs_of("T2", "Random", "XOR")) == seeds(runs_of("T9", "Statistics only", "XOR")) == crossed
    assert seeds(runs_of("T3", "LSTM", "XOR")) == crossed
    assert seeds(runs_of("T2", "FPT", "XOR")) == [(0, 0), (0, 1), (0, 2)]
    assert seeds(runs_of("T1", "Full transformer", "XOR")) == [(0, 0), (1, 1), (2, 2)]
    assert (
        seeds(runs_of("T1", "Full LSTM", "XOR"))
        == seeds(runs_of("T2", "Random", "XOR", SMALL))
        == [(0, 0), (1, 1), (2, 2)]
    )


def test_batches_are_the_largest_that_fit_the_papers_card() -> None:
    body = architecture("gpt2", size="base")
    for task in FULL_TASKS:
        protocol = protocols(task, "gpt2")[0]
        run = next(
            run
            for run in table_runs("T2", FULL)
            if run.task == task and run.protocol == protocol and run.body == "gpt2"
        )
        layout = make_task(task, protocol=run.protocol, args=run.task_args).layout
        cost = cost_of(run, layout, body)
        # Parameters once, and of trained ones gradient and Adam's two.
        fixed = 4 * cost.num_params_total + 12 * cost.num_params_trained
        fits = (10e9 - fixed) * run.batch_size // cost.activation_bytes
        assert run.batch_size == min(16, 2 ** (int(fits).bit_length() - 1)), task


def test_steps_follow_the_papers_steps_to_convergence() -> None:
    slowest = {
        name: max(of_table("T6")[row, name]["value"] for row in ("FPT", "Random"))
        for name in COLUMNS.values()
        if name != "Digits"
    }
    fastest = {name: of_table("T6")["FPT", name]["value"] for name in slowest}
    for task, settings in FULL_TASKS.items():
        assert settings.num_steps == 1.5 * slowest[COLUMNS[task]]
        assert settings.num_steps / settings.eval_every_steps >= 100
        assert settings.eval_every_steps * 5 <= fastest[COLUMNS[task]]
    for settings in SMALL_TASKS.values():
        assert settings.num_steps % settings.eval_every_steps == 0


def test_learning_rates_are_the_papers() -> None:
    for run in load_grid("paper"):
        expected = 3e-4 if run.body.startswith("lstm") else 1e-4 if run.task == "homology" else 1e-3
        assert run.lr == expected and run.clip_norm == 1.0 and run.weight_decay == 0
    rates = {run.lr for run in load_grid("critique")}
    assert rates == set(LEARNING_RATES[FULL]) and (min(rates), max(rates)) == (1e-6, 1e-2)


def test_variants_are_those_of_the_tables() -> None:
    last = runs_of("T14", "+ last attention layer", "CIFAR-10")[0]
    assert last.groups == (*TRAIN_SETS["fpt"], Group.FEEDFORWARD, Part.ATTENTION_LAST)
    assert runs_of("T13", "+ both", "XOR")[0].train_set == "full"
    assert runs_of("T10", "ListOps", "output only")[0].features is Features.CACHED
    assert runs_of("T19", "ListOps", "output only")[0].features is Features.ONLINE
    assert {run.num_layers for run in runs_of("T1", "Full transformer", "ListOps")} == {3}
    assert {run.size for run in runs_of("T12", "24", "random")} == {"medium"}
    frozen = {
        column: runs_of("T16", "random", column)[0].groups for column in ("frozen LN", "frozen LN, positions trained")
    }
    assert [Group.POSITIONS in groups for groups in frozen.values()] == [False, True]
    assert runs_of("T7", "Linformer", "test") == ()
    unfrozen = runs_of("C1", "Unfrozen Pretrained", "C10 LRA")
    assert len(unfrozen) == len(LEARNING_RATES[FULL]) * 3 * 2 and {run.num_steps for run in unfrozen} == {300_000}
    assert {cell.column for cell in cells("C1", SMALL)} == {COLUMNS[task] for task in TASKS[SMALL]}


def test_parts_of_these_grids_can_be_chosen() -> None:
    small = load_grid("paper-small")
    xor = select(small, where="task=bit-xor")
    assert len(xor) == 87 and {run.size for run in xor} == {"nano"}
    assert {run.seed for run in select(small, where="task=bit-xor", seeds=1)} == {0}
    assert len(select(small, where="task=bit-xor,protocol=paper,train_set=full")) == 3


@pytest.mark.parametrize(
    "name", [name for name in GRIDS if name.startswith(("table", "paper", "critique", "attention"))]
)
def test_each_grid_has_a_title(name: str) -> None:
    title = (grid_function(name).__doc__ or "").strip()
    assert title.endswith("scale small." if name.endswith("-small") else "scale full.") and len(title) < 130
