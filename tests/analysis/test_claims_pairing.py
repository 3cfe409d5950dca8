"""Which runs are compared: equal in all but what is compared, chosen without a look at test accuracy."""

import dataclasses
import time

import numpy as np
import pandas as pd
import pytest

from analysis import claims
from analysis.claims import REGISTRY, Verdict
from analysis.claims.context import contexts, trained_groups
from analysis.claims.pairing import Side, paired


@pytest.fixture
def study(claim_studies):
    return claim_studies.Study(range(3))


def language(study, **axes):
    return study.add("listops", axes.pop("accuracy", 0.7), init="language", train_set="fpt", **axes)


def random(study, **axes):
    return study.add("listops", axes.pop("accuracy", 0.6), init="random", train_set="fpt", **axes)


A, B = (Side(init, {"init": init, "train_set": "fpt"}) for init in ("language", "random"))


def only(study, **options):
    (context,) = contexts(study.frames())
    (pairs,) = paired(context, A, B, **options)
    return pairs


@pytest.mark.parametrize("field", ["lr", "batch_size", "num_steps", "dropout", "num_train_examples", "task_args"])
def test_runs_that_differ_in_anything_else_are_no_partners(study, field):
    language(study)
    random(study, **{field: {"task_args": '{"max_length":9}'}.get(field, 7)})
    (context,) = contexts(study.frames())
    assert paired(context, A, B) == []
    assert len(paired(context, A, B, free=(field,))) == 1


def test_pairs_share_their_seed(study, claim_studies):
    language(study)
    other = claim_studies.Study([2, 1, 7])
    random(other)
    study.rows += [{**row, "run_id": f"other{i}"} for i, row in enumerate(other.rows)]
    pairs = only(study)
    assert sorted(pairs.seeds) == [1, 2]
    assert (pairs.a["seed"] == pairs.b["seed"]).all()
    assert pairs.num_unpaired == 2


def test_bodies_are_matched_where_both_sides_have_several(study):
    a = Side("statistics", {"init": "statistics", "train_set": "fpt"})
    for body in range(2):
        for init in ("language", "statistics", "random"):
            if init != "language" or body == 0:
                start = len(study.rows)
                study.add("listops", 0.6, init=init, train_set="fpt")
                for row in study.rows[start:]:
                    row["body_seed"] = body
    (context,) = contexts(study.frames())
    (both,), (one,) = paired(context, a, B), paired(context, A, B)
    assert len(both) == len(one) == 6
    assert (both.a["body_seed"] == both.b["body_seed"]).all()
    assert len(set(both.bodies)) == len(set(one.bodies)) == 2


def test_a_free_setting_is_chosen_on_validation_and_never_by_test(study):
    language(study)
    for lr, valid, test in ((1e-2, 0.5, 0.9), (1e-4, 0.65, 0.6), (1e-5, 0.4, 0.95)):
        start = len(study.rows)
        random(study, lr=lr, accuracy=test)
        for row in study.rows[start:]:
            row["valid_accuracy"] = valid
    pairs = only(study, free=("lr",), by_validation=True)
    assert set(pairs.b["lr"]) == {1e-4}
    assert pairs.b["accuracy"] == pytest.approx([0.6] * 3)


def test_a_setting_of_one_lucky_seed_is_not_chosen(study, claim_studies):
    language(study)
    random(study, lr=1e-4)
    lucky = claim_studies.Study([0])
    random(lucky, lr=1e-5, accuracy=0.99)
    study.rows += [{**row, "run_id": "lucky"} for row in lucky.rows]
    assert set(only(study, free=("lr",), by_validation=True).b["lr"]) == {1e-4}


def test_the_papers_own_training_comes_before_a_sweep(study):
    for lr in (1e-3, 1e-2):  # 1e-3, batch 8, 9,000 steps is the paper's grid on ListOps
        for make in (language, random):
            make(study, lr=lr, batch_size=8, num_steps=9000, accuracy=0.6 + 10 * lr)
    pairs = only(study)
    assert set(pairs.a["lr"]) == {1e-3}
    assert pairs.num_other == 1


