"""Sweeps and searches in the report: what is drawn, who is ahead where, and that any ledger is told about."""

import dataclasses
import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest

from analysis import (
    claims,
    rates_section,
    search_budget,
    search_frames,
    search_importance,
    search_orderings,
    search_parallel,
    search_rates,
    search_section,
    sections,
    settings,
)
from analysis.load import load
from study import search_rows, tuned
from study.ledger import Ledger
from study.provenance import manifest
from study.spec import RunSpec

FIELDS = dataclasses.fields(RunSpec)
RATES = (1e-4, 1e-3, 1e-2, 1e-1)
# Accuracy by learning rate: the first variant is ahead on the lower two.
LANGUAGE, RANDOM = (0.9, 0.8, 0.6, 0.5), (0.6, 0.7, 0.8, 0.5)
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
VALUES = {"lr": 0.02, "batch_size": 8, "weight_decay": 0.0, "warmup_share": 0.1, "schedule": "cosine",
          "clip_norm": None, "dropout": 0.0, "orthogonal_gain": 2.0}  # fmt: skip


def trial(number, state, lr, *, study="bit-xor__fpt__1", init="language", sampler="tpe", reached=(0.5, 0.6, 0.8)):
    """A row of a search; those that were stopped reached one rung."""
    spec = RunSpec(task="bit-xor", size="nano", init=init, num_steps=90, eval_every_steps=10, lr=lr)
    columns = spec.as_columns()
    for name in ("seed", "body_seed", "warmup_steps"):
        del columns[name]
    reached = {"complete": reached, "pruned": reached[:1], "diverged": reached[:1], "failed": ()}[state]
    steps = [10, 30, 90][-len(reached) :] if sampler == "grid" else [10, 30, 90][: len(reached)]
    accuracies = [value + lr for value in reached]
    return {
        **columns, "study": study, "number": number, "variant": "fpt", "sampler": sampler, "state": state,
        "error": "MemoryError" if state == "failed" else None, "score": accuracies[-1] if accuracies else None,
        "warmup_share": 0.0, "params": json.dumps({"lr": lr, "dropout": 0.1 * (number % 2), "schedule": "cosine"}),
        "seeds": [1_000_000, 1_000_001], "rung_steps": steps, "rung_accuracies": accuracies,
        "rung_losses": [1.0] * len(steps),
        "seed_accuracies": [accuracies[-1] - 0.01, accuracies[-1] + 0.01] if accuracies else None,
        "chance_accuracy": 0.5, "num_steps_done": 2 * steps[-1] if steps else 0, "started_at": START,
        "ended_at": START + dt.timedelta(seconds=number),
    }  # fmt: skip


STATES = ("complete", "pruned", "diverged", "failed", *("pruned",) * 6, *("complete",) * 4)


@pytest.fixture(scope="module")
def out(synthetic, tmp_path_factory):
    """A sweep of two inits, a search over fourteen proposals, one over a grid, and a tuned setting with its runs."""
    folder = str(tmp_path_factory.mktemp("searches") / "out")
    ledger = Ledger(folder)
    ledger.prepare()
    rows = [
        synthetic.run(accuracy=accuracy + 0.01 * seed, seed=seed, init=init, lr=lr, body_seed=seed * (init == "random"))
        for init, curve in (("language", LANGUAGE), ("random", RANDOM))
        for lr, accuracy in zip(RATES, curve, strict=True)
        for seed in range(3)
    ]
    rows[-1] |= {"status": "diverged"}
    ledger.append(rows, [], "sweep")
    runs = [RunSpec(task="bit-xor", size="nano", num_steps=800, eval_every_steps=100, seed=seed) for seed in range(3)]
    setting = tuned.TunedSetting(
        "bit-xor", "fpt", tuned.holds_for(runs[0]), VALUES,
        {"search_accuracies": [0.9, 0.92], "proposals": 14, "pruned": 7, "seeds": 2, "num_steps": 90,
         "num_steps_spent": 1000},
        {"valid_accuracy": 0.88, "low": 0.8, "high": 0.96, "num_seeds": 3},
    )  # fmt: skip
    tuned.write(ledger.storage, setting)
    applied = tuned.apply(runs, [setting])
    found = [
        synthetic.run(accuracy=0.88, **{f.name: getattr(run, f.name) for f in dataclasses.fields(run)})
        for run in applied.runs
    ]
    ledger.append(found, [], "tuned")
    path, document = manifest(applied.runs, grid_name="mine", command="c", tuned=applied.tuned)
    ledger.storage.commit(path, document)
    proposals = [trial(i, state, 0.0001 * 2**i) for i, state in enumerate(STATES)]
    search_rows.write(ledger.storage, "bit-xor__fpt__1", proposals)
    swept = [trial(i, "complete", lr, study="g", sampler="grid", reached=(0.7,)) for i, lr in enumerate(RATES)]
    search_rows.write(ledger.storage, "g", swept)
    return folder


