"""How often are verdicts on claims wrong where nothing is there, and what can a few seeds decide?

    python benchmarks/claims.py --kind lines --studies 1000 --out lines.csv
    python benchmarks/claims.py --kind ledgers --studies 100 --out ledgers.csv --minutes 5   # again to go on
    python benchmarks/claims.py --read lines.csv ledgers.csv --write benchmarks/claims.md

In a null study every effect lies exactly at a bound of its claim, where `supported` and `contradicted` are both wrong,
and most likely to be given. Counted is the share of studies with any wrong verdict within a family of claims, whose
stated limit is 5 %. In the other studies every effect lies inside its bound by so many points; counted is the share of
claims that are supported. A study is either the lines of all claims (a millisecond per line) or a whole ledger with the
runs that the claims ask for, on four tasks, from which settings are chosen, pairs made, and floors looked at.
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
from claim_nulls import Edge, Truth, lines_of_claims, null_study
from claim_studies import Values
from scipy import stats

from analysis import claims
from analysis.claims import Family, Verdict
from analysis.claims.judgement import judge


def normal(generator: np.random.Generator, number: int) -> Values:
    return generator.normal(size=number)


def skewed(generator: np.random.Generator, number: int) -> Values:
    """Exponential, so that most runs are a little above the mean and some far below."""
    return 1 - generator.exponential(size=number)


def failing(generator: np.random.Generator, number: int) -> Values:
    """One run in five fails: two values, as of tasks that are either learned or not."""
    return np.where(generator.random(number) < 0.2, -2.0, 0.5)


LINES, LEDGERS = "lines", "ledgers"
WRONG = {
    Edge.NONE: [Verdict.SUPPORTED, Verdict.CONTRADICTED],
    Edge.INSIDE: [Verdict.SUPPORTED],
    Edge.OUTSIDE: [Verdict.CONTRADICTED],
}
"""Verdicts that are wrong in null studies."""
# In a ledger they share rows with a claim whose effect lies at its bound, which is inside their own.
TRUE_IN_NULL = ("speed-up-is-1-to-4", "fpt-not-worse-than-full")
NULL = Truth(noise=normal)
SCENARIOS = {
    "3 seeds": NULL,
    **{f"3 seeds, {edge}": replace(NULL, edge=edge) for edge in (Edge.INSIDE, Edge.OUTSIDE)},
    "3 seeds x 3 body seeds": replace(NULL, num_body_seeds=3, body_spread=0.01),
    "3 seeds, skewed": replace(NULL, noise=skewed),
    "3 seeds, one in five fails": replace(NULL, noise=failing),
    "3 seeds, one in five fails, hardest for supported": replace(NULL, noise=failing, edge=Edge.INSIDE),
    **{f"5 seeds, {edge}": replace(NULL, num_seeds=5, edge=edge) for edge in (Edge.INSIDE, Edge.OUTSIDE)},
    **{
        f"{seeds} seeds, {points:g} points inside": replace(NULL, num_seeds=seeds, shift=points / 100)
        for seeds in (3, 5, 10)
        for points in (1, 3, 10)
    },
}


def simulate(name: str, kind: str, number: int) -> list[dict[str, object]]:
    """One study: a row per claim with kind, scenario, study, family, claim and verdict."""
    generator = np.random.default_rng([2026, number])
    if kind == LEDGERS:
        study = null_study(SCENARIOS[name], generator)
        results = claims.evaluate(study.frames(), attention=study.masses())
    else:
        made = lines_of_claims(SCENARIOS[name], generator)
        families = [[(claim, None, lines) for claim, lines in made if claim.family is family] for family in Family]
        results = [result for family in families for result in judge(family)]
    return [
        {
            "kind": kind,
            "scenario": name,
            "study": number,
            "family": str(result.claim.family),
            "claim": result.claim.id,
            "verdict": str(result.verdict),
        }
        for result in results
    ]


def measure(names: list[str], kind: str, out: Path, num_studies: int, minutes: float) -> None:
    """Add studies to a file, those that it lacks, until the time is over."""
    known = pd.read_csv(out)[["kind", "scenario", "study"]].drop_duplicates() if out.exists() else pd.DataFrame()
    done = set(known.itertuples(index=False, name=None))
    end = time.monotonic() + 60 * minutes
    for name in names:
        if kind == LEDGERS and SCENARIOS[name].edge is not Edge.NONE:
            continue
        rows: list[dict[str, object]] = []
        for number in range(num_studies):
            if (kind, name, number) not in done and time.monotonic() < end:
                rows += simulate(name, kind, number)
        if rows:
            pd.DataFrame(rows).to_csv(out, mode="a", header=not out.exists(), index=False)


def errors(studies: pd.DataFrame) -> pd.DataFrame:
    """Share of null studies with a wrong verdict, by scenario and family, with its Wilson interval."""
    rows = []
    for (kind, name, family), group in studies.groupby(["kind", "scenario", "family"], sort=False):
        if SCENARIOS[name].shift == 0:
            is_true = group["claim"].isin(TRUE_IN_NULL) & (kind == LEDGERS)
            told = group["verdict"].isin(WRONG[SCENARIOS[name].edge]) & ~is_true
            number, wrong = group["study"].nunique(), int(told.groupby(group["study"]).any().sum())
            low, high = stats.binomtest(wrong, number).proportion_ci(method="wilson")
            interval = f"{low:.1%} to {high:.1%}"
            rows.append([name, kind, family, number, f"{wrong / number:.1%}", interval])
    columns = ["null studies", "made as", "family", "studies", "any wrong verdict", "95 % interval"]
    return pd.DataFrame(rows, columns=columns)


def power(studies: pd.DataFrame) -> pd.DataFrame:
    """Share of claims that are supported where they are right, by claim and scenario."""
    right = studies[studies["scenario"].map(lambda name: SCENARIOS[name].shift > 0)]
    right = right[right["kind"] == LINES]
    share = (right["verdict"] == Verdict.SUPPORTED).groupby([right["claim"], right["scenario"]], sort=False).mean()
    return share.unstack("scenario").map("{:.0%}".format).reset_index()


def markdown(frame: pd.DataFrame) -> str:
    lines = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def document(studies: pd.DataFrame) -> str:
    packages = ", ".join(f"{package.__name__} {package.__version__}" for package in (np, scipy, pd))
    versions = f"Python {platform.python_version()}, {packages}"
    return PAGE.format(
        date=datetime.date.today().isoformat(),
        versions=versions,
        command=f"python {shlex.join(sys.argv)}",
        errors=markdown(errors(studies)),
        power=markdown(power(studies)),
    )


PAGE = """# Verdicts on claims: errors and power

