import itertools

import pandas as pd
import pytest

from analysis import settings
from analysis.load import load
from analysis.scope import scale_of, tags_of


@pytest.fixture
def named(synthetic, tmp_path):
    """Setting of every run of a ledger, beside the run's fields: {("init", "lr", ...): setting}."""

    def make(fields, *names):
        rows = [synthetic.run(accuracy=0.9, **own) for own in fields]
        runs = load(synthetic.write(tmp_path / "out", rows)).runs
        return {tuple(row[name] for name in names): row["setting"] for row in runs.to_dict("records")}

    return make


def test_a_sweep_at_the_edge_leaves_the_other_runs_their_name(named):
    main = [{"init": init, "lr": 1e-3} for init in ("language", "random", "bit-memory")]
    sweep = [{"init": "language", "lr": lr} for lr in (1e-4, 1e-2)]
    found = named([*main, *sweep], "init", "lr")
    assert found.pop(("language", 1e-4)) == "lr 0.0001"
    assert found.pop(("language", 1e-2)) == "lr 0.01"
    assert set(found.values()) == {settings.USUAL}


def test_body_and_size_are_named_however_usual(named):
    rows = [{"init": init, "body": "gpt2"} for init in ("language", "random")] + [{"init": "random", "body": "llama"}]
    assert named(rows, "init", "body") == {
        ("language", "gpt2"): "body gpt2",
        ("random", "gpt2"): "body gpt2",
        ("random", "llama"): "body llama",
    }


def test_what_is_usual_is_asked_for_each_task(named):
    """Two tasks of different lengths stand in one setting, and so in one figure."""
    rows = [{"task": task, "num_steps": steps, "eval_every_steps": 10, "init": init}
            for task, steps in (("bit-xor", 100), ("listops", 200)) for init in ("language", "random")]  # fmt: skip
    rows.append({"task": "bit-xor", "num_steps": 300, "eval_every_steps": 10, "init": "language"})
    found = named(rows, "task", "num_steps")
    assert found[("bit-xor", 100)] == found[("listops", 200)] == settings.USUAL
    assert found[("bit-xor", 300)] == "num_steps 300"


def test_runs_that_differ_in_more_than_seeds_never_share_a_name(named):
    """The promise that lets cells be averaged, on every pair of runs of one cell."""
    axes = itertools.product((1e-3, 1e-2), (None, 2), (4, 8), ("language", "random"))
    rows = [{"lr": lr, "num_layers": layers, "batch_size": batch, "init": init} for lr, layers, batch, init in axes][
        :-3
    ]
    found = named(rows, "init", "lr", "num_layers", "batch_size")
    for init in ("language", "random"):
        mine = [setting for key, setting in found.items() if key[0] == init]
        assert len(set(mine)) == len(mine)


def test_the_settings_worth_drawing_come_first():
    columns = ["setting", "task", "train_set", "init"]
    rows = [("lone", "bit-xor", "fpt", "language")] * 5
    rows += [("two inits", "bit-xor", "fpt", init) for init in ("language", "random")]
    rows += [("two train sets", "bit-xor", name, "language") for name in ("fpt", "full")] * 2
    rows += [("two tasks", task, "fpt", "language") for task in ("bit-xor", "listops")]
    order = settings.ranked(pd.DataFrame(rows, columns=columns))
    assert order == ["two train sets", "two inits", "lone", "two tasks"]


def test_scale_goes_by_size():
    assert [scale_of(size) for size in ("base", "xl", None, "nano", "mini", "6x256")] == ["full"] * 3 + ["small"] * 3


def test_a_run_that_both_protocols_share_is_about_both():
    runs = pd.DataFrame(
        [("bit-xor", "fixed", "gpt2", "nano"), ("listops", "fixed", "gpt2", "base")],
        columns=["task", "protocol", "body", "size"],
    )
    assert tags_of(runs.iloc[:1]) == {"task": ["bit-xor"], "protocol": ["fixed", "paper"], "scale": ["small"]}
    assert tags_of(runs.iloc[1:]) == {"task": ["listops"], "protocol": ["fixed"], "scale": ["full"]}
