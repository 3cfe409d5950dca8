"""How many parameters FPT trains: counted in our runs, and by the formula behind the paper's numbers (table 8)."""

from __future__ import annotations

import pandas as pd

from models import sizes

PAPER_FEATURES, PAPER_CLASSES, PAPER_TOKENS = 16, 10, 64
"""Values per token, classes and tokens of CIFAR-10 as the paper's formula has them; the released code has 48 values."""


def paper_count(
    width: int,
    num_layers: int,
    *,
    num_features: int = PAPER_FEATURES,
    num_classes: int = PAPER_CLASSES,
    num_tokens: int = PAPER_TOKENS,
) -> int:
    """Trained parameters as the paper counts them: 16 d + 10 d + 4 d L + 64 d for d = width and L = layers.

    That gives table 8's 106K, 190K and 300K for 12, 24 and 36 layers. Input matrix, output matrix, two layer norms with
    gain and bias in each layer, and the positions; without the biases of both matrices and without the last layer norm.
    """
    return (num_features + num_classes + 4 * num_layers + num_tokens) * width


def counts(runs: pd.DataFrame) -> pd.DataFrame:
    """What FPT trains on GPT-2 bodies of named sizes, beside the paper's formula.

    Args:
        runs: rows of the ledger.

    Returns:
        One row per task, task_args, protocol, body, size and depth: these columns, num_params_total,
        num_params_trained (counted in the model), paper_count (null for tasks other than CIFAR-10, for which the paper
        gives no formula).
    """
    own = runs[(runs["train_set"] == "fpt") & (runs["body"] == "gpt2") & runs["size"].notna()]
    key = ["task", "task_args", "protocol", "body", "size", "num_layers"]
    rows = own.dropna(subset=["num_params_trained"]).drop_duplicates(key)
    rows = rows[[*key, "num_params_total", "num_params_trained"]].reset_index(drop=True)
    formula = [_of(*row) for row in zip(rows["task"], rows["size"], rows["num_layers"], strict=True)]
    return rows.assign(paper_count=pd.array(formula, dtype="Int64"))


def _of(task: str, size: str, num_layers: float) -> int | None:
    if task != "cifar10":
        return None
    depth, width, _ = sizes.shape("gpt2", size)
    return paper_count(width, depth if pd.isna(num_layers) else int(num_layers))