{date}; {versions}; `{command}`.

## Wrong verdicts where every effect lies at its bound

Share of null studies with any wrong verdict in a family of claims; the stated limit is 5 %. *Hardest for supported*:
one task too few lies far inside the bounds and all others at a bound, so that one test gone astray makes a wrong
`supported`; *hardest for contradicted* the other way round. In all other null studies every task lies at a bound and
both verdicts are wrong. `lines`: the effects of all claims, on seven tasks; `ledgers`: whole ledgers on four.

{errors}

`one in five fails`: runs are either learned or not, as Bit XOR's are in some studies. No rule that sees three seeds can
know of a failure that none of them shows; the t tests behind the verdicts assume that runs scatter about a mean.

## What a few seeds can decide

Share of studies in which a claim is `supported`, where every effect lies inside its bound by 1, 3 or 10 points (ratios
by a factor of 1.1, 1.35 or 2.7; of claims that bound both sides in the middle at most). Runs of one cell scatter with a
standard deviation of 1.0 point, and as much again is common to all runs with the same seed, which pairing removes.

{power}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--kind", choices=[LINES, LEDGERS], default=LINES)
    parser.add_argument("--studies", type=int, default=0, help="of each scenario")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--out", type=Path, help="CSV that studies are added to")
    parser.add_argument("--read", type=Path, nargs="*", default=(), help="CSVs to make tables of")
    parser.add_argument("--write", type=Path, help="where the tables go")
    args = parser.parse_args()
    if args.out:
        measure([name for name in SCENARIOS if args.only in name], args.kind, args.out, args.studies, args.minutes)
    files = [*args.read, *([args.out] if args.out else [])]
    text = document(pd.concat([pd.read_csv(file) for file in files], ignore_index=True))
    print(text)
    if args.write:
        args.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
