"""Random numbers of a pack: every run draws from generators of its own, so that packing does not change what it sees.

Dropout stream of a run: 16-bit values cut from full-range 64-bit draws of the run's generator, in chunks of CHUNK
values. A site that needs n values takes the next n of the chunk; where fewer are left the rest is thrown away and a new
chunk is drawn; a site that needs more than a chunk draws for itself. All runs of a pack have the same shapes, so that a
run consumes its stream in the same way alone and packed. The probability is rounded to 1/65536 and the kept values are
scaled by the rounded probability, so the expectation is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

CHUNK = 1 << 20
_VALUES_PER_DRAW = 4
_LEVELS = 1 << 16


class DropoutStreams:
    """K streams of mask values on one device, advanced together.

    Args:
        seeds: one seed per run.
        device: where masks are made; streams of a CPU and of a GPU differ.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.device = device
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._before_chunk = [generator.get_state() for generator in self.generators]
        self._chunk = torch.empty(len(self.generators), 0, dtype=torch.int16, device=device)
        self._used = 0

    def keep_mask(self, num_values: int, p: float, dtype: torch.dtype) -> torch.Tensor:
        """Mask [K, num_values] of 0 and 1/(1 - p) in `dtype`."""
        dropped = round(p * _LEVELS)
        scale = _LEVELS / (_LEVELS - dropped)
        values = self._take(num_values)
        return (values >= dropped - _LEVELS // 2).to(dtype).mul_(scale)

    def _take(self, num_values: int) -> torch.Tensor:
        if num_values > CHUNK:
            return self._draw(num_values)[:, :num_values]
        if self._used + num_values > self._chunk.shape[1]:
            self._before_chunk = [generator.get_state() for generator in self.generators]
            self._chunk = self._draw(CHUNK)
            self._used = 0
        values = self._chunk[:, self._used : self._used + num_values]
        self._used += num_values
        return values

    def _draw(self, num_values: int) -> torch.Tensor:
        num_draws = -(-num_values // _VALUES_PER_DRAW)
        draws = torch.empty(len(self.generators), num_draws, dtype=torch.int64, device=self.device)
        for row, generator in zip(draws, self.generators, strict=True):
            row.random_(-(2**63), None, generator=generator)
        return draws.view(torch.int16)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop the streams of all other runs."""
        self.generators = [self.generators[row] for row in rows]
        self._before_chunk = [self._before_chunk[row] for row in rows]
        self._chunk = self._chunk[list(rows)]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """State on the CPU; a draw larger than a chunk moves the generators on, so both states are kept."""
        return {
            "before_chunk": torch.stack(self._before_chunk),
            "now": torch.stack([generator.get_state() for generator in self.generators]),
            "used": torch.tensor([self._used, self._chunk.shape[1]]),
        }

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a state of as many runs."""
        used, size = state["used"].tolist()
        self._before_chunk = [saved.clone() for saved in state["before_chunk"]]
        if size:
            _set_states(self.generators, self._before_chunk)
            self._chunk = self._draw(size)
        self._used = used
        _set_states(self.generators, state["now"])


class NormalStreams:
    """K streams of standard normal values, for a body that starts from random states (the released LSTM)."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = list(generators)

    @classmethod
    def seeded(cls, seeds: Sequence[int], device: torch.device) -> NormalStreams:
        """Streams from one seed per run."""
        return cls([torch.Generator(device).manual_seed(seed) for seed in seeds])

    def normal(self, num_rows: int, width: int) -> torch.Tensor:
        """[num_rows, width], the first num_rows / K rows from the first run's stream, and so on."""
        num_runs = len(self.generators)
        parts = [torch.randn(num_rows // num_runs, width, generator=g, device=g.device) for g in self.generators]
        return torch.cat(parts)

    def keep(self, rows: Sequence[int]) -> NormalStreams:
        """The streams of the runs `rows`; they move on together with these."""
        return NormalStreams([self.generators[row] for row in rows])

    def state_dict(self) -> dict[str, torch.Tensor]:
        """State on the CPU."""
        return {"now": torch.stack([generator.get_state() for generator in self.generators])}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a state of as many runs."""
        _set_states(self.generators, state["now"])


def _set_states(generators: Sequence[torch.Generator], states: Iterable[torch.Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        # torch 2.13 crashes on a state that is a view into a larger tensor.
        generator.set_state(state.clone())
