"""The section on compute: accuracy against cost, time to a level, speed-ups of pretrained bodies, cost per point."""

from __future__ import annotations

import pandas as pd

from analysis import efficiency, page, scope, waiting
from analysis.convergence import CLOCKS
from analysis.page import Section
from analysis.pictures import Picture
from analysis.provenance import flops, seconds
from analysis.sections import Part, Tables
from analysis.speed_ups import speed_ups
from analysis.style import percent, train_set_text

_WIDE = 760  # CSS pixels of room from which panels stand in pairs
_OWN, _OTHER = "language", "random"
_LEAD = (
    "Variants of the ladders, each against what its training cost. Operations and seconds are those of updates; "
    "evaluation is left out, and so is the making of a pretrained body, which is made once and whose cost stands with "
    "the bodies. Seconds are those of this machine, and depend on what else it did."
)


def compute_efficiency(data: Tables) -> Part | None:
    """Accuracy, time and cost of the ladders' variants; None without a ladder."""
    costs = efficiency.table(data.ladders)
    if costs.empty:
        return None
    times = waiting.table(data.frames, data.ladders)
    body, pictures = page.paragraph(_LEAD), []
    for (task, protocol), own in costs.groupby(["task", "protocol"], sort=False):
        name = f"{task}" if costs["protocol"].nunique() == 1 else f"{task}-{protocol}"
        runs = pd.concat([one.runs for one in data.ladders if (one.task, one.protocol) == (task, protocol)])
        mine = times[(times["task"] == task) & (times["protocol"] == protocol)]
        drawn = [_costs(name, own)]
        if (mine["clock"] == "step").any():
            drawn.append(_waits(name, mine))
        pictures += drawn
        content = page.heading(name)
        content += "".join(page.figure(picture, command=data.command) for picture in drawn)
        content += _medians(mine) + _sooner(runs.drop_duplicates("run_id"), data.frames.curves)
        content += page.fold("Cost per point of accuracy, and the frontier", _prices(own))
        body += page.tagged(content, **scope.tags_of(runs))
    return Part(Section("efficiency", "Compute efficiency", body), tuple(pictures))


def _costs(name: str, own: pd.DataFrame) -> Picture:
    caption = (
        f"{name}: test accuracy of every variant of the ladders against operations and seconds of one run. A mark is "
        f"the mean over {_range(own['num_seeds'])} seeds; open marks: the whole body trained. Large marks, joined: the "
        "Pareto frontier, variants that no other beats in both; it is of these means, without regard to their "
        "intervals, which are in the CSV."
    )
    alt = f"Chart of test accuracy against training cost for {name}; the numbers are in the table and the CSV below it."
    forms = ((_WIDE, efficiency.draw(own, columns=2)), (0, efficiency.draw(own, columns=1)))
    return Picture(f"efficiency-{name}", caption, alt, own, forms)


def _waits(name: str, mine: pd.DataFrame) -> Picture:
    level, runs = float(mine["level"].iloc[0]), _range(mine["num_runs"])
    caption = (
        f"{name}: share of runs that have not yet reached {percent(level)} validation accuracy (halfway from the best "
        "trivial predictor to the best variant) and stayed there for three evaluations. Kaplan-Meier over the variants "
        f"that all initialisations have, n = {runs} runs a curve; band: 95 % (Greenwood, log-log), as if runs were "
        "independent, which those of one size are not quite. Runs that ended before are counted until their end."
    )
    alt = (
        f"Chart of the share of runs that have not reached a level of accuracy for {name}; the numbers are in the CSV."
    )
    steps = mine[mine["clock"] == "step"]
    forms = ((_WIDE, waiting.draw(steps, columns=2)), (0, waiting.draw(steps, columns=1)))
    return Picture(f"waiting-{name}", caption, alt, mine, forms)


