"""The published numbers by the cells of `study.grids.tables`: what the papers print, and how sure of it we are."""

from __future__ import annotations

from functools import cache
from importlib import resources

import pandas as pd

CONFIDENCE = {
    "P": "read in the primary source",
    "S": "read in a secondary transcription of the paper",
    "S+M": "read in a secondary transcription, and the same as recalled before",
    "M": "recalled only, not verified",
    "I": "computed",
}
"""What a confidence code means. The papers' own PDFs were not at hand; see docs/paper.md."""
KINDS = {
    "paper": "the number of the paper's own table",
    "origin": "the number in the work that the paper quotes or compares with",
    "reproduction": "an independent reproduction with the released code",
}
KEY = ("table", "row", "column")


@cache
def published() -> pd.DataFrame:
    """Every published number.

    Returns:
        Columns: table, row, column (of the cell; table is "" where none is run), metric (of
        `study.grids.cells.Metric`), value, value_high (end of a range; null where it is one number), sem (standard
        error of the mean that the paper states; null), unit ("%", "steps", "x", "params"), confidence (a key of
        `CONFIDENCE`), kind (of `KINDS`), source, note, unused (why no cell answers it; "" where one does).
    """
    file = resources.files("analysis") / "published.csv"
    text = dict.fromkeys((*KEY, "metric", "unit", "confidence", "kind", "source", "note", "unused"), str)
    with file.open(encoding="utf-8") as lines:
        frame = pd.read_csv(lines, dtype=text, keep_default_na=False, na_values={name: [""] for name in _NUMBERS})
    return frame.astype(dict.fromkeys(_NUMBERS, float))


_NUMBERS = ("value", "value_high", "sem")


@cache
def of_table(name: str) -> dict[tuple[str, str], dict]:
    """The paper's own numbers of one table: (row, column) -> the columns of `published`."""
    numbers = published()
    own = numbers[(numbers["table"] == name) & (numbers["kind"] == "paper")]
    return {(row["row"], row["column"]): row for row in own.to_dict("records")}
