"""The paper's headline claims: what a frozen transformer gains from pretraining on language."""

from __future__ import annotations

from analysis.claims.claim import ALIKE, BETTER, BETTER_WHY, MATCH_WHY, NOT_WORSE, Claim, Combine, Family, Unit
from analysis.claims.context import OPTIMISATION, Context
from analysis.claims.effect import IS_ALIKE, IS_NOT_WORSE, Effect, difference
from analysis.claims.overfitting import NO_GAP, gaps
from analysis.claims.pairing import Side, paired
from analysis.claims.printed import cell, gap, minus, one_task, per_doubling
from analysis.claims.size import GROWTH, growth
from analysis.claims.speed import ONE_TO_FOUR, SOONER, speed_ups

FPT = Side("FPT", {"train_set": "fpt", "init": "language"})
FULL = Side("full training", {"train_set": "full", "init": "random"})
RANDOM = Side("random", {"train_set": "fpt", "init": "random"})
BIT = Side("bit memory", {"train_set": "fpt", "init": "bit-memory"})
GPT2 = Side("FPT", {"train_set": "fpt", "init": "language", "body": "gpt2"})
NOT_IMAGES = ("bit-memory", "bit-xor", "listops", "homology")
ELSEWHERE = Side("FPT", {**GPT2.where, "task": NOT_IMAGES})
VISION = Side("vision", {"train_set": "fpt", "init": "vision", "body": "vit", "task": NOT_IMAGES})
TRANSFORMER = Side("transformer", {"train_set": "fpt", "init": "random", "body": "gpt2"})
LSTM = Side("LSTM", {"train_set": "fpt", "init": "random", "body": "lstm"})
LSTM_STAR = Side("LSTM*", {"train_set": "fpt", "init": "random", "body": "lstm-residual"})
# Full training has its own depth and steps in the paper (appendix D.1) and wants its own learning rate (the critique).
FULL_IS_FREE = (*OPTIMISATION, "num_layers")
LSTM_IS_FREE = ("lr", "num_layers")
_DIFFERENCE = "test accuracy of {} minus that of {}, paired by seed"


def _fpt_full(context: Context) -> list[Effect]:
    return [difference(pairs, IS_ALIKE) for pairs in paired(context, FPT, FULL, free=FULL_IS_FREE)]


def _fpt_full_one_sided(context: Context) -> list[Effect]:
    return [difference(pairs, IS_NOT_WORSE) for pairs in paired(context, FPT, FULL, free=FULL_IS_FREE)]


def _against_random(context: Context) -> list[Effect]:
    return [difference(pairs) for pairs in paired(context, FPT, RANDOM)]


def _against_bit(context: Context) -> list[Effect]:
    return [difference(pairs) for pairs in paired(context, FPT, BIT)]


def _against_vision(context: Context) -> list[Effect]:
    return [difference(pairs) for pairs in paired(context, ELSEWHERE, VISION)]


def _against_lstm(context: Context) -> list[Effect]:
    return [difference(pairs) for pairs in paired(context, TRANSFORMER, LSTM, free=LSTM_IS_FREE)]


def _residual_lstm(context: Context) -> list[Effect]:
    return [difference(pairs) for pairs in paired(context, LSTM_STAR, LSTM, free=LSTM_IS_FREE)]


_FROZEN_ROWS = "frozen runs (train set fpt) from init {} and from init {}, trained alike"

