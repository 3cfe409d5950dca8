"""`study fit` through the command line: laws, refusals, and mistakes told in one line."""

import json

import pytest

from study.__main__ import main


@pytest.fixture(scope="module")
def out(synthetic, ladders, tmp_path_factory) -> str:
    rows = [row for row in ladders.rows("scaling-size-small") if row["init"] != "statistics"]
    return synthetic.write(tmp_path_factory.mktemp("ladders") / "out", rows)


def fit(out: str, *arguments: str) -> list[str]:
    return ["fit", "--out", out, "--x", "params", "--y", "test_error", "--by", "init", "--samples", "200", *arguments]


def test_a_law_with_its_intervals_and_what_it_says_of_the_largest_rung(out, ladders, capsys):
    assert main([*fit(out, "--where", "train_set=full"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = {(row["ladder"], row["parameter"]): row for row in found["fits"]}
    for init, truth in ladders.EXPONENT.items():
        if init != "statistics":
            row = rows[f"init {init}", "alpha"]
            assert row["low"] <= truth <= row["high"] and row["min_seeds"] == 3
    assert [row["ladder"] for row in found["largest_left_out"]] == ["init language", "init random"]
    assert len(found["rungs"]) == 12 and found["refusals"] == []


def test_a_refusal_is_told_and_ends_with_one(out, capsys):
    assert main(fit(out, "--where", "train_set=fpt,init=random")) == 1
    shown = capsys.readouterr().out
    assert "0 of 6 rungs do better than chance" in shown and "rungs" in shown and "alpha" not in shown
    assert main([*fit(out, "--where", "train_set=fpt,init=random"), "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)["fits"]
    assert row["refused"] == "at chance" and row["why"].startswith("init random: 0 of 6")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--x", "parms", "--y", "test_error"), "unknown column 'parms'; did you mean params"),
        (("--x", "params", "--y", "test_eror"), "did you mean test_error"),
        (("--x", "params", "--y", "test_error", "--form", "power-flor"), "did you mean power-floor"),
        (("--x", "params", "--y", "test_error", "--by", "int"), "did you mean init"),
        (("--x", "params", "--y", "test_error", "--where", "trainset=full"), "did you mean train_set"),
        (("--x", "params", "--y", "test_error", "--where", "train_set=ful"), "did you mean full"),
        (("--x", "params", "--y", "test_error", "--where", "init"), "column=value"),
        (("--x", "params", "--y", "test_error", "--where", "init=random"), "differ in train_set, lr; name it in by"),
        (("--x", "params", "--y", "test_error", "--between", "0.5"), "floor_accuracy,1"),
        (("--x", "params", "--y", "test_error", "--samples", "5"), "at least 100"),
    ],
)
def test_mistakes_are_told_in_one_line(out, arguments, words, capsys):
    assert main(["fit", "--out", out, *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_values_of_conditions_may_be_numbers_and_nulls(out, capsys):
    where = "train_set=full,init=random,num_steps=200,num_layers=none,size=1x32|1x64|2x64|2x96|nano"
    assert main([*fit(out, "--where", where), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rungs"]) == 5
