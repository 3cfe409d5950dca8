"""How often are verdicts on claims wrong where nothing is there, and what can a few seeds decide?

    python benchmarks/claims.py --scenario "3 seeds" --studies 250 --first 0 --out results.csv
    python benchmarks/claims.py --table results.csv --write benchmarks/claims.md

A study is one ledger with every run that the claims ask for, on the paper's seven tasks. In a null study every effect
lies exactly at a bound of its claim, where `supported` and `contradicted` are wrong with the largest probability.
Counted is the share of studies with any wrong verdict within a family of claims, whose stated limit is 5 %. In the
others every effect lies inside its bound by so many points; counted is the share of claims that are decided.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from claim_nulls import Truth, null_study
from claim_studies import Values

from analysis import claims
from analysis.claims import Verdict


def normal(generator: np.random.Generator, number: int) -> Values:
    return generator.normal(size=number)


def skewed(generator: np.random.Generator, number: int) -> Values:
    """Exponential, so that most runs are a little above the mean and some far below."""
    return 1 - generator.exponential(size=number)


def failing(generator: np.random.Generator, number: int) -> Values:
    """One run in five fails: two values, as of tasks that are either learned or not."""
    return np.where(generator.random(number) < 0.2, -2.0, 0.5)


NULL = Truth(noise=normal)
SCENARIOS = {
    "3 seeds": NULL,
    "5 seeds": replace(NULL, num_seeds=5),
    "3 seeds x 3 body seeds": replace(NULL, num_body_seeds=3, body_spread=0.01),
    "3 seeds, skewed": replace(NULL, noise=skewed),
    "3 seeds, one in five fails": replace(NULL, noise=failing),
    **{
        f"{seeds} seeds, {points:g} points inside": replace(NULL, num_seeds=seeds, shift=points / 100)
        for seeds in (3, 5, 10)
        for points in (1, 3)
    },
}


def simulate(name: str, first: int, number: int) -> pd.DataFrame:
    """One row per study and claim: scenario, study, family, claim, verdict, alone (before correction), seconds."""
    rows = []
    truth = SCENARIOS[name]
    for i in range(first, first + number):
        study = null_study(truth, np.random.default_rng([2026, i]))
        frames = study.frames()
        start = time.perf_counter()
        results = claims.evaluate(frames, attention=study.masses())
        seconds = time.perf_counter() - start
        rows += [
            {
                "scenario": name,
                "study": i,
                "family": str(result.claim.family),
                "claim": result.claim.id,
                "verdict": str(result.verdict),
                "needed": result.num_seeds_needed,
                "seconds": seconds,
            }
            for result in results
        ]
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=SCENARIOS)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first study, for chunks")
    parser.add_argument("--out", type=Path, help="CSV that rows are added to")
    args = parser.parse_args()
    rows = simulate(args.scenario, args.first, args.studies)
    print(rows.groupby(["claim", "verdict"], sort=False).size().unstack(fill_value=0))
    wrong = rows[rows["verdict"].isin([Verdict.SUPPORTED, Verdict.CONTRADICTED])]
    print(wrong.groupby("family")["study"].nunique() / args.studies, rows["seconds"].median())
    if args.out:
        rows.to_csv(args.out, mode="a", header=not args.out.exists(), index=False)


if __name__ == "__main__":
    main()
