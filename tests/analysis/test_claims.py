"""Every claim on rows with known answers."""

from pathlib import Path

import numpy as np
import pytest

from analysis import claims
from analysis.claims import REGISTRY, Verdict
from analysis.claims.claim import Unit

TASKS = ("bit-xor", "listops", "homology", "bit-memory")
SEEDS = range(4)
WIGGLE = np.array([-0.001, 0.001, -0.0005, 0.0005])


def judged(study, claim):
    """The claim's verdict if it were the only one."""
    (result,) = claims.evaluate(study.frames(), attention=study.masses(), claims={claim: REGISTRY[claim]})
    return result


def around(claim, distance):
    """A value of the effect at this distance inside the nearest bound (outside, where it is negative)."""
    bounds = REGISTRY[claim].bounds
    if bounds.low is None:
        return bounds.high - distance
    if bounds.high is None:
        return bounds.low + distance
    return (bounds.low + bounds.high) / 2 if distance > 0 else bounds.high - distance


@pytest.fixture
def make(claim_studies):
    def study(claim, value, *, spread=0.0, sides="ab", seeds=SEEDS, **levels):
        generator = np.random.default_rng(5)
        study = claim_studies.Study(seeds, **levels)
        noise = [WIGGLE[: len(seeds)] + spread * generator.choice([-1, 1], len(seeds)) for _ in TASKS]
        return claim_studies.add_claim(
            study, claim, {task: value + own for task, own in zip(TASKS, noise, strict=True)}, sides
        )

    return study


# In the scale of the bounds: fractions, logarithms of ratios.
FAR = {Unit.POINTS: 0.2, Unit.PER_DOUBLING: 0.1, Unit.MASS: 0.2, Unit.RATIO: 1.0}


@pytest.mark.parametrize("claim", REGISTRY)
def test_every_claim_gives_all_four_verdicts(make, claim):
    far = FAR[REGISTRY[claim].unit]
    told = {
        Verdict.SUPPORTED: make(claim, around(claim, far)),
        Verdict.CONTRADICTED: make(claim, around(claim, -far)),
        Verdict.UNDECIDED: make(claim, around(claim, -0.001), spread=0.15),
        Verdict.NOT_RUN: make(claim, around(claim, far), sides="a"),
    }
    assert {verdict: judged(study, claim).verdict for verdict, study in told.items()} == {v: v for v in told}


@pytest.mark.parametrize("claim", REGISTRY)
def test_nothing_is_supported_where_all_runs_are_at_chance(claim_studies, claim):
    # Whatever else is measured speaks for the claim: ratios of time, attention, gaps.
    generator = np.random.default_rng(0)
    for _ in range(2):
        study = claim_studies.Study(SEEDS, accuracy=claim_studies.FLOOR)
        value = around(claim, FAR[REGISTRY[claim].unit]) if claim in claim_studies.MADE_BY else 0.0
        claim_studies.add_claim(study, claim, {task: np.full(len(SEEDS), value) for task in TASKS})
        for row in study.rows:
            noisy = claim_studies.FLOOR + generator.normal(0, 0.01)
            row |= {"test_accuracy": noisy, "valid_accuracy": noisy, "train_accuracy": noisy}
        result = judged(study, claim)
        assert result.verdict is not Verdict.SUPPORTED
        assert not result.told or result.verdict is Verdict.UNDECIDED


def test_documentation_has_every_claim_with_its_source_and_its_rule():
    text = (Path(__file__).parents[2] / "docs" / "claims.md").read_text(encoding="utf-8")
    for claim in REGISTRY.values():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{claim.id}` |")]
        assert claim.source in line and claim.effect in line and f"| {claim.combine} |" in line
        for bound in (claim.bounds.low, claim.bounds.high):
            assert bound is None or f"{claim.unit.shown(bound):.3g}" in line
    assert f"{len(REGISTRY)} sentences" in text
