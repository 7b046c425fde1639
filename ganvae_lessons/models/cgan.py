"""Conditional GANs: a class or a text code tells the generator what to draw.

Mirza and Osindero 2014 (arXiv 1411.1784): the condition enters both players, as input to
concatenate. `Config.paper()` is their MNIST network, maxout included. Two other ways to tell
the discriminator, on the convolutions of `dcgan`: projection (Miyato and Koyama, ICLR 2018,
1802.05637) and an auxiliary classifier (AC-GAN: Odena et al., ICML 2017, 1610.09585).
"""

import dataclasses
import math
from dataclasses import dataclass

import keras
from keras import layers

from ganvae_lessons.layers import Maxout
from ganvae_lessons.models import dcgan

__all__ = ["Config", "build_condition", "build_discriminator", "build_generator"]

METHODS = ("concatenation", "projection", "auxiliary")
EMBEDDINGS = ("embedding", "dense_tanh", "dense_relu")


@dataclass(frozen=True)
class Config:
    """How the condition is embedded and told, and the sizes of both networks.

    A condition is an integer class, one of `classes`, or, where `text_dim` is set, a vector
    of that many numbers. Its embedding C has `condition_dim` numbers.
    """

    image_shape: tuple = (28, 28, 1)
    latent_dim: int = 64
    classes: int = 10
    text_dim: int = 0  # 0: conditions are classes
    embedding: str = "dense_tanh"  # or "embedding" (classes only), "dense_relu"
    condition_dim: int = 32
    method: str = "projection"  # or "concatenation", "auxiliary": how the discriminator knows
    filters: tuple = (128, 64, 32)  # as in dcgan.Config; () for the paper's dense networks

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if self.embedding not in EMBEDDINGS:
            raise ValueError(
                f"embedding must be one of {', '.join(EMBEDDINGS)}, got {self.embedding!r}"
            )
        if self.text_dim and (self.embedding == "embedding" or self.method == "auxiliary"):
            raise ValueError(
                "text_dim needs a dense embedding, and concatenation or projection: a text code "
                f"is no class; got embedding={self.embedding!r} and method={self.method!r}"
            )
        if not self.filters and self.method != "concatenation":
            raise ValueError(f"dense networks (filters=()) concatenate, got method={self.method!r}")

    @classmethod
    def paper(cls):
        """MNIST: z 100 → 200, class → 1000, joint 1200 → 784; maxout 240×5, 50×5, 240×4."""
        return cls(
            latent_dim=100,
            embedding="dense_relu",
            condition_dim=1000,
            method="concatenation",
            filters=(),
        )

    def networks(self):
        """The `dcgan.Config` of the convolutional networks."""
        return dcgan.Config(
            image_shape=self.image_shape, latent_dim=self.latent_dim, filters=self.filters
        )


def build_condition(config):
    """Return the model conditions → C (B, condition_dim).

    Conditions are integers (B,) or, where `text_dim` is set, codes (B, text_dim). A dense
    layer over a one-hot class picks a row of its matrix, as `Embedding` does; the tanh then
    keeps every number of C in (−1, 1), on the scale of the latents beside it.
    """
    conditions = _condition_input(config)
    if config.embedding == "embedding":
        code = layers.Embedding(config.classes, config.condition_dim)(conditions)
    else:
        activation = "tanh" if config.embedding == "dense_tanh" else "relu"
        code = layers.Dense(config.condition_dim, activation=activation)(
            _vector(config, conditions)
        )
    return keras.Model(conditions, code, name="code")


def _condition_input(config):
    shape, dtype = ((config.text_dim,), None) if config.text_dim else ((), "int32")
    return keras.Input(shape, dtype=dtype, name="condition")


def build_generator(config):
    """Return the model [latents (B, latent_dim), conditions] → images (B, H, W, C)."""
    latents = keras.Input((config.latent_dim,), name="latent")
    conditions = _condition_input(config)
    code = build_condition(config)(conditions)
    if config.filters:
        joint = layers.Concatenate()([latents, code])
        networks = dataclasses.replace(config.networks(), latent_dim=joint.shape[-1])
        images = dcgan.build_generator(networks)(joint)
    else:
        hidden = layers.Dense(200, activation="relu")(latents)
        joint = _dropped(layers.Concatenate()([hidden, code]))
        joint = _dropped(layers.Dense(1200, activation="relu")(joint))
        flat = layers.Dense(math.prod(config.image_shape), activation="sigmoid")(joint)
        images = layers.Reshape(config.image_shape)(flat)
    return keras.Model([latents, conditions], images, name="generator")


def build_discriminator(config):
    """Return the model [images (B, H, W, C), conditions] → logits (B, 1).

    By concatenation, C becomes one more channel of the image. By projection, the logit is
    l(h) + ⟨e(C), h⟩ with h the last features. With the auxiliary classifier the only input is
    the images, and the outputs are [logits (B, 1), class logits (B, classes)].
    """
    images = keras.Input(config.image_shape, name="image")
    if config.method == "auxiliary":
        features = dcgan.build_features(config.networks())(images)
        outputs = [_logits(1)(features), _logits(config.classes)(features)]
        return keras.Model(images, outputs, name="discriminator")
    conditions = _condition_input(config)
    if not config.filters:
        seen = Maxout(240, 5)(layers.Flatten()(images))
        told = Maxout(50, 5)(_vector(config, conditions))
        joint = Maxout(240, 4)(_dropped(layers.Concatenate()([seen, told])))
        logits = _logits(1)(_dropped(joint))
    elif config.method == "concatenation":
        height, width, channels = config.image_shape
        code = build_condition(config)(conditions)
        plane = layers.Reshape((height, width, 1))(layers.Dense(height * width)(code))
        networks = dataclasses.replace(config.networks(), image_shape=(height, width, channels + 1))
        logits = dcgan.build_discriminator(networks)(layers.Concatenate()([images, plane]))
    else:
        features = dcgan.build_features(config.networks())(images)  # (B, dims)
        code = build_condition(config)(conditions)
        direction = layers.Dense(features.shape[-1], use_bias=False)(code)  # e(C): (B, dims)
        match = layers.Dot(axes=-1, dtype="float32")([direction, features])  # (B, 1)
        logits = layers.Add(dtype="float32")([_logits(1)(features), match])
    return keras.Model([images, conditions], logits, name="discriminator")


def _vector(config, conditions):
    """The condition as numbers: a text code as it is, a class one-hot (B, classes)."""
    if config.text_dim:
        return conditions
    return layers.CategoryEncoding(config.classes, output_mode="one_hot")(conditions)


def _logits(units):
    return layers.Dense(units, dtype="float32")  # also under mixed precision


def _dropped(hidden):
    return layers.Dropout(0.5)(hidden)
