import json
import re
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    LlamaConfig,
    LlamaForCausalLM,
    LongformerConfig,
    LongformerForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

from models import SIZES
from models.bodies import architecture, position_table
from models.hub import PINNED
from models.initialise import body_state
from models.weights import checkpoint_architecture, load_checkpoint, load_state, pinned, save_state

SHARED = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
IMAGES = {"image_size": 4, "patch_size": 2}
MODELS = {
    "gpt2": GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=16, n_head=2, n_positions=8, vocab_size=11)),
    "bert": BertForMaskedLM(BertConfig(**SHARED, max_position_embeddings=8, vocab_size=11)),
    "vit": ViTForImageClassification(ViTConfig(**SHARED, **IMAGES)),
    "t5": T5ForConditionalGeneration(T5Config(num_layers=2, d_model=16, num_heads=2, d_kv=6, d_ff=24, vocab_size=11)),
    "longformer": LongformerForMaskedLM(
        LongformerConfig(**SHARED, max_position_embeddings=10, attention_window=4, vocab_size=11)
    ),
    "llama": LlamaForCausalLM(LlamaConfig(**SHARED, max_position_embeddings=8, vocab_size=11)),
}


def body_of(body, model):
    """The body's parameters in transformers' model, under a state's names."""
    base = getattr(model, "transformer", model).encoder if body == "t5" else model.base_model
    first = 2 if body == "longformer" else 0
    return {
        name: tensor[first:] if "position_embeddings" in name else tensor for name, tensor in base.named_parameters()
    }


@pytest.fixture
def gpt2_folder(tmp_path):
    MODELS["gpt2"].save_pretrained(tmp_path)
    return tmp_path


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize("body", MODELS)
def test_a_model_with_a_head_gives_its_body(body, tmp_path):
    model = MODELS[body]
    model.save_pretrained(tmp_path)
    arch, state = load_checkpoint(f"checkpoint:{tmp_path}", body=body)
    assert (arch.body, arch.width, arch.num_layers) == (body, 16, 2)
    assert {name: tensor.shape for name, tensor in state.items()} == dict(arch.shapes)
    base = body_of(body, model)
    for name in arch.core_shapes:
        assert torch.equal(state[name], base[name])
    if arch.position_name in base:
        assert torch.equal(position_table(arch, state, 5), base[arch.position_name][:5])
    else:
        assert not position_table(arch, state, 5).any()


HEADS = {
    "gpt2": ("GPT2Model", "GPT2DoubleHeadsModel", "GPT2ForTokenClassification", "GPT2ForQuestionAnswering"),
    "bert": ("BertModel", "BertForPreTraining", "BertForMultipleChoice", "BertForQuestionAnswering"),
    "vit": ("ViTModel", "ViTForMaskedImageModeling"),
    "t5": ("T5EncoderModel", "T5Model", "T5ForSequenceClassification", "T5ForQuestionAnswering"),
    "longformer": ("LongformerModel", "LongformerForTokenClassification", "LongformerForQuestionAnswering"),
    "llama": ("LlamaModel", "LlamaForSequenceClassification", "LlamaForQuestionAnswering"),
}


@pytest.mark.parametrize(("body", "name"), [(body, name) for body, names in HEADS.items() for name in names])
def test_every_kind_of_head_is_dropped(body, name, tmp_path):
    model = getattr(transformers, name)(MODELS[body].config)
    model.save_pretrained(tmp_path)
    arch, state = load_checkpoint(str(tmp_path), body=body)
    expected = body_of(body, model)
    assert all(torch.equal(state[key], expected[key]) for key in arch.core_shapes)


