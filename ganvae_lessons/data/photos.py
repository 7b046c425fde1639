"""Six photographs, whole or cut into 64×64 squares: the only natural images in the package.

All are CC0 or in the public domain; `NOTICE` names who took them. They are embedded as WebP, 743
pixels wide at most, and decoded when asked for. The squares do not overlap; those that reach into a
photo's right fifth are the test split, so no test pixel is a training pixel.
"""

import io

import numpy as np
from PIL import Image

from ganvae_lessons.data import _store
from ganvae_lessons.data._catalog import Entry

__all__ = ["whole"]

SIDE = 64  # pixels

ENTRY = Entry(
    name="photos",
    shape=(SIDE, SIDE, 3),
    class_names=("astronaut", "cat", "coffee", "dandelion", "raccoon", "rocket"),
    embedded_train=284,
    embedded_test=76,
    full_train=None,
    full_test=None,
    source="scikit-image 0.26.0, SciPy 1.9.3, Debian lomiri-wallpapers-16.04 20.04.0-2",
    license="CC0 1.0 and public domain",
    file="photos.npz.xz",
    sha256="37c814ee5f6a19964a5ce10231ca572874b7c1e18f496b189c102bc70c758bde",
)


def whole():
    """The photographs as they are.

    Returns:
        {title: uint8 (height, width, 3)}, from 300 to 557 pixels high and 451 to 743 wide.

    Raises:
        OSError: the embedded file is damaged.
    """
    arrays = _store.read_embedded(ENTRY.file, ENTRY.sha256)
    photos = {}
    for title in ENTRY.class_names:
        with Image.open(io.BytesIO(arrays[title].tobytes()), formats=["WEBP"]) as photo:
            photos[title] = np.array(photo.convert("RGB"))
    return photos


def read(split):
    """The squares of a split, uint8 (N, 64, 64, 3), and which photo each is from, uint8 (N,)."""
    images, labels = [], []
    for label, photo in enumerate(whole().values()):
        rows, columns = (size // SIDE for size in photo.shape[:2])
        squares = photo[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
        squares = squares.swapaxes(1, 2)  # (rows, columns, 64, 64, 3)
        kept = photo.shape[1] * 4 // 5 // SIDE  # columns that end before the right fifth
        part = squares[:, :kept] if split == "train" else squares[:, kept:]
        part = part.reshape(-1, *ENTRY.shape)
        # a fixed shuffle, so that the first few squares are not all sky
        images.append(part[np.random.RandomState(label).permutation(len(part))])
        labels += [label] * len(part)
    return np.concatenate(images), np.array(labels, np.uint8)
