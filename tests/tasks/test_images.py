"""Image tasks on tiny files: token layout, splits, the two protocols of cifar10-lra, and every way a file can fail."""

import gzip
import hashlib
import lzma
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.catalogue import make_task
from tasks.files import DamagedData, MissingData
from tasks.images import Cifar10, Cifar10Lra, Mnist

CPU = torch.device("cpu")
SIZES = {"train": 30, "valid": 10, "test": 20}
NO_CHECKSUMS = {}


class TinyMnist(Mnist):
    sizes = SIZES
    checksums = NO_CHECKSUMS


class TinyCifar10(Cifar10):
    sizes = SIZES


class TinyCifar10Lra(Cifar10Lra):
    sizes = SIZES


def idx(array):
    return b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


def write_mnist(folder, *, pack=gzip.compress, suffix=".gz"):
    rng = np.random.default_rng(0)
    (folder / "mnist").mkdir(exist_ok=True)
    parts = {}
    for part, size in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = np.arange(size)
        labels = (np.arange(size) % 10).astype(np.uint8)
        parts[part] = (images, labels)
        (folder / "mnist" / f"{part}-images-idx3-ubyte{suffix}").write_bytes(pack(idx(images)))
        (folder / "mnist" / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(labels)))
    return parts


def write_cifar10(folder, *, pack=bytes, suffix=""):
    rng = np.random.default_rng(0)
    (folder / "cifar10").mkdir()
    records = rng.integers(0, 256, (60, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(60) % 10
    for batch in range(5):
        name = f"data_batch_{batch + 1}.bin{suffix}"
        (folder / "cifar10" / name).write_bytes(pack(records[8 * batch : 8 * batch + 8].tobytes()))
    (folder / "cifar10" / f"test_batch.bin{suffix}").write_bytes(pack(records[40:].tobytes()))
    return records


def patches(image, size):
    """[C, S, S] -> rows of tokens, each with its pixels row by row and the channels of a pixel together."""
    tokens = []
    for top in range(0, image.shape[1], size):
        for left in range(0, image.shape[2], size):
            block = image[:, top : top + size, left : left + size]
            tokens.append([block[c, y, x] for y in range(size) for x in range(size) for c in range(len(image))])
    return np.array(tokens)


@pytest.mark.parametrize(("pack", "suffix"), [(bytes, ""), (gzip.compress, ".gz"), (lzma.compress, ".xz")])
def test_mnist_is_49_patches_of_unchanged_pixels(data_folder, pack, suffix):
    images, labels = write_mnist(data_folder, pack=pack, suffix=suffix)["t10k"]
    batch = TinyMnist().split("test", CPU)
    assert batch.inputs.shape == (20, 49, 16)
    np.testing.assert_allclose(batch.inputs[3], patches(images[3][None], 4) / 255, rtol=1e-6)
    assert batch.targets.flatten().tolist() == labels.tolist()


def test_cifar10_is_64_normalised_patches_with_channels_together(data_folder):
    records = write_cifar10(data_folder, pack=lzma.compress, suffix=".xz")
    batch = TinyCifar10().split("test", CPU)
    assert batch.inputs.shape == (20, 64, 48)
    pixels = records[43, 1:].reshape(3, 32, 32) / 255
    mean, std = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2023, 0.1994, 0.2010])
    expected = patches((pixels - mean[:, None, None]) / std[:, None, None], 4)
    np.testing.assert_allclose(batch.inputs[3], expected, atol=1e-5)


def test_cifar10_lra_is_real_pixels_in_paper_and_ids_in_fixed(data_folder):
    records = write_cifar10(data_folder)
    red, green, blue = records[43, 1:].reshape(3, 1024).astype(np.float64)
    gray = 0.2989 * red + 0.587 * green + 0.114 * blue
    paper, fixed = TinyCifar10Lra(protocol="paper"), TinyCifar10Lra(protocol="fixed")
    assert (paper.layout.num_features, fixed.layout.num_symbols) == (1, 256)
    np.testing.assert_allclose(paper.split("test", CPU).inputs[3, :, 0], gray / 127.5 - 1, atol=1e-5)
    ids = fixed.split("test", CPU).inputs
    assert ids.shape == (20, 1024)
    np.testing.assert_array_equal(ids[3], np.floor(gray * 255.5 / 255))


