"""Adam row by row against torch's own, and the learning-rate schedules."""

from __future__ import annotations

import pytest
import torch

from study import optimiser
from study.optimiser import PackedAdam, learning_rate
from study.spec import RunSpec

K, P, DECAYED = 3, 40, 25


def run(**changes: object) -> RunSpec:
    return RunSpec(**({"task": "bit-xor", "num_steps": 10, "eval_every_steps": 10, "lr": 1.0} | changes))


@pytest.mark.parametrize("block", [8, 1 << 17])
def test_every_row_is_updated_as_torch_adamw_does_alone(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning rates, weight decay (on the first columns only) and clipping differ from row to row."""
    monkeypatch.setattr(optimiser, "_BLOCK_ELEMENTS", block)
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(K, P, generator=generator, dtype=torch.float64)
    rates, decays, clips = [1e-2, 1e-3, 3e-2], [0.0, 0.1, 0.5], [1.0, None, 0.1]
    rows = [(torch.nn.Parameter(row[:DECAYED].clone()), torch.nn.Parameter(row[DECAYED:].clone())) for row in matrix]
    theirs = [
        torch.optim.AdamW([{"params": [a], "weight_decay": decay}, {"params": [b], "weight_decay": 0.0}], lr=lr)
        for (a, b), lr, decay in zip(rows, rates, decays, strict=True)
    ]
    ours = PackedAdam(matrix, num_decayed=DECAYED, weight_decay=decays, clip_norm=clips)
    for step in range(1, 8):
        gradients = torch.randn(K, P, generator=generator, dtype=torch.float64) * 3
        for row, (a, b) in enumerate(rows):
            a.grad, b.grad = gradients[row, :DECAYED].clone(), gradients[row, DECAYED:].clone()
            if clips[row] is not None:
                torch.nn.utils.clip_grad_norm_([a, b], clips[row])
            theirs[row].step()
        norms = ours.step(step, gradients=gradients.clone(), lr=torch.tensor(rates, dtype=torch.float64))
        torch.testing.assert_close(norms, gradients.norm(dim=1))
    expected = torch.stack([torch.cat([a, b]).detach() for a, b in rows])
    torch.testing.assert_close(matrix, expected, rtol=1e-10, atol=1e-12)


def test_a_row_that_is_not_finite_stays_alone() -> None:
    matrix = torch.ones(2, 4)
    adam = PackedAdam(matrix, num_decayed=4, weight_decay=[0.1, 0.1], clip_norm=[1.0, 1.0])
    gradients = torch.tensor([[1.0, 1, 1, 1], [float("nan"), 1, 1, 1]])
    norms = adam.step(1, gradients=gradients, lr=torch.tensor([0.1, 0.1]))
    assert torch.isfinite(norms).tolist() == [True, False]
    assert torch.isfinite(matrix[0]).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [1.0] * 10),
        ({"warmup_steps": 4}, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]),
        ({"schedule": "linear"}, [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        ({"schedule": "linear", "warmup_steps": 5}, [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2]),
    ],
)
def test_learning_rates(changes: dict[str, object], expected: list[float]) -> None:
    assert [learning_rate(run(**changes), step) for step in range(1, 11)] == pytest.approx(expected)


def test_half_a_cosine_falls_from_the_peak_through_its_half() -> None:
    rates = [learning_rate(run(schedule="cosine"), step) for step in range(1, 11)]
    assert rates[0] == 1.0
    assert rates[5] == pytest.approx(0.5)
    assert 0 < rates[9] < 0.05
    assert rates == sorted(rates, reverse=True)