def _medians(mine: pd.DataFrame) -> str:
    """Median times to the level by clock, with intervals, or that they were not seen."""
    firsts = mine.drop_duplicates(["train_set", "init", "clock"])
    if firsts.empty:
        return ""
    rows = []
    for (train_set, init), own in firsts.groupby(["train_set", "init"], sort=False):
        medians = [_median(own[own["clock"] == clock].iloc[0], clock) for clock in CLOCKS]
        rows.append([train_set_text(str(train_set)), init, _arrived(own.iloc[0]), *medians])
    columns = ["train set", "init", "runs that arrived", "gradient steps", "operations", "seconds"]
    caption = f"Median time to {percent(float(firsts['level'].iloc[0]))} [95 % interval]; > : not seen to its end"
    return page.table(rows, columns=columns, caption=caption, num_keys=2)


def _arrived(row: pd.Series) -> str:
    return f"{int(row['num_arrived'])} of {int(row['num_runs'])}"


def _median(row: pd.Series, clock: str) -> str:
    if pd.isna(row["median"]):
        return "not reached by half of the runs"
    low, high = (_amount(row[name], clock) for name in ("median_low", "median_high"))
    return f"{_amount(row['median'], clock)} [{low or 'start'}, {high or '>'}]"


def _amount(value: float, clock: str) -> str | None:
    if pd.isna(value):
        return None
    return {"step": f"{value:,.0f}", "train_flops": flops(value), "wall_seconds": seconds(value)}[clock]


def _sooner(runs: pd.DataFrame, curves: pd.DataFrame) -> str:
    """Speed-ups of pretrained over random bodies, variant by variant, in operations."""
    found = speed_ups(runs, curves, own=_OWN, other=_OTHER, to="same accuracy", clock="train_flops")
    told = found[found["ratio"].notna()]
    if told.empty:
        return ""
    rows = [
        [
            train_set_text(str(row["train_set"])), row["size"], f"{int(row['num_steps']):,}",
            None if pd.isna(row["num_train_examples"]) else f"{int(row['num_train_examples']):,}", _ratio(row),
            int(row["num_seeds"]),
        ]
        for row in told.to_dict("records")
    ]  # fmt: skip
    caption = (
        f"How many times fewer operations {_OWN} bodies need than {_OTHER} ones for 95 % of what the worse of both "
        "learns: geometric mean over seeds [95 % t interval]; ≥ and ≤ where runs of one side did not arrive; "
        f"{len(found) - len(told)} of {len(found)} pairs allow no bound"
    )
    columns = ["train set", "size", "steps", "examples", "times fewer", "seeds"]
    table = page.table(rows, columns=columns, caption=caption, num_keys=4)
    return page.fold(f"Speed-up of {_OWN} over {_OTHER} bodies", table)


def _ratio(row: dict) -> str:
    sign = "≥ " if row["is_at_least"] else "≤ " if row["is_at_most"] else ""
    low, high = ("" if pd.isna(row[end]) else f"{row[end]:.2f}" for end in ("low", "high"))
    return f"{sign}{row['ratio']:.2f}" + (f" [{low or '…'}, {high or '…'}]" if low or high else "")


def _prices(own: pd.DataFrame) -> str:
    """What a point of accuracy above the best trivial predictor costs, cheapest first."""
    rows = [
        [
            row["init"], efficiency.named(row), percent(row["accuracy"]), flops(row["train_flops"]),
            seconds(row["wall_seconds"]), _price(row),
            None if pd.isna(row["seconds_per_point"]) else f"{row['seconds_per_point']:.3g} s",
            ", ".join(word for cost, word in (("train_flops", "operations"), ("wall_seconds", "seconds"))
                      if row[f"is_best_{cost}"]) or None,
        ]
        for row in own.sort_values("flops_per_point").to_dict("records")
    ]  # fmt: skip
    columns = ["init", "variant", "test accuracy", "operations", "seconds", "operations per point [95 % interval]",
               "seconds per point", "on the frontier of"]  # fmt: skip
    caption = (
        "Cost of a percentage point above the best trivial predictor; none where a run is under half a point above"
    )
    return page.table(rows, columns=columns, caption=caption, num_keys=2)


def _price(row: dict) -> str | None:
    if pd.isna(row["flops_per_point"]):
        return None
    ends = [row["flops_per_point_low"], row["flops_per_point_high"]]
    span = "" if any(pd.isna(end) for end in ends) else f" [{', '.join(flops(end) for end in ends)}]"
    return flops(row["flops_per_point"]) + span


def _range(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"
