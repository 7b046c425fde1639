"""A small convolutional classifier of Fashion-MNIST, whose features the distances use.

FID compares images by the features of a network that was trained to recognize them
(Heusel et al., NIPS 2017, arXiv 1706.08500). The Inception network of that paper knows
photographs; this one knows these 28×28 images. `load` gives it with the weights that
tools/make_classifier.py trained on the 10,000 embedded images and that the package holds.
"""

from dataclasses import dataclass
from importlib import resources

import keras
import numpy as np
from keras import layers

from ganvae_lessons.data import check_images

__all__ = ["Config", "build_classifier", "features", "load", "probabilities", "train"]

_WEIGHTS = "classifier.npz"


@dataclass(frozen=True)
class Config:
    """Sizes of the classifier: a 3×3 convolution and a pooling for each of `filters`."""

    image_shape: tuple = (28, 28, 1)
    filters: tuple = (32, 64, 64)
    feature_dim: int = 64
    classes: int = 10
    dropout: float = 0.3


def build_classifier(config):
    """Return the model images (B, H, W, C) in [−1, 1] → logits (B, classes).

    Its layer "features" is itself a model: images → the activations (B, feature_dim) that the
    distances compare.
    """
    images = hidden = keras.Input(config.image_shape, name="image")
    for filters in config.filters:
        hidden = layers.Conv2D(filters, 3, padding="same", activation="relu")(hidden)
        hidden = layers.MaxPooling2D()(hidden)  # 28 → 14 → 7 → 3
    hidden = layers.Dropout(config.dropout)(layers.Flatten()(hidden))
    hidden = layers.Dense(config.feature_dim, activation="relu")(hidden)
    feature_model = keras.Model(images, hidden, name="features")
    images = keras.Input(config.image_shape, name="image")
    logits = layers.Dense(config.classes)(feature_model(images))
    return keras.Model(images, logits, name="classifier")


def train(images, labels, *, config=None, epochs=12, seed=0, verbose=0):
    """Return a classifier trained on images (N, H, W, C) and integer labels (N,).

    Cross-entropy, Adam at 2e-3 falling to 0 along a cosine, batches of 100.
    """
    images = check_images(images, "images")
    labels = np.asarray(labels)
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be integers of shape {images.shape[:1]}, one for each image, "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    keras.utils.set_random_seed(seed)
    model = build_classifier(config or Config())
    steps = epochs * -(-len(images) // 100)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(images, labels, batch_size=100, epochs=epochs, verbose=verbose)
    return model


def load():
    """Return the classifier at its default `Config` with the weights that come with the package.

    OSError where the file of weights is missing or damaged.
    """
    model = build_classifier(Config())
    source = resources.files(__package__).joinpath(_WEIGHTS)
    try:
        with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            weights = [arrays[f"weight_{place}"] for place in range(len(model.weights))]
        model.set_weights(weights)
    except Exception as error:
        raise OSError(
            f"{_WEIGHTS} does not hold the classifier's weights ({error}); "
            "install the package again, or make them with tools/make_classifier.py"
        ) from error
    return model


def features(images, model=None):
    """Return the features (N, feature_dim), float32, of images (N, H, W, C) in [−1, 1].

    They are those of `model`, a classifier of `build_classifier`; by default of `load()`.
    """
    model = model or load()
    images = check_images(images, "images")
    return model.get_layer("features").predict(images, batch_size=500, verbose=0)


def probabilities(images, model=None):
    """Return p(class | image), (N, classes), rows that sum to 1; `model` as in `features`."""
    model = model or load()
    images = check_images(images, "images")
    return np.asarray(keras.ops.softmax(model.predict(images, batch_size=500, verbose=0)))