def test_the_body_that_most_tasks_were_run_with_is_taken(study):
    for task in ("listops", "homology"):
        for init in ("language", "random"):
            study.add(task, 0.6, init=init, train_set="fpt", size="base")
    for init in ("language", "random"):
        study.add("listops", 0.9, init=init, train_set="fpt", size="large")
    (context,) = contexts(study.frames())
    assert {pairs.setting for pairs in paired(context, A, B)} == {"gpt2 base, lr 0.001"}


def test_contexts_are_told_apart(study):
    for size, protocol, task in (
        ("base", "fixed", "bit-xor"),
        ("nano", "fixed", "listops"),
        ("nano", "paper", "listops"),
    ):
        study.add(task, 0.6, init="language", train_set="fpt", size=size, protocol=protocol)
    study.add("bit-xor", 0.6, init="language", train_set="fpt", size="nano")
    found = {(one.protocol, one.scale, one.tuning): set(one.runs["task"]) for one in contexts(study.frames())}
    assert found == {
        ("fixed", "full", "as specified"): {"bit-xor"},
        # Bit XOR is the same under both protocols, so its runs under `fixed` count under `paper` too.
        ("fixed", "small", "as specified"): {"listops", "bit-xor"},
        ("paper", "small", "as specified"): {"listops", "bit-xor"},
    }


def test_tuned_runs_are_a_context_of_their_own_with_free_learning_rates(study):
    language(study, lr=1e-4)
    random(study, lr=1e-2)
    frames = study.frames()
    tuned = dataclasses.replace(frames, runs=frames.runs.assign(tuning="tuned"))
    chosen = {"language-beats-random": REGISTRY["language-beats-random"]}
    assert claims.evaluate(frames, claims=chosen)[0].verdict is Verdict.NOT_RUN
    (result,) = claims.evaluate(tuned, claims=chosen)
    assert (result.context.tuning, result.verdict) == ("tuned", Verdict.SUPPORTED)


def test_not_run_counts_what_is_there_and_what_is_missing(study):
    language(study)
    frames = study.frames()
    asked = frames.runs.assign(init="random")[frames.missing.columns]
    (result,) = claims.evaluate(
        dataclasses.replace(frames, missing=asked), claims={"x": REGISTRY["language-beats-random"]}
    )
    assert result.verdict is Verdict.NOT_RUN
    assert result.why.endswith("here FPT: 3 runs; random: no runs, 3 missing")


def test_train_sets_have_one_spelling():
    assert trained_groups("fpt+feedforward") == trained_groups("feedforward+layernorm+positions+output+input")
    assert trained_groups("fpt") != trained_groups("fpt+attention")


def test_a_large_ledger_is_judged_in_seconds(study, claim_studies):
    """20,000 runs: the rows of three claims at many dropouts, and as many learning rates in a sweep."""
    for claim in (
        "language-beats-random",
        "fpt-matches-full",
        "training-attention-diverges",
        "language-beats-bit-memory",
    ):
        claim_studies.add_claim(study, claim, {task: np.full(3, 0.1) for task in ("listops", "bit-xor", "homology")})
    frames = study.frames()
    copies = -(-20_000 // len(frames.runs))
    many = [frames.runs.assign(dropout=i / copies, run_id=frames.runs["run_id"] + f"-{i}") for i in range(copies)]
    large = dataclasses.replace(frames, runs=pd.concat(many, ignore_index=True))
    assert len(large.runs) >= 20_000
    start = time.process_time()
    results = claims.evaluate(large)
    assert time.process_time() - start < 5
    assert {result.verdict for result in results} >= {Verdict.SUPPORTED, Verdict.NOT_RUN}
