"""From a recipe to its data and its objective: what a body is pretrained on, and how it is judged."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from study.batches import derive_seed
from study.objectives.base import Objective
from study.objectives.bit_memory import bit_memory
from study.objectives.language import language
from study.recipes import Recipe
from tasks.corpora import Corpus, text_corpus
from tasks.files import data_root
from tasks.source import Source


def data_of(recipe: Recipe) -> Source | None:
    """The data that the recipe reads, as they are today; None where its examples are generated.

    Raises:
        tasks.files.MissingData: they are neither here nor to be fetched.
    """
    return _corpus(data_root()) if recipe.objective == "language" else None


def make_objective(recipe: Recipe, data: Source | None) -> Objective:
    """The recipe's objective over the data that `data_of` found.

    Raises:
        ValueError: a text that is too short for the recipe's window.
        tasks.files.DamagedData: the data cannot be read.
    """
    seed = derive_seed("pretraining data", recipe.seed)
    if recipe.objective == "language":
        assert isinstance(data, Corpus) and recipe.num_tokens is not None
        return language(data, num_tokens=recipe.num_tokens, seed=seed)
    return bit_memory(dict(recipe.task_args), seed=seed)


@cache
def _corpus(root: Path) -> Corpus:
    return text_corpus(root)
