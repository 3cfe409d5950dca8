"""The paper's claims about why: which weights, which layers, which trained groups."""

from __future__ import annotations

from dataclasses import replace

from analysis.claims.attention import AHEAD, masses
from analysis.claims.claim import ALIKE, BETTER, BETTER_WHY, MATCH_WHY, Bounds, Claim, Combine, Diverged, Family, Unit
from analysis.claims.context import OPTIMISATION, Context
from analysis.claims.effect import IS_ALIKE, Effect, difference
from analysis.claims.pairing import Side, paired
from analysis.claims.printed import across, better_group, by_depth, deepest, epoch, minus, one_task, other_body
from analysis.claims.speed import FAST, epochs
from analysis.claims.transfer import FPT, GPT2

STATISTICS = Side("statistics", {"train_set": "fpt", "init": "statistics"})
CACHED = Side("output only", {"train_set": "output-only", "init": "language", "features": "cached"})
ONLINE = Side("FPT", {"train_set": "fpt", "init": "language", "features": "online"})
NORMS = "output+layernorm"
FEEDFORWARD = Side("FPT + feedforward", {"train_set": "fpt+feedforward", "init": "language"})
ATTENTION = Side("FPT + attention", {"train_set": "fpt+attention", "init": "language"})
LAYERNORM = Side("output + layernorm", {"train_set": NORMS, "init": "language"})
OTHER_GROUP = Side("output + another", {"train_set": ("input+output", "output+positions"), "init": "language"})
RANDOM_NORM = Side("random", {"train_set": NORMS, "init": "random"})
BITS = Side("FPT", {**FPT.where, "task": ("bit-xor", "bit-memory")})
OTHER_MODELS = ("bert", "t5", "longformer")
OTHERS = Side("other bodies", {**GPT2.where, "body": OTHER_MODELS})
LARGE = Bounds(low=0.05)
_LARGE_WHY = "5 points: what table 10 calls poor is 5.6 and 13.9 points behind, table 11's steps are of 20"


def _statistics(context: Context) -> list[Effect]:
    return [difference(pairs) for pairs in paired(context, FPT, STATISTICS)]


def _output_only(context: Context) -> list[Effect]:
    return [difference(pairs) for pairs in paired(context, ONLINE, CACHED, free=OPTIMISATION)]


def _depth(context: Context) -> list[Effect]:
    """The most layers against the fewest, on the body that was run at the most depths."""
    runs = context.runs.iloc[LAYERNORM.of(context)]
    if runs.empty:
        return []
    depths = runs.groupby(["body", "size"], dropna=False)["num_layers"]
    best = depths.nunique(dropna=False).idxmax()
    layers = depths.get_group(best)
    fewest = layers.min()
    # All of them, a null, are the most.
    most = None if layers.isna().any() else layers.max()
    if layers.nunique(dropna=False) < 2:
        return []
    body = {**LAYERNORM.where, "body": best[0], "size": best[1]}  # type: ignore[index]
    deep, shallow = (
        Side(name, {**body, "num_layers": number}) for name, number in (("most", most), ("fewest", fewest))
    )
    return [difference(pairs) for pairs in paired(context, deep, shallow)]


def _fewer_layers(context: Context) -> list[Effect]:
    return [difference(pairs) for pairs in paired(context, LAYERNORM, RANDOM_NORM, by=("task", "num_layers"))]


def _feedforward(context: Context) -> list[Effect]:
    return [difference(pairs) for pairs in paired(context, FEEDFORWARD, FPT)]


def _attention(context: Context) -> list[Effect]:
    runs = context.runs
    floored = {name: runs[name].where(~runs["has_diverged"], runs["floor"]) for name in ("accuracy", "valid")}
    strict = replace(context, runs=runs.assign(**floored))
    return [difference(pairs) for pairs in paired(strict, FPT, ATTENTION)]


def _layernorm(context: Context) -> list[Effect]:
    return [difference(pairs) for pairs in paired(context, LAYERNORM, OTHER_GROUP, by_validation=True)]


def _other_models(context: Context) -> list[Effect]:
    effects = []
    for body in OTHER_MODELS:
        other = Side(body, {**GPT2.where, "body": body})
        effects += [replace(difference(pairs, IS_ALIKE), line=body) for pairs in paired(context, other, GPT2)]
    return effects


