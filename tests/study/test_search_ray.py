"""A whole search through Ray Tune, on the smallest body."""

import json

import pytest

from study import search_rows, tuned
from study.launch import run_grid
from study.ledger import Ledger
from study.search import run_search
from study.search_reply import answer
from study.search_request import Request, plans
from study.spec import RunSpec
from study.storage import open_storage


def grid(train_set: str) -> list[RunSpec]:
    args = {"num_valid_examples": 16, "num_test_examples": 16}
    return [
        RunSpec(
            task="bit-xor", task_args=args, size="nano", num_layers=1, init="random", train_set=train_set,
            num_steps=9, eval_every_steps=1, batch_size=4, dropout=0.0, seed=seed, body_seed=seed,
        )
        for seed in range(2)
    ]  # fmt: skip


@pytest.mark.ray
def test_a_search_ends_with_settings_that_a_grid_uses_and_is_not_done_twice(ray_runtime, tmp_path, capfd):
    out = str(tmp_path / "out")
    runs = [*grid("fpt"), *grid("full")]
    asked = plans(Request("bit-xor", None, 4, overrides=["lr=log:1e-4..1e-2"]), runs)
    outcomes = run_search(asked, out=out, grid_name="mine", command="study search")
    assert [each.reason for each in outcomes] == ["", ""]
    table, problems = search_rows.read(open_storage(out))
    rows = table.to_pylist()
    assert problems == [] and sorted((row["variant"], row["number"]) for row in rows) == [
        (variant, number) for variant in ("frozen-random", "full-random") for number in range(4)
    ]
    assert {row["state"] for row in rows} <= {"complete", "pruned"} and "complete" in {row["state"] for row in rows}

    settings = tuned.read(out)
    assert {setting.variant for setting in settings} == {"frozen-random", "full-random"}
    applied = tuned.apply(runs, settings)
    finished = Ledger(out).finished()
    assert set(finished) == applied.tuned and set(finished.values()) == {"done"}  # nothing but the fresh seeds
    for setting in settings:
        assert setting.expected["num_seeds"] == 2 and setting.found["proposals"] == 4
        assert setting.expected["low"] <= setting.expected["valid_accuracy"] <= setting.expected["high"]
    (manifest,) = (tmp_path / "out" / "manifest").iterdir()
    assert json.loads(manifest.read_text())["tuned"] == sorted(applied.tuned)
    assert run_grid(applied.different, out=out, tuned=applied.tuned).packs == 0
    assert "8 of 8 proposals" in capfd.readouterr().err

    journals = {path: path.read_bytes() for path in (tmp_path / "out" / "search").rglob("journal.log")}
    again = run_search(asked, out=out)
    assert [each.setting.values for each in again] == [each.setting.values for each in outcomes]
    assert [each.setting.found for each in again] == [each.setting.found for each in outcomes]  # its date, too
    assert journals == {path: path.read_bytes() for path in journals}
    document = answer(again).document
    assert [each["num_steps"] <= each["full_steps"] for each in document["searches"]] == [True, True]
