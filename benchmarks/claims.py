"""How often are verdicts on claims wrong where nothing is there, and what can a few seeds decide?

    python benchmarks/claims.py --studies 1000 --out studies.csv --minutes 5    # as far as it gets; again to go on
    python benchmarks/claims.py --only "3 seeds" --out studies.csv              # scenarios whose name contains the text
    python benchmarks/claims.py --out studies.csv --write benchmarks/claims.md  # the tables of what is there

A study is one ledger with every run that the claims ask for, on four tasks. In a null study every effect lies exactly
at a bound of its claim, where `supported` and `contradicted` are both wrong, and most likely to be given. Counted is
the share of studies with any wrong verdict within a family of claims, whose stated limit is 5 %. In the other studies
every effect lies inside its bound by so many points; counted is the share of claims that are supported.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from claim_nulls import Truth, null_study
from claim_studies import Values
from scipy import stats

from analysis import claims
from analysis.claims import Verdict
from analysis.claims.judgement import ALPHA


def normal(generator: np.random.Generator, number: int) -> Values:
    return generator.normal(size=number)


def skewed(generator: np.random.Generator, number: int) -> Values:
    """Exponential, so that most runs are a little above the mean and some far below."""
    return 1 - generator.exponential(size=number)


def failing(generator: np.random.Generator, number: int) -> Values:
    """One run in five fails: two values, as of tasks that are either learned or not."""
    return np.where(generator.random(number) < 0.2, -2.0, 0.5)


MOST_POWER_STUDIES = 40
# They share rows with a claim whose effect lies at its bound, which is inside their own.
TRUE_IN_NULL = ("speed-up-is-1-to-4", "fpt-not-worse-than-full")
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


def simulate(name: str, number: int) -> list[dict[str, object]]:
    """One study: a row per claim with scenario, study, family, claim, verdict, alone (if it were the only one)."""
    study = null_study(SCENARIOS[name], np.random.default_rng([2026, number]))
    results = claims.evaluate(study.frames(), attention=study.masses())
    return [
        {
            "scenario": name,
            "study": number,
            "family": str(result.claim.family),
            "claim": result.claim.id,
            "verdict": str(result.verdict),
            "is_decided_alone": result.p_adjusted is not None and result.p_adjusted <= ALPHA * result.num_claims,
        }
        for result in results
    ]


def measure(names: list[str], out: Path, num_studies: int, minutes: float) -> None:
    """Add studies to a file, those that it lacks, until the time is over."""
    known = pd.read_csv(out)[["scenario", "study"]].drop_duplicates() if out.exists() else pd.DataFrame()
    done = set(known.itertuples(index=False, name=None))
    end = time.monotonic() + 60 * minutes
    for name in names:
        wanted = num_studies if SCENARIOS[name].shift == 0 else min(num_studies, MOST_POWER_STUDIES)
        for number in range(wanted):
            if time.monotonic() > end:
                return
            if (name, number) not in done:
                rows = pd.DataFrame(simulate(name, number))
                rows.to_csv(out, mode="a", header=not out.exists(), index=False)


def errors(studies: pd.DataFrame) -> pd.DataFrame:
    """Share of null studies with a wrong verdict, by scenario and family, with its Wilson interval."""
    rows = []
    for (name, family), group in studies.groupby(["scenario", "family"], sort=False):
        if SCENARIOS[name].shift == 0:
            is_true = group["claim"].isin(TRUE_IN_NULL)
            told = group["verdict"].isin([Verdict.SUPPORTED, Verdict.CONTRADICTED]) & ~is_true
            number, wrong = group["study"].nunique(), int(told.groupby(group["study"]).any().sum())
            alone = (group["is_decided_alone"] & ~is_true).groupby(group["study"]).any().mean()
            low, high = stats.binomtest(wrong, number).proportion_ci(method="wilson")
            interval = f"{low:.1%} to {high:.1%}"
            rows.append([name, family, number, f"{wrong / number:.1%}", interval, f"{alone:.0%}"])
    columns = ["null studies", "family", "studies", "any wrong verdict", "95 % interval", "uncorrected"]
    return pd.DataFrame(rows, columns=columns)


def power(studies: pd.DataFrame) -> pd.DataFrame:
    """Share of claims that are supported where they are right, by claim and scenario."""
    right = studies[studies["scenario"].map(lambda name: SCENARIOS[name].shift > 0)]
    share = (right["verdict"] == Verdict.SUPPORTED).groupby([right["claim"], right["scenario"]], sort=False).mean()
    return share.unstack("scenario").map("{:.0%}".format).reset_index()


def markdown(frame: pd.DataFrame) -> str:
    lines = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def document(studies: pd.DataFrame) -> str:
    packages = ", ".join(f"{package.__name__} {package.__version__}" for package in (np, scipy, pd))
    versions = f"Python {platform.python_version()}, {packages}"
    counted = studies.groupby("scenario", sort=False)["study"].nunique()
    return PAGE.format(
        date=datetime.date.today().isoformat(),
        versions=versions,
        command=f"python {shlex.join(sys.argv)}",
        errors=markdown(errors(studies)),
        power=markdown(power(studies)),
        counted=", ".join(f"{name}: {number}" for name, number in counted.items()),
    )


PAGE = """# Verdicts on claims: errors and power

{date}; {versions}; `{command}`, after as many runs with `--minutes`. Studies: {counted}.

## Wrong verdicts where every effect lies at its bound

Share of null studies with any wrong `supported` or `contradicted` in a family of claims; the stated limit is 5 %. The
last column is what the same p-values would give if every claim were judged as if it were the only one.

{errors}

`one in five fails`: runs are either learned or not, as Bit XOR's are in some studies. No rule that sees three seeds can
know of a failure that none of them shows; the t tests behind the verdicts assume that runs scatter about a mean.

## What a few seeds can decide

Share of studies in which a claim is `supported`, where every effect lies inside its bound by one or three points
(ratios by a factor of 1.1 and 1.35). Runs of one cell scatter with a standard deviation of 1.0 point, and as much again
is common to all runs with the same seed, which pairing removes.

{power}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--studies", type=int, default=0, help="of each null scenario")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--out", type=Path, required=True, help="CSV with a row per study and claim")
    parser.add_argument("--write", type=Path, help="where the tables go")
    args = parser.parse_args()
    measure([name for name in SCENARIOS if args.only in name], args.out, args.studies, args.minutes)
    text = document(pd.read_csv(args.out))
    print(text)
    if args.write:
        args.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
