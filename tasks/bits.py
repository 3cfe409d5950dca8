"""Bit Memory and Bit XOR (paper section 2.1), made on the device from a key and a count.

Bit Memory: five strings of 1000 bits are shown, then one of them again with half of its bits hidden; say the whole
string. Three bits instead of 1000, two strings instead of five, one bit a token:

    tokens   +1 -1 +1   -1 -1 +1   +1  0  0      (0 = hidden; the query is the first string)
    targets                         1  0  1      (all bits count, also those in plain sight: the floor is 75 %)

Bit XOR: two strings of five bits, raw 0/1, one bit a token; the last five tokens give the bitwise XOR (parity where
there are more than two strings). Over 2 x 5 bits only 1,024 different inputs exist: train, valid and test are
independent draws that overlap in content by nature, so XOR at this length measures whether the rule is learned at
all, not whether it carries over to new strings.
"""

from __future__ import annotations

from abc import abstractmethod

import torch

from tasks import counter
from tasks.base import Batch, Layout, Probe, ProtocolName, Split, Stream, Task, require_at_least, require_subset
from tasks.streams import ArrayStream, Examples, GeneratedStream

NUM_PROBES = 32
"""Examples whose attention is kept: 32 of Bit Memory's average over 640 queries, and take less than a validation."""


class _BitTask(Task):
    is_generated = True
    chance_accuracy = 0.5

    def __init__(self, protocol: ProtocolName, num_valid_examples: int, num_test_examples: int) -> None:
        self.protocol = protocol
        require_at_least(1, num_valid_examples=num_valid_examples, num_test_examples=num_test_examples)
        self._num_examples = {"valid": num_valid_examples, "test": num_test_examples}

    @abstractmethod
    def _make(self, key: int, first: int, num_examples: int, device: torch.device) -> Batch:
        """Examples first .. first + num_examples - 1 of the endless sequence with this key."""

    def num_examples(self, split: Split) -> int | None:
        """None for train: the stream is endless."""
        return self._num_examples.get(split)

    def check(self) -> None:
        """Nothing to check: no file is needed."""

    def stream(self, seed: int, device: torch.device, num_train_examples: int | None = None) -> Stream:
        """An endless stream of new examples, or endless passes over `num_train_examples` of them."""
        key = counter.key(self.name, "train", seed)
        num_sample = self._num_examples["valid"]
        if num_train_examples is None:
            return GeneratedStream(lambda first, n: self._make(key, first, n, device), num_sample=num_sample)
        require_subset(self.name, num_train_examples, None)
        batch = self._make(key, 0, num_train_examples, device)
        stored = Examples(batch.inputs, batch.targets)
        return ArrayStream(stored, lambda examples: Batch(examples.inputs, examples.targets), key=key)

    def split(self, name: Split, device: torch.device) -> Batch:
        """A fixed sample; `train` has as many examples as `valid`."""
        num_examples = self._num_examples["valid" if name == "train" else name]
        return self._make(counter.key(self.name, name, "fixed sample"), 0, num_examples, device)

    def _probe_key(self) -> int:
        """Of examples that are in no split and in no training stream."""
        return counter.key(self.name, "probe", "fixed sample")


