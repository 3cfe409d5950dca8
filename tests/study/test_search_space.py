"""What may be searched: the default space, what --set makes of it, and every refusal in one line."""

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.errors import UserError
from study.search import _warn_of_unequal_budgets
from study.search_overrides import overridden
from study.search_plan import Plan
from study.search_request import Request, plans
from study.search_results import Outcome
from study.search_samplers import grid_points
from study.search_space import OFF, ON, Choice, Range, default_space, own_values, points
from study.search_targets import FIRST_SEED, searched_runs, study_name, targets, variant_name
from study.spec import RunSpec
from study.tuned import VALUES

RUN = RunSpec(task="bit-xor", size="nano", init="random", num_steps=90, eval_every_steps=10, batch_size=8, dropout=0.0)
FULL = dataclasses.replace(RUN, train_set="full")


def space(*texts: str, run: RunSpec = RUN, num_train_examples: int | None = None):
    return overridden(default_space(run, num_train_examples), texts, run, num_train_examples)


def test_the_default_space_holds_what_the_grid_says():
    default = default_space(RUN, None)
    assert {**default.values(default.own(own_values(RUN)))} == own_values(RUN)
    assert {each.name for each in default.dimensions} - {"decays", "clips"} == set(VALUES)
    assert all(each.reason for each in default.dimensions)


def test_what_the_grid_says_is_proposed_wherever_it_lies():
    odd = dataclasses.replace(RUN, lr=0.5, warmup_steps=18, weight_decay=0.2, clip_norm=50.0, orthogonal_gain=0.1)
    default = default_space(odd, None)
    assert {**default.values(default.own(own_values(odd)))} == own_values(odd)
    swept = grid_points(default, 4, set(), own_values(odd))
    others = [{**default.values(point), "lr": None} for point in swept]
    assert others == [{**own_values(odd), "lr": None}] * 4 and len({point["lr"] for point in swept}) == 4


def test_the_learning_rates_of_whole_layers_lie_lower():
    frozen, whole = (next(each.domain for each in default_space(run, None).dimensions) for run in (RUN, FULL))
    assert isinstance(frozen, Range) and isinstance(whole, Range) and frozen.is_log
    assert whole.low < frozen.low and whole.high < frozen.high


def test_a_switched_off_value_is_off_and_a_switched_on_one_is_chosen():
    default = default_space(RUN, None)
    own = default.own(own_values(RUN))
    values = default.values({**own, "decays": OFF, "clips": ON, "clip_norm": 3.0})
    assert values["weight_decay"] == 0.0 and values["clip_norm"] == 3.0
    without = {name: value for name, value in own.items() if name != "clip_norm"}
    assert default.values({**without, "clips": OFF})["clip_norm"] is None


def test_batches_are_no_larger_than_the_data():
    sizes = next(each.domain for each in default_space(RUN, 9).dimensions if each.name == "batch_size")
    assert sizes == Choice((4, 8))
    assert default_space(RUN, 4).fixed["batch_size"] == 8  # one choice is none: what the grid says stays


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lr", "takes name=domain"),
        ("lr=", "empty"),
        ("lr=log:", "empty"),
        ("lr=1e-2..1e-5", "inverted"),
        ("lr=1e-3..1e-3", "is empty"),
        ("lr=log:0..1e-2", "logarithm of 0"),
        ("lr=log:-1..1e-2", "logarithm of -1"),
        ("lr=log:1e-3", "no bounds"),
        ("lr=1e-3", "one value; give two or more, or lr=fixed"),
        ("lr=1e-3|1e-3", "a value twice"),
        ("lr=1e-3|", "empty value"),
        ("lr=fast..slow", "'fast' is no finite number"),
        ("lr=nan..1", "'nan' is no finite number"),
        ("lr=-1..1", "lr must be finite and above 0, not -1"),
        ("dropout=0..1.5", "dropout must be finite and at least 0 and below 1"),
        ("dropout=none|0.1", "only clip_norm may be none"),
        ("warmup_share=0..2", "below 1, not 2"),
        ("schedule=constant|sine", "did you mean cosine or linear"),
        ("schedule=a..b", "it is a word"),
        ("batch_size=4..8", "runs of one pack share it"),
        ("batch_size=2.5|4", "whole numbers"),
        ("batch_size=8|512", "a batch of 512 is larger than the 100 training examples of bit-xor"),
        ("warmup_steps=0..5", "did you mean warmup_share"),
        ("learning_rate=0..5", "unknown value in --set 'learning_rate'"),
        ("others=1..2", "takes fixed only"),
    ],
)
def test_nonsense_is_refused_in_one_line(text, told):
    with pytest.raises(UserError) as refusal:
        space(text, num_train_examples=100)
    assert told in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_value_is_set_once_and_something_is_left_to_search():
    with pytest.raises(UserError, match="names 'lr' twice"):
        space("lr=log:1e-4..1e-2", "lr=log:1e-5..1e-2")
    with pytest.raises(UserError, match="nothing to search"):
        space("others=fixed")


def test_set_replaces_a_domain_and_drops_its_switch():
    changed = space("weight_decay=log:1e-3..1e-2", "dropout=fixed")
    names = {each.name: each for each in changed.dimensions}
    assert "decays" not in names and "dropout" not in names and names["weight_decay"].switch == ""
    assert changed.fixed["dropout"] == RUN.dropout


