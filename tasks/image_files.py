"""Image data sets as arrays: MNIST from IDX files, CIFAR-10 from binary batches, either from the hub, and digits.

All readers return uint8 images [N, channels, height, width] and int64 labels [N], in the order of the files.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tasks import hub
from tasks.files import DamagedData, MissingData, check_labels, check_sha256, find_all, read_bytes

NUM_CLASSES = 10


@dataclass(frozen=True)
class Labelled:
    """Images [N, C, H, W] uint8 and their labels [N] int64, with the place they came from."""

    images: np.ndarray
    labels: np.ndarray
    source: str


# SHA-256 of the unpacked files; the packed ones have the MD5 sums that are published with the data set
# (f68b3c2d... train images, d53e105e... train labels, 9fb629c4... test images, ec29112d... test labels).
MNIST_CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_MNIST_PARTS = {"train": "train", "test": "t10k"}
_CIFAR_FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}


def read_mnist(folder: Path, part: str, checksums: dict[str, str]) -> Labelled:
    """MNIST's train or test part: four IDX files (LeCun), plain or packed, else `ylecun/mnist` on the hub.

    Raises:
        MissingData: neither files nor hub.
        DamagedData: a file has a wrong checksum, is truncated, or has labels outside 0 .. 9.
    """
    names = [f"{_MNIST_PARTS[part]}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    paths = find_all(folder, names)
    if paths is None:
        return _from_hub("ylecun/mnist", "mnist", part, column="image", sought=" and ".join(names), folder=folder)
    contents = [read_bytes(path) for path in paths]
    images, labels = (_idx(path, content) for path, content in zip(paths, contents, strict=True))
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise DamagedData(f"{paths[0]}: shape {images.shape} does not go with {len(labels)} labels in {paths[1].name}")
    check_labels(paths[1], labels, NUM_CLASSES)
    for name, path, content in zip(names, paths, contents, strict=True):
        if name in checksums:
            check_sha256(path, content, checksums[name])
    return Labelled(images[:, None], labels.astype(np.int64), str(paths[0]))


def _idx(path: Path, content: bytes) -> np.ndarray:
    """An IDX array of unsigned bytes: two zero bytes, type 8, number of axes, each size as a big-endian int32."""
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DamagedData(f"{path}: starts with {content[:4].hex() or 'nothing'}, expected the IDX header 000008..")
    num_axes = content[3]
    sizes = np.frombuffer(content[4 : 4 + 4 * num_axes], ">i4") if len(content) >= 4 + 4 * num_axes else np.array([-1])
    expected = 4 + 4 * num_axes + int(sizes.prod(dtype=np.int64))
    if len(content) != expected or (sizes < 0).any():
        raise DamagedData(f"{path}: found {len(content)} bytes, expected {expected} from its header; fetch it again")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * num_axes).reshape(sizes)


def read_cifar10(folder: Path, part: str) -> Labelled:
    """CIFAR-10's train or test part: the binary version's batches, plain or packed, else `uoft-cs/cifar10` on the hub.

    A record is one label byte and 3 x 1024 pixel bytes: red, green, blue plane, each row by row.

    Raises:
        MissingData: neither files nor hub.
        DamagedData: a file is truncated or has labels outside 0 .. 9.
    """
    names = _CIFAR_FILES[part]
    paths = find_all(folder, names)
    if paths is None:
        return _from_hub("uoft-cs/cifar10", "plain_text", part, column="img", sought=", ".join(names), folder=folder)
    versions = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    images, labels = _cifar_batches(versions)
    return Labelled(images, labels, str(paths[0]))


@lru_cache(maxsize=2)
def _cifar_batches(versions: tuple[tuple[Path, int, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    """The batches in these versions of the files; kept, for unpacking .xz takes seconds and two tasks want the same."""
    record = 1 + 3 * 32 * 32
    paths = [path for path, *_ in versions]
    with ThreadPoolExecutor() as pool:
        contents = list(pool.map(read_bytes, paths))
    batches = []
    for path, content in zip(paths, contents, strict=True):
        if not content or len(content) % record:
            expected = f"a multiple of {record} bytes (1 label, 3 x 1024 pixels)"
            raise DamagedData(f"{path}: found {len(content)} bytes, expected {expected}; fetch it again")
        batches.append(np.frombuffer(content, np.uint8).reshape(-1, record))
        check_labels(path, batches[-1][:, 0], NUM_CLASSES)
    records = np.concatenate(batches)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def files_of(name: str, root: Path) -> list[Path] | None:
    """The files that hold "digits", "mnist" or "cifar10", None where they are not all there."""
    if name == "digits":
        package = importlib.util.find_spec("sklearn")
        assert package is not None and package.submodule_search_locations
        return find_all(Path(package.submodule_search_locations[0]) / "datasets" / "data", ["digits.csv"])
    names = list(MNIST_CHECKSUMS) if name == "mnist" else [file for part in _CIFAR_FILES.values() for file in part]
    return find_all(root / name, names)


def read_digits() -> Labelled:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels with values 0 .. 16; part of the package."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels, np.uint8).reshape(-1, 1, 8, 8)
    return Labelled(images, np.asarray(labels, np.int64), "sklearn.datasets.load_digits")


def _from_hub(repository: str, configuration: str, part: str, *, column: str, sought: str, folder: Path) -> Labelled:
    rows = hub.load_split(repository, configuration, part, sought=sought, folder=folder)
    if importlib.util.find_spec("PIL") is None:
        raise MissingData(f"images of the hub's {repository} need the package `pillow`; pip install pillow")
    images = np.stack([np.asarray(image) for image in rows[column]])
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    labels = np.asarray(rows["label"], np.int64)
    check_labels(repository, labels, NUM_CLASSES)
    return Labelled(np.ascontiguousarray(images), labels, repository)