@pytest.fixture(scope="module")
def frames(out):
    return load(out)


@pytest.fixture(scope="module")
def found(frames):
    return search_frames.read(frames)


@pytest.fixture(scope="module")
def sweeps(frames, found):
    return search_frames.sweeps(frames, found)


def test_tuned_runs_are_told_from_those_as_specified(frames):
    by_tuning = frames.runs.groupby("tuning").size()
    assert by_tuning.to_dict() == {settings.AS_SPECIFIED: 24, settings.TUNED: 3}
    assert set(frames.runs[frames.runs["tuning"] == "tuned"]["setting"]) == {"tuned"}


def test_a_run_that_was_also_asked_for_as_specified_is_not_tuned(synthetic, tmp_path):
    ledger = Ledger(str(tmp_path / "out"))
    ledger.prepare()
    row = synthetic.run(accuracy=0.9)
    ledger.append([row], [], "p")
    run = RunSpec(task="bit-xor", size="nano", num_steps=800, eval_every_steps=100)
    other = dataclasses.replace(run, seed=1)
    for runs, ids in (([run], [run.run_id]), ([run, other], [])):
        ledger.storage.commit(*manifest(runs, grid_name="", command="", tuned=ids))
    assert load(str(tmp_path / "out")).runs["tuning"].tolist() == [settings.AS_SPECIFIED]


def test_where_a_search_found_the_grids_own_setting_its_runs_stand_under_both(synthetic, tmp_path):
    ledger = Ledger(str(tmp_path / "out"))
    ledger.prepare()
    common = {"task": "bit-xor", "size": "nano", "num_steps": 800, "eval_every_steps": 100}
    made = {
        name: [RunSpec(**common, seed=seed, **fields) for seed in range(3)]
        for name, fields in {
            "language": {"lr": 1e-3},
            "tuned language": {"lr": 1e-2},
            "random": {"lr": 1e-3, "init": "random"},  # the best that was found for it, too
        }.items()
    }
    accuracy = {"language": 0.6, "tuned language": 0.95, "random": 0.8}
    rows = [
        synthetic.run(accuracy=accuracy[name] + 0.001 * run.seed, **{f.name: getattr(run, f.name) for f in FIELDS})
        for name, runs in made.items()
        for run in runs
    ]
    ledger.append(rows, [], "p")
    best = [*made["tuned language"], *made["random"]]
    launches = (([*made["language"], *made["random"]], []), (best, [run.run_id for run in best]))
    for runs, ids in launches:
        ledger.storage.commit(*manifest(runs, grid_name="mine", command="", tuned=ids))
    frames = load(ledger.uri)
    assert frames.counts["done"] == len(frames.runs) == 9
    assert frames.compared.runs.groupby(["tuning", "init"]).size().to_dict() == {
        (tuning, init): 3 for tuning in (settings.AS_SPECIFIED, settings.TUNED) for init in ("language", "random")
    }
    chosen = {"language-beats-random": claims.REGISTRY["language-beats-random"]}
    effects = {one.context.tuning: one.lines[0].estimate for one in claims.evaluate(frames, claims=chosen)}
    assert effects == pytest.approx({settings.AS_SPECIFIED: -0.2, settings.TUNED: 0.15})
    data = sections.tables(frames, command="c")
    assert data.cells.groupby("setting").size().to_dict() == {settings.AS_SPECIFIED: 2, settings.TUNED: 2}
    assert data.comparisons.set_index("setting")["difference"].to_dict() == pytest.approx(
        {settings.AS_SPECIFIED: -0.2, settings.TUNED: 0.15}
    )


def test_a_sweep_is_found_in_runs_and_in_searches_over_a_grid(sweeps):
    sizes = sweeps.groupby(["metric", "init"])["lr"].agg(["nunique", "size"])
    assert sizes.loc[("test accuracy", "language")].tolist() == [4, 12]
    assert sizes.loc[("validation accuracy", "language")].tolist() == [4, 8]
    assert set(sweeps["seed"][sweeps["metric"] == "test accuracy"]) == {0, 1, 2}  # the tuned runs are no part of it


def test_means_and_ranges_by_hand(sweeps):
    rates = search_rates.table(sweeps)
    row = rates[(rates["metric"] == "test accuracy") & (rates["init"] == "random") & (rates["lr"] == 0.1)].iloc[0]
    assert (row["num_seeds"], row["num_diverged"]) == (2, 1)
    assert (row["accuracy"], row["low"], row["high"]) == pytest.approx((0.505, 0.5, 0.51))


