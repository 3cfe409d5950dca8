"""The section with the scaling ladders: a figure per ladder and task, the laws, and why others have none."""

from __future__ import annotations

import pandas as pd

from analysis import page, scaling, scaling_pairs, scope
from analysis.axes import AXES, Axis
from analysis.page import Section, Tags
from analysis.pictures import Picture
from analysis.scaling import INTERVAL_TEXT, Law
from analysis.sections import Part, Tables
from analysis.style import percent

_WIDE = 760  # CSS pixels of room from which panels stand in pairs
_LEAD = (
    "A ladder is one variant's runs at several sizes, numbers of examples or operations; a rung is one of them, with "
    "its seeds. A law is drawn only where the data carry one; where not, the figure says why. What is tried was "
    "fixed beforehand: a power law with a floor, or without one where the floor ends at zero. A law holds between its "
    "ends; its band is an interval of the curve, not of single runs."
)
_ERROR = "Test error is 1 − test accuracy at the step of best validation accuracy."


def scaling_ladders(data: Tables) -> Part | None:
    """Every ladder of the ledger; None without one."""
    if not data.ladders:
        return None
    laws = scaling.laws(data.ladders)
    table, body, pictures = scaling.rows(laws), page.paragraph(_LEAD), []
    for axis in AXES:
        tasks = list(dict.fromkeys(law.series.task for law in laws if law.series.axis is axis))
        body += page.heading(axis.title) if tasks else ""
        for task in tasks:
            mine = [law for law in laws if law.series.axis is axis and law.series.task == task]
            about = scope.tags_of(pd.concat([law.series.runs for law in mine]))
            own = table[(table["axis"] == axis.name) & (table["task"] == task)]
            content = ""
            if (own["kind"] == "rung").any():
                drawn = _picture(axis, task, own)
                pictures.append(drawn)
                content += page.figure(drawn, command=data.command)
            content += page.bullets([_titled(law) for law in mine if law.short == "" and law.found is not None])
            refused = [_titled(law) for law in mine if law.short]
            content += page.fold(f"Ladders without a law: {len(refused)}", page.bullets(refused)) if refused else ""
            body += page.tagged(content + page.fold("The rungs as a table", _rungs(axis, own)), **about)
    body += _worth(laws) + page.paragraph(f"One ladder by itself, with other forms: {_command(data)}")
    return Part(Section("scaling", "Scaling", body), tuple(pictures))


def _titled(law: Law) -> str:
    """The sentence, with the setting where several ladders of a variant stand side by side."""
    setting = f"{law.series.setting}: " if law.series.setting else ""
    return setting + law.sentence


def _picture(axis: Axis, task: str, own: pd.DataFrame) -> Picture:
    rungs = own[own["kind"] == scaling.RUNG]
    seeds = sorted({int(number) for number in rungs["num_seeds"]})
    shown = f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    caption = (
        f"{task}: test error against {axis.x_title}, both logarithmic. {_ERROR} Mark: mean over seeds; bar: "
        f"{INTERVAL_TEXT}, cut at the axis where it reaches zero; n = {shown} at every rung. Line: law, with its "
        "pointwise 95 % interval (bootstrap over seeds within rungs). Open marks and dashed laws: the whole body "
        "trained. Marks of different initialisations stand a little apart. Diverged and failed runs take no part in "
        "means; their number stands with the rung and in the CSV."
    )
    alt = f"Chart of test error against {axis.x_title} for {task}; the numbers are in the table and the CSV below it."
    forms = ((_WIDE, scaling.draw(own, columns=2)), (0, scaling.draw(own, columns=1)))
    return Picture(f"scaling-{axis.name}-{task}", caption, alt, own, forms)


def _rungs(axis: Axis, own: pd.DataFrame) -> str:
    rungs = own[own["kind"] == scaling.RUNG].sort_values(["train_set", "init", "x"])
    rows = [
        [
            row.train_set or row.rung, row.init, row.rung, f"{row.x:,.6g}", _interval(row), int(row.num_seeds),
            int(row.num_runs), int(row.num_diverged), int(row.num_failed),
        ]
        for row in rungs.itertuples()
    ]  # fmt: skip
    columns = ["train set", "init", "rung", axis.x_title, "test error [95 % interval]", "seeds", "runs", "diverged",
               "failed"]  # fmt: skip
    return page.table(rows, columns=columns, caption=f"{axis.title}: test error by rung", num_keys=3)


def _interval(row: object) -> str:
    mean, low, high = (getattr(row, name) for name in ("mean", "low", "high"))
    return percent(mean) if pd.isna(low) else f"{percent(mean)} [{100 * low:.1f}, {100 * high:.1f}]"


def _worth(laws: list[Law]) -> str:
    """What pretraining is worth, where both sides have a law."""
    pairs = scaling_pairs.table(laws)
    if pairs.empty:
        return ""
    titles = {axis.name: axis.title for axis in AXES}
    rows = [
        [titles[row.axis], row.task, row.train_set or None, row.other, f"{row.ratio:.2f} [{row.ratio_low:.2f}, "
         f"{row.ratio_high:.2f}]", row.sentence]
        for row in pairs.itertuples()
    ]  # fmt: skip
    columns = ["ladder", "task", "train set", "against", "exponent ratio [95 % interval]", "how many times more"]
    caption = (
        f"Exponent of {scaling_pairs.REFERENCE} bodies over the other's, and what the other needs for the error that "
        f"{scaling_pairs.REFERENCE} reaches at the middle rung; a bound where its ladder does not reach that far"
    )
    tags: list[Tags] = [{"task": str(row.task), "protocol": str(row.protocol)} for row in pairs.itertuples()]
    table = page.table(rows, columns=columns, caption=caption, num_keys=4, tags=tags)
    return page.heading("What pretraining is worth") + table


def _command(data: Tables) -> str:
    return f"study fit --out {data.frames.source} --x num_params_total --y test_error --by init --form power-floor"
