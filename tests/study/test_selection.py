"""`--where` and `--seeds`: typed by the field, near misses for what no run has."""

import pytest

from study.errors import UserError
from study.selection import select
from study.spec import RunSpec

RUNS = [
    RunSpec(
        task=task,
        task_args={"num_bits": 5} if task == "bit-xor" else {},
        size="nano",
        init="random",
        num_layers=layers,
        train_set=train_set,
        lr=lr,
        num_steps=10,
        eval_every_steps=5,
        seed=seed,
    )
    for task in ("bit-xor", "digits")
    for layers in (None, 2)
    for train_set in ("fpt", ("input", "output"))
    for lr in (1e-3, 0.01)
    for seed in (0, 1, 2)
]


@pytest.mark.parametrize(
    ("where", "keep"),
    [
        (None, lambda run: True),
        ("task=bit-xor", lambda run: run.task == "bit-xor"),
        (" task = bit-xor , seed = 0 ", lambda run: run.task == "bit-xor" and run.seed == 0),
        ("seed=0|2", lambda run: run.seed in (0, 2)),
        ("lr=0.001", lambda run: run.lr == 1e-3),
        ("lr=1e-2|0.001", lambda run: True),
        ("num_layers=none", lambda run: run.num_layers is None),
        ("num_layers=2", lambda run: run.num_layers == 2),
        ("train_set=input+output", lambda run: run.train_set_name == "input+output"),
        ("protocol=fixed,body=gpt2", lambda run: True),
        ("task_args.num_bits=5", lambda run: run.task == "bit-xor"),
    ],
)
def test_conditions(where: str | None, keep) -> None:
    assert select(RUNS, where=where) == [run for run in RUNS if keep(run)]


def test_seeds() -> None:
    assert select(RUNS, seeds=2) == [run for run in RUNS if run.seed < 2]
    assert select(RUNS, where="seed=0|2", seeds=1) == [run for run in RUNS if run.seed == 0]


@pytest.mark.parametrize(
    ("where", "seeds", "words"),
    [
        ("taks=digits", None, "unknown field in --where 'taks'; did you mean task"),
        ("task=digit", None, "unknown value of task in this grid 'digit'; did you mean digits"),
        ("task=mnist", None, "choose from bit-xor, digits"),
        ("task=digits|bit-xr", None, "did you mean bit-xor"),
        ("seed=3", None, "choose from 0, 1, 2"),
        ("seed=zero", None, "choose from 0, 1, 2"),
        ("num_layers=3", None, "choose from none, 2"),
        ("task_args.num_bit=5", None, "did you mean task_args.num_bits"),
        ("task", None, "takes field=value"),
        ("", None, "takes field=value"),
        ("task=", None, "takes field=value"),
        ("seed=0,seed=1", None, "twice"),
        ("task_args.num_bits=5,task=digits", None, "meets all conditions"),
        (None, -1, "at least 1, not -1"),
        (None, 0, "at least 1, not 0"),
    ],
)
def test_refusals(where: str | None, seeds: int | None, words: str) -> None:
    with pytest.raises(UserError) as refusal:
        select(RUNS, where=where, seeds=seeds)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)
