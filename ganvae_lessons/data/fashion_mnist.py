"""Fashion-MNIST: 28×28 gray pictures of clothes in ten classes.

Xiao, Rasul, Vollgraf (2017), arXiv:1708.07747. Embedded are the first 1,000 training and the first
200 test images of each class, in the order of the original files; MIT license, © 2017 Zalando SE.
The full set is read from a folder, Debian's package or the Keras cache, else downloaded from where
Keras has it. Unlike Keras, every file is compared with its sum, cached or not.
"""

import os
import pathlib

from ganvae_lessons.data import _store
from ganvae_lessons.data._catalog import Entry

ENTRY = Entry(
    name="fashion_mnist",
    shape=(28, 28, 1),
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    embedded_train=10_000,
    embedded_test=2_000,
    full_train=60_000,
    full_test=10_000,
    source="Zalando Research, Debian dataset-fashion-mnist 0.0~git20200523.55506a9-1",
    license="MIT",
    file="fashion_mnist.npz.xz",
    sha256="dcb5a83f4db337bdafd5fa9693a75ec6726c33623318c956993ee1e828a16b5d",
)

# (images, labels) of each split; the sums are those of the uncompressed files.
FILES = {
    "train": (
        _store.GzipFile("train-images-idx3-ubyte.gz", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        _store.GzipFile("train-labels-idx1-ubyte.gz", "9018921c3c673c538a1fc5bad174d6f9"),
    ),
    "test": (
        _store.GzipFile("t10k-images-idx3-ubyte.gz", "8181f5470baa50b63fa0f6fddb340f0a"),
        _store.GzipFile("t10k-labels-idx1-ubyte.gz", "15d484375f8d13e6eb1aabb0c3f46965"),
    ),
}

# The address that keras.datasets.fashion_mnist uses.
BASE_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
DEBIAN_FOLDER = pathlib.Path("/usr/share/datasets/fashion-mnist")


def read(split):
    """The embedded images, uint8 (N, 28, 28, 1), and labels, uint8 (N,), in file order."""
    arrays = _store.read_embedded(ENTRY.file, ENTRY.sha256)
    return arrays[f"{split}_images"][..., None], arrays[f"{split}_labels"]


def read_full(split):
    """The full split: images, labels as in `read`, and where the images were found.

    Raises:
        FileNotFoundError: it is nowhere to be had; says what was tried and how to get it.
        ValueError: `GANVAE_DATA` names something that is not a folder.
    """
    cache = _store.keras_cache("fashion-mnist")
    found = []
    for file in FILES[split]:
        try:
            found.append(_store.obtain(ENTRY.name, file, local_folders(), cache, BASE_URL))
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{error}\nTo get it, do one of these: install Debian's package "
                "(apt-get install dataset-fashion-mnist); or put the four .gz files into a folder "
                "and name that folder in the environment variable GANVAE_DATA; or connect to the "
                "network once. Without it, leave full=False for the embedded "
                f"{ENTRY.embedded_train:,} + {ENTRY.embedded_test:,} images."
            ) from error
    (images, where), (labels, _) = found
    return _store.parse_idx(images)[..., None], _store.parse_idx(labels), where


def local_folders():
    """Folders that may hold the original files: those in `GANVAE_DATA`, then Debian's."""
    if not (named := os.environ.get("GANVAE_DATA")):
        return [DEBIAN_FOLDER]
    folder = pathlib.Path(named).expanduser()
    if not folder.is_dir():
        raise ValueError(
            f"GANVAE_DATA must name an existing folder, got {named!r}; "
            "correct it or unset the environment variable"
        )
    return [folder, folder / "fashion-mnist", DEBIAN_FOLDER]