class BitMemory(_BitTask):
    """Recall of a half-hidden bit string: layout [N, 120, 50] in, 20 tokens x 50 bits out (paper section 2.1)."""

    name = "bit-memory"
    protocol_note = "the protocols do not differ; all bits are scored, also the visible ones, as in the released code"
    floor_predictor = "copy the visible bits, guess the hidden half"

    def __init__(
        self,
        *,
        protocol: ProtocolName = "fixed",
        num_patterns: int = 5,
        num_bits: int = 1000,
        patch_size: int = 50,
        num_valid_examples: int = 256,
        num_test_examples: int = 256,
    ) -> None:
        """Take the paper's sizes; 256 examples are 256,000 scored bits, a standard error of at most 0.1 %."""
        super().__init__(protocol, num_valid_examples, num_test_examples)
        require_at_least(1, num_patterns=num_patterns, num_bits=num_bits, patch_size=patch_size)
        if num_bits % patch_size:
            divisors = ", ".join(str(d) for d in range(1, num_bits + 1) if num_bits % d == 0)
            raise ValueError(f"patch size {patch_size} does not divide {num_bits} bits; choose one of {divisors}")
        self._num_patterns = num_patterns
        self._num_bits = num_bits
        num_readouts = num_bits // patch_size
        self.layout = Layout(
            num_tokens=(num_patterns + 1) * num_readouts,
            num_features=patch_size,
            num_symbols=None,
            num_readouts=num_readouts,
            num_targets=patch_size,
            num_classes=2,
        )

    @property
    def floor_accuracy(self) -> float:
        """0.75: half of the bits can be copied, the others guessed."""
        return 0.75

    def _make(self, key: int, first: int, num_examples: int, device: torch.device) -> Batch:
        num_shown, num_bits = self._num_patterns * self._num_bits, self._num_bits
        words = self._words(key, first, num_examples, device)
        flat = counter.bits(words[:, :-1], -1.0, 1.0)[:, : num_shown + num_bits].contiguous()
        shown, is_visible = flat[:, :num_shown], flat[:, num_shown:] > 0
        asked = self._asked(words)
        answer = shown.view(num_examples, -1, num_bits)[torch.arange(num_examples, device=device), asked]
        torch.mul(is_visible, answer, out=flat[:, num_shown:])
        return Batch(flat.view(num_examples, self.layout.num_tokens, -1), (answer > 0).long())

    def _words(self, key: int, first: int, num_examples: int, device: torch.device) -> torch.Tensor:
        """[N, W] random words of the examples: their bits, and in the last one which string is asked for."""
        num_words = -(-(self._num_patterns + 1) * self._num_bits // 64) + 1
        return counter.words(key, first, num_examples, num_words, device)

    def _asked(self, words: torch.Tensor) -> torch.Tensor:
        """[N] the string that each example asks for."""
        return counter.below(words[:, -1], self._num_patterns)

    def probe(self, device: torch.device) -> Probe:
        """Examples with the string that is asked for put first: all its tokens matter to every query (paper figure)."""
        key, num_read = self._probe_key(), self.layout.num_readouts
        asked = self._asked(self._words(key, 0, NUM_PROBES, device))
        strings = torch.arange(self._num_patterns + 1, device=device).expand(NUM_PROBES, -1)
        is_asked = strings == asked.unsqueeze(1)
        aligned = (strings - self._num_patterns * 2 * is_asked).argsort(dim=1, stable=True)
        order = aligned.unsqueeze(2) * num_read + torch.arange(num_read, device=device)
        relevant = torch.arange(self.layout.num_tokens, device=device) < num_read
        return Probe(
            inputs=self._make(key, 0, NUM_PROBES, device).inputs,
            order=order.flatten(1),
            relevant=relevant.expand(num_read, -1),
        )


class BitXor(_BitTask):
    """Bitwise XOR of bit strings: layout [N, 10, 1] in, the last 5 tokens x 1 bit out (paper section 2.1)."""

    name = "bit-xor"
    protocol_note = "the protocols do not differ; raw 0/1 inputs, one bit per token, as in the released code"
    floor_predictor = "either answer: every single bit is independent of the target"

    def __init__(
        self,
        *,
        protocol: ProtocolName = "fixed",
        num_bits: int = 5,
        num_patterns: int = 2,
        num_valid_examples: int = 1024,
        num_test_examples: int = 1024,
    ) -> None:
        """Take the paper's sizes; 1,024 examples are 5,120 scored bits, a standard error of at most 0.7 %."""
        super().__init__(protocol, num_valid_examples, num_test_examples)
        require_at_least(1, num_bits=num_bits)
        require_at_least(2, num_patterns=num_patterns)
        self.layout = Layout(
            num_tokens=num_patterns * num_bits,
            num_features=1,
            num_symbols=None,
            num_readouts=num_bits,
            num_targets=1,
            num_classes=2,
        )

    @property
    def floor_accuracy(self) -> float:
        """0.5, chance."""
        return 0.5

    def _make(self, key: int, first: int, num_examples: int, device: torch.device) -> Batch:
        num_tokens, num_bits = self.layout.num_tokens, self.layout.num_readouts
        words = counter.words(key, first, num_examples, -(-num_tokens // 64), device)
        bits = counter.bits(words, 0.0, 1.0)[:, :num_tokens].contiguous()
        parity = bits.view(num_examples, -1, num_bits).sum(dim=1) % 2
        return Batch(bits.unsqueeze(-1), parity.long())

    def probe(self, device: torch.device) -> Probe:
        """Examples in which the bits of its own place, one in each string, matter to a query (paper figure)."""
        places = torch.arange(self.layout.num_tokens, device=device)
        queries = torch.arange(self.layout.num_readouts, device=device).unsqueeze(1)
        return Probe(
            inputs=self._make(self._probe_key(), 0, NUM_PROBES, device).inputs,
            order=places.expand(NUM_PROBES, -1),
            relevant=places % self.layout.num_readouts == queries,
        )
