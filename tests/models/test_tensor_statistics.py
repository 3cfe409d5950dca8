"""Per-tensor statistics against torch.linalg and numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import BODIES, Group
from models.bodies import architecture
from models.initialise import body_state
from models.tensor_statistics import spectral_norm, tensor_statistics


def _exact(matrix: torch.Tensor) -> float:
    return torch.linalg.matrix_norm(matrix.double(), ord=2).item()


def _gaussian(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "matrix",
    [
        _gaussian(300, 700),
        _gaussian(700, 300) * 1e-12,
        _gaussian(400, 2) @ _gaussian(2, 500),
        torch.ones(300, 400),
        torch.eye(300),
        torch.diag(torch.arange(300.0)),
        torch.zeros(300, 300),
        # Its largest singular values crowd together, and the largest is one of five.
        torch.diag(torch.cat([torch.full((5,), 1.0), torch.full((5,), 0.9999), torch.linspace(0, 0.999, 290)])),
    ],
    ids=["wide", "tall and tiny", "rank 2", "constant", "identity", "diagonal", "zero", "crowded"],
)
def test_large_matrices_are_within_a_thousandth(matrix: torch.Tensor) -> None:
    assert spectral_norm(matrix) == pytest.approx(_exact(matrix), rel=1e-3)


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 128), columns=st.integers(1, 300), seed=st.integers(0, 2**31))
def test_small_matrices_are_exact(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    for each in (matrix, matrix.T):
        assert spectral_norm(each) == pytest.approx(_exact(matrix), rel=1e-5)


def test_a_spike_is_found_whatever_its_direction() -> None:
    for index in range(5):
        matrix = 0.1 * _gaussian(400, 400)
        matrix[index, 7 * index] += 50
        assert spectral_norm(matrix) == pytest.approx(_exact(matrix), rel=1e-5)


@pytest.mark.parametrize("body", BODIES)
def test_every_tensor_of_a_body_has_its_place(body: str) -> None:
    whole = architecture(body, size="nano")
    state = body_state(whole, "random", seed=3)
    found = tensor_statistics(whole, state)
    assert [each.name for each in found] == list(whole.shapes)
    assert {each.layer for each in found} - {None} == set(range(whole.num_layers))
    for each in found:
        values = state[each.name].double().numpy()
        assert each.shape == values.shape and each.group in list(Group)
        assert each.mean == pytest.approx(values.mean(), abs=1e-12)
        assert each.std == pytest.approx(values.std(), abs=1e-12)
        assert (each.spectral_norm is None) == (values.ndim == 1)
        if values.ndim == 2:
            assert each.spectral_norm == pytest.approx(np.linalg.norm(values, 2), rel=1e-3, abs=1e-12)
