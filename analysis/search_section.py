"""What searches proposed, found and cost, as a section."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis import page, scope, search_budget, search_frames, search_importance, search_parallel
from analysis.page import Section, Tags
from analysis.pictures import Picture
from analysis.rates_section import MEDIUM, alt_text, forms, slug, span, tags_of
from analysis.sections import Part, Tables
from analysis.style import percent, points
from analysis.summary import count
from study import tuned
from study.errors import UserError, one_line

_SCORED = ("complete", "pruned", "diverged")


def searches(data: Tables) -> Part | None:
    """What was proposed, what came out, what it cost; None without a search."""
    found = search_frames.read(data.frames)
    trials = found.trials
    if trials.empty and not found.problems:
        return None
    body = "".join(page.paragraph(problem, kind="notice") for problem in found.problems)
    body += page.paragraph(_fairness(trials)) + _settings(data)
    pictures: list[Picture] = []
    scored = trials[trials["score"].notna() & trials["state"].isin(_SCORED)]
    for level, here in scored.groupby("scale", sort=False):
        drawn = [_proposals(here, str(level)), *_budget(here, str(level)), *_importance(here, str(level))]
        pictures += drawn
        body += page.tagged("".join(page.figure(each, command=data.command) for each in drawn), **tags_of(here))
    parallel = ""
    for (task, level), here in scored.groupby(["task", "scale"], sort=False):
        picture = _parallel(here, str(task), str(level))
        pictures.append(picture)
        parallel += page.tagged(page.figure(picture, command=data.command), **tags_of(here))
    body += page.fold("Every proposal on every axis", parallel) if parallel else ""
    return Part(Section("searches", "Searches for settings", body), tuple(pictures))


def _fairness(trials: pd.DataFrame) -> str:
    told = []
    for task, here in trials.groupby("task", sort=False):
        budget = here.groupby("study").agg(num=("number", "size"), seeds=("seeds", lambda each: len(each.iloc[0])))
        steps = here["num_steps"].unique()
        numbers, seeds = sorted(budget["num"].unique()), sorted(budget["seeds"].unique())
        same = len(numbers) == len(seeds) == len(steps) == 1
        what = (
            f"{_either(numbers)} proposals of {_either(seeds)} seeds and at most {_either(sorted(steps))} updates each"
        )
        told.append(f"{task}: {count(len(budget), 'variant')} with {what}{'' if same else ' (budgets differ)'}")
    return (
        "Proposals were compared on the validation split only, with seeds that no other run has; no search reads the "
        f"test split. {'; '.join(told)}. Results stand below for the best setting run again with fresh seeds."
    )


def _either(values: Sequence[Any]) -> str:
    return " or ".join(f"{value:,}" for value in values)


def _settings(data: Tables) -> str:
    try:
        settings = tuned.read(data.frames.source)
    except UserError as error:
        return page.paragraph(one_line(error), kind="notice")
    if not settings:
        return page.paragraph("No search has found a setting yet.")
    rows, tags = [], []
    names = [name for name in tuned.VALUES if len({str(each.values.get(name)) for each in settings}) > 1]
    for each in sorted(settings, key=lambda one: (one.task, one.variant)):
        rows.append([each.task, each.variant, *_told(each), *(_value(each.values.get(name)) for name in names)])
        size = each.holds_for.get("size")
        tags.append(Tags(task=each.task, protocol=str(each.holds_for["protocol"]), scale=scope.scale_of(size)))
    columns = ["task", "variant", "in search", "fresh seeds", "proposals (stopped)", "share of updates"]
    caption = (
        "Settings that searches found: validation accuracy of the best proposal, and of runs with seeds no search has "
        "seen, mean [95 % t interval] (number of seeds); updates spent of those without early stopping"
    )
    return page.table(rows, columns=[*columns, *names], caption=caption, num_keys=2, tags=tags)


def _told(setting: tuned.TunedSetting) -> list[object]:
    found, expected = setting.found, setting.expected
    accuracies = found.get("search_accuracies") or []
    in_search = percent(sum(accuracies) / len(accuracies)) if accuracies else None
    fresh = None
    if expected:
        fresh = percent(expected["valid_accuracy"])
        if expected.get("low") is not None:
            fresh += f" [{points(expected['low'])}, {points(expected['high'])}]"
        fresh += f" ({expected['num_seeds']})"
    whole = found.get("proposals", 0) * found.get("seeds", 0) * found.get("num_steps", 0)
    spent = found.get("num_steps_spent")
    share = f"{spent / whole:.0%}" if spent is not None and whole else None
    return [in_search, fresh, f"{found.get('proposals')} ({found.get('pruned')})", share]


def _value(value: object) -> str:
    return "none" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _proposals(here: pd.DataFrame, level: str) -> Picture:
    caption = (
        "Every proposal: validation accuracy it reached against its learning rate; the other axes vary too. Filled: "
        "complete, bar from the lowest to the highest seed; open: stopped early, at what it had reached by then; "
        f"cross: diverged. n = {span(here['seeds'].map(len))} each."
    )
    drawn = forms(lambda columns: search_budget.draw_proposals(here, columns=columns))
    return Picture(f"proposals-{level}", caption, alt_text("proposals by learning rate", here), _flat(here), drawn)


def _budget(here: pd.DataFrame, level: str) -> list[Picture]:
    rows = search_budget.best_so_far(here)
    if rows["best"].isna().all():
        return []
    caption = (
        "Best complete proposal so far against the updates spent on all proposals, stopped ones included. The best of "
        "many is optimistic: what to expect of it is in the table, from fresh seeds. One search per line, no interval."
    )
    drawn = forms(lambda columns: search_budget.draw(rows, columns=columns))
    return [Picture(f"best-so-far-{level}", caption, alt_text("best proposal against updates", rows), rows, drawn)]


def _importance(here: pd.DataFrame, level: str) -> list[Picture]:
    rows = search_importance.table(here)
    if rows.empty:
        return []
    caption = (
        "Share of the variance of validation accuracy at the first rung, which every proposal reached, that each axis "
        f"explains by itself (fANOVA); n = {span(rows['num_proposals'], 'proposals')}. Axes that only some proposals "
        "have are left out. Few proposals: read the order, not the numbers."
    )
    drawn = forms(lambda columns: search_importance.draw(rows, columns=columns))
    return [Picture(f"importance-{level}", caption, alt_text("importance of searched values", rows), rows, drawn)]


def _parallel(here: pd.DataFrame, task: str, level: str) -> Picture:
    caption = (
        f"{task}: every proposal as a line through the axes that all of them have, coloured by the validation accuracy "
        "it reached; stopped ones at what they had reached. Axes of few values spread their lines. A narrow page "
        "has the learning rate only."
    )
    drawn = ((MEDIUM, search_parallel.draw(here)), (0, search_parallel.draw(here, is_narrow=True)))
    alt = alt_text("proposals on parallel axes", here)
    return Picture(f"parallel-{slug(task)}-{level}", caption, alt, _flat(here), drawn)


def _flat(trials: pd.DataFrame) -> pd.DataFrame:
    """Proposals as a table whose cells are single values or tuples, for the CSV."""
    lists = ("seeds", "rung_steps", "rung_accuracies", "rung_losses", "seed_accuracies")
    plain = {name: [tuple(value) if value is not None else () for value in trials[name]] for name in lists}
    return trials.assign(**plain)
