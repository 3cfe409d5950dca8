"""Statistics of every tensor of every body by depth, the inits side by side: what `statistics` copies, and what not."""

from __future__ import annotations

import math

import pandas as pd

from analysis import style
from analysis.body_cards import Bodies
from analysis.body_curves import architecture
from analysis.tensor_kinds import kinds

STATISTICS = {
    "mean": "mean",
    "std": "standard deviation",
    "spectral_norm": "spectral norm",
    "relative_spectral_norm": "relative spectral norm",
}
MOST_LINES = 24
"""Bodies of one architecture that are drawn."""
MOST_SENTENCES = 12
_COLUMNS = [
    *("architecture", "init", "seed", "body_seed", "key", "name", "kind", "group", "shape", "layer"),
    *(*STATISTICS, "num_runs"),
]


def table(bodies: Bodies) -> pd.DataFrame:
    """One row per tensor of every card; `architecture` names bodies whose layers have the same tensors.

    `kind` says in words what the tensor is, the same in every layer; seed is a pretrained body's, body_seed that of
    the example whose tensors the card of a drawn or derived body describes. relative_spectral_norm is the spectral norm
    divided by std * (sqrt(rows) + sqrt(columns)), its limit for independent values (Geman 1980, A limit theorem for the
    norm of random matrices); null for vectors and constants.
    """
    cards = bodies.cards[["key", "init", "body", "seed", "body_seed", "num_runs"]]
    cards = cards.assign(described=architecture(bodies.cards))
    parts, named = [], set()
    joined = bodies.tensors.merge(cards, on="key")
    for _, group in joined.groupby(joined["key"].map(_signatures(joined)), sort=False):
        name = _unique(_describe(group), named)
        parts.append(group.assign(architecture=name, kind=kinds(group)))
    if not parts:
        return pd.DataFrame(columns=_COLUMNS)
    tensors = pd.concat(parts, ignore_index=True)
    independent = tensors["std"] * tensors["shape"].map(_stretch)
    tensors["relative_spectral_norm"] = tensors["spectral_norm"] / independent.where(independent > 0)
    return tensors[_COLUMNS]


def architectures(tensors: pd.DataFrame) -> list[str]:
    """The distinct architectures, the most used one first."""
    per_body = tensors.drop_duplicates("key").groupby("architecture")["num_runs"].agg(["sum", "size"])
    return sorted(per_body.index, key=lambda name: (*(-per_body.loc[name]), name))


def drawn(tensors: pd.DataFrame) -> pd.DataFrame:
    """The rows of the bodies that are drawn: of every init the most used, then the second of each, and so on."""
    bodies = tensors.drop_duplicates("key").sort_values(["num_runs", "key"], ascending=[False, True])
    bodies = bodies.assign(rank=bodies.groupby("init").cumcount()).sort_values("rank", kind="stable")
    return tensors[tensors["key"].isin(bodies["key"].head(MOST_LINES))]


def matrices(tensors: pd.DataFrame) -> pd.DataFrame:
    """Matrices inside the layers."""
    return tensors[tensors["layer"].notna() & tensors["spectral_norm"].notna()]


def norms(tensors: pd.DataFrame) -> pd.DataFrame:
    """Weights, then biases, of the layer norms inside the layers."""
    rows = tensors[tensors["layer"].notna() & (tensors["group"] == "layernorm")]
    is_bias = rows["name"].str.endswith("bias")
    return pd.concat([rows[~is_bias], rows[is_bias]])


def numbers(tensors: pd.DataFrame, inits: list[str]) -> list[list[str | None]]:
    """Rows of a table: kind, statistic, and for each init the mean over layers with the range over them."""
    ranges = tensors.groupby(["kind", "init"], sort=False)[list(STATISTICS)].agg(["min", "mean", "max"])
    rows = []
    for kind in tensors["kind"].unique():
        of_kind = ranges.loc[kind].reindex(inits)
        for statistic, words in STATISTICS.items():
            cells = [_range(*values) for values in of_kind[statistic].itertuples(index=False, name=None)]
            if any(cells):
                rows.append([kind, words, *cells])
    return rows


def compared(bodies: Bodies, tensors: pd.DataFrame) -> list[str]:
    """One sentence for each body that was derived from another: what its matrices have in common with that one's."""
    sentences = []
    described = tensors.drop_duplicates("key").set_index("key")
    by_key = dict(iter(matrices(tensors).groupby("key")))
    for card in bodies.cards.dropna(subset=["source_key"]).itertuples():
        if card.key in by_key and card.source_key in by_key:
            pairs = by_key[card.key].merge(by_key[card.source_key], on=["name", "shape"], suffixes=("", "_source"))
            pairs = pairs[(pairs["std_source"] > 0) & (pairs["spectral_norm_source"] > 0)]
            pairs = pairs.dropna(subset=["mean", "std", "mean_source"])
            if len(pairs):
                sentences.append(_sentence(card.init, described.loc[card.source_key], pairs))
    return sentences[:MOST_SENTENCES]


def _sentence(init: str, source: pd.Series, pairs: pd.DataFrame) -> str:
    spread = (pairs["std"] / pairs["std_source"] - 1).abs().max()
    shift = ((pairs["mean"] - pairs["mean_source"]).abs() / pairs["std_source"]).max()
    ratio = pairs["spectral_norm"] / pairs["spectral_norm_source"]
    return (
        f"{source['architecture']}: {init} has the standard deviation of each of {len(pairs)} matrices of "
        f"{source['init']} {_close(spread)}, its mean {_close(shift)} of that; its spectral norms are "
        f"{ratio.median():.2g} times those of {source['init']} in the median ({ratio.min():.2g} to {ratio.max():.2g})."
    )


def _close(share: float) -> str:
    return "to within 0.1 %" if share < 0.001 else f"to within {style.percent(share)}"


def _stretch(shape: str) -> float | None:
    """sqrt(rows) + sqrt(columns) of a matrix."""
    sizes = shape.split("x")
    return sum(math.sqrt(float(size)) for size in sizes) if len(sizes) == 2 else None


def _signatures(tensors: pd.DataFrame) -> dict[str, int]:
    """By key a number that bodies with the same tensors in the same layers share."""
    inside = tensors[tensors["layer"].notna()]
    lists = {key: frozenset(zip(group["name"], group["shape"], strict=True)) for key, group in inside.groupby("key")}
    numbers: dict[object, int] = {}
    return {
        key: numbers.setdefault((body, lists.get(key)), len(numbers))
        for key, body in tensors.drop_duplicates("key")[["key", "body"]].itertuples(index=False)
    }


def _describe(tensors: pd.DataFrame) -> str:
    """The shortest description among the bodies, but one with a size before one without."""
    names = tensors.loc[tensors["described"] != tensors["body"], "described"]
    return str((names if len(names) else tensors["described"]).min())


def _unique(name: str, taken: set[str]) -> str:
    number = 1 + sum(other == name or other.startswith(f"{name} (") for other in taken)
    unique = f"{name} ({number})" if number > 1 else name
    taken.add(unique)
    return unique


def _range(low: float, mean: float, high: float) -> str | None:
    if pd.isna(mean):
        return None
    least, middle, largest = (f"{value:.3g}".replace("-", "−") for value in (low, mean, high))
    return middle if least == largest else f"{middle} ({least} to {largest})"