@pytest.mark.parametrize(
    ("make", "is_changed"),
    [
        (lambda: TinyMnist(protocol="paper"), False),
        (lambda: TinyCifar10(protocol="paper"), True),
        (lambda: TinyCifar10(protocol="fixed"), True),
        (lambda: TinyCifar10Lra(protocol="paper"), True),
        (lambda: TinyCifar10Lra(protocol="fixed"), False),
    ],
)
def test_only_augmented_tasks_change_their_training_images(data_folder, make, is_changed):
    write_mnist(data_folder)
    write_cifar10(data_folder)
    stream = make().stream(0, CPU)
    stored = {tuple(row) for row in stream.examples().inputs.flatten(1).tolist()}
    drawn = {tuple(row) for row in stream.draw(60).inputs.flatten(1).tolist()}
    assert (drawn != stored) == is_changed
    # Sixty draws are two passes: augmentation never shows the same view twice.
    assert len(drawn) == (60 if is_changed else 30)


def test_valid_is_held_out_of_train_and_test_is_whole(data_folder):
    write_mnist(data_folder)
    task = TinyMnist()
    marks = {name: (task.split(name, CPU).inputs[:, 0, 0] * 255).round().int().tolist() for name in SIZES}
    assert {name: len(values) for name, values in marks.items()} == SIZES
    assert sorted(marks["train"] + marks["valid"]) == list(range(40))
    assert marks["test"] == list(range(20))
    assert marks["valid"] != list(range(10))


def test_digits_are_split_within_each_class():
    task = make_task("digits", protocol="fixed", args={})
    splits = {name: task.split(name, CPU) for name in ("train", "valid", "test")}
    assert {name: len(batch.targets) for name, batch in splits.items()} == {"train": 1079, "valid": 359, "test": 359}
    for batch in splits.values():
        counts = batch.targets.flatten().bincount(minlength=10)
        assert counts.max() - counts.min() <= 6
    rows = torch.cat([batch.inputs for batch in splits.values()])
    assert len(rows.flatten(1).unique(dim=0)) == 1797
    assert splits["test"].inputs.shape == (359, 16, 4)
    assert 0 <= rows.min() < rows.max() == 1


def test_the_floor_is_the_most_common_training_label():
    task = make_task("digits", protocol="fixed", args={})
    most_common = task.split("train", CPU).targets.flatten().mode().values
    share = (task.split("test", CPU).targets == most_common).double().mean().item()
    assert task.floor_accuracy == share


@pytest.mark.parametrize(
    ("name", "patch_size", "message"),
    [
        ("cifar10", 5, "patch size 5 does not divide image side 32; choose one of 1, 2, 4, 8, 16, 32"),
        ("mnist", 0, "patch_size = 0 is too small; give 1 or more"),
    ],
)
def test_impossible_patch_sizes_are_refused(name, patch_size, message):
    with pytest.raises(ValueError, match=message):
        make_task(name, protocol="fixed", args={"patch_size": patch_size})


def rewritten(path, change):
    """Apply a change to the unpacked content of a .gz file."""
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (IMAGES, lambda content: content[:-1], r"found 31375 bytes, expected 31376 from its header"),
        (IMAGES, lambda content: content + b"x", r"found 31377 bytes, expected 31376 from its header"),
        (IMAGES, lambda content: content[:9], r"found 9 bytes, expected"),
        (IMAGES, lambda content: b"PK" + content[2:], r"starts with 504b0803, expected the IDX header"),
        (IMAGES, lambda content: b"", "starts with nothing, expected the IDX header"),
        (IMAGES, lambda content: idx(np.zeros((40, 8, 8), np.uint8)), r"images of shape \(1, 8, 8\), expected \(1, 28"),
        (IMAGES, lambda content: idx(np.zeros((39, 28, 28), np.uint8)), r"shape \(39, 28, 28\) does not go with 40"),
        (LABELS, lambda content: content[:-1] + b"\x0a", "label 10 in record 39, expected 0 to 9"),
    ],
)
def test_damaged_idx_files_are_refused(data_folder, name, change, message):
    write_mnist(data_folder)
    rewritten(data_folder / "mnist" / name, change)
    with pytest.raises(DamagedData, match=f"{name}: {message}|{IMAGES}: {message}") as refusal:
        TinyMnist().check()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (lzma.compress, ".xz")])
