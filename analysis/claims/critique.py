"""The claims of the critique (Rothermel et al. 2021): what remains when every variant has its own learning rate."""

from __future__ import annotations

from analysis.claims.claim import BETTER, BETTER_WHY, Claim, Combine, Family
from analysis.claims.context import Context
from analysis.claims.effect import Effect, difference
from analysis.claims.pairing import Side, paired
from analysis.claims.printed import by_init, minus
from analysis.claims.transfer import FPT, RANDOM

SWEPT_TASKS = ("listops", "mnist", "cifar10", "cifar10-lra")
LEAST_RATES = 3
"""Learning rates that a side must have been swept over, for its best to count as tuned."""
PAPER_RATE = 1e-3
INITS = ("language", "random")
UNFROZEN, FROZEN = Side("full training", {"train_set": "full"}), Side("FPT", {"train_set": "fpt"})
_LRA = {"init": "language", "task": "cifar10-lra"}
FROZEN_LRA, UNFROZEN_LRA = (Side(side.name, {**side.where, **_LRA}) for side in (FROZEN, UNFROZEN))
_TUNED = f"swept over {LEAST_RATES} learning rates or more, or tuned by a search; each side at its best on validation"


def _unfrozen(context: Context) -> list[Effect]:
    only = context.only(context.runs["init"].isin(INITS))
    found = paired(
        only, UNFROZEN, FROZEN, free=("lr",), by=("task", "init"), by_validation=True, least_rates=LEAST_RATES
    )
    return [difference(pairs) for pairs in found]


def _pretrained(context: Context) -> list[Effect]:
    found = paired(context, FPT, RANDOM, free=("lr",), by_validation=True, least_rates=LEAST_RATES)
    return [difference(pairs) for pairs in found]


def _inverted(context: Context) -> list[Effect]:
    """At the paper's rate frozen minus unfrozen, below it unfrozen minus frozen: all positive if the claim is right."""
    rates = context.runs["lr"]
    at, below = context.only(rates == PAPER_RATE), context.only(rates < PAPER_RATE)
    by = ("task", "lr")
    found = [*paired(at, FROZEN_LRA, UNFROZEN_LRA, by=by), *paired(below, UNFROZEN_LRA, FROZEN_LRA, by=by)]
    # Both halves of the sentence are needed: an ordering that is inverted, and one that it is inverted from.
    return [difference(pairs) for pairs in found] if len({pairs.line for pairs in found}) > 1 else []


CLAIMS = (
    Claim(
        id="tuned-unfrozen-beats-frozen",
        sentence="With tuned learning rates, unfrozen transformers beat frozen ones.",
        source="critique, table 1",
        family=Family.CRITIQUE,
        sides=(UNFROZEN, FROZEN),
        rows=f"runs of full and of fpt, both from init language or both from random, {_TUNED}",
        effect="test accuracy of full training minus that of FPT, paired by seed, for each init",
        measure=_unfrozen,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=by_init,
        combine=Combine.EVERY,
        tasks=SWEPT_TASKS,
    ),
    Claim(
        id="tuned-language-beats-random",
        sentence="With tuned learning rates, frozen pretrained transformers beat frozen random ones everywhere.",
        source="critique, table 1 and 2",
        family=Family.CRITIQUE,
        sides=(FPT, RANDOM),
        rows=f"frozen runs from init language and from init random, {_TUNED}",
        effect="test accuracy of language minus that of random, paired by seed",
        measure=_pretrained,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=minus("C1", "Frozen Pretrained", "Frozen Random"),
        combine=Combine.EVERY,
        tasks=SWEPT_TASKS,
    ),
    Claim(
        id="lower-rate-inverts",
        sentence="On CIFAR-10 LRA any learning rate below 1e-3 inverts the order of frozen and unfrozen.",
        source="critique, figure 1",
        family=Family.CRITIQUE,
        sides=(FROZEN_LRA, UNFROZEN_LRA),
        rows="runs from init language of fpt and of full on CIFAR-10 LRA, at 1e-3 and at lower learning rates",
        effect="test accuracy of FPT minus that of full training at 1e-3, the other way round at every lower rate",
        measure=_inverted,
        bounds=BETTER,
        why=BETTER_WHY,
        combine=Combine.EVERY,
        tasks=("cifar10-lra",),
    ),
)
"""In the critique's order."""