def test_body_alone_and_pytorch_file_and_shards_give_the_same(tmp_path):
    whole = MODELS["gpt2"].transformer
    plain, binary, shards = (tmp_path / name for name in ("plain", "binary", "shards"))
    whole.save_pretrained(plain)
    whole.save_pretrained(shards, max_shard_size="8KB")
    assert len(list(shards.glob("*.safetensors"))) > 1
    binary.mkdir()
    shutil.copy(plain / "config.json", binary)
    torch.save(whole.state_dict(), binary / "pytorch_model.bin")
    _, expected = load_checkpoint(str(plain))
    for folder in (binary, shards):
        _, state = load_checkpoint(str(folder))
        assert list(state) == list(expected)
        assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_names_of_older_checkpoints_are_known(tmp_path):
    """ViT's names of transformers 4, BERT's TensorFlow names, GPT-2's stored masks."""
    old_vit = [
        (r"^layers\.", "encoder.layer."),
        (r"attention\.q_proj", "attention.attention.query"),
        (r"attention\.k_proj", "attention.attention.key"),
        (r"attention\.v_proj", "attention.attention.value"),
        (r"attention\.o_proj", "attention.output.dense"),
        (r"mlp\.fc1", "intermediate.dense"),
        (r"mlp\.fc2", "output.dense"),
    ]
    cases = {
        "vit": (ViTModel(ViTConfig(**SHARED, **IMAGES)), old_vit, {}),
        "bert": (
            MODELS["bert"],
            [(r"LayerNorm\.weight", "LayerNorm.gamma"), (r"LayerNorm\.bias", "LayerNorm.beta")],
            {},
        ),
        "gpt2": (GPT2Model(MODELS["gpt2"].config), [], {"h.0.attn.bias": torch.ones(1, 1, 8, 8)}),
    }
    for body, (model, renames, extra) in cases.items():
        folder = tmp_path / body
        model.config.save_pretrained(folder)
        tensors = dict(extra)
        for name, tensor in model.state_dict().items():
            for regex, old in renames:
                name = re.sub(regex, old, name)
            tensors[name] = tensor.clone()
        save_file(tensors, folder / "model.safetensors")
        arch, state = load_checkpoint(str(folder))
        base = dict(model.base_model.named_parameters())
        assert all(torch.equal(state[name], base[name]) for name in arch.core_shapes)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_precision_becomes_single(gpt2_folder, dtype):
    edit_tensors(gpt2_folder, lambda tensors: tensors.update({k: v.to(dtype) for k, v in tensors.items()}))
    _, state = load_checkpoint(str(gpt2_folder))
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    expected = body_of("gpt2", MODELS["gpt2"])
    assert all(torch.equal(state[name], expected[name].to(dtype).float()) for name in state)


def test_the_first_layers_of_a_checkpoint(gpt2_folder):
    arch, state = load_checkpoint(str(gpt2_folder), num_layers=1)
    assert (arch.num_layers, arch.depth) == (1, 2)
    assert list(state) == list(arch.shapes)
    assert not any(name.startswith("h.1.") for name in state)
    assert checkpoint_architecture(str(gpt2_folder), num_layers=1).shapes == arch.shapes


def test_all_differences_are_listed_both_ways_in_one_line(gpt2_folder):
    def change(tensors):
        tensors["transformer.h.0.extra"] = torch.zeros(1)
        del tensors["transformer.h.1.ln_1.weight"]
        tensors["transformer.ln_f.bias"] = torch.zeros(3)

    edit_tensors(gpt2_folder, change)
    with pytest.raises(ValueError) as error:
        load_checkpoint(str(gpt2_folder))
    message = str(error.value)
    assert "1 missing: h.1.ln_1.weight" in message
    assert "1 unexpected: h.0.extra" in message
    assert "1 mis-shaped: ln_f.bias (3,) instead of (16,)" in message
    assert "\n" not in message


def test_long_lists_of_differences_are_cut(gpt2_folder):
    """A checkpoint of another depth, in thousands of layers perhaps: the counts and the first names."""
    edit_config(gpt2_folder, n_layer=1)
    with pytest.raises(ValueError, match=r"12 unexpected: (h\.1\.[\w.]+, ){4}\.\.\.$"):
        load_checkpoint(str(gpt2_folder))
    edit_config(gpt2_folder, n_layer=40)
    with pytest.raises(ValueError, match=r"456 missing: (h\.2\.[\w.]+, ){4}\.\.\.$"):
        load_checkpoint(str(gpt2_folder))


def test_a_tensor_under_two_names_is_refused(gpt2_folder):
    edit_tensors(gpt2_folder, lambda tensors: tensors.update({"ln_f.bias": torch.ones(16)}))
    with pytest.raises(ValueError, match=r"holds ln_f\.bias twice"):
        load_checkpoint(str(gpt2_folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "is of type 'bert', not 'gpt2'; choose body 'bert'"),
        ({"auto_map": {"AutoModel": "code.Model"}}, "code of its own"),
        ({"auto_map": {}, "model_type": "theirs"}, "code of its own .*trust_remote_code"),
        ({"model_type": "theirs"}, "of type 'theirs'; known types: gpt2, bert, vit, t5, longformer, llama"),
        ({"quantization_config": {}}, "quantised"),
        ({"n_layer": "two"}, "not a valid gpt2 config"),
    ],
)
def test_configs_that_are_refused(gpt2_folder, changes, message):
    edit_config(gpt2_folder, **changes)
    for load in (load_checkpoint, checkpoint_architecture):
        with pytest.raises(ValueError, match=message) as error:
            load(str(gpt2_folder), body="gpt2")
        assert "\n" not in str(error.value)


