"""Makes the sample out of MNIST: ``python -m fastfood_np.datasets.make_sample FOLDER``.

The rule: a set's digits are ordered by the SHA-256 of a fixed text with the seed, followed by
the bytes of the image; of each class the first 800 (training) or 200 (test) are kept, and the
order stays. So classes are mixed, training digits come from MNIST's training set and test digits
from its test set, and the choice depends on no random number generator.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastfood_np.datasets.dataset import N_CLASSES, Dataset
from fastfood_np.datasets.known import FILE_NAMES, KNOWN, sha256_of
from fastfood_np.datasets.loading import load
from fastfood_np.datasets.sample import TEST_PER_CLASS, TRAIN_PER_CLASS
from fastfood_np.files import write_whole
from fastfood_np.validation import Array, DatasetError, InputFileError

SEED = 0
EMBEDDED = Path(__file__).parent / "digits" / "digits.npz"


def choose(images: Array, labels: Array, per_class: int, seed: int = SEED) -> npt.NDArray[np.int32]:
    """Return the positions of `per_class` images of every class, by the rule above."""
    salt = f"fastfood_np sample, seed {seed}".encode()
    keys = [hashlib.sha256(salt + image.tobytes()).digest() for image in images]
    left = dict.fromkeys(range(N_CLASSES), per_class)
    chosen = []
    for position in sorted(range(len(keys)), key=keys.__getitem__):
        label = int(labels[position])
        if left[label]:
            left[label] -= 1
            chosen.append(position)
    lacking = [str(label) for label, count in left.items() if count]
    if lacking:
        raise DatasetError(
            f"every class must have at least {per_class} images, too few of: {', '.join(lacking)}"
        )
    return np.array(chosen, dtype="<i4")


def make_sample(data: Dataset, train_per_class: int, test_per_class: int) -> dict[str, Array]:
    """Return the arrays of the sample's file."""
    train = choose(data.train_images, data.train_labels, train_per_class)
    test = choose(data.test_images, data.test_labels, test_per_class)
    return {
        "train_images": data.train_images[train, 0],
        "train_labels": data.train_labels[train].astype(np.uint8),
        "train_index": train,
        "test_images": data.test_images[test, 0],
        "test_labels": data.test_labels[test].astype(np.uint8),
        "test_index": test,
    }


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Return a compressed .npz file; unlike NumPy's own, hard compressed and without a date.

    The same arrays give the same bytes wherever zlib compresses alike.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16
            archive.writestr(member, content.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return file.getvalue()


def check_is_mnist(data: Dataset) -> None:
    """Raise unless the four arrays are MNIST's, by their checksums."""
    for part in FILE_NAMES:
        array = getattr(data, part)
        plain = array[:, 0] if part.endswith("images") else array.astype(np.uint8)
        if sha256_of(plain) != KNOWN["mnist"].sha256[part]:
            raise DatasetError(f"{FILE_NAMES[part]} must be MNIST's, but its checksum differs")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m fastfood_np.datasets.make_sample",
        description="Cut the embedded sample out of MNIST.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="MNIST's four IDX files")
    parser.add_argument("--out", type=Path, default=EMBEDDED, help="default: inside the package")
    options = parser.parse_args(arguments)
    try:
        data = load("mnist", options.folder)
        check_is_mnist(data)
    except InputFileError as error:
        parser.error(str(error))
    write_whole(options.out, npz_bytes(make_sample(data, TRAIN_PER_CLASS, TEST_PER_CLASS)))


if __name__ == "__main__":
    main()
