"""A run's identity: equal runs have equal ids, any change changes it, nothing invalid is accepted."""

import dataclasses
import json
import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import INITS, SIZES, TRAIN_SETS, TRAINABLE, Group
from study.spec import Features, RunSpec, TaskArgs
from study.spec_checks import PRETRAINED_BODIES
from tasks import TASKS

BASE = {"task": "bit-xor", "size": "nano", "init": "random", "num_steps": 100, "eval_every_steps": 10}

positive = st.floats(1e-8, 1e3)
whole = st.integers(1, 10**6)
scalars = st.one_of(
    st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text()
)


@st.composite
def specs(draw):
    body = draw(st.sampled_from(["gpt2", "bert", "vit", "llama", "lstm-residual"]))
    steps = draw(whole)
    absent = {"lstm-residual": {Group.ATTENTION}}.get(body, set())
    groups = st.sets(st.sampled_from([g for g in TRAINABLE if g not in absent]), min_size=1).map(tuple)
    return RunSpec(
        task=draw(st.sampled_from(list(TASKS))),
        task_args=draw(st.dictionaries(st.sampled_from(["num_bits", "length", "mode"]), scalars)),
        protocol=draw(st.sampled_from(["paper", "fixed"])),
        body=body,
        size=draw(st.sampled_from(SIZES[body])),
        num_layers=draw(st.none() | whole),
        init=draw(st.sampled_from(["random", "random-scaled"])),
        train_set=draw(st.sampled_from(list(TRAIN_SETS)) | groups),
        num_train_examples=draw(st.none() | whole),
        lr=draw(positive),
        batch_size=draw(whole),
        weight_decay=draw(st.floats(0, 1)),
        schedule=draw(st.sampled_from(["constant", "cosine", "linear"])),
        clip_norm=draw(st.none() | positive),
        dropout=draw(st.floats(0, 0.99)),
        num_steps=steps,
        eval_every_steps=draw(st.integers(1, steps)),
        precision=draw(st.sampled_from(["fp32", "bf16"])),
        seed=draw(st.integers(0, 2**32 - 1)),
        body_seed=draw(st.integers(0, 2**32 - 1)),
    )


@settings(deadline=None, max_examples=60)
@given(specs(), st.randoms())
def test_json_round_trip_in_any_field_order(spec: RunSpec, order: random.Random) -> None:
    fields = list(json.loads(spec.to_json()).items())
    order.shuffle(fields)
    again = RunSpec.from_json(json.dumps(dict(fields)))
    assert again == spec and again.run_id == spec.run_id and hash(again) == hash(spec)
    assert again.to_json() == spec.to_json()
    assert pickle.loads(pickle.dumps(spec)) == spec


@settings(deadline=None, max_examples=60)
@given(specs(), specs())
def test_equal_specs_have_equal_ids_and_no_others(one: RunSpec, other: RunSpec) -> None:
    assert (one == other) == (one.run_id == other.run_id)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "digits"}, {"task_args": {"num_bits": 5}}, {"protocol": "paper"}, {"body": "llama"}, {"size": "mini"},
        {"num_layers": 2}, {"init": "random-scaled"}, {"train_set": "full"}, {"num_train_examples": 10}, {"lr": 2e-3},
        {"batch_size": 5}, {"weight_decay": 0.1}, {"warmup_steps": 1}, {"schedule": "cosine"}, {"clip_norm": None},
        {"dropout": 0.0}, {"orthogonal_gain": 1.0}, {"num_steps": 101}, {"eval_every_steps": 11},
        {"precision": "bf16"}, {"seed": 1}, {"body_seed": 1},
    ],
)  # fmt: skip
def test_any_changed_field_changes_the_id(change: dict) -> None:
    assert RunSpec(**BASE | change).run_id != RunSpec(**BASE).run_id


def test_cached_features_change_the_id() -> None:
    online = RunSpec(**BASE, train_set="output-only")
    assert dataclasses.replace(online, features="cached").run_id != online.run_id


def test_every_field_is_covered_by_the_test_above() -> None:
    mark = next(m for m in test_any_changed_field_changes_the_id.pytestmark if m.name == "parametrize")
    changed = {name for change in mark.args[1] for name in change} | {"features"}
    assert changed == {field.name for field in dataclasses.fields(RunSpec)}


