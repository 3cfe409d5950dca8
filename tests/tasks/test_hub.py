"""The hub path with the real `datasets` package: a folder of the working directory stands for the repository."""

import io

import numpy as np
import pyarrow as pa
import pytest
import torch

from tasks.files import MissingData
from tasks.homology import Homology
from tasks.images import Mnist

datasets = pytest.importorskip("datasets")
image_module = pytest.importorskip("PIL.Image")
CPU = torch.device("cpu")


def png(image):
    buffer = io.BytesIO()
    image_module.fromarray(image).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def test_mnist_comes_from_the_hub_when_files_are_absent(repository, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    features = datasets.Features(image=datasets.Image(), label=datasets.Value("int64"))
    table = pa.table({"image": [png(image) for image in images], "label": list(range(6))}, schema=features.arrow_schema)
    repository("ylecun/mnist", "mnist", {"train": table, "test": table})

    monkeypatch.setattr(Mnist, "sizes", {"train": 4, "valid": 2, "test": 6})
    batch = Mnist(patch_size=28).split("test", CPU)
    np.testing.assert_array_equal((batch.inputs[:, 0] * 255).round().numpy(), images.reshape(6, -1))
    assert batch.targets.flatten().tolist() == list(range(6))


def test_homology_comes_from_the_hub_with_its_fold_holdout(repository, monkeypatch):
    table = pa.table({"primary": ["ACD", "CDE", "F"], "fold_label": [1, 2, 3]})
    holdout = pa.table({"primary": ["Y"], "fold_label": [5]})
    splits = {"train": table, "validation": table, "test_fold_holdout": holdout}
    repository("Hauser7733/TAPE_Remote_Homology", "default", splits)

    monkeypatch.setattr(Homology, "tape_sizes", {"train": 3, "valid": 3, "test": 1})
    batch = Homology(max_tokens=5).split("test", CPU)
    assert batch.inputs.tolist() == [[2, 28, 3, 0, 0]]
    assert batch.targets.tolist() == [[5]]


def test_a_repository_without_the_split_is_missing_data(repository):
    table = pa.table({"primary": ["ACD"], "fold_label": [1]})
    repository("Hauser7733/TAPE_Remote_Homology", "default", {"other": table})
    with pytest.raises(MissingData, match=r"hub's Hauser7733/TAPE_Remote_Homology could not be read") as refusal:
        Homology().check()
    assert "\n" not in str(refusal.value)


def test_an_absent_repository_is_missing_data_within_a_second(data_folder):
    with pytest.raises(MissingData, match=r"HF_HUB_OFFLINE=1 then uses the hub's cache"):
        Mnist().check()
