"""Snapshots: what comes back is what went in, bit for bit, and nothing else is taken for one."""

import math

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from study.snapshot import BadSnapshot, from_bytes, to_bytes

STAMP = {"torch": "2.13.0", "threads": 1}
STATE = {
    "step": 7,
    "matrix": torch.randn(3, 5)[1:],
    "none": None,
    "tensor": {"map": torch.tensor(3), "bad": torch.tensor([math.nan, math.inf])},
    "streams": [{"num_drawn": torch.tensor(12)}, {}],
    "runs": [{"loss": math.inf, "best": 0.1 + 0.2, "name": "å\n"}],
    "generator": torch.Generator().get_state(),
}
DATA = to_bytes(STATE, STAMP)


def assert_same(found: object, wanted: object) -> None:
    if isinstance(wanted, torch.Tensor):
        assert isinstance(found, torch.Tensor) and found.dtype == wanted.dtype
        assert torch.equal(found.nan_to_num(7.0), wanted.nan_to_num(7.0))
    elif isinstance(wanted, dict):
        assert isinstance(found, dict) and found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert_same(found[name], value)
    elif isinstance(wanted, list):
        assert isinstance(found, list)
        for inner, value in zip(found, wanted, strict=True):
            assert_same(inner, value)
    else:
        assert found == wanted and type(found) is type(wanted)


def test_a_state_comes_back() -> None:
    assert_same(from_bytes(DATA, STAMP), STATE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int16, torch.uint8, torch.bool])
def test_every_kind_of_number_comes_back(dtype: torch.dtype) -> None:
    state = {"x": torch.arange(6).reshape(2, 3).to(dtype), "empty": torch.empty(0, 4, dtype=dtype)}
    assert_same(from_bytes(to_bytes(state, STAMP), STAMP), state)


def test_another_stamp_is_refused_by_name() -> None:
    with pytest.raises(BadSnapshot, match=r"threads was 1, is 2"):
        from_bytes(DATA, STAMP | {"threads": 2})


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(DATA) - 1), st.integers(0, 7), st.booleans())
def test_torn_and_altered_bytes_are_refused(position: int, bit: int, is_torn: bool) -> None:
    data = bytearray(DATA[:position] if is_torn else DATA)
    if not is_torn:
        data[position] ^= 1 << bit
    try:
        found = from_bytes(bytes(data), STAMP)
    except BadSnapshot:
        return
    # A change of blanks or of a name's case in the header may leave the values as they were, but never alter them.
    assert_same(found, STATE)


def test_foreign_files_are_refused() -> None:
    for data in (b"", b"{}", b"PAR1" * 9, safetensors.torch.save({"x": torch.ones(1)})):
        with pytest.raises(BadSnapshot):
            from_bytes(data, STAMP)