def test_one_way_to_write_each_value() -> None:
    spec = RunSpec(**BASE, lr=1, clip_norm=np.float64(1), weight_decay=-0.0, seed=np.int64(3))
    assert spec == RunSpec(**BASE, lr=1.0, clip_norm=1.0, weight_decay=0.0, seed=3)
    assert '"lr":1.0' in spec.to_json() and '"seed":3' in spec.to_json() and "-0.0" not in spec.to_json()


def test_task_args_tell_types_apart_and_cannot_change() -> None:
    ids = {RunSpec(**BASE, task_args={"n": value}).run_id for value in (1, 1.0, True, "1")}
    assert len(ids) == 4
    assert TaskArgs({"n": 1}) == {"n": 1} and TaskArgs({"n": 1}) != {"n": 1.0}
    given_args = {"n": 1}
    spec = RunSpec(**BASE, task_args=given_args)
    given_args["n"] = 2
    assert spec.task_args == {"n": 1}
    with pytest.raises(TypeError):
        spec.task_args["n"] = 2


def test_a_preset_and_its_groups_are_one_run() -> None:
    for name, groups in TRAIN_SETS.items():
        preset = RunSpec(**BASE, train_set=name)
        for same in (tuple(reversed(groups)), [str(group) for group in groups], "+".join(groups)):
            spec = RunSpec(**BASE, train_set=same)
            assert spec == preset and spec.run_id == preset.run_id and spec.train_set_name == name
    assert RunSpec(**BASE, train_set=("output", "input")).train_set_name == "input+output"


def test_part_of_a_group_is_one_way_to_write_the_group() -> None:
    """The part adds nothing to its whole; ids of whole groups do not know of it."""
    last = RunSpec(**BASE, train_set="attention-last+output")
    assert last.train_set_name == "output+attention-last" and RunSpec.from_json(last.to_json()) == last
    both = RunSpec(**BASE, train_set=("attention", "attention-last", "output"))
    assert both == RunSpec(**BASE, train_set="output+attention")


def test_a_preset_means_the_groups_that_the_body_has() -> None:
    lstm = RunSpec(**BASE, body="lstm", train_set="fpt")
    assert lstm.groups == (Group.INPUT, Group.OUTPUT, Group.LAYERNORM)
    assert RunSpec(**BASE, body="lstm-residual").groups == TRAIN_SETS["fpt"]


def test_id_is_stable() -> None:
    # Pinned: a different value orphans every ledger that was ever written.
    assert RunSpec(**BASE).run_id == "5861a5c42aaa6542"


def test_a_checkpoint_brings_its_size() -> None:
    spec = RunSpec(**BASE | {"size": None, "init": "checkpoint:user/model@abc"})
    assert spec.has_checkpoint and RunSpec.from_json(spec.to_json()) == spec


