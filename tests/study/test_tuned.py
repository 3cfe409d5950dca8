"""From a search's result to the runs of a grid: which setting holds for which run, and how it is kept."""

import dataclasses
import json

import pytest

from study.__main__ import main
from study.errors import UserError
from study.grids import load_grid
from study.ledger import Ledger
from study.spec import RunSpec
from study.storage import open_storage
from study.tuned import TunedSetting, apply, holds_for, read, write

RUN = RunSpec(task="bit-xor", size="nano", init="random", num_steps=90, eval_every_steps=10)
VALUES = {"lr": 0.02, "batch_size": 8, "weight_decay": 0.0, "warmup_share": 0.1, "schedule": "cosine",
          "clip_norm": None, "dropout": 0.0, "orthogonal_gain": 2.0}  # fmt: skip
SETTING = TunedSetting("bit-xor", "frozen-random", holds_for(RUN), VALUES, {"study": "s"}, {"valid_accuracy": 0.5})


def test_a_setting_holds_for_runs_of_any_length_and_seed():
    longer = dataclasses.replace(RUN, num_steps=1000, seed=5, body_seed=5)
    other = dataclasses.replace(RUN, size="mini")
    applied = apply([RUN, longer, other], [SETTING])
    assert [run.lr for run in applied.runs] == [0.02, 0.02, RUN.lr]
    assert [run.warmup_steps for run in applied.runs] == [9, 100, 0]
    assert applied.runs[1].seed == 5 and applied.runs[0].clip_norm is None
    assert applied.without == (other,) and applied.tuned == {run.run_id for run in applied.runs[:2]}


def test_a_sweep_collapses_to_one_run():
    sweep = [dataclasses.replace(RUN, lr=lr) for lr in (1e-4, 1e-3)]
    applied = apply(sweep, [SETTING])
    assert len(applied.runs) == 2 and len(applied.different) == 1


def test_what_is_written_is_read(tmp_path):
    storage = open_storage(str(tmp_path))
    assert read(str(tmp_path)) == []
    assert write(storage, SETTING) == "tuned/bit-xor__frozen-random.json"
    write(storage, dataclasses.replace(SETTING, values={**VALUES, "lr": 0.5}))
    (back,) = read(str(tmp_path))
    assert back == dataclasses.replace(SETTING, values={**VALUES, "lr": 0.5})


def test_settings_of_one_name_for_different_runs_stand_side_by_side(tmp_path):
    storage = open_storage(str(tmp_path))
    write(storage, SETTING)
    mini = dataclasses.replace(SETTING, holds_for=holds_for(dataclasses.replace(RUN, size="mini")))
    path = write(storage, mini)
    assert path.startswith("tuned/bit-xor__frozen-random__") and write(storage, mini) == path
    assert {setting.holds_for["size"] for setting in read(str(tmp_path))} == {"nano", "mini"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1}', '{"schema_version": 2, "task": 1}'])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"tuned/a\.json is no tuned setting .*search again or remove it"):
        read(str(tmp_path))


@pytest.mark.parametrize("text", ["{", '{"schema_version": 7}', ""])
def test_searching_again_replaces_a_damaged_file(tmp_path, text):
    """As the message about it advises."""
    path = tmp_path / write(open_storage(str(tmp_path)), SETTING)
    path.write_text(text)
    assert write(open_storage(str(tmp_path)), SETTING) == "tuned/bit-xor__frozen-random.json"
    assert read(str(tmp_path)) == [SETTING]


def test_a_setting_stays_where_it_is_though_the_plain_name_has_become_free(tmp_path):
    storage = open_storage(str(tmp_path))
    plain = write(storage, SETTING)
    mini = dataclasses.replace(SETTING, holds_for=holds_for(dataclasses.replace(RUN, size="mini")))
    own = write(storage, mini)
    (tmp_path / plain).unlink()
    assert write(storage, mini) == own and read(str(tmp_path)) == [mini]
    assert write(storage, SETTING) == plain and len(read(str(tmp_path))) == 2


@pytest.mark.parametrize("values", [["lr"], {**VALUES, "warmup_share": None}, {**VALUES, "warmup_share": "x"}])
def test_values_that_cannot_be_are_refused_in_one_line(tmp_path, values):
    path = tmp_path / write(open_storage(str(tmp_path)), SETTING)
    path.write_text(json.dumps({**json.loads(path.read_text()), "values": values}))
    with pytest.raises(UserError, match="is no tuned setting"):
        read(str(tmp_path))


def test_other_versions_and_doubles_are_refused(tmp_path):
    storage = open_storage(str(tmp_path))
    path = tmp_path / write(storage, SETTING)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "schema_version": 2}))
    with pytest.raises(UserError, match="of another version"):
        read(str(tmp_path))
    for name in ("a.json", "b.json"):
        path.with_name(name).write_text(json.dumps(document))
    path.unlink()
    with pytest.raises(UserError, match=r"tuned/a\.json and tuned/b\.json hold for the same runs"):
        read(str(tmp_path))


def test_commands_say_which_runs_have_no_setting(tmp_path, capsys):
    ledger = Ledger(str(tmp_path / "out"))
    ledger.prepare()
    tuning = ["status", "tuning", "--where", "task=bit-xor", "--tuned", "--out", str(tmp_path / "out")]
    assert main(tuning) == 2
    assert "no run has a setting in" in capsys.readouterr().err
    run = next(run for run in load_grid("tuning") if run.task == "bit-xor" and run.train_set == "full")
    write(ledger.storage, dataclasses.replace(SETTING, holds_for=holds_for(run)))
    assert main([*tuning, "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["tuned"] == 3 and document["total"] == 15
    assert document["without_setting"]["bit-xor fpt (gpt2 nano)"] == 3
    assert main(["plan", "tuning", "--tuned"]) == 2
    assert "--tuned needs --out" in capsys.readouterr().err
