"""What a task tells the model about its tokens and outputs, as plain numbers: models know no task."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Heads:
    """The plain numbers that a task gives the model.

    Attributes:
        num_tokens: T.
        num_features, num_symbols: F of a linear, or vocabulary of an embedding input layer; exactly one is set.
        num_readouts, num_targets, num_classes: R, M, C.
        reads_last_real: read the token before `lengths` instead of the last R.
        masks_padding: bodies that see both ways ignore the tokens beyond `lengths`.
    """

    num_tokens: int
    num_features: int | None
    num_symbols: int | None
    num_readouts: int
    num_targets: int
    num_classes: int
    reads_last_real: bool = False
    masks_padding: bool = False

    @property
    def num_outputs(self) -> int:
        """M * C, the width of the output layer."""
        return self.num_targets * self.num_classes
