"""What a pretraining consists of and that has no state: optimiser, learning rate, precision, evaluation, cost.

AdamW with betas (0.9, 0.95), decay on matrices only, gradient clipping and a cosine after a short warm-up, as GPT-3
(Brown et al. 2020, appendix B) and most since.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from models import TRAINABLE
from models.bodies import architecture
from models.cost import cost
from study.objectives.base import IGNORED
from study.pretraining_model import PretrainingModel
from study.recipes import Recipe
from tasks.base import Batch, Layout

_BETAS = (0.9, 0.95)
_FINAL_LR = 0.05
"""Learning rate at the last step, as a share of the highest."""
_EVALUATION_EXAMPLES = 128


def flops_per_step(recipe: Recipe, layout: Layout) -> float:
    """Operations of one update of the whole model."""
    return cost(
        architecture(recipe.body, size=recipe.size),
        num_tokens=layout.num_tokens,
        num_features=layout.num_features,
        num_symbols=layout.num_symbols,
        num_readouts=layout.num_readouts,
        num_outputs=layout.num_targets * layout.num_classes,
        groups=TRAINABLE,
        batch_size=recipe.batch_size,
        precision="fp32",
    ).train_flops_per_step


def precision_on(device: torch.device) -> str:
    """bf16 where the hardware multiplies it faster than fp32, which processors without AMX or AVX512-BF16 do not."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "fp32"


def make_optimiser(model: PretrainingModel, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over every parameter; the decay is on matrices only, and not on the table of positions."""
    parameters = list(model.parameters())
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1 and p is not model.positions],
            "weight_decay": recipe.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim < 2 or p is model.positions], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=_BETAS, fused=True)


def require_finite(step: int, *losses: float | None) -> None:
    """Refuse a loss that is no number, or infinite.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    if not all(loss is None or math.isfinite(loss) for loss in losses):
        raise FloatingPointError(f"the loss was no longer finite by step {step}; lower the recipe's learning rate")


def lr_factor(step: int, recipe: Recipe) -> float:
    """Learning rate of the update after `step` updates, as a share of the highest."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.num_steps - recipe.warmup_steps)
    return _FINAL_LR + (1 - _FINAL_LR) * (1 + math.cos(math.pi * progress)) / 2


@torch.no_grad()
def held_out_scores(model: PretrainingModel, batch: Batch) -> tuple[float, float]:
    """Mean loss in nats and accuracy over the predictions of the held-out set, without dropout."""
    model.eval()
    total_loss = total_right = 0.0
    for start in range(0, len(batch.targets), _EVALUATION_EXAMPLES):
        part = slice(start, start + _EVALUATION_EXAMPLES)
        logits, targets = model(batch.inputs[part]).flatten(0, 1), batch.targets[part].flatten()
        total_loss += F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum").item()
        total_right += (logits.argmax(-1) == targets).sum().item()
    model.train()
    num_predicted = (batch.targets != IGNORED).sum().item()
    return total_loss / num_predicted, total_right / num_predicted
