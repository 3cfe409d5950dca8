"""The section of the report with the claims' verdicts."""

from __future__ import annotations

import textwrap

import pandas as pd

from analysis import load, page
from analysis.claims import figure
from analysis.claims.claim import Claim, Unit, Verdict
from analysis.claims.effect import CLEAR
from analysis.claims.evaluation import REGISTRY, effects, evaluate, table
from analysis.claims.judgement import ALPHA, MOST_SEEDS
from analysis.page import Section, Tags
from analysis.pictures import Picture, forms
from analysis.sections import Part, Tables
from analysis.style import percent
from analysis.summary import count

_CONTEXT = ["protocol", "scale", "tuning"]
_HEADS = [
    "claim",
    "verdict",
    "tasks or lines",
    "p, corrected",
    "seeds",
    "seeds that would decide",
    "what it says (source)",
]
_FIXED = "\N{NO-BREAK SPACE}"
_UNBROKEN = 36  # letters of a sentence that stay on a line, so that a phone scrolls the table and does not squeeze it
_RULE = (
    "Each verdict follows a rule that was fixed before any run: which runs are compared, what is measured of them, the "
    "bounds between which the effect must lie, and on how many tasks. An effect is compared over runs that are equal "
    "in everything but what the claim compares, paired by seed. A task on which no side is clearly above the best "
    f"trivial predictor (by {100 * CLEAR:g} points, and by its 95 % interval) tells nothing, neither for nor against. "
    f"Within a context and a family of claims, the chance of any wrong “supported” or “contradicted” is at most "
    f"{100 * ALPHA:g} % (Holm over claims, Simes over tasks; docs/claims.md says how, and what was measured)."
)


def claims(data: Tables) -> Part:
    """Verdict table, effects and rules, context by context."""
    results = evaluate(data.frames)
    verdicts, lines = table(results), effects(results)
    body, pictures = page.paragraph(_RULE), []
    for number, (key, rows) in enumerate(verdicts.groupby(_CONTEXT, sort=False), start=1):
        context = dict(zip(_CONTEXT, key, strict=True))
        here = lines[(lines[_CONTEXT] == pd.Series(context)).all(axis=1)]
        made, drawn = _context(context, rows, here, number, data.command)
        body += made
        pictures += drawn
    return Part(Section("claims", "The papers' claims", body), tuple(pictures))


def _context(
    context: dict[str, str], rows: pd.DataFrame, lines: pd.DataFrame, number: int, command: str
) -> tuple[str, list[Picture]]:
    title = f"Protocol {context['protocol']}, scale {context['scale']}, learning rates {context['tuning']}"
    numbers = {str(verdict): int((rows["verdict"] == verdict).sum()) for verdict in Verdict}
    told = ", ".join(f"{number} {name}" for name, number in numbers.items())
    body = page.heading(title) + page.paragraph(f"Of {count(len(rows), 'claim')}: {told}.")
    run, not_run = rows[rows["verdict"] != Verdict.NOT_RUN], rows[rows["verdict"] == Verdict.NOT_RUN]
    pictures = []
    for family, part in run.groupby("family", sort=False):
        own = lines[lines["claim"].isin(part["claim"]) & lines["estimate"].notna()]
        name = f"claims-{number}-{list(dict.fromkeys(rows['family'])).index(family) + 1}"
        picture = _picture(name, str(family), title, part, own)
        pictures.append(picture)
        body += page.table(
            [_line(row) for row in part.to_dict("records")],
            columns=_HEADS,
            caption=f"Verdicts on {family}: {count(len(part), 'claim')} run, corrected for each other",
            tags=[_tags(own, claim) for claim in part["claim"]],
        )
        body += page.figure(picture, command=command)
        details = "".join(_details(REGISTRY[row["claim"]], row, own) for row in part.to_dict("records"))
        body += page.fold(f"Rules and effects of these claims, task by task ({family})", details)
    if len(not_run):
        lacking = [f"{row.sentence} ({row.source}) {_needs(row)}" for row in not_run.itertuples()]
        body += page.fold(f"Not run: {count(len(not_run), 'claim')}, with the rows they need", page.bullets(lacking))
    return page.tagged(body, protocol=context["protocol"], scale=context["scale"]), pictures


def _needs(row: object) -> str:
    return str(row.why)[0].upper() + str(row.why)[1:] + "."  # type: ignore[attr-defined]


def _tags(lines: pd.DataFrame, claim: str) -> Tags:
    return {"task": sorted(lines.loc[lines["claim"] == claim, "task"].unique())}


def _line(row: dict) -> list[object]:
    low, high = row["num_seeds_low"], row["num_seeds_high"]
    return [
        row["claim"],
        row["verdict"],
        _tally(row),
        _p(row["p_adjusted"]),
        low if low == high else f"{low} to {high}",
        _seeds(row),
        _unbroken(f"{row['sentence']} ({row['source']})"),
    ]


def _unbroken(text: str) -> str:
    return " ".join(line.replace(" ", _FIXED) for line in textwrap.wrap(text, _UNBROKEN))