CLAIMS = (
    Claim(
        id="statistics-do-not-explain",
        sentence="The statistics of the pretrained weights alone do not explain the transfer.",
        source="paper section 3.8, table 9",
        family=Family.MECHANISM,
        sides=(FPT, STATISTICS),
        rows="frozen runs from init language and from init statistics, trained alike",
        effect="test accuracy of language minus that of statistics, paired by seed",
        measure=_statistics,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=minus("T9", "Pretrained", "Statistics only"),
        combine=Combine.SOME,
    ),
    Claim(
        id="output-only-is-poor",
        sentence="Training the output layer alone is poor.",
        source="paper section 3.9, table 10",
        family=Family.MECHANISM,
        sides=(ONLINE, CACHED),
        rows="runs from init language of fpt, and of output-only with cached features; training free",
        effect="test accuracy of FPT minus that of output-only, paired by seed",
        measure=_output_only,
        bounds=LARGE,
        why=_LARGE_WHY,
        printed=across("T10", "FPT", "output only"),
        combine=Combine.EVERY,
        tasks=("listops", "cifar10-lra"),
    ),
    Claim(
        id="output-only-is-fast",
        sentence="Training the output layer alone on cached features is 500 to 2000 times as fast per epoch.",
        source="paper section 3.9, table 10",
        family=Family.MECHANISM,
        sides=(CACHED, ONLINE),
        rows="runs from init language of fpt, and of output-only with cached features; training free",
        effect="training seconds per example of FPT over those of output-only, paired by seed",
        measure=lambda context: epochs(context, CACHED, ONLINE),
        bounds=FAST,
        why="500: the low end of what table 10 states",
        unit=Unit.RATIO,
        printed=epoch,
        combine=Combine.EVERY,
        tasks=("listops", "cifar10-lra"),
    ),
    Claim(
        id="depth-mixes-tokens",
        sentence="A frozen body needs depth to mix tokens.",
        source="paper section 3.10, table 11",
        family=Family.MECHANISM,
        sides=(LAYERNORM,),
        rows=f"runs of {NORMS} from init language at two depths (num_layers) or more",
        effect="test accuracy with the most layers minus that with the fewest, paired by seed",
        measure=_depth,
        bounds=LARGE,
        why=_LARGE_WHY,
        printed=one_task("listops", deepest),
        combine=Combine.MOST,
        tasks=("listops",),
    ),
    Claim(
        id="fewer-layers-suffice",
        sentence="A pretrained body mixes tokens with fewer layers than a random one.",
        source="paper section 3.10, table 11",
        family=Family.MECHANISM,
        sides=(LAYERNORM, RANDOM_NORM),
        rows=f"runs of {NORMS} from init language and from init random at the same depths",
        effect="test accuracy of language minus that of random, paired by seed, at each depth",
        measure=_fewer_layers,
        bounds=LARGE,
        why=_LARGE_WHY,
        printed=one_task("listops", by_depth),
        combine=Combine.SOME,
        tasks=("listops",),
    ),
    Claim(
        id="training-feedforward-helps",
        sentence="Training the feedforward layers as well helps.",
        source="paper section 3.11, table 13 (on CIFAR-10)",
        family=Family.MECHANISM,
        sides=(FEEDFORWARD, FPT),
        rows="runs from init language of fpt+feedforward and of fpt, trained alike",
        effect="test accuracy of FPT + feedforward minus that of FPT, paired by seed",
        measure=_feedforward,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=minus("T13", "+ feedforward", "FPT"),
        combine=Combine.SOME,
    ),
    Claim(
        id="training-attention-diverges",
        sentence="Training the attention layers as well diverges or harms.",
        source="paper section 3.11, table 13",
        family=Family.MECHANISM,
        sides=(FPT, ATTENTION),
        rows="runs from init language of fpt and of fpt+attention, trained alike",
        effect="test accuracy of FPT minus that of FPT + attention, paired by seed",
        measure=_attention,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=minus("T13", "FPT", "+ attention"),
        combine=Combine.MOST,
        diverged=Diverged.FLOOR,
    ),
    Claim(
        id="layernorm-matters-most",
        sentence="Of the small trained groups the layer norms matter most.",
        source="paper section 3.12, table 18",
        family=Family.MECHANISM,
        sides=(LAYERNORM, OTHER_GROUP),
        rows="runs from init language of output+layernorm, and of input+output or output+positions",
        effect="test accuracy with layer norms trained minus that with input or positions, the better on validation",
        measure=_layernorm,
        bounds=BETTER,
        why=BETTER_WHY,
        printed=better_group,
        combine=Combine.MOST,
    ),
    Claim(
        id="attention-finds-bits",
        sentence="The first layer of a trained FPT attends to the bits that matter.",
        source="paper section 3.5",
        family=Family.MECHANISM,
        sides=(BITS,),
        rows="first-layer attention of runs of fpt from init language on Bit XOR and Bit Memory",
        effect="attention on the relevant bits minus that of uniform attention or of the untrained body, the larger",
        measure=lambda context: masses(context, BITS),
        bounds=AHEAD,
        why="a tenth of all attention: less is no diagonal that an eye would find in a map",
        unit=Unit.MASS,
        combine=Combine.EVERY,
        tasks=("bit-xor", "bit-memory"),
    ),
    Claim(
        id="other-models-alike",
        sentence="Other language models than GPT-2 transfer alike (BERT, T5, Longformer).",
        source="paper section 3.14, table 17",
        family=Family.MECHANISM,
        sides=(OTHERS, GPT2),
        rows="frozen runs from init language of bert, t5 or longformer, and of gpt2, trained alike",
        effect="test accuracy of the other body minus that of gpt2, paired by seed",
        measure=_other_models,
        bounds=ALIKE,
        why=MATCH_WHY,
        printed=other_body,
        combine=Combine.MOST,
        tasks=("listops", "cifar10"),
    ),
)
"""In the paper's order."""
