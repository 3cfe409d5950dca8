"""A checkpoint that somebody else made: folders written by transformers, in one file and in shards, under `fpt`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
import transformers

from models import CHECKPOINT_PREFIX
from models.weights import load_checkpoint
from study.measurements import Evaluated, Finished
from study.spec import RunSpec
from study.training import Training
from tasks.catalogue import make_task

SHARED = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
LENGTH = {"vocab_size": 11, "max_position_embeddings": 20}
MODELS = {
    "gpt2": ("GPT2LMHeadModel", {"n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 20, "vocab_size": 11}),
    "bert": ("BertForMaskedLM", {**SHARED, **LENGTH}),
    "vit": ("ViTForImageClassification", {**SHARED, "image_size": 4, "patch_size": 2}),
    "t5": (
        "T5ForConditionalGeneration",
        {"num_layers": 2, "d_model": 16, "num_heads": 2, "d_kv": 6, "d_ff": 24, "vocab_size": 11},
    ),
    "longformer": ("LongformerForMaskedLM", {**SHARED, **LENGTH, "attention_window": 4}),
    "llama": ("LlamaForCausalLM", {**SHARED, **LENGTH, "num_key_value_heads": 1}),
}
# What `fpt` trains inside each body, by hand: every gain and bias of a norm, as transformers names them.
NORMS = {
    "gpt2": (r"(h\.[01]\.ln_[12]|ln_f)\.(weight|bias)", 10),
    "bert": (r"(embeddings|encoder\.layer\.[01]\.(attention\.)?output)\.LayerNorm\.(weight|bias)", 10),
    "vit": (r"(layers\.[01]\.layernorm_(before|after)|layernorm)\.(weight|bias)", 10),
    "t5": (r"(block\.[01]\.layer\.[01]\.layer_norm|final_layer_norm)\.weight", 5),
    "longformer": (r"(embeddings|encoder\.layer\.[01]\.(attention\.)?output)\.LayerNorm\.(weight|bias)", 10),
    "llama": (r"(layers\.[01]\.(input|post_attention)_layernorm|norm)\.weight", 5),
}
ARGS = {"num_valid_examples": 16, "num_test_examples": 16}


def written(body: str, folder: Path, *, dtype: torch.dtype, is_sharded: bool) -> dict[str, torch.Tensor]:
    """Write transformers' model to a folder; returns its body's parameters."""
    name, arguments = MODELS[body]
    model_class = getattr(transformers, name)
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**arguments)).to(dtype)
    model.save_pretrained(folder, max_shard_size="4KB" if is_sharded else "1GB")
    assert (len(list(folder.glob("*.safetensors"))) > 1) == is_sharded
    return dict((model.encoder if body == "t5" else model.base_model).named_parameters())


def training_of(body: str, folder: Path, **changes: object) -> tuple[Training, dict[str, torch.Tensor]]:
    fields = {"task": "bit-xor", "task_args": ARGS, "batch_size": 4, "num_steps": 3, "eval_every_steps": 3, "lr": 1e-2}
    spec = RunSpec(**(fields | {"body": body, "size": None, "init": f"{CHECKPOINT_PREFIX}{folder}"} | changes))
    architecture, state = load_checkpoint(spec.init, body=body)
    task = make_task(spec.task, protocol=spec.protocol, args=spec.task_args)
    cpu = torch.device("cpu")
    return Training([spec], task=task, architecture=architecture, bodies=[state], device=cpu), state


@pytest.mark.parametrize(("dtype", "is_sharded"), [(torch.float32, False), (torch.bfloat16, True)])
@pytest.mark.parametrize("body", MODELS)
def test_a_checkpoint_trains_under_fpt_with_the_right_groups(
    body: str, dtype: torch.dtype, is_sharded: bool, tmp_path: Path
) -> None:
    original = written(body, tmp_path, dtype=dtype, is_sharded=is_sharded)
    engine, state = training_of(body, tmp_path)
    regex, num_norms = NORMS[body]
    norms = [name for name in state if re.fullmatch(regex, name)]
    assert len(norms) == num_norms
    ends = {"input.weight", "input.bias", "output.weight", "output.bias", "positions"}
    assert set(engine.model.trained) == ends | {f"body.{name}" for name in norms}
    assert engine.model.matrix.dtype == torch.float32

    before = dict(engine.model._views(engine.model.matrix.detach().clone()))
    assert all(torch.equal(before[f"body.{name}"][0], state[name]) for name in norms)
    told = [measurement for measurements in engine.rounds() for measurement in measurements]
    assert any(isinstance(each, Finished) and each.status == "done" for each in told)
    assert all(each.loss < float("inf") for each in told if isinstance(each, Evaluated))

    after = engine.model._views(engine.model.matrix.detach())
    unmoved = [name for name in before if torch.equal(before[name], after[name])]
    assert not unmoved
    # The frozen tensors are still those that were written, bit for bit.
    frozen = dict(engine.model.core.named_parameters())
    inside = {name.removeprefix("body.") for name in engine.model.group_of if name.startswith("body.")}
    assert frozen and set(frozen) == inside - set(norms)
    assert all(not tensor.requires_grad for tensor in frozen.values())
    assert all(torch.equal(tensor, original[name].float()) for name, tensor in frozen.items())


@pytest.mark.data
def test_a_real_sentence_encoder_learns_as_a_language_pretrained_bert() -> None:
    """Opt-in: MiniLM (Wang et al. 2020) as distributed for sentence embeddings, a BERT of 6 layers and 384 wide."""
    folder = os.environ.get("STUDY_MINILM")
    if not folder:
        pytest.skip("STUDY_MINILM does not name the folder of a MiniLM checkpoint (config.json, model.safetensors)")
    engine, state = training_of("bert", Path(folder), num_steps=20, eval_every_steps=20, lr=1e-3)
    # Gains that were trained are not all one.
    assert state["embeddings.LayerNorm.weight"].std() > 0
    told = [each for measurements in engine.rounds() for each in measurements if isinstance(each, Evaluated)]
    losses = [each.loss for each in told if each.split == "valid"]
    assert losses[-1] < losses[0]