def test_truncated_packed_files_are_refused(data_folder, pack, suffix):
    write_mnist(data_folder, pack=pack, suffix=suffix)
    path = data_folder / "mnist" / f"t10k-labels-idx1-ubyte{suffix}"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DamagedData, match=f"t10k-labels-idx1-ubyte{suffix}: truncated or damaged {suffix} file"):
        TinyMnist().check()


def test_wrong_numbers_of_images_are_refused(data_folder, monkeypatch):
    write_mnist(data_folder)
    monkeypatch.setattr(Mnist, "checksums", {})
    with pytest.raises(DamagedData, match=r"train-images-idx3-ubyte.gz: found 40 train images, expected 60000"):
        Mnist().check()


def test_checksums_are_of_the_unpacked_content(data_folder, monkeypatch):
    images, _ = write_mnist(data_folder)["train"]
    checksums = {"train-images-idx3-ubyte": hashlib.sha256(idx(images)).hexdigest()}
    monkeypatch.setattr(TinyMnist, "checksums", checksums)
    TinyMnist().check()
    rewritten(data_folder / "mnist" / IMAGES, lambda content: content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedData, match=rf"{IMAGES}: unpacked content has SHA-256 .*, expected .*; fetch it again"):
        TinyMnist().check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "found 24583 bytes, expected a multiple of 3073"),
        (lambda content: b"", "found 0 bytes, expected a multiple of 3073"),
        (lambda content: b"\x0b" + content[1:], "label 11 in record 0, expected 0 to 9"),
        (lambda content: content[:3073], "found 33 train images, expected 40"),
    ],
)
def test_damaged_cifar_batches_are_refused(data_folder, change, message):
    write_cifar10(data_folder)
    path = data_folder / "cifar10" / "data_batch_1.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DamagedData, match=f"data_batch_1.bin: {message}"):
        TinyCifar10().check()


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar10-lra"])
def test_missing_files_are_named_with_where_and_what_to_do(data_folder, name):
    folder = data_folder / ("mnist" if name == "mnist" else "cifar10")
    with pytest.raises(MissingData, match=r"no network: hub.invalid has no address") as refusal:
        make_task(name, protocol="fixed", args={}).check()
    assert str(folder) in str(refusal.value)
    assert "`hf download --repo-type dataset " in str(refusal.value)
    assert "\n" not in str(refusal.value)


def real_folder(*names):
    folder = Path(os.environ.get("STUDY_DATA", "/nonexistent"))
    if not all(list(folder.glob(name)) for name in names):
        pytest.skip(f"{', '.join(names)} are not in STUDY_DATA")


@pytest.mark.data
def test_real_mnist_is_read_and_checked():
    real_folder("mnist/t10k-images-idx3-ubyte*", "mnist/train-images-idx3-ubyte*")
    task = make_task("mnist", protocol="paper", args={})
    task.check()
    assert task.floor_accuracy == 0.1135


@pytest.mark.data
def test_real_cifar10_has_the_published_channel_means():
    real_folder("cifar10/data_batch_1.bin*", "cifar10/test_batch.bin*")
    task = make_task("cifar10", protocol="paper", args={})
    assert task.split("test", CPU).targets.flatten().bincount().tolist() == [1000] * 10
    # Over the training set the usual normalisation leaves means of 0 and deviations of 1.22 to 1.30.
    pixels = task.split("valid", CPU).inputs.reshape(-1, 3)
    assert pixels.mean(dim=0).abs().max() < 0.03
    assert pixels.std(dim=0).sub(1.25).abs().max() < 0.06