def test_others_fixed_leaves_what_is_named():
    only = space("lr=log:1e-4..1e-2", "others=fixed")
    assert [each.name for each in only.dimensions] == ["lr"]
    assert only.values({"lr": 2e-3}) == {**own_values(RUN), "lr": 2e-3}


_bound = st.floats(1e-6, 0.9)
_ranges = st.tuples(_bound, _bound, st.booleans()).filter(lambda pair: pair[0] != pair[1])


@settings(deadline=None, max_examples=50)
@given(_ranges)
def test_what_a_space_tells_of_itself_can_be_given_back(pair):
    low, high, is_log = sorted(pair[:2])[0], sorted(pair[:2])[1], pair[2]
    text = f"lr={'log:' * is_log}{low!r}..{high!r}"
    domain = next(each.domain for each in space(text).dimensions if each.name == "lr")
    assert domain == Range(low, high, is_log)
    made = points(domain, 5)
    assert all(low <= value <= high for value in made) and made == sorted(made)


def test_a_grid_has_no_more_points_than_samples():
    swept = grid_points(space("batch_size=4|8"), 9, {"batch_size"}, own_values(RUN))
    assert len(swept) == 8 and {point["batch_size"] for point in swept} == {4, 8}
    assert len({point["lr"] for point in swept}) == 4 and {point["dropout"] for point in swept} == {0.0}
    with pytest.raises(UserError, match="--samples 3 are too few for this grid; give 4 or more"):
        grid_points(space("batch_size=4|8"), 3, {"batch_size"}, own_values(RUN))


def test_variants_are_named_and_looked_up():
    runs = [dataclasses.replace(run, seed=seed) for run in (RUN, FULL) for seed in range(2)]
    found = targets(runs, "bit-xor", None)
    assert [(each.variant, len(each.runs)) for each in found] == [("frozen-random", 2), ("full-random", 2)]
    assert variant_name(dataclasses.replace(RUN, init="dyck")) == "fpt:dyck"
    with pytest.raises(UserError, match="did you mean frozen-random"):
        targets(runs, "bit-xor", ["frozen"])
    with pytest.raises(UserError, match="unknown task in this grid 'digits'"):
        targets(runs, "digits", None)
    unlike = [RUN, dataclasses.replace(RUN, task_args={"num_bits": 4})]
    with pytest.raises(UserError, match=re.escape("--where 'task_args=...'")):
        targets(unlike, "bit-xor", None)


def test_proposals_share_a_body_and_have_seeds_of_their_own():
    values = {**own_values(RUN), "warmup_share": 0.1, "lr": 0.5}
    runs = searched_runs(RUN, values, 3)
    assert [run.seed for run in runs] == [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2]
    assert {(run.body_seed, run.warmup_steps, run.lr) for run in runs} == {(FIRST_SEED, 9, 0.5)}
    pretrained = dataclasses.replace(RUN, init="language", body_seed=2)
    assert searched_runs(pretrained, values, 1)[0].body_seed == 2


def test_a_study_is_the_same_until_something_that_counts_changes():
    (target,) = targets([RUN], "bit-xor", None)
    name = study_name(target, space(), {"seeds": 2})
    assert name == study_name(target, space(), {"seeds": 2}) and name.startswith("bit-xor__frozen-random__")
    (longer,) = targets([RUN], "bit-xor", None, num_steps=180)
    others = [
        (target, space("lr=log:1e-4..1e-2"), {"seeds": 2}),
        (target, space(), {"seeds": 3}),
        (longer, space(), {"seeds": 2}),
    ]
    assert len({name, *(study_name(*other) for other in others)}) == 4
    assert longer.base.eval_every_steps == 20 and longer.runs == (RUN,)


def planned(run: RunSpec, sampler: str = "tpe") -> Plan:
    (target,) = targets([run], "bit-xor", None)
    return Plan(target, space(run=run), sampler, 8, 2, 0.5)


def test_a_study_is_another_one_where_its_first_proposal_or_its_body_is():
    dyck = dataclasses.replace(RUN, init="dyck")
    runs = [RUN, dataclasses.replace(RUN, lr=0.02), dyck, dataclasses.replace(dyck, body_seed=1)]
    assert len({planned(run).name for run in runs}) == 4
    # A drawn body of a search is one that no grid has.
    assert planned(dataclasses.replace(RUN, seed=3, body_seed=3)).name == planned(RUN).name


def test_samplers_that_learn_from_complete_proposals_alone_stop_none():
    assert planned(RUN).rung_steps == (10, 30, 90)
    assert planned(RUN, "gp").rung_steps == planned(RUN, "grid").rung_steps == (90,)


def test_what_would_not_be_fair_is_refused_or_told(caplog):
    with pytest.raises(UserError, match="seeds from 1000000 on are those of searches"):
        targets([dataclasses.replace(RUN, seed=FIRST_SEED)], "bit-xor", None)
    rarer = dataclasses.replace(FULL, eval_every_steps=90)
    with pytest.raises(UserError, match="90 x 8, read every 10, 90 x 8, read every 90"):
        plans(Request("bit-xor", None, 4), [RUN, rarer])
    counts = [{"complete": 1, "pruned": 15}, {"complete": 8}]
    ended = [Outcome(planned(run), count, 0, None, "", "") for run, count in zip((RUN, FULL), counts, strict=True)]
    _warn_of_unequal_budgets(ended)
    assert "frozen-random 16, full-random 8" in caplog.text and "--samples 16" in caplog.text
    caplog.clear()
    _warn_of_unequal_budgets(ended[:1])
    assert not caplog.text
