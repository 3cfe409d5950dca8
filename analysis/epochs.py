"""How much faster an epoch is with cached features than with the body run at every step (paper table 10).

Seconds of updates per training example, from the curves of single runs. The one pass over the body that fills the cache
is left out, as the paper does ("per epoch after the first"); benchmarks/cached.md has it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.stats import crossed_interval

SHARED = ("task", "task_args", "protocol", "body", "size", "num_layers", "batch_size", "precision", "device")
"""Columns in which two runs must agree for their speeds to be compared; init and learning rate make no difference."""
_NUMBERS = ("ratio", "low", "high", "num_seeds", "cached_rate", "online_rate", "cached_pack", "online_pack")


def rates(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.Series:
    """Training examples per second of each run, by run id: median over its evaluations, which a pause does not move."""
    told = curves[(curves["split"] == "train") & curves["run_id"].isin(runs["run_id"])]
    return told.groupby("run_id")["examples_per_second"].median().dropna()


def cached_speed_ups(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Ratios of speed, cached over online, of runs on the same device.

    Args:
        runs, curves: of the ledger.

    Returns:
        One row for every set of runs that agree in `SHARED` and every train set that ran online: `SHARED`, train_set
        (of the online runs), ratio (geometric mean over seeds), low, high (95 % t interval on the log scale, null for
        one seed), num_seeds, cached_rate, online_rate (geometric means, examples per second), cached_pack, online_pack
        (mean number of runs that were trained together, by which a run's share of a device may be faster).
    """
    rate = rates(runs, curves)
    known = runs[runs["run_id"].isin(rate.index)][["run_id", "seed", "train_set", "features", "pack_size", *SHARED]]
    known = known.assign(log_rate=np.log(known["run_id"].map(rate)), set=_numbered(known))
    # Several inits of a seed are as fast as each other, whatever they learn.
    means = known.groupby(["set", "features", "train_set", "seed"])[["log_rate", "pack_size"]].mean().reset_index()
    is_cached = means["features"] == "cached"
    pairs = means[is_cached].merge(means[~is_cached], on=["set", "seed"], suffixes=("_cached", "_online"))
    firsts = known.drop_duplicates("set").set_index("set")[list(SHARED)]
    rows = []
    for (number, train_set), group in pairs.groupby(["set", "train_set_online"], sort=False):
        logs = crossed_interval(
            group["log_rate_cached"] - group["log_rate_online"],
            seeds=group["seed"].tolist(),
            body_seeds=group["seed"].tolist(),
            of="logarithm of examples per second, cached over online",
        )
        ends = (np.nan if end is None else float(np.exp(end)) for end in (logs.low, logs.high))
        speeds = np.exp(group[["log_rate_cached", "log_rate_online"]].mean())
        packs = group[["pack_size_cached", "pack_size_online"]].mean()
        told = (float(np.exp(logs.estimate)), *ends, group["seed"].nunique(), *speeds, *packs)
        shared = firsts.loc[number].to_dict()
        rows.append({**shared, "train_set": train_set, **dict(zip(_NUMBERS, told, strict=True))})
    return pd.DataFrame(rows, columns=[*SHARED, "train_set", *_NUMBERS])


def _numbered(runs: pd.DataFrame) -> pd.Series:
    return runs.groupby(list(SHARED), dropna=False).ngroup()