CLAIMS = (
    Claim(
        id="fpt-matches-full",
        sentence="A frozen pretrained transformer matches one that is trained in full from scratch.",
        source="paper section 3.1, table 1",
        family=Family.TRANSFER,
        sides=(FPT, FULL),
        rows="runs of fpt from init language and of full from init random on the same body; depth and training free",
        effect=_DIFFERENCE.format("FPT", "full training"),
        measure=_fpt_full,
        bounds=ALIKE,
        why=MATCH_WHY,
        printed=minus("T1", "FPT", "Full transformer"),
        combine=Combine.EVERY,
    ),
    Claim(
        id="fpt-not-worse-than-full",
        sentence="A frozen pretrained transformer is not worse than one that is trained in full from scratch.",
        source="paper section 3.1, table 1, one-sided",
        family=Family.TRANSFER,
        sides=(FPT, FULL),
        rows="runs of fpt from init language and of full from init random on the same body; depth and training free",
        effect=_DIFFERENCE.format("FPT", "full training"),
        measure=_fpt_full_one_sided,
        bounds=NOT_WORSE,
        why=MATCH_WHY,
        printed=minus("T1", "FPT", "Full transformer"),
        combine=Combine.EVERY,
    ),
    Claim(
        id="language-beats-random",
        sentence="Frozen, a body pretrained on language beats a random one.",
        source="paper section 3.2, table 2",
        family=Family.TRANSFER,
        sides=(FPT, RANDOM),
        rows=_FROZEN_ROWS.format("language", "random"),
        effect=_DIFFERENCE.format("language", "random"),
        measure=_against_random,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=minus("T2", "FPT", "Random"),
        combine=Combine.MOST,
    ),
    Claim(
        id="language-beats-bit-memory",
        sentence="Frozen, a body pretrained on language beats one pretrained on Bit Memory.",
        source="paper section 3.2, table 2",
        family=Family.TRANSFER,
        sides=(FPT, BIT),
        rows=_FROZEN_ROWS.format("language", "bit-memory"),
        effect=_DIFFERENCE.format("language", "bit-memory"),
        measure=_against_bit,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=minus("T2", "FPT", "Bit"),
        combine=Combine.MOST,
    ),
    Claim(
        id="language-beats-vision",
        sentence="Frozen, a body pretrained on language beats one pretrained on images, on tasks that are no images.",
        source="paper section 3.2, table 2 (on images the table itself has the vision body ahead)",
        family=Family.TRANSFER,
        sides=(ELSEWHERE, VISION),
        rows="frozen runs of gpt2 from init language and of vit from init vision, on bits, ListOps and homology",
        effect=_DIFFERENCE.format("language", "vision"),
        measure=_against_vision,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=minus("T2", "FPT", "ViT"),
        combine=Combine.MOST,
        tasks=NOT_IMAGES,
    ),
    Claim(
        id="transformer-beats-lstm",
        sentence="Frozen and random, a transformer beats an LSTM.",
        source="paper section 3.3, table 3",
        family=Family.TRANSFER,
        sides=(TRANSFORMER, LSTM),
        rows="frozen random runs of gpt2 and of lstm; learning rate and depth free",
        effect=_DIFFERENCE.format("the transformer", "the LSTM"),
        measure=_against_lstm,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=minus("T3", "Trans.", "LSTM"),
        combine=Combine.EVERY,
    ),
    Claim(
        id="residuals-help-lstm",
        sentence="Residual connections and positions close part of the gap between LSTM and transformer.",
        source="paper section 3.3, tables 3 to 5",
        family=Family.TRANSFER,
        sides=(LSTM_STAR, LSTM),
        rows="frozen random runs of lstm-residual and of lstm; learning rate and depth free",
        effect=_DIFFERENCE.format("LSTM*", "the LSTM"),
        measure=_residual_lstm,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=minus("T3", "LSTM*", "LSTM"),
        combine=Combine.MOST,
    ),
    Claim(
        id="fpt-converges-sooner",
        sentence="Frozen, a body pretrained on language converges sooner than a random one.",
        source="paper section 3.4, table 6",
        family=Family.TRANSFER,
        sides=(FPT, RANDOM),
        rows=_FROZEN_ROWS.format("language", "random") + ", with their curves",
        effect="steps to convergence of the random body over those of the language body, paired by seed",
        measure=lambda context: speed_ups(context, FPT, RANDOM, SOONER),
        bounds=SOONER,
        why="a ratio of 1.1: less than a tenth sooner is within what readings of a curve can tell",
        unit=Unit.RATIO,
        printed=cell("T6", "speedup"),
        combine=Combine.MOST,
    ),
    Claim(
        id="speed-up-is-1-to-4",
        sentence="Frozen, a body pretrained on language converges one to four times sooner than a random one.",
        source="paper section 3.4, table 6 (with an exception on Bit XOR, 40 times)",
        family=Family.TRANSFER,
        sides=(FPT, RANDOM),
        rows=_FROZEN_ROWS.format("language", "random") + ", with their curves",
        effect="steps to convergence of the random body over those of the language body, paired by seed",
        measure=lambda context: speed_ups(context, FPT, RANDOM, ONE_TO_FOUR),
        bounds=ONE_TO_FOUR,
        why="0.78 to 4.7: what table 6, with its one significant digit, prints as 1 to 4 times",
        unit=Unit.RATIO,
        printed=cell("T6", "speedup"),
        combine=Combine.MOST,
    ),
    Claim(
        id="fpt-overfits-not",
        sentence="Where full training overfits, a frozen pretrained transformer does not.",
        source="paper section 3.6, table 7",
        family=Family.TRANSFER,
        sides=(FPT, FULL),
        rows="runs of fpt from init language and of full from init random, on tasks where full training overfits",
        effect="train minus test accuracy of FPT at the selected step, where that of full training exceeds 5 points",
        measure=lambda context: gaps(context, FPT, FULL, FULL_IS_FREE),
        bounds=NO_GAP,
        why="5 points: table 7 has gaps of 28 and 58 points for full models and of -0.1 for FPT",
        printed=one_task("cifar10-lra", gap),
        combine=Combine.EVERY,
        tasks=("cifar10-lra",),
    ),
    Claim(
        id="accuracy-grows-with-size",
        sentence="A larger frozen pretrained body is more accurate.",
        source="paper section 3.7, table 8",
        family=Family.TRANSFER,
        sides=(FPT,),
        rows="frozen runs from init language at two sizes of body or more, trained alike",
        effect="slope of test accuracy over the logarithm of parameters, fitted within each seed",
        measure=lambda context: growth(context, FPT),
        bounds=GROWTH,
        why="0.25 points per doubling: table 8 rises by 1.4",
        unit=Unit.PER_DOUBLING,
        printed=one_task("cifar10", per_doubling),
        combine=Combine.MOST,
        tasks=("cifar10",),
    ),
)
"""In the paper's order."""