def test_unknown_types_of_checkpoint_are_refused(gpt2_folder):
    edit_config(gpt2_folder, model_type="mamba")
    with pytest.raises(ValueError, match="of type 'mamba'; known types: gpt2, bert, vit, t5, longformer, llama"):
        load_checkpoint(str(gpt2_folder))


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_files_are_refused_in_one_line(gpt2_folder, keep):
    path = gpt2_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    for load in (lambda: load_checkpoint(str(gpt2_folder)), lambda: load_state(path)):
        with pytest.raises(ValueError, match="truncated or damaged") as error:
            load()
        assert "\n" not in str(error.value)


def test_truncated_pytorch_file_is_refused(gpt2_folder):
    path = gpt2_folder / "model.safetensors"
    torch.save(load_file(path), gpt2_folder / "pytorch_model.bin")
    path.unlink()
    path = gpt2_folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="truncated or damaged"):
        load_checkpoint(str(gpt2_folder))


class RunsCode:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


@pytest.mark.parametrize("is_old_format", [False, True])
@pytest.mark.parametrize("place", ["whole", "shard", "state.pt"])
def test_pickled_code_is_not_run(gpt2_folder, place, is_old_format):
    (gpt2_folder / "model.safetensors").unlink()
    proof = gpt2_folder / "executed"
    file = gpt2_folder / {"whole": "pytorch_model.bin", "shard": "pytorch_model-1.bin"}.get(place, place)
    held = {"wte.weight": RunsCode(proof)}
    torch.save(held, file, _use_new_zipfile_serialization=not is_old_format)
    if place == "shard":
        index = {"weight_map": {"wte.weight": file.name}}
        (gpt2_folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="more than tensors"):
        load_state(file) if place == "state.pt" else load_checkpoint(str(gpt2_folder))
    assert not proof.exists()
    # The file does what it says where it is trusted.
    torch.load(file, weights_only=False)["wte.weight"].close()
    assert proof.exists()


def test_an_index_may_not_lead_out_of_its_folder(gpt2_folder):
    (gpt2_folder / "model.safetensors").unlink()
    index = gpt2_folder / "model.safetensors.index.json"
    for shards, message in (
        ({"a": "../b.safetensors"}, "outside its folder"),
        ({"a": "b"}, "1 files that are not there"),
    ):
        index.write_text(json.dumps({"weight_map": shards}))
        with pytest.raises(ValueError, match=message):
            load_checkpoint(str(gpt2_folder))
    index.write_text("[]")
    with pytest.raises(ValueError, match="not an index"):
        load_checkpoint(str(gpt2_folder))


def test_a_configuration_must_be_an_object(gpt2_folder):
    (gpt2_folder / "config.json").write_text("3")
    with pytest.raises(ValueError, match="a JSON object is needed"):
        load_checkpoint(str(gpt2_folder))


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds none of: config\.json"):
        load_checkpoint(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds none of: model\.safetensors"):
        load_checkpoint(str(tmp_path))


def test_states_round_trip(tmp_path):
    arch = architecture("lstm", size="nano", num_layers=1)
    state = body_state(arch, "random", seed=0)
    state["transposed"] = torch.arange(6.0).view(2, 3).T
    save_state(tmp_path / "body.safetensors", state, {"seed": "0"})
    again = load_state(tmp_path / "body.safetensors")
    assert set(again) == set(state)
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_published_bodies_are_pinned_to_commits():
    assert pinned("gpt2", "language", "nano") is None
    assert pinned("vit", "vision", None) is None
    for size in ("base", "medium", "large", "xl"):
        name = pinned("gpt2", "language", size)
        assert re.fullmatch(r"openai-community/gpt2(-\w+)?@[0-9a-f]{40}", name)
    for (body, _, size), name in PINNED.items():
        assert size in SIZES[body] and re.fullmatch(r"[\w-]+/[\w.-]+@[0-9a-f]{40}", name)