def _tally(row: dict) -> str:
    """How the lines stand, each by itself."""
    if not row["num_told"]:
        return f"none of {row['num_lines']} can be told\n{_coverage(row)}"
    still_open = row["num_told"] - row["num_for"] - row["num_against"]
    text = f"{row['num_for']} for, {row['num_against']} against, {still_open} open\n"
    text += f"needs {row['required']} of {row['num_told']}"
    untold = row["num_lines"] - row["num_told"]
    text += f"; {untold} cannot be told" if untold else ""
    return f"{text}\n{_coverage(row)}".replace(" ", _FIXED)


def _coverage(row: dict) -> str:
    others = row["num_tasks"] - row["num_tasks_of_source"]
    more = f" and {count(others, 'other')}" if others else ""
    return f"on {row['num_tasks_of_source']} of its {count(row['num_tasks_in_source'], 'task')}{more}"


def _seeds(row: dict) -> str | None:
    if row["verdict"] != Verdict.UNDECIDED:
        return None
    needed = row["num_seeds_needed"]
    if pd.isna(needed):
        return row["why"] if row["num_told"] == 0 else "not to be said"
    return f"more than {MOST_SEEDS}" if needed > MOST_SEEDS else f"about {needed:.0f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _picture(name: str, family: str, title: str, rows: pd.DataFrame, lines: pd.DataFrame) -> Picture:
    titles = {row.claim: f"{row.claim}: {row.verdict}" for row in rows.itertuples()}
    caption = (
        f"Effects behind the claims on {family}; {title[0].lower()}{title[1:]}. Mark: mean over pairs of runs; bar: "
        "its 95 % t interval over seeds (the wider of seeds and body seeds where both vary), cut at the edge of a "
        f"panel; n = {_range(lines['num_seeds'])}. Shaded: where the effect lies if the claim is right. Colour: what "
        "each line says by itself; the verdict above each panel is corrected for all claims. Cannot be told: no side "
        "is clearly above the floor, both are at the ceiling, or runs are lacking."
    )
    what = f"{count(len(lines), 'effect')} behind {count(len(titles), 'claim')}"
    alt = f"Forest plots of {what}; the numbers are in the tables below."
    drawn = forms(lambda columns: figure.draw(lines, titles, columns=columns), 3)
    return Picture(name, caption, alt, lines, drawn)


def _details(claim: Claim, row: dict, lines: pd.DataFrame) -> str:
    """One claim: its rule, and its lines."""
    rule = page.definitions(
        {
            "claim": f"{claim.sentence} ({claim.source})",
            "verdict": f"{row['verdict']} ({row['why']})",
            "compared": claim.rows,
            "measured": claim.effect,
            "right if": f"the effect lies {_bounds(claim)} on {claim.combine}",
            "why there": claim.why,
            "diverged runs": f"{claim.diverged}; here {row['num_diverged']}",
            "runs without a partner": row["num_unpaired"],
        }
    )
    own = lines[lines["claim"] == claim.id]
    order = load.order("task", own["task"])
    heads = ["task", "", f"effect ({claim.unit}) [95 %]", "printed", "accuracy", "floor", "by itself", "n", "where"]
    body = [
        [
            one["task"],
            one["line"],
            _effect(one),
            None if pd.isna(one["printed"]) else f"{one['printed']:.3g}".replace("-", "−"),
            f"{_percent(one['a'])} and {_percent(one['b'])}" if claim.unit is not Unit.MASS else _percent(one["a"]),
            _percent(one["floor"]),
            _alone(one),
            one["num_seeds"],
            one["setting"] + (f"; {one['num_other']} further places not counted" if one["num_other"] else ""),
        ]
        for one in sorted(own.to_dict("records"), key=lambda one: order.index(one["task"]))
    ]
    caption = f"Effects behind {claim.id}"
    return rule + page.table(body, columns=heads, caption=caption, num_keys=2, tags=[{"task": one[0]} for one in body])


def _bounds(claim: Claim) -> str:
    low, high = (claim.unit.shown(bound) for bound in (claim.bounds.low, claim.bounds.high))
    if low is not None and high is not None:
        return f"between {low:.3g} and {high:.3g} {claim.unit}"
    return f"above {low:.3g} {claim.unit}" if low is not None else f"below {high:.3g} {claim.unit}"


def _alone(row: dict) -> str:
    if row["cannot"]:
        return row["cannot"]
    if pd.notna(row["matches_within"]):
        return f"{row['verdict']}; alike within {row['matches_within']:.1f} points"
    return row["verdict"]


def _effect(row: dict) -> str:
    if pd.isna(row["low"]):
        return f"{row['estimate']:.3g}"
    return f"{row['estimate']:.3g} [{row['low']:.3g}, {row['high']:.3g}]".replace("-", "−")


def _percent(value: float | None) -> str | None:
    return None if value is None or pd.isna(value) else percent(value)


def _range(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return count(low, "seed") if low == high else f"{low} to {high} seeds"
