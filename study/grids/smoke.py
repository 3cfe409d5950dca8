"""One tiny run per task and per body: does everything work on this machine, on the real data?

Three steps teach nothing. What takes time is the evaluation, since validation and test splits are always measured
whole: one layer of the smallest body keeps C10-LRA's 20,000 images of 1,024 tokens within two minutes of a CPU core.
"""

from typing import Any

from study.spec import RunSpec

NUM_STEPS = 3
# The training split is measured whole too, so it is cut to a few examples.
_FEW = {"num_train_examples": 16}
TASKS: dict[str, dict[str, Any]] = {
    "bit-memory": {"task_args": {"num_patterns": 2, "num_bits": 20, "patch_size": 5}},
    "bit-xor": {},
    "listops": {
        "task_args": {
            "min_length": 8,
            "max_length": 40,
            "num_train_examples": 200,
            "num_valid_examples": 50,
            "num_test_examples": 50,
        }
    },
    "mnist": _FEW,
    "cifar10": _FEW,
    "cifar10-lra": _FEW,
    "homology": _FEW,
    "digits": _FEW,
}
# Bodies other than gpt2, which every task above runs on.
BODIES = ("bert", "vit", "t5", "longformer", "llama", "lstm", "lstm-residual")


def smoke() -> list[RunSpec]:
    """Every task on gpt2, every other body on digits: random nano bodies of one layer, three steps."""
    common: dict[str, Any] = {
        "size": "nano",
        "num_layers": 1,
        "init": "random",
        "num_steps": NUM_STEPS,
        "eval_every_steps": NUM_STEPS,
    }
    tasks = [RunSpec(task=task, body="gpt2", **common, **settings) for task, settings in TASKS.items()]
    bodies = [RunSpec(task="digits", body=body, **common, **TASKS["digits"]) for body in BODIES]
    return tasks + bodies