def test_shares_of_the_axis_by_hand(sweeps):
    shares = search_orderings.orderings(sweeps[sweeps["metric"] == "test accuracy"])
    (row,) = shares.to_dict("records")
    # Each rate stands for half of the way to its neighbours: 1/6, 1/3, 1/3, 1/6. Differences are the same for every
    # seed, so they are decided; at the highest rate there is none.
    assert (row["a"], row["b"], row["num_rates"]) == ("fpt, language", "fpt, random", 4)
    assert [row[name] for name in search_orderings.OUTCOMES] == pytest.approx([0.5, 0, 0, 1 / 3])


def test_undecided_where_seeds_disagree_and_behind_where_all_diverged():
    about = {
        "task": "t",
        "protocol": "fixed",
        "body": "b",
        "size": "s",
        "metric": "m",
        "scale": "small",
        "body_seed": 0,
    }
    rows = [
        {**about, "variant": variant, "lr": lr, "body_seed": 0, "seed": seed, "accuracy": accuracy, "status": status}
        for variant, accuracies, last in (("x", (0.5, 0.9), "done"), ("y", (0.6, 0.7), "diverged"))
        for lr in RATES[:3]
        for seed, accuracy in enumerate(accuracies)
        for status in ["done" if lr < 1e-2 else last]
    ]
    (row,) = search_orderings.orderings(pd.DataFrame(rows)).to_dict("records")
    assert [row[name] for name in search_orderings.OUTCOMES] == pytest.approx([0.25, 0.75, 0, 0])


def test_the_best_so_far_counts_every_update_and_no_stopped_proposal(found):
    rows = search_budget.best_so_far(found.trials[found.trials["sampler"] == "tpe"])
    assert rows["spent"].tolist()[:4] == [180, 200, 220, 220]
    assert rows["best"].iloc[-1] == pytest.approx(0.8 + 0.0001 * 2**13) and rows["best"].is_monotonic_increasing


def test_importance_is_that_of_what_every_proposal_reached(found):
    rows = search_importance.table(found.trials[found.trials["state"] != "failed"])
    assert set(rows["parameter"]) == {"lr", "dropout"} and rows["num_proposals"].unique().tolist() == [13]
    assert rows.set_index("parameter")["importance"]["lr"] > 0.8
    assert search_importance.table(found.trials[:5]).empty


def test_figures_show_lines_levels_and_every_state(sweeps, found):
    drawn = search_rates.draw(search_rates.table(sweeps[sweeps["metric"] == "test accuracy"]))
    names = {trace.name for trace in drawn.data}
    assert {"fpt, language", "fpt, random", "chance", "best trivial predictor", "some seeds diverged"} <= names
    scored = found.trials[found.trials["score"].notna()]
    marks = {trace.marker.symbol for trace in search_budget.draw_proposals(scored).data if trace.mode == "markers"}
    assert marks == {"circle", "circle-open", "x-thin"}
    drawn = search_parallel.draw(scored)
    titles = [note.text for note in drawn.layout.annotations if note.y > 1]
    assert titles == ["<b></b>", "<b>lr</b>", "<b>schedule</b>", "<b>dropout</b>", "<b>accuracy</b>"]
    places = sorted(y for trace in drawn.data for x, y in zip(trace.x, trace.y, strict=True) if x == 1)
    logs = np.log10(sorted(scored["lr"]))
    assert np.allclose(places, (logs - logs[0]) / (logs[-1] - logs[0]))


def test_the_sections_tell_of_settings_budgets_and_broken_files(out, frames):
    data = sections.tables(frames, command="study report")
    rates, searched = rates_section.learning_rates(data), search_section.searches(data)
    assert rates is not None and searched is not None
    assert [picture.name for picture in rates.pictures] == [
        "learning-rates-test-accuracy-small",
        "orderings-test-accuracy-small",
        "learning-rates-validation-accuracy-small",
    ]
    body = searched.section.body
    assert "88.0 % [80.0, 96.0] (3)" in body and "<td>40%</td>" in body
    assert "budgets differ" in body and "no search reads the test split" in body
    assert all(picture.csv() for picture in (*rates.pictures, *searched.pictures))
    Ledger(out).storage.replace("search/torn/trials.parquet", b"PAR1")
    again = search_section.searches(data)
    assert again is not None and "search/torn/trials.parquet cannot be read" in again.section.body


def test_a_ledger_without_either_has_no_such_section(study_ledger):
    data = sections.tables(load(study_ledger), command="study report")
    assert rates_section.learning_rates(data) is None and search_section.searches(data) is None
