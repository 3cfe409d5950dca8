"""What a plan says of bodies: each once, with what it costs to make, without reading a corpus or an image."""

import dataclasses
from pathlib import Path

import pytest

from study.bodies import resolve
from study.grids import load_grid
from study.inits import PRETRAINED
from study.ledger import Ledger
from study.objectives.make import data_of, layout_of, make_objective
from study.plan_bodies import bodies_of, told
from study.pretraining_steps import flops_per_step
from study.recipes import recipe_for
from study.spec import RunSpec

BASE = RunSpec(task="bit-xor", size="nano", init="random", num_steps=100, eval_every_steps=10)


def test_the_quickstarts_bodies_and_what_they_cost() -> None:
    bodies = {body["body"]: body for body in bodies_of(load_grid("quickstart"), None)}
    assert [name.partition(" ")[0] for name in bodies] == ["language", "bit-memory"]
    for body in bodies.values():
        recipe = recipe_for(body["body"].partition(" ")[0], body="gpt2", size="nano")
        layout = make_objective(recipe, data_of(recipe)).layout
        assert body["action"] == "make"
        assert body["train_flops"] == recipe.num_steps * flops_per_step(recipe, layout)
        assert body["num_tokens"] == recipe.num_steps * recipe.batch_size * layout.num_tokens
        # 6 operations per parameter and token (Kaplan et al. 2020), and attention on top.
        assert body["train_flops"] == pytest.approx(6 * 0.8e6 * body["num_tokens"], rel=0.2)
        assert all(0 < low < high for low, high in body["hours"].values())
        assert f"{body['num_steps']} steps" in told(body) and "on one cpu core" in told(body)


@pytest.mark.parametrize("body", ["gpt2", "bert", "vit"])
@pytest.mark.parametrize("init", PRETRAINED)
def test_the_layout_is_known_without_the_data(init: str, body: str) -> None:
    recipe = recipe_for(init, body=body, size="nano", num_steps=2)
    assert layout_of(recipe, data_of(recipe)) == make_objective(recipe, data_of(recipe)).layout


def test_a_control_needs_the_body_it_is_made_from() -> None:
    runs = [dataclasses.replace(BASE, init="shuffled", body_seed=seed) for seed in range(3)]
    (body,) = bodies_of([*runs, dataclasses.replace(BASE, init="language")], None)
    assert body["runs"] == 4 and body["body"] == "language body of gpt2 nano, seed 0"


def test_what_is_there_is_reused(tmp_path: Path) -> None:
    run, ledger = dataclasses.replace(BASE, init="bit-memory"), Ledger(str(tmp_path / "out"))
    (body,) = bodies_of([run], ledger)
    assert body["action"] == "make"
    ledger.storage.commit(f"bodies/{body['key']}/card.json", b"{}")
    (body,) = bodies_of([run], ledger)
    assert body["action"] == "reuse" and told(body).startswith("reuse bit-memory body")


def test_without_its_data_a_body_fails_and_the_others_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    mine, bits = (dataclasses.replace(BASE, init=init) for init in ("language:text", "bit-memory"))
    sources, lacking = resolve([mine, bits, BASE])
    assert sources == resolve([bits])[0] and list(lacking) == [mine.run_id]
    first, second = bodies_of([mine, bits], None)
    assert first["action"] == "fail" and str(tmp_path) in first["reason"] and "\n" not in told(first)
    assert second["action"] == "make"


def test_thousands_of_runs_share_one_body() -> None:
    runs = [dataclasses.replace(BASE, init="bit-memory", seed=seed) for seed in range(2000)]
    sources, _ = resolve(runs)
    assert len(sources) == 2000 and len({id(source) for source in sources.values()}) == 1
