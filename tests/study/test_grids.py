"""Grids are pinned run by run; a user's own file is as good as ours, and its mistakes are told with their line."""

import json
import re
import runpy
from collections import Counter
from pathlib import Path

import pytest

from models import BODIES
from study.errors import UserError
from study.grids import GRIDS, load_grid
from study.grids.quickstart import CONTROLS, LR, PRETRAINED
from tasks import TASKS

GOLDEN = Path(__file__).parents[1] / "golden"
MADE = runpy.run_path(str(GOLDEN / "regenerate.py"))
UNIONS = MADE["UNIONS"]
REGENERATE = "python tests/golden/regenerate.py"
MINE = """
from study.spec import RunSpec

def mine():
    common = {"size": "nano", "init": "random", "num_steps": 2, "eval_every_steps": 1}
    return [RunSpec(task="digits", seed=s, **common) for s in range(2)]
"""


def changes(pinned: dict[str, dict], now: dict[str, dict]) -> str:
    """What differs, in words: fields that changed where runs correspond, else runs that came and went."""
    if len(pinned) != len(now):
        gone, came = set(pinned) - set(now), set(now) - set(pinned)
        return f"{len(gone)} runs gone ({sorted(gone)[:5]}), {len(came)} new ({sorted(came)[:5]})"
    fields = Counter(
        f"{name}: {old[name]} -> {new.get(name)}"
        for old, new in zip(pinned.values(), now.values(), strict=True)
        for name in old
        if old[name] != new.get(name)
    )
    return "; ".join(f"{change} in {count} runs" for change, count in fields.most_common(10)) or "run ids only"


@pytest.mark.parametrize("grid", sorted(GRIDS.keys() - UNIONS))
def test_every_run_is_as_pinned(grid: str) -> None:
    pinned = MADE["read_grid"](grid)
    now = {run.run_id: json.loads(run.to_json()) for run in load_grid(grid)}
    assert now == pinned, f"{grid} changed: {changes(pinned, now)}. If that is meant: {REGENERATE}"


def test_no_golden_file_without_its_grid() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(GRIDS) - set(UNIONS)


def test_unions_are_the_grids_that_are_pinned() -> None:
    scales = {"paper": "", "paper-small": "-small"}
    for union, end in scales.items():
        parts = [name for name in GRIDS if re.fullmatch(rf"(table-\d+|attention){end}", name)]
        assert ids(union) == set().union(*map(ids, parts)) and len(parts) == 21
    for end in scales.values():
        parts = [name for name in GRIDS if re.fullmatch(rf"scaling-(size|depth|width|trained|data|compute){end}", name)]
        assert ids(f"scaling{end}") == set().union(*map(ids, parts)) and len(parts) == 6
    assert ids("all") == set().union(*map(ids, ("paper", "paper-small", "critique", "critique-small")))


def ids(grid: str) -> set[str]:
    return {run.run_id for run in load_grid(grid)}


def test_a_changed_grid_is_told_in_words() -> None:
    pinned = {"a": {"lr": 1, "seed": 0}, "b": {"lr": 1, "seed": 1}}
    assert changes(pinned, {"c": {"lr": 2, "seed": 0}, "d": {"lr": 2, "seed": 1}}) == "lr: 1 -> 2 in 2 runs"
    assert changes(pinned, {"a": pinned["a"]}).startswith("1 runs gone (['b'])")


def test_columns_are_documented() -> None:
    assert MADE["COLUMNS"].read_text() == MADE["columns_text"](), f"docs/columns.md is out of date: {REGENERATE}"


def test_smoke_covers_every_task_and_body() -> None:
    runs = load_grid("smoke")
    assert {run.task for run in runs} == set(TASKS) and {run.body for run in runs} == set(BODIES)


def test_quickstart_is_a_full_cross_and_two_controls() -> None:
    runs = load_grid("quickstart")
    cells = Counter((run.task, run.init, run.train_set) for run in runs)
    assert len(cells) == 4 * (len((*PRETRAINED, "random")) * len(LR) + len(CONTROLS)) and set(cells.values()) == {3}
    assert all(run.train_set == "fpt" for run in runs if run.init in CONTROLS)
    assert all(run.body_seed == (0 if run.init in PRETRAINED else run.seed) for run in runs)


def test_a_grid_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    assert [run.seed for run in load_grid(f"{file}:mine")] == [0, 1]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (MINE, "mien", "did you mean mine"),
        (MINE.replace("digits", "digit"), "mine", "mine.py:6: UserError: unknown task 'digit'; did you mean digits"),
        (MINE.replace("task=", "taks="), "mine", "mine.py:6: TypeError"),
        (MINE.replace("def mine():", "def mine(:"), "mine", "mine.py:4: SyntaxError"),
        (MINE.replace("range(2)", "range(0)"), "mine", "holds no run"),
        (MINE.replace("seed=s", "seed=0"), "mine", "twice"),
        ("import nothing_of_that_name", "mine", "mine.py:1: ModuleNotFoundError"),
        ("def mine():\n    return [1]", "mine", "must return RunSpecs, not 1"),
        ("def mine():\n    return None", "mine", "must return RunSpecs, not None"),
    ],
)
def test_mistakes_in_ones_own_grid(tmp_path: Path, text: str, name: str, words: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UserError) as refusal:
        load_grid(f"{file}:{name}")
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_grid_of_ones_own_may_hold_dataclasses(tmp_path: Path) -> None:
    """They look their module up by its name."""
    imports = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    (tmp_path / "axes.py").write_text(imports + "@dataclass\nclass Axis:\n    name: str\n" + MINE)
    assert len(load_grid(f"{tmp_path}/axes.py:mine")) == 2


def test_unknown_grids_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean quickstart"):
        load_grid("quikstart")
    with pytest.raises(UserError, match="no grid file"):
        load_grid("nowhere.py:mine")
