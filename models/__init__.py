"""What learns: the names of bodies, sizes, initialisations and parameter groups, importable without torch.

These tables are the only registries: a body is "module:function", imported on use.
"""

from enum import StrEnum

BODIES = {
    "gpt2": "models.gpt2:gpt2",
    "bert": "models.bert:bert",
    "vit": "models.vit:vit",
    "t5": "models.t5:t5",
    "longformer": "models.longformer:longformer",
    "llama": "models.llama:llama",
    "lstm": "models.lstm:lstm",
    "lstm-residual": "models.lstm:lstm_residual",
}

# Named sizes that a body can be built at; their widths and depths, and sizes without a name: models/sizes.py.
SIZES = {
    "gpt2": ("nano", "mini", "base", "medium", "large", "xl"),
    "bert": ("nano", "mini", "base"),
    "vit": ("nano", "mini", "base"),
    "t5": ("nano", "mini", "small", "base"),
    "longformer": ("nano", "mini", "base"),
    "llama": ("nano", "mini"),
    "lstm": ("nano", "mini", "base"),
    "lstm-residual": ("nano", "mini", "base"),
}

# Where a body's weights may come from, one line each; "checkpoint:<folder or hub id>[@revision]" is also accepted, and
# arguments after a name ("cellular-automata:30") as `study.inits` says.
INITS = {
    "language": "pretrained on text: hub weights where there are any, else our own pretraining, as at nano and mini",
    "vision": "pretrained on images: hub weights for vit at base, else our own pretraining",
    "bit-memory": "pretrained on the Bit Memory task (paper section 3.2)",
    "dyck": "pretrained on brackets of 64 types whose nestings interleave (Hu et al. 2025); dyck:8 for 8 types",
    "cellular-automata": "pretrained on elementary rule 110 (Zhang et al. 2024); cellular-automata:30 for rule 30",
    "random": "N(0, 0.02) for every matrix, norms at 1 and 0: transformers 4.1.1, the paper's (T5, LSTM: their own)",
    "random-scaled": "as random, residual projections scaled by 1/sqrt(2 * layers): today's transformers",
    "statistics": "normal values with each tensor's mean and deviation in the language body (paper table 9)",
    "shuffled": "the language body's values permuted within each tensor; shuffled:vision: of another body",
}
CHECKPOINT_PREFIX = "checkpoint:"


class Group(StrEnum):
    """Every parameter of a model is in exactly one group; `embeddings` is never trained."""

    INPUT = "input"
    OUTPUT = "output"
    POSITIONS = "positions"
    LAYERNORM = "layernorm"
    ATTENTION = "attention"
    FEEDFORWARD = "feedforward"
    EMBEDDINGS = "embeddings"


TRAINABLE = tuple(group for group in Group if group is not Group.EMBEDDINGS)


class Part(StrEnum):
    """What of a group can be trained without the rest of it."""

    ATTENTION_LAST = "attention-last"


# The group that each belongs to; `attention-last` is the attention of the last layer that is built (paper table 14).
WHOLE_OF: dict[Group | Part, Group] = {**{group: group for group in Group}, Part.ATTENTION_LAST: Group.ATTENTION}

# Named sets of trained groups; any tuple of trainable groups and parts is as good.
TRAIN_SETS = {
    "fpt": (Group.INPUT, Group.OUTPUT, Group.POSITIONS, Group.LAYERNORM),
    "output-only": (Group.OUTPUT,),
    "full": TRAINABLE,
}
