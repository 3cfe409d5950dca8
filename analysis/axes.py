"""Scaling ladders in a ledger: runs that differ in one thing, in what follows from it, and in their seeds.

Ladders are found by the columns of the runs, whatever grid made them: a grid of one's own gets its figures too.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.chains import longest_chain
from analysis.ladder_frames import ladders
from analysis.ladders import Ladder
from analysis.settings import shown
from models import sizes
from study.errors import UserError
from study.spec import RunSpec

Y = "test_error"
_SEEDS = ("seed", "body_seed")
_FIELDS = tuple(field.name for field in dataclasses.fields(RunSpec) if field.name not in _SEEDS)
_HELD = ("depth", "width", "trunk")


@dataclass(frozen=True)
class Axis:
    """One thing that the rungs of a ladder differ in.

    Attributes:
        name: in file names and tables.
        title: heading.
        x: column that is drawn and fitted.
        x_title: its axis title with the unit.
        varied: columns of the specification that may differ between rungs, besides the learning rate.
        rung: columns that tell rungs apart.
        held: further columns that must not differ: of `with_shapes`.
        min_rungs: rungs from which on it is a ladder; fewer are a comparison.
    """

    name: str
    title: str
    x: str
    x_title: str
    varied: tuple[str, ...]
    rung: tuple[str, ...]
    held: tuple[str, ...] = ()
    min_rungs: int = 3


# The earlier ones name a setting where several columns would.
_FIRST = ("tuning", "body", "size", "num_layers", "depth", "width", "num_steps", "num_train_examples", "lr")
_NAMED_FIRST = {name: i for i, name in enumerate(dict.fromkeys((*_FIRST, *_FIELDS, *_HELD)))}

_STEPS = ("num_steps", "eval_every_steps", "warmup_steps")
AXES = (
    Axis("size", "Size of the body", "num_params_total", "parameters of the whole model", ("size",), ("size",)),
    Axis("depth", "Depth at fixed width", "depth", "layers", ("size", "num_layers"), ("depth",), ("width", "trunk"),
         min_rungs=4),
    Axis("width", "Width at fixed depth", "width", "width (values per token)", ("size", "num_layers"), ("width",),
         ("depth",), min_rungs=4),
    Axis("trained", "Trained parameters", "num_params_trained", "trained parameters", ("train_set",), ("train_set",),
         min_rungs=4),
    Axis("data", "Training examples", "num_train_examples", "training examples", ("num_train_examples",),
         ("num_train_examples",)),
    Axis("compute", "Training compute", "train_flops", "training operations (FLOP)", _STEPS, ("num_steps",)),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Series:
    """One variant's runs along an axis.

    Attributes:
        axis: what the rungs differ in.
        task, protocol, init: of the runs.
        train_set: of the runs; "" where that is the axis.
        setting: what else tells this series from others of the same axis and task; "" where nothing does.
        runs: rows of the ledger, with the axis' column.
        ladder: done runs as the fits need them; None where there are none.
        problem: why there is no ladder; None where there is one.
    """

    axis: Axis
    task: str
    protocol: str
    init: str
    train_set: str
    setting: str
    runs: pd.DataFrame
    ladder: Ladder | None
    problem: str | None

    @property
    def of(self) -> str:
        """The series in words, inside its panel."""
        return self.init


def find(runs: pd.DataFrame) -> list[Series]:
    """Every ladder of a ledger, axis by axis, in the order of tasks and variants.

    Args:
        runs: rows of the ledger, of any status.
    """
    shaped = with_shapes(runs).reset_index(drop=True)
    columns = (*_FIELDS, *(name for name in ("tuning", *_HELD) if name in shaped))
    codes = pd.DataFrame({name: pd.factorize(shaped[name], use_na_sentinel=False)[0] for name in columns})
    return [series for axis in AXES for series in _along(axis, shaped, codes)]


def with_shapes(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with depth (layers that are used), width, and trunk: the body of which those are the first layers.

    Depth and width are null for a checkpoint of the user's own, and for a size that this version does not know; trunk
    is "" where a body is used whole and nowhere in part.
    """
    known = runs["size"].notna()
    pairs = runs.loc[known, ["body", "size"]].drop_duplicates()
    shapes = {pair: _shape(*pair) for pair in pairs.itertuples(index=False, name=None)}
    of = [shapes.get(pair) for pair in zip(runs["body"], runs["size"], strict=True)]
    depth = runs["num_layers"].astype(float).fillna(pd.Series([s and s.num_layers for s in of], runs.index, float))
    cut = set(runs.loc[known & runs["num_layers"].notna(), ["body", "size"]].itertuples(index=False, name=None))
    trunk = [str(pair[1]) if pair in cut else "" for pair in zip(runs["body"], runs["size"], strict=True)]
    width = pd.Series([s and s.width for s in of], runs.index, float)
    return runs.assign(depth=depth.where(known), width=width, trunk=trunk)


def _shape(body: str, size: str) -> sizes.Shape | None:
    try:
        return sizes.shape(body, size)
    except ValueError:
        return None


