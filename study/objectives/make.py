"""From a recipe to its data and its objective: what a body is pretrained on, and how it is judged."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from models.bodies import architecture
from study.batches import derive_seed
from study.objectives.base import Objective
from study.objectives.bit_memory import bit_memory
from study.objectives.cellular_automata import cellular_automaton
from study.objectives.dyck import dyck
from study.objectives.image_data import ImageData, image_data
from study.objectives.language import TextData, language
from study.objectives.prediction import symbols_layout
from study.objectives.tokenizer import TokenizerFiles, find
from study.objectives.vision import classification, pixels, pixels_layout
from study.recipes import Recipe
from tasks.base import Layout
from tasks.corpora import NUM_BYTE_SYMBOLS, Corpus, documentation, own_text, text_corpus
from tasks.corpora_hub import hub_corpus
from tasks.files import data_root
from tasks.source import Source

_WIKITEXT = "hub:Salesforce/wikitext:wikitext-103-raw-v1"
_LEAST_BYTES = 1 << 20
_MOST_IMAGES = 1 << 16
_BYTES_PER_TOKEN = 4
"""Of English text, with the vocabularies in use; only how much is fetched depends on it."""


def data_of(recipe: Recipe) -> Source | None:
    """The data that the recipe reads, as they are today; None where its examples are generated.

    Found once per process; a corpus of the hub is fetched here, cut to what the recipe needs, and kept.

    Raises:
        tasks.files.MissingData: they are neither here nor to be fetched.
        UserError: a tokenizer that is none.
    """
    root = data_root()
    if recipe.objective == "vision":
        assert recipe.corpus is not None
        return image_data(recipe.corpus, root, _power_of_two(min(recipe.num_steps * recipe.batch_size, _MOST_IMAGES)))
    if recipe.objective != "language":
        return None
    tokenizer = None if recipe.tokenizer is None else _tokenizer(recipe.tokenizer, root)
    corpus = _corpus(recipe.corpus, root, _num_bytes(recipe))
    if tokenizer is None:
        return TextData(corpus.name, corpus.checksum, corpus)
    both = hashlib.sha256(f"{corpus.checksum} {tokenizer.checksum}".encode()).hexdigest()
    return TextData(f"{corpus.name}, tokens of {tokenizer.name}", both, corpus, tokenizer)


def make_objective(recipe: Recipe, data: Source | None) -> Objective:
    """The recipe's objective over the data that `data_of` found.

    Raises:
        ValueError: a text that is too short for the recipe's window.
        tasks.files.MissingData, tasks.files.DamagedData: the data cannot be read.
    """
    return _MAKERS[recipe.objective](
        recipe,
        data,
        architecture(recipe.body, size=recipe.size).is_causal,
        derive_seed("pretraining data", recipe.seed),
    )


@cache
def layout_of(recipe: Recipe, data: Source | None) -> Layout:
    """The layout of the recipe's objective, found without reading a corpus or an image.

    Raises:
        tasks.files.DamagedData: the tokenizer cannot be read.
    """
    if data is None:
        return make_objective(recipe, None).layout
    is_causal = architecture(recipe.body, size=recipe.size).is_causal
    if isinstance(data, ImageData):
        task = data.task(**_args(recipe))
        return task.layout if recipe.body == "vit" else pixels_layout(task, is_causal=is_causal)
    assert isinstance(data, TextData) and recipe.num_tokens is not None
    num_symbols = NUM_BYTE_SYMBOLS if data.tokenizer is None else data.tokenizer.load().get_vocab_size()
    return symbols_layout(num_tokens=recipe.num_tokens, num_symbols=num_symbols, is_causal=is_causal)


def _language(recipe: Recipe, data: Source | None, is_causal: bool, seed: int) -> Objective:
    assert isinstance(data, TextData) and recipe.num_tokens is not None
    return language(data, num_tokens=recipe.num_tokens, num_drawn=_num_drawn(recipe), is_causal=is_causal, seed=seed)


def _vision(recipe: Recipe, data: Source | None, is_causal: bool, seed: int) -> Objective:
    assert isinstance(data, ImageData)
    task = data.task(**_args(recipe))
    if recipe.body == "vit":
        return classification(task, data, seed=seed)
    return pixels(task, data, is_causal=is_causal, seed=seed)


def _bit_memory(recipe: Recipe, data: Source | None, is_causal: bool, seed: int) -> Objective:
    del data, is_causal  # generated; what is recalled stands before the query, so every body can learn it
    return bit_memory(_args(recipe), seed=seed)


def _dyck(recipe: Recipe, data: Source | None, is_causal: bool, seed: int) -> Objective:
    assert data is None and recipe.num_tokens is not None
    return dyck(**_args(recipe), num_tokens=recipe.num_tokens, is_causal=is_causal, seed=seed)


def _cellular_automata(recipe: Recipe, data: Source | None, is_causal: bool, seed: int) -> Objective:
    assert data is None
    return cellular_automaton(**_args(recipe), is_causal=is_causal, seed=seed)


_MAKERS = {
    "language": _language,
    "vision": _vision,
    "bit-memory": _bit_memory,
    "dyck": _dyck,
    "cellular-automata": _cellular_automata,
}


def _args(recipe: Recipe) -> dict[str, Any]:
    return dict(recipe.task_args)


def _num_drawn(recipe: Recipe) -> int:
    """Tokens that the whole training draws."""
    assert recipe.num_tokens is not None
    return recipe.num_steps * recipe.batch_size * recipe.num_tokens


def _num_bytes(recipe: Recipe) -> int:
    """Text to fetch for a recipe."""
    return _power_of_two(max(_LEAST_BYTES, _num_drawn(recipe) * (1 if recipe.tokenizer is None else _BYTES_PER_TOKEN)))


def _power_of_two(needed: int) -> int:
    """No less than is needed; recipes of about the same length then share what is fetched."""
    return 1 << (needed - 1).bit_length()


@cache
def _corpus(name: str | None, root: Path, num_bytes: int) -> Corpus:
    if name is None:
        return text_corpus(root)
    if name == "text":
        return own_text(root)
    if name == "cpython-docs":
        return documentation()
    return hub_corpus(_WIKITEXT if name == "wikitext-103" else name, root, num_bytes=num_bytes)


@cache
def _tokenizer(name: str, root: Path) -> TokenizerFiles:
    return find(name, root)
