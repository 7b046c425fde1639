"""The first GAN: two multilayer perceptrons.

Goodfellow et al., "Generative Adversarial Nets", NIPS 2014 (arXiv 1406.2661).
`Config.paper()` is the MNIST network of the authors' published code
(goodfeli/adversarial, mnist.yaml): maxout and dropout in the discriminator. The
defaults differ: leaky rectifiers, no dropout, tanh for images in [−1, 1].
"""

import math
from dataclasses import dataclass

import keras
from keras import layers, ops

from ganvae_lessons.layers import Maxout

__all__ = ["Config", "build_discriminator", "build_generator"]


@dataclass(frozen=True)
class Config:
    """Sizes of both networks. `sample_shape` is (dims,) for points, (H, W, C) for images."""

    sample_shape: tuple = (28, 28, 1)
    latent_dim: int = 64
    generator_units: tuple = (256, 512)
    discriminator_units: tuple = (512, 256)
    output_activation: str = "tanh"  # "linear" for points in the plane
    maxout_pieces: int = 0  # 0: leaky rectifiers
    dropout: tuple = ()  # rate before each layer of the discriminator, () for none
    spectral_norm: bool = False  # of each of the discriminator's matrices: Lipschitz 1
    weight_clip: float = 0.0  # the critic's weights stay in ± this after each step; 0: no clipping

    def __post_init__(self):
        if self.maxout_pieces and (self.spectral_norm or self.weight_clip):
            raise ValueError(
                "maxout_pieces must be 0 with spectral_norm or weight_clip, "
                f"got {self.maxout_pieces}; those two are for plain dense layers"
            )
        if self.dropout and len(self.dropout) != len(self.discriminator_units) + 1:
            raise ValueError(
                "dropout must be () or hold one rate before each dense layer of the "
                f"discriminator, {len(self.discriminator_units) + 1}, got {len(self.dropout)}"
            )

    @classmethod
    def paper(cls):
        """MNIST: 100 → 1200 → 1200 → 784; 784 → maxout 240×5 → maxout 240×5 → 1."""
        return cls(
            latent_dim=100,
            generator_units=(1200, 1200),
            discriminator_units=(240, 240),
            output_activation="sigmoid",
            maxout_pieces=5,
            dropout=(0.2, 0.5, 0.5),
        )

    @classmethod
    def points(cls, dims=2):
        """Small networks for points in the plane."""
        return cls(
            sample_shape=(dims,),
            latent_dim=16,
            generator_units=(128, 128),
            discriminator_units=(128, 128),
            output_activation="linear",
        )


def build_generator(config):
    """Return the model latents (B, latent_dim) → samples (B, *sample_shape)."""
    latents = keras.Input((config.latent_dim,), name="latent")
    hidden = latents
    for units in config.generator_units:
        hidden = layers.Dense(units, activation="relu")(hidden)
    size = math.prod(config.sample_shape)
    flat = layers.Dense(size, activation=config.output_activation)(hidden)
    return keras.Model(latents, layers.Reshape(config.sample_shape)(flat), name="generator")


def build_discriminator(config):
    """Return the model samples (B, *sample_shape) → logits (B, 1): no sigmoid at the end."""
    samples = keras.Input(config.sample_shape, name="sample")
    hidden = layers.Flatten()(samples)
    rates = config.dropout or (0.0,) * (len(config.discriminator_units) + 1)
    for units, rate in zip(config.discriminator_units, rates[:-1], strict=True):
        if rate:
            hidden = layers.Dropout(rate)(hidden)
        if config.maxout_pieces:
            hidden = Maxout(units, config.maxout_pieces)(hidden)
        else:
            hidden = layers.LeakyReLU(negative_slope=0.2)(_dense(config, units)(hidden))
    if rates[-1]:
        hidden = layers.Dropout(rates[-1])(hidden)
    return keras.Model(samples, _dense(config, 1)(hidden), name="discriminator")


def _dense(config, units):
    """A dense layer of the discriminator, with what keeps its slope in bounds."""
    bound = _Clip(config.weight_clip) if config.weight_clip else None
    dense = layers.Dense(units, kernel_constraint=bound, bias_constraint=bound)
    return layers.SpectralNormalization(dense) if config.spectral_norm else dense


@keras.saving.register_keras_serializable("ganvae_lessons")
class _Clip(keras.constraints.Constraint):
    """Weight clipping (Arjovsky et al., ICML 2017, arXiv 1701.07875, Algorithm 1)."""

    def __init__(self, bound):
        self.bound = bound

    def __call__(self, weights):
        return ops.clip(weights, -self.bound, self.bound)

    def get_config(self):
        return {"bound": self.bound}
