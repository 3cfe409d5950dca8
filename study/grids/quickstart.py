"""Does language pretraining help a frozen transformer on other modalities? A small, honest answer in minutes."""

from typing import Any

from study.spec import RunSpec

# Learning rates suited to each train set: the output layer alone bears the largest, the whole body the smallest.
LR = {"fpt": 3e-3, "output-only": 1e-2, "full": 1e-3}
PRETRAINED = ("language", "bit-memory")
# What of the language body matters: a body of its own values in random order, one with its means and deviations only.
# Under fpt alone, where the body's values count most, to fit into the time.
CONTROLS = ("statistics", "shuffled")
NUM_SEEDS = 3
BATCH_SIZE = 8
# The paper's 0.1 would cost a fifth of the time of so short a training, and regularise what is far from overfitting.
DROPOUT = 0.0
# Short sequences and few steps, so that 132 runs and two pretrained bodies fit into ten minutes on two cores; long
# enough that pretrained and random bodies are told apart under `fpt`.
TASKS: dict[str, dict[str, Any]] = {
    "digits": {"num_steps": 80, "num_train_examples": 400},
    "bit-xor": {"num_steps": 280, "task_args": {"num_valid_examples": 128, "num_test_examples": 512}},
    "bit-memory": {
        "num_steps": 100,
        "task_args": {
            "num_patterns": 2,
            "num_bits": 40,
            "patch_size": 10,
            "num_valid_examples": 64,
            "num_test_examples": 128,
        },
    },
    "listops": {
        "num_steps": 140,
        "task_args": {
            "min_length": 4,
            "max_length": 12,
            "max_depth": 2,
            "max_args": 4,
            "max_tokens": 12,
            "num_train_examples": 600,
            "num_valid_examples": 120,
            "num_test_examples": 400,
        },
    },
}
NUM_EVALUATIONS = 4


def quickstart() -> list[RunSpec]:
    """Four tasks on gpt2 nano x three inits x three train sets x three seeds, and two controls under `fpt`.

    A body that is drawn is drawn anew for every seed; a pretrained one is the same for all of them.
    """
    variants = [(init, train_set) for init in (*PRETRAINED, "random") for train_set in LR]
    variants += [(init, "fpt") for init in CONTROLS]
    return [
        RunSpec(
            task=task,
            body="gpt2",
            size="nano",
            init=init,
            train_set=train_set,
            lr=LR[train_set],
            batch_size=BATCH_SIZE,
            dropout=DROPOUT,
            eval_every_steps=settings["num_steps"] // NUM_EVALUATIONS,
            seed=seed,
            body_seed=0 if init in PRETRAINED else seed,
            **settings,
        )
        for task, settings in TASKS.items()
        for init, train_set in variants
        for seed in range(NUM_SEEDS)
    ]
