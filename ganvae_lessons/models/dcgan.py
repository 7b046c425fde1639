"""DCGAN: a generator and a discriminator of strided convolutions.

Radford, Metz and Chintala, ICLR 2016 (arXiv 1511.06434). `Config.paper()` is the network of
the authors' code at 64×64; `Config.pytorch()` the 4×4 variant of PyTorch's example. The
defaults differ: three steps of resolution, 28 → 14 → 7 → 4 and back, with far fewer maps, which
two cores train in a minute. Each guideline of the paper is a field that can be switched off.
"""

import math
from dataclasses import dataclass

import keras
from keras import layers

from ganvae_lessons.layers import BatchNorm

__all__ = ["Config", "build_discriminator", "build_features", "build_generator"]


@dataclass(frozen=True)
class Config:
    """Sizes of both networks, and the paper's guidelines as switches.

    `filters` are the generator's maps from the deepest layer up, one for each resolution but
    the image's own; the discriminator has the same in reverse. Each resolution is half the
    next, rounded up.
    """

    image_shape: tuple = (28, 28, 1)
    latent_dim: int = 64
    filters: tuple = (128, 64, 32)
    kernel_size: int = 4
    learned_resampling: bool = True  # strided convolutions; else pooling and repetition
    batch_norm: bool = True  # in both networks
    norm_at_the_ends: bool = False  # also on the generator's output, the discriminator's input
    bias_at_the_ends: bool = True  # of the layers that no norm follows; the authors have none
    norm_per_unit: bool = False  # the first layer's, per unit instead of per map
    hidden_units: tuple = ()  # dense hidden layers, which the paper removes
    generator_activation: str = "relu"
    discriminator_slope: float = 0.2  # of the leaky rectifier; 0 for a plain one

    def __post_init__(self):
        if not self.filters or self.sizes()[-2] == (1, 1):
            raise ValueError(
                "filters must hold at least one number, and one for each halving of image_shape, "
                f"got {self.filters} for {self.image_shape}"
            )

    def sizes(self):
        """(height, width) of each resolution from the image's own down: 28, 14, 7, 4."""
        sizes = [tuple(self.image_shape[:2])]
        for _ in self.filters:
            height, width = sizes[-1]
            sizes.append((-(-height // 2), -(-width // 2)))
        return sizes

    @classmethod
    def paper(cls):
        """64×64 color: 1024-512-256-128 maps, 5×5 kernels, norm per unit after the dense layer."""
        return cls(
            image_shape=(64, 64, 3),
            latent_dim=100,
            filters=(1024, 512, 256, 128),
            kernel_size=5,
            bias_at_the_ends=False,
            norm_per_unit=True,
        )

    @classmethod
    def pytorch(cls):
        """The widely used variant: half the maps, 4×4 kernels."""
        return cls(
            image_shape=(64, 64, 3),
            latent_dim=100,
            filters=(512, 256, 128, 64),
            bias_at_the_ends=False,
        )


def _initial():
    return keras.initializers.RandomNormal(stddev=0.02)


def _norm(config, hidden):
    # the batch's own statistics in training; their moving averages when sampling
    return BatchNorm(momentum=0.9)(hidden) if config.batch_norm else hidden


def build_generator(config):
    """Return the model latents (B, latent_dim) → images (B, H, W, C) in (−1, 1).

    A dense layer makes the first small maps, which each transposed convolution doubles.
    """
    sizes = config.sizes()[::-1]  # from the smallest up
    start = (*sizes[0], config.filters[0])
    latents = keras.Input((config.latent_dim,), name="latent")
    hidden = latents
    for units in config.hidden_units:
        hidden = layers.Dense(units, use_bias=not config.batch_norm)(hidden)
        hidden = layers.Activation(config.generator_activation)(_norm(config, hidden))
    hidden = layers.Dense(
        math.prod(start),
        use_bias=not config.batch_norm,
        kernel_initializer=_initial(),
    )(hidden)
    if config.norm_per_unit:
        hidden = layers.Reshape(start)(_norm(config, hidden))
    else:
        hidden = _norm(config, layers.Reshape(start)(hidden))
    hidden = layers.Activation(config.generator_activation)(hidden)
    for filters, size in zip(config.filters[1:], sizes[1:-1], strict=True):
        hidden = _up(config, filters, size, use_bias=not config.batch_norm)(hidden)
        hidden = layers.Activation(config.generator_activation)(_norm(config, hidden))
    channels = config.image_shape[-1]
    hidden = _up(config, channels, sizes[-1], use_bias=config.bias_at_the_ends)(hidden)
    if config.norm_at_the_ends:
        hidden = _norm(config, hidden)
    images = layers.Activation("tanh", dtype="float32")(hidden)  # also under mixed precision
    return keras.Model(latents, images, name="generator")


@keras.saving.register_keras_serializable("ganvae_lessons")
class Conv2DTranspose(layers.Conv2DTranspose):
    """Keras's layer with any `output_padding`, which its copies keep.

    Keras's own forgets it in copies up to 3.13, refuses 0 in 3.10, and the stride itself in 3.15.
    """

    def __init__(self, *args, output_padding=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.output_padding = output_padding

    def get_config(self):
        return {**super().get_config(), "output_padding": self.output_padding}


def _up(config, filters, size, use_bias):
    """A layer (B, h, w, c) → (B, *size, filters), where size is 2h or 2h − 1, and so for w."""
    height, width = size
    odd = (height % 2, width % 2)
    options = {"padding": "same", "use_bias": use_bias, "kernel_initializer": _initial()}
    if config.learned_resampling:
        # 7 and 8 both become 4 by a stride of 2; the padding says which of the two to return to
        padding = None if odd == (0, 0) else tuple(2 - o - config.kernel_size % 2 for o in odd)
        return Conv2DTranspose(
            filters, config.kernel_size, strides=2, output_padding=padding, **options
        )
    return keras.Sequential(
        [
            layers.UpSampling2D(),
            layers.Cropping2D(((0, odd[0]), (0, odd[1]))),
            layers.Conv2D(filters, config.kernel_size, **options),
        ]
    )


def build_features(config):
    """Return the discriminator without its last layer: images (B, H, W, C) → features (B, dims)."""
    images = keras.Input(config.image_shape, name="image")
    hidden = _norm(config, images) if config.norm_at_the_ends else images
    for place, filters in enumerate(reversed(config.filters)):
        normed = config.batch_norm and (place > 0 or config.norm_at_the_ends)
        hidden = _down(config, filters, use_bias=config.bias_at_the_ends and not normed)(hidden)
        if normed:
            hidden = _norm(config, hidden)
        hidden = layers.LeakyReLU(negative_slope=config.discriminator_slope)(hidden)
    hidden = layers.Flatten()(hidden)
    for units in config.hidden_units:
        hidden = _norm(config, layers.Dense(units, use_bias=not config.batch_norm)(hidden))
        hidden = layers.LeakyReLU(negative_slope=config.discriminator_slope)(hidden)
    return keras.Model(images, hidden, name="features")


def build_discriminator(config):
    """Return the model images (B, H, W, C) → logits (B, 1)."""
    images = keras.Input(config.image_shape, name="image")
    features = build_features(config)(images)
    last = layers.Dense(
        1, use_bias=config.bias_at_the_ends, kernel_initializer=_initial(), dtype="float32"
    )
    return keras.Model(images, last(features), name="discriminator")


def _down(config, filters, use_bias):
    """A layer (B, h, w, c) → (B, ⌈h/2⌉, ⌈w/2⌉, filters)."""
    options = {"padding": "same", "use_bias": use_bias, "kernel_initializer": _initial()}
    if config.learned_resampling:
        return layers.Conv2D(filters, config.kernel_size, strides=2, **options)
    return keras.Sequential(
        [layers.Conv2D(filters, config.kernel_size, **options), layers.MaxPooling2D(padding="same")]
    )
