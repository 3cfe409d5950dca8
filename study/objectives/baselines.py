"""What a predictor reaches that ignores the context."""

from __future__ import annotations

import numpy as np
import torch

from study.objectives.base import IGNORED


def unigram_entropy(symbols: np.ndarray) -> float:
    """Entropy of the symbols' frequencies in bits per symbol: the least possible without context."""
    shares = np.unique(symbols, return_counts=True)[1] / symbols.size
    return float(-(shares * np.log2(shares)).sum())


def commonest(targets: torch.Tensor) -> float:
    """Accuracy of always giving the most common of the targets that are predicted."""
    counts = targets[targets != IGNORED].bincount()
    return (counts.max() / counts.sum()).item()