def _along(axis: Axis, runs: pd.DataFrame, codes: pd.DataFrame) -> Iterator[Series]:
    usable = runs[list(axis.rung)].notna().all(axis=1)
    if axis.held:
        usable &= runs["size"].notna()
    key = [name for name in (*_FIELDS, "tuning") if name in codes and name not in (*axis.varied, "lr")]
    key += axis.held
    if axis.name == "size":
        usable &= runs["num_layers"].isna()
        usable = _in_chains(runs, codes, usable, [name for name in key if name != "init"])
    own = codes[usable]
    groups = [part for rows in _ladder_rows(own, key, axis) for part in _one_rate(own.loc[rows], axis)]
    names = _settings(runs, groups, [*key, "lr"])
    made = [_series(axis, _one_body(runs.loc[rows], axis), name) for rows, name in zip(groups, names, strict=True)]
    yield from sorted(made, key=lambda one: (one.task, one.protocol, one.train_set, one.setting, one.init))


def _ladder_rows(codes: pd.DataFrame, key: Sequence[str], axis: Axis) -> list[pd.Index]:
    """The rows of every group of equal `key` that has rungs enough."""
    group = _numbered(codes, key)
    pairs = pd.DataFrame({"group": group, "rung": _numbered(codes, axis.rung)}).drop_duplicates()
    num_rungs = pairs.groupby("group").size()
    enough = set(num_rungs.index[num_rungs >= axis.min_rungs])
    return [rows for number, rows in codes.groupby(group).groups.items() if number in enough]


def _numbered(codes: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """[n] one number for each combination of values."""
    number = np.zeros(len(codes), dtype=np.int64)
    for name in columns:
        values = codes[name].to_numpy()
        number = np.unique(number * (values.max(initial=0) + 1) + values, return_inverse=True)[1]
    return number


def _one_rate(codes: pd.DataFrame, axis: Axis) -> list[pd.Index]:
    """One ladder where each rung has one learning rate, by whatever rule; else one for each rate of the sweep."""
    if len(codes[[*axis.rung, "lr"]].drop_duplicates()) == len(codes[list(axis.rung)].drop_duplicates()):
        return [codes.index]
    parts = [rows for _, rows in codes.groupby("lr")]
    return [rows.index for rows in parts if len(rows[list(axis.rung)].drop_duplicates()) >= axis.min_rungs]


def _one_body(rows: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Of several bodies of one depth and width (all layers of base, and its first 12) that with the most runs."""
    if not axis.held:
        return rows
    count = rows.groupby([*axis.rung, *axis.varied], dropna=False)["run_id"].transform("size")
    order = rows.assign(count=-count, is_part=rows["num_layers"].notna()).sort_values(["count", "is_part", "size"])
    chosen = order.drop_duplicates(axis.rung[0]).set_index(axis.rung[0])[list(axis.varied)]
    wanted = chosen.reindex(rows[axis.rung[0]]).set_index(rows.index)
    same = [(rows[name] == wanted[name]) | (rows[name].isna() & wanted[name].isna()) for name in axis.varied]
    return rows[np.logical_and.reduce(same)]


def _in_chains(runs: pd.DataFrame, codes: pd.DataFrame, usable: pd.Series, key: Sequence[str]) -> pd.Series:
    """Of each panel's sizes those that grow in depth and width, none being deeper and narrower than another."""
    kept = pd.Series(False, index=runs.index)
    axis = next(axis for axis in AXES if axis.name == "size")
    for rows in _ladder_rows(codes[usable & runs["width"].notna()], key, axis):
        shapes = list(runs.loc[rows, ["depth", "width"]].astype(int).itertuples(index=False, name=None))
        count = Counter(shapes)
        chain = longest_chain(list(count), list(count.values()))
        kept.loc[rows] = [shape in chain for shape in shapes]
    return kept


def _settings(runs: pd.DataFrame, groups: Sequence[pd.Index], key: Sequence[str]) -> list[str]:
    """What tells each group from others of the same task, protocol, init and train set, in the fewest columns."""
    if not groups:
        return []
    same = [name for name in ("task", "protocol", "init", "train_set") if name in key]
    firsts = runs.loc[[rows[0] for rows in groups]].reset_index(drop=True)
    texts = pd.Series("", index=firsts.index)
    for _, cell in firsts.groupby(same):
        own = texts[cell.index]
        for name in sorted((name for name in key if name not in same), key=_NAMED_FIRST.__getitem__):
            if own.nunique() == len(own):
                break
            if cell[name].map(str).nunique() > 1:
                own = own.where(own == "", own + ", ") + name + " " + cell[name].map(shown)
        texts[cell.index] = own
    return texts.tolist()


def _series(axis: Axis, rows: pd.DataFrame, setting: str) -> Series:
    first = rows.iloc[0]
    ladder, problem = None, None
    try:
        found = ladders(rows, x=axis.x, y=Y, by=_by(axis), rung=axis.rung)
        (ladder,) = found.values()
    except UserError as error:
        problem = str(error)
    train_set = "" if "train_set" in axis.varied else str(first["train_set"])
    return Series(axis, str(first["task"]), str(first["protocol"]), str(first["init"]), train_set, setting, rows,
                  ladder, problem)  # fmt: skip


def _by(axis: Axis) -> list[str]:
    return ["init"] if "train_set" in axis.varied else ["init", "train_set"]
