"""Images: classes for ViT, pixels for the others, from the image tasks' own patches."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from study.objectives.base import IGNORED
from study.objectives.image_data import image_data
from study.objectives.make import data_of, make_objective
from study.objectives.vision import classification, levels, num_levels, pixels
from study.recipes import recipe_for
from tasks.image_files import Labelled
from tasks.images import Cifar10, Digits

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return image_data("digits", Path("/nowhere"), 0)


def test_the_levels_of_digits_are_their_pixel_values():
    task = Digits(patch_size=2)
    found = levels(task, task.split("valid", CPU).inputs)  # [N, 16, 4]
    # Back from patches to rows of pixels: the images must be ones that scikit-learn has.
    images = found.view(-1, 4, 4, 2, 2).permute(0, 1, 3, 2, 4).reshape(-1, 64)
    published = {row.tobytes() for row in load_digits().data.astype(np.int64)}
    assert num_levels(task) == 17 and {row.numpy().tobytes() for row in images} <= published


def test_colours_have_sixteen_levels_whatever_the_channel(monkeypatch):
    ramp = np.arange(256, dtype=np.uint8).repeat(4)
    num_of = {"train": 2, "test": 1}

    def read(_self, part):
        images = np.broadcast_to(ramp.reshape(32, 32), (num_of[part], 3, 32, 32))
        return Labelled(images, np.zeros(num_of[part], np.int64), "a ramp")

    monkeypatch.setattr(Cifar10, "sizes", {"train": 1, "valid": 1, "test": 1})
    monkeypatch.setattr(Cifar10, "read", read)
    task = Cifar10(patch_size=1)
    found = levels(task, task.split("valid", CPU).inputs)[0]  # [1024, 3]
    for channel in range(3):
        np.testing.assert_array_equal(found[:, channel].numpy(), np.round(ramp / 255 * 15))


def test_causal_bodies_predict_every_patch_from_those_before(digits):
    task = digits.task(patch_size=4)
    objective = pixels(task, digits, is_causal=True, seed=0)
    batch = objective.stream.draw(5)
    assert batch.inputs.shape == (5, 4, 16) and not batch.inputs[:, 0].any()
    targets = batch.targets.view(5, 4, 16)
    torch.testing.assert_close(batch.inputs[:, 1:] * 16, targets[:, :-1].float())
    assert objective.metric == "bits_per_value" and objective.measure(math.log(2), 0.0) == 1.0


def test_the_others_fill_in_hidden_patches(digits):
    task = digits.task(patch_size=2)
    objective = pixels(task, digits, is_causal=False, seed=0)
    batch = objective.stream.draw(6)
    is_hidden = batch.inputs[..., -1] == 1
    targets = batch.targets.view(6, 16, 4)
    assert (is_hidden.sum(dim=1) == 6).all() and objective.layout.num_features == 5
    assert (targets[~is_hidden] == IGNORED).all() and (targets[is_hidden] >= 0).all()
    assert not batch.inputs[is_hidden][:, :-1].any()


def test_held_out_images_are_never_trained_on(digits):
    objective = pixels(digits.task(patch_size=8), digits, is_causal=True, seed=0)
    held_out, shown = objective.held_out.targets, objective.stream.examples().targets
    assert (len(held_out), len(shown)) == (359, 1079)
    assert not {row.numpy().tobytes() for row in held_out} & {row.numpy().tobytes() for row in shown}


@pytest.mark.parametrize("is_causal", [True, False])
def test_a_stream_of_pixels_counts(digits, is_causal):
    first, second = (pixels(digits.task(patch_size=2), digits, is_causal=is_causal, seed=4).stream for _ in range(2))
    whole, parts = first.draw(8), [second.draw(3), second.draw(5)]
    assert torch.equal(whole.targets, torch.cat([part.targets for part in parts]))
    state = first.state_dict()
    expected = first.draw(2000).inputs  # over the end of the pass
    second.load_state_dict(state)
    assert torch.equal(second.draw(2000).inputs, expected)


def test_vit_learns_the_class(digits):
    objective = classification(digits.task(patch_size=2), digits, seed=0)
    assert objective.layout.num_classes == 10 and objective.held_out.targets.shape == (359, 1)
    shares = objective.held_out.targets.flatten().bincount() / 359
    assert objective.baseline == pytest.approx(shares.max().item())
    made = {body: make_objective(recipe_for("vision", body=body, size="nano"), digits) for body in ("vit", "gpt2")}
    assert made["vit"].metric == "accuracy" and made["gpt2"].metric == "bits_per_value"


def test_images_are_known_by_their_content(tmp_path, monkeypatch, digits):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    recipe = recipe_for("vision", body="gpt2", size="nano")
    assert recipe == recipe_for("vision:digits", body="gpt2", size="nano")
    assert data_of(recipe) == digits  # whatever lies in the data folder
    (tmp_path / "cifar10").mkdir()
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        (tmp_path / "cifar10" / name).write_bytes(b"one")
    one = image_data.__wrapped__("cifar10", tmp_path, 0)
    (tmp_path / "cifar10" / "test_batch.bin").write_bytes(b"other")
    assert image_data.__wrapped__("cifar10", tmp_path, 0).checksum != one.checksum


def test_images_of_the_hub_are_cut_and_scaled(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    image_module = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    # 40 wide, 20 high: the middle is white, what is cut off is black.
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, 10:30] = 255
    rows = []
    for number in range(12):
        path = tmp_path / f"{number}.png"
        image_module.fromarray(wide).save(path)
        rows.append({"image": str(path), "label": number % 3})
    kinds = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b", "c"]))
    made = datasets.Dataset.from_list(rows).cast(kinds)
    (tmp_path / "pictures").mkdir()
    made.to_parquet(str(tmp_path / "pictures" / "train.parquet"))

    data = image_data(f"hub:{tmp_path / 'pictures'}", tmp_path, 10)
    objective = classification(data.task(patch_size=4), data, seed=0)
    assert objective.layout.num_classes == 3 and objective.held_out.inputs.shape == (1, 64, 48)
    assert len(objective.stream.examples().targets) == 9
    assert (objective.held_out.inputs == 2.0).all()  # white is (1 - 0.5) / 0.25
    shutil.rmtree(tmp_path / "pictures")
    assert image_data.__wrapped__(data.name, tmp_path, 10) == data