def test_pretrained_bodies_exist_in_the_tables() -> None:
    for body in PRETRAINED_BODIES:
        for size in SIZES[body]:
            for init in INITS:
                assert RunSpec(**BASE | {"init": init, "body": body, "size": size}).init == init


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "bit-xr"}, "did you mean bit-xor"),
        ({"task": 3}, "unknown task '3'"),
        ({"body": "gpt"}, "did you mean gpt2"),
        ({"size": "nono"}, "did you mean nano"),
        ({"size": None}, "checkpoint:"),
        ({"size": "xl", "body": "bert"}, "nano, mini, base"),
        ({"init": "langage"}, "did you mean language"),
        ({"init": "language", "body": "lstm"}, "not for lstm"),
        ({"init": "shuffled:dyck", "body": "lstm-residual"}, "not for lstm-residual"),
        ({"init": "cellular-automata:256"}, "from 0 to 255, not '256'"),
        ({"init": "checkpoint:", "size": None}, "names no checkpoint"),
        ({"init": "checkpoint:x"}, "size=None"),
        ({"init": "checkpoint:x", "size": None, "body_seed": 1}, "body_seed must be 0"),
        ({"train_set": "ftp"}, "did you mean fpt"),
        ({"train_set": ("output", "layernrm")}, "did you mean layernorm"),
        ({"train_set": ("embeddings",)}, "never trained"),
        ({"train_set": ()}, "empty"),
        ({"train_set": 5}, "train_set must be"),
        ({"train_set": ("positions",), "body": "lstm"}, "no group 'positions'"),
        ({"train_set": "output+attention-last", "body": "lstm-residual"}, "no group 'attention-last'"),
        ({"train_set": "output+attention-lst"}, "did you mean attention-last"),
        ({"features": "cached"}, "output-only"),
        ({"features": "cache"}, "did you mean cached"),
        ({"protocol": "papr"}, "did you mean paper"),
        ({"precision": "fp16"}, "fp32, bf16"),
        ({"schedule": None}, "constant, cosine, linear"),
        ({"seed": -1}, "from 0 to 4294967295, not -1"),
        ({"seed": 1.0}, "whole number"),
        ({"seed": True}, "whole number"),
        ({"body_seed": -1}, "body_seed must be"),
        ({"num_layers": 0}, "num_layers must be at least 1"),
        ({"num_train_examples": 0}, "at least 1"),
        ({"batch_size": None}, "whole number, not None"),
        ({"num_steps": 0}, "num_steps must be at least 1"),
        ({"num_steps": 9}, "at least eval_every_steps"),
        ({"warmup_steps": 101}, "at most num_steps"),
        ({"lr": -1e-3}, "finite and above 0"),
        ({"lr": float("nan")}, "finite and above 0"),
        ({"lr": float("inf")}, "finite and above 0"),
        ({"lr": "1e-3"}, "must be a number"),
        ({"weight_decay": -0.1}, "at least 0"),
        ({"clip_norm": 0}, "above 0"),
        ({"dropout": 1.0}, "below 1"),
        ({"task_args": {"n": float("nan")}}, "task_args['n']"),
        ({"task_args": {"n": [1]}}, "task_args['n']"),
        ({"task_args": [1]}, "task_args must map"),
    ],
)
def test_refusals_are_one_line(change: dict, words: str) -> None:
    with pytest.raises(ValueError) as refusal:
        RunSpec(**BASE | change)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda fields: fields | {"learning_rate": 1}, "unknown field 'learning_rate'"),
        (lambda fields: {k: v for k, v in fields.items() if k != "lr"}, "lr missing"),
        (lambda fields: fields | {"engine_version": 999}, "another engine_version"),
        (lambda fields: [fields], "JSON object"),
    ],
)
def test_foreign_documents_are_refused(edit, words: str) -> None:
    document = json.dumps(edit(json.loads(RunSpec(**BASE).to_json())))
    with pytest.raises(ValueError, match=words):
        RunSpec.from_json(document)


def test_text_that_is_no_json_is_refused() -> None:
    for text in ("{", RunSpec(**BASE).to_json().replace("0.001", "NaN")):
        with pytest.raises(ValueError, match="not a run specification"):
            RunSpec.from_json(text)


def test_columns_are_plain_values() -> None:
    columns = RunSpec(**BASE, task_args={"b": 1, "a": 2.0}, train_set=("output", "positions")).as_columns()
    assert list(columns) == [field.name for field in dataclasses.fields(RunSpec)]
    assert columns["task_args"] == '{"a":2.0,"b":1}' and columns["train_set"] == "output+positions"
    assert all(type(value) in (str, int, float, type(None)) for value in columns.values())
    assert columns["features"] == str(Features.ONLINE)


def test_a_size_has_one_spelling():
    named = RunSpec(task="digits", size="nano", num_steps=1, eval_every_steps=1)
    assert RunSpec(task="digits", size="4x128", num_steps=1, eval_every_steps=1).run_id == named.run_id
    other = RunSpec(task="digits", size="2x64", num_steps=1, eval_every_steps=1)
    assert RunSpec.from_json(other.to_json()) == other
    for size, words in (("2y64", "choose from nano, .*LAYERSxWIDTH"), ("2x65", "a multiple of 32")):
        with pytest.raises(ValueError, match=words):
            RunSpec(task="digits", size=size, num_steps=1, eval_every_steps=1)
