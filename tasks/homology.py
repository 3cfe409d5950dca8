"""Remote homology: the fold of a protein from its sequence (TAPE, Rao et al. 2019; split of Hou et al. 2018).

Ids are those of TAPE's `iupac` vocabulary. The protein MKV as 8 tokens:

    <cls>  M   K   V  <sep> <pad> <pad> <pad>
      2   16  14  25    3     0     0     0

fixed: read at <sep>, longer proteins lose their last residues, tested on TAPE's fold holdout (718 proteins of
superfamilies that training does not contain), selected on TAPE's validation split.

paper: read at the last position, usually padding, longer proteins are dropped, and the reported accuracy is multiplied
by 0.9739, the share of training examples that the released code keeps (docstring of its remote_homology.py); tested
on TAPE's *validation* split, so valid is held out of train. Two things of the released code have no place in a fixed
layout: it drops a whole batch if one protein is too long, and its last position is that of the longest in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase

import torch

from tasks import counter, homology_files
from tasks.base import Batch, Layout, ProtocolName, Split, require_at_least
from tasks.files import DamagedData, check_count, check_labels, data_root
from tasks.finite import FiniteTask
from tasks.homology_files import Protein
from tasks.streams import Examples

# <pad> <mask> <cls> <sep> <unk>, then the letters without J (tape/tokenizers.py, IUPAC_VOCAB).
PADDING, CLS, SEP = 0, 2, 3
NUM_SYMBOLS = 30
_UNKNOWN = 255
_IDS = {ord(letter): 5 + i for i, letter in enumerate(ascii_uppercase.replace("J", ""))}
_ID_OF_BYTE = bytes(_IDS.get(byte, _UNKNOWN) for byte in range(256))

NUM_FOLDS = 1195
# The released code's number of logits; the last five never occur as a label.
_NUM_PAPER_CLASSES = 1200
_PAPER_SCALE = 0.9739
_SIZES = {"train": 12_312, "valid": 736, "test": 718}


class Homology(FiniteTask):
    """Classification of amino-acid sequences, [N, T] ids in, one of 1195 folds out."""

    name = "homology"
    protocol_note = (
        "paper drops long proteins, reads a padding position, tests on TAPE's validation split and scales by 0.9739; "
        "fixed cuts them, reads <sep> and tests on TAPE's fold holdout"
    )

    tape_sizes: Mapping[str, int] = _SIZES

    def __init__(self, *, protocol: ProtocolName = "fixed", max_tokens: int = 1024) -> None:
        """Take the paper's 1024 tokens, <cls> and <sep> included; the longest protein has 1419 residues."""
        tape, is_fixed = self.tape_sizes, protocol == "fixed"
        held_out = tape["valid"]
        sizes: dict[Split, int] = {"train": tape["train"], "valid": tape["valid"], "test": tape["test"]}
        if not is_fixed:
            sizes = {"train": tape["train"] - held_out, "valid": held_out, "test": tape["valid"]}
        super().__init__(protocol, sizes)
        require_at_least(3, max_tokens=max_tokens)
        self._folder = data_root() / "remote_homology"
        self.accuracy_scale = 1.0 if is_fixed else _PAPER_SCALE
        self.layout = Layout(
            num_tokens=max_tokens,
            num_features=None,
            num_symbols=NUM_SYMBOLS,
            num_readouts=1,
            num_targets=1,
            num_classes=NUM_FOLDS if is_fixed else _NUM_PAPER_CLASSES,
            reads_last_real=is_fixed,
            masks_padding=is_fixed,
        )
        self.chance_accuracy = self.accuracy_scale / self.layout.num_classes

    def load(self) -> Mapping[Split, Examples]:
        """Read TAPE's splits that the protocol uses."""
        if self.protocol == "fixed":
            return {split: self._stored_form(*self._read(split)) for split in self._sizes}
        source, proteins = self._read("train")
        order = counter.permutation(counter.key("homology", "valid"), 0, len(proteins), torch.device("cpu")).tolist()
        held_out = [proteins[i] for i in order[: self._sizes["valid"]]]
        kept = [proteins[i] for i in order[self._sizes["valid"] :]]
        return {
            "train": self._stored_form(source, kept),
            "valid": self._stored_form(source, held_out),
            "test": self._stored_form(*self._read("valid")),
        }

    def decode(self, examples: Examples) -> Batch:
        """Bytes to ids; lengths only where the readout follows them."""
        lengths = None if examples.lengths is None else examples.lengths.long()
        return Batch(examples.inputs.long(), examples.targets.long(), lengths)

    def _read(self, split: str) -> tuple[str, list[Protein]]:
        source, proteins = homology_files.read_split(self._folder, split)
        check_count(source, len(proteins), self.tape_sizes[split], "proteins")
        return source, proteins

    def _stored_form(self, source: str, proteins: list[Protein]) -> Examples:
        """Encode, drop or cut, and pad to [N, T] uint8."""
        num_tokens = self.layout.num_tokens
        if self.protocol == "paper":
            proteins = [(sequence, label) for sequence, label in proteins if len(sequence) + 2 <= num_tokens]
        if not proteins:
            raise ValueError(f"{source}: no protein has {num_tokens} tokens or fewer; give a larger max_tokens")
        labels = torch.tensor([label for _, label in proteins])
        check_labels(source, labels.numpy(), NUM_FOLDS)
        rows = [_encoded(source, sequence[: num_tokens - 2]) for sequence, _ in proteins]
        padded = b"".join(row.ljust(num_tokens, bytes([PADDING])) for row in rows)
        inputs = torch.frombuffer(bytearray(padded), dtype=torch.uint8).view(len(rows), num_tokens)
        lengths = torch.tensor([len(row) for row in rows]) if self.layout.reads_last_real else None
        return Examples(inputs, labels.to(torch.int16).unsqueeze(1), lengths)


def _encoded(source: str, sequence: str) -> bytes:
    ids = sequence.encode("ascii", errors="replace").translate(_ID_OF_BYTE)
    if _UNKNOWN in ids:
        letter = sequence[ids.index(_UNKNOWN)]
        raise DamagedData(f"{source}: {letter!r} is no amino acid of TAPE's vocabulary (A to Z without J)")
    return bytes([CLS]) + ids + bytes([SEP])
