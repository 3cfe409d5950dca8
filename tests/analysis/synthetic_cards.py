"""Cards of bodies with known contents, as the pretraining engine leaves them in a ledger's folder."""

import json
from pathlib import Path

import numpy as np

_ORIGIN = {
    "versions": '{"torch":"2.13.0"}',
    "git_revision": "0123456789abcdef",
    "made_at": "2026-01-02T03:04:05+00:00",
}


def pretrained_card(init="language", *, matrices=None, seed=0, num_tokens=460_800, **changed):
    """A card of a pretrained body as the engine writes it, of 4 layers; `changed` replaces its values."""
    unit = {"language": ("bits_per_byte", True, 4.53, 2.38, 8.0), "bit-memory": ("accuracy", False, 0.75, 0.986, 0.5)}
    metric, is_better_lower, baseline, final, first = unit.get(init, unit["bit-memory"])
    shares = [0, 0.2, 0.4, 0.6, 0.8, 1]
    card = {
        "key": f"gpt2-nano-{init}-{seed}",
        "kind": "pretrained",
        "init": init,
        "body": "gpt2",
        "size": "nano",
        "num_layers": 4,
        "num_params": 925_000,
        "objective": init,
        "num_steps": 900,
        "batch_size": 8,
        "task_args": {},
        "lr": 4e-3,
        "seed": seed,
        "corpus": "CPython documentation",
        "corpus_checksum": "0123456789abcdef" * 4,
        "tokenizer": "bytes",
        "num_tokens_seen": num_tokens,
        "train_flops": 2.6e12,
        "held_out_loss": 1.65,
        "metric": metric,
        "held_out_metric": final,
        "is_better_lower": is_better_lower,
        "baseline_metric": baseline,
        "curve": [
            {
                "step": int(900 * share),
                "train_loss": None if share == 0 else 2.0,
                "held_out_loss": 2.0,
                "held_out_metric": final + (first - final) * float(np.exp(-(5 + seed) * share)),
                "num_tokens": int(num_tokens * share),
                "wall_seconds": 82 * share,
            }
            for share in shares
        ],
        "precision": "fp32",
        "device": "cpu",
        "wall_seconds": 82.0,
        "num_resumed": 0,
        **_ORIGIN,
    }
    return card | ({} if matrices is None else {"tensors": statistics(matrices)}) | changed


def control_card(init, matrices, *, source_key=None, **changed):
    """A card of a body that was drawn, or derived from the body `source_key`."""
    card = {
        "key": f"gpt2-nano-{init}-0",
        "kind": "drawn" if source_key is None else "derived",
        "init": init,
        "body": "gpt2",
        "size": "nano",
        "num_layers": 4,
        "num_params": 925_000,
        "tensors": statistics(matrices),
        "body_seed": 0,
        **_ORIGIN,
    }
    return card | ({} if source_key is None else {"source_key": source_key}) | changed


def gpt2_tensors(spread=0.02, *, rank=0, seed=0, num_layers=4, width=16):
    """(name, group, layer, values) of every tensor of a GPT-2: normal values, with `rank` strong directions on top."""
    generator = np.random.default_rng(seed)

    def matrix(rows, columns):
        values = generator.normal(0, spread, (rows, columns))
        for _ in range(rank):
            values += spread * np.outer(generator.normal(0, 1, rows), generator.normal(0, 1, columns))
        return values

    tensors = []
    for layer in range(num_layers):
        for norm in ("ln_1", "ln_2"):
            weight = np.ones(width) + (0.1 * (layer + 1) * generator.normal(0, 1, width) if rank else 0)
            tensors += [(f"h.{layer}.{norm}.weight", "layernorm", layer, weight)]
            tensors += [(f"h.{layer}.{norm}.bias", "layernorm", layer, 0.3 * (weight - 1))]
        for name, group, shape in (
            ("attn.c_attn", "attention", (width, 3 * width)),
            ("attn.c_proj", "attention", (width, width)),
            ("mlp.c_fc", "feedforward", (width, 4 * width)),
            ("mlp.c_proj", "feedforward", (4 * width, width)),
        ):
            tensors += [(f"h.{layer}.{name}.weight", group, layer, (1 + 0.3 * layer * bool(rank)) * matrix(*shape))]
            tensors += [(f"h.{layer}.{name}.bias", group, layer, np.zeros(shape[1]))]
    tensors += [("ln_f.weight", "layernorm", None, np.ones(width)), ("ln_f.bias", "layernorm", None, np.zeros(width))]
    return [*tensors, ("wpe.weight", "positions", None, matrix(64, width))]


def derived(tensors, init, *, seed=1):
    """The controls: `statistics` keeps mean and standard deviation of each tensor, `shuffled` its values."""
    generator = np.random.default_rng(seed)
    make = {
        "statistics": lambda values: generator.normal(values.mean(), values.std(), values.shape),
        "shuffled": lambda values: generator.permutation(values.ravel()).reshape(values.shape),
    }[init]
    return [(name, group, layer, make(values)) for name, group, layer, values in tensors]


def statistics(tensors):
    """Entries of a card's list of tensors."""
    return [
        {
            "name": name,
            "group": group,
            "layer": layer,
            "shape": list(values.shape),
            "mean": float(values.mean()),
            "std": float(values.std()),
            "spectral_norm": float(np.linalg.norm(values, 2)) if values.ndim == 2 else None,
        }
        for name, group, layer, values in tensors
    ]


def put_card(out, card, *, key=None):
    """Write a card where the ledger at `out` has it."""
    folder = Path(out) / "bodies" / (key or card["key"])
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")


def bodies(out):
    """Cards of two pretrained bodies, the three controls of the first, and a random body."""
    language = gpt2_tensors(0.12, rank=3, seed=1)
    source = pretrained_card(matrices=language)
    cards = [
        source,
        pretrained_card("bit-memory", matrices=gpt2_tensors(0.08, rank=1, seed=2), corpus="generated", tokenizer=None),
        *(control_card(name, derived(language, name), source_key=source["key"]) for name in ("statistics", "shuffled")),
        control_card("random", gpt2_tensors()),
    ]
    for card in cards:
        put_card(out, card)
