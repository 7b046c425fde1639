"""Progressive GAN: both networks grow, from 4×4 to the full resolution, while they train.

Karras, Aila, Laine and Lehtinen, ICLR 2018 (arXiv 1710.10196). `Config.paper()` is their
1024×1024 network; the defaults are its shape with far fewer maps, for 32×32. Each trick of the
paper is a field that can be switched off. One difference: a grown network keeps its half-size
path at weight 0 after the fade, where the authors drop it; its function is the same.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from ganvae_lessons.data import check_images
from ganvae_lessons.layers import (
    EqualizedConv2D,
    EqualizedDense,
    FadeIn,
    MinibatchStddev,
    PixelNorm,
)
from ganvae_lessons.training import AdversarialModel

__all__ = [
    "Config",
    "Phase",
    "ProgressiveGAN",
    "build_discriminator",
    "build_generator",
    "cross_fade",
    "inherit",
    "multiply_adds",
    "schedule",
    "shrink",
]


@dataclass(frozen=True)
class Config:
    """Sizes of both networks, and the paper's tricks as switches.

    A resolution s has min(2·fmap_base/s, fmap_max) feature maps.
    """

    resolution: int = 32  # 4, 8, 16, …
    channels: int = 1
    latent_dim: int = 64
    fmap_base: int = 256
    fmap_max: int = 16
    equalized: bool = True  # weights N(0, 1), scaled when they are used
    pixel_norm: bool = True  # in the generator, of the latents too
    stddev_group: int = 4  # images of a group; 0: no minibatch standard deviation

    def __post_init__(self):
        size = self.resolution
        if size < 4 or size & (size - 1):
            raise ValueError(f"resolution must be a power of two from 4 on, got {size}")
        if self.maps(size) < 1:
            raise ValueError(
                f"fmap_base must leave a map at {size}×{size}, got {self.fmap_base}; "
                f"give at least {size // 2}"
            )

    @classmethod
    def paper(cls):
        """1024×1024 color: 512 maps up to 32×32, then 256, 128, 64, 32 and 16."""
        return cls(1024, 3, latent_dim=512, fmap_base=8192, fmap_max=512, stddev_group=16)

    def maps(self, resolution):
        """Feature maps at that resolution: by default 16, as the paper has 512 up to 32×32."""
        return min(2 * self.fmap_base // resolution, self.fmap_max)

    def resolutions(self):
        """4, 8, 16, … up to the resolution itself."""
        return [2**power for power in range(2, self.resolution.bit_length())]


def build_generator(config, fading=False):
    """Return the model latents (B, latent_dim) → images (B, H, W, C), unbounded: no tanh.

    With `fading`, its layer "fade" blends in the enlarged image that is made a resolution below.
    """
    _check_fading(config, fading)
    latents = keras.Input((config.latent_dim,), name="latent")
    hidden = PixelNorm(name="norm_latent")(latents) if config.pixel_norm else latents
    first = EqualizedDense(
        (4, 4, config.maps(4)),
        gain=math.sqrt(2) / 4,
        equalized=config.equalized,
        name="dense_4x4",
    )
    hidden = _activate(config, first(hidden))
    hidden = _activate(config, _conv(config, 4, "conv_4x4")(hidden))
    for size in config.resolutions()[1:]:
        older = hidden  # (B, size/2, size/2, …)
        hidden = layers.UpSampling2D()(hidden)  # (B, size, size, …), by repeating pixels
        for place in (1, 2):
            hidden = _activate(config, _conv(config, size, f"conv{place}_{size}x{size}")(hidden))
    images = _to_rgb(config, config.resolution)(hidden)
    if fading:
        small = _to_rgb(config, config.resolution // 2)(older)
        images = FadeIn(name="fade")([layers.UpSampling2D()(small), images])
    return keras.Model(latents, images, name="generator")


def build_discriminator(config, fading=False):
    """Return the model images (B, H, W, C) → logits (B, 1), the generator's mirror image.

    With `fading`, its layer "fade" blends in the maps of the image at half its size.
    """
    _check_fading(config, fading)
    images = keras.Input((config.resolution, config.resolution, config.channels), name="image")
    hidden = _from_rgb(config, config.resolution, images)
    for size in config.resolutions()[:0:-1]:
        for place, maps_of in ((1, size), (2, size // 2)):
            conv = _conv(config, maps_of, f"conv{place}_{size}x{size}")
            hidden = layers.LeakyReLU(negative_slope=0.2)(conv(hidden))
        hidden = layers.AveragePooling2D(2)(hidden)  # (B, size/2, size/2, …)
        if fading and size == config.resolution:
            small = layers.AveragePooling2D(2)(images)
            hidden = FadeIn(name="fade")([_from_rgb(config, size // 2, small), hidden])
    if config.stddev_group:
        hidden = MinibatchStddev(config.stddev_group)(hidden)  # (B, 4, 4, maps + 1)
    hidden = layers.LeakyReLU(negative_slope=0.2)(_conv(config, 4, "conv_4x4")(hidden))
    first, last = (
        EqualizedDense(units, gain=gain, equalized=config.equalized, name=name)
        for units, gain, name in (
            (config.maps(2), math.sqrt(2), "dense_4x4"),
            (1, 1.0, "logits"),
        )
    )
    hidden = layers.LeakyReLU(negative_slope=0.2)(first(layers.Flatten()(hidden)))
    return keras.Model(images, last(hidden), name="discriminator")


def _check_fading(config, fading):
    if fading and config.resolution == 4:
        raise ValueError("fading must be False at 4×4, got True: there is nothing below to fade")


def _conv(config, resolution, name):
    """A 3×3 convolution to that resolution's number of maps."""
    return EqualizedConv2D(config.maps(resolution), 3, equalized=config.equalized, name=name)


def _activate(config, hidden):
    hidden = layers.LeakyReLU(negative_slope=0.2)(hidden)
    return PixelNorm()(hidden) if config.pixel_norm else hidden


def _to_rgb(config, size):
    name = f"to_rgb_{size}x{size}"
    return EqualizedConv2D(config.channels, 1, gain=1.0, equalized=config.equalized, name=name)


def _from_rgb(config, size, images):
    name = f"from_rgb_{size}x{size}"
    conv = EqualizedConv2D(config.maps(size), 1, equalized=config.equalized, name=name)
    return layers.LeakyReLU(negative_slope=0.2)(conv(images))


def inherit(network, older):
    """Copy into `network` the weights of every layer that `older` has by the same name.

    This is how a network grows: layers are named after their resolution, so
    `inherit(build_generator(config, fading=True), older)` has all that a generator of half
    that resolution has learned, and new layers besides. The fade's α is not copied: it starts
    at 0, where the grown generator enlarges the old image and the grown discriminator judges
    the image at half its size as the old one did. Returns `network`; ValueError where the two
    have no layer in common, or layers of other shapes.
    """
    trained = {layer.name: layer for layer in older.layers if layer.weights}
    shared = [layer for layer in network.layers if layer.weights and layer.name in trained]
    shared = [layer for layer in shared if not isinstance(layer, FadeIn)]
    if not shared:
        raise ValueError(
            f"older must share layers with network, got {sorted(trained)}; "
            "give a generator for a generator, a discriminator for a discriminator"
        )
    for layer in shared:
        source = trained[layer.name]
        if source.kernel.shape != layer.kernel.shape:
            raise ValueError(
                f"both networks must have the same maps, got {tuple(source.kernel.shape)} and "
                f"{tuple(layer.kernel.shape)} in {layer.name}; change only the resolution"
            )
        layer.set_weights(source.get_weights())
    return network


def cross_fade(images, alpha):
    """(1 − α)·coarse + α·images: the real images (B, H, W, C) that a fading discriminator sees.

    The coarse image has lost what half its size cannot show, as a young generator's has.
    """
    coarse = ops.repeat(ops.repeat(ops.average_pool(images, 2), 2, axis=1), 2, axis=2)
    return (1 - alpha) * coarse + alpha * images


def shrink(images, resolution):
    """Average images (N, S, S, C) down to (N, resolution, resolution, C), block by block."""
    images = check_images(images, "images")
    count, height, width, channels = images.shape
    if height != width or height % resolution:
        raise ValueError(
            f"images must be square, their size a multiple of {resolution}, "
            f"got {height}×{width}; pad or crop them"
        )
    block = height // resolution
    return images.reshape(count, resolution, block, resolution, block, channels).mean((2, 4))


class Phase(NamedTuple):
    """One resolution's training: the first `fade_steps` of its `steps` fade it in."""

    resolution: int
    batch_size: int
    fade_steps: int
    steps: int


def schedule(config, *, images=800_000, fade=800_000, batch_sizes=None):
    """Return the list of phases from 4×4 up to `config.resolution`.

    Each shows `fade` images while its resolution fades in (4×4 has nothing to fade in, and
    `fade=0` grows at once) and then `images` more. `batch_sizes` {resolution: size} holds from
    that resolution on; the paper's are 16, then 14 at 256×256, 6 at 512×512, 3 at 1024×1024.
    """
    batch_sizes = batch_sizes or {4: 16, 256: 14, 512: 6, 1024: 3}
    phases = []
    for resolution in config.resolutions():
        batch = batch_sizes[max(start for start in batch_sizes if start <= resolution)]
        fade_steps = 0 if resolution == 4 else -(-fade // batch)
        phases.append(Phase(resolution, batch, fade_steps, fade_steps + -(-images // batch)))
    return phases


class ProgressiveGAN(AdversarialModel):
    """The game at one resolution; `grow` returns the game at the next.

    With `fade_steps`, α rises from 0 to 1 in that many steps, in both networks, in the averaged
    generator and in the real images. `fit` takes images (B, S, S, C) of its own resolution.
    """

    def __init__(self, config, *, fade_steps=0, seed=0, **kwargs):
        fading = fade_steps > 0
        networks = build_generator(config, fading), build_discriminator(config, fading)
        super().__init__(*networks, seed=seed, **kwargs)
        self.config, self.fade_steps = config, fade_steps
        self.grown_at = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="grown_at"
        )
        # a function: as an attribute, the old network's weights would count among this model's
        self._older_average = lambda: None

    def compile(
        self,
        g_optimizer=None,
        d_optimizer=None,
        loss="wasserstein",
        *,
        penalty="gradient_penalty",
        drift=1e-3,
        ema_decay=0.999,
        **kwargs,
    ):
        """Choose the rules, by default the paper's: WGAN-GP, and Adam at 1e-3 with β 0 and 0.99.

        New optimizers begin without momenta. The averaged generator goes on from what it was
        before the model grew.
        """
        new = lambda: keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99, epsilon=1e-8)  # noqa: E731
        super().compile(
            g_optimizer or new(),
            d_optimizer or new(),
            loss,
            penalty=penalty,
            drift=drift,
            ema_decay=ema_decay,
            **kwargs,
        )
        if self.ema_generator is not None and self._older_average() is not None:
            inherit(self.ema_generator, self._older_average())

    def grow(self, fade_steps=0):
        """Return a model of twice the resolution that has all this one's weights: compile it.

        Its steps and its noise continue this model's. Without `fade_steps` the new layers are
        there at once.
        """
        config = replace(self.config, resolution=2 * self.config.resolution)
        grown = ProgressiveGAN(config, fade_steps=fade_steps)
        inherit(grown.generator, self.generator)
        inherit(grown.discriminator, self.discriminator)
        grown.seed_generator.state.assign(self.seed_generator.state)
        grown.step.assign(self.step)
        grown.grown_at.assign(self.step)
        average = self.ema_generator
        grown._older_average = lambda: average
        return grown

    def set_fade(self, alpha):
        """Set α, from 0 (the old resolution) to 1 (the new one), wherever the model fades."""
        for network in (self.generator, self.discriminator, self.ema_generator):
            if network is not None:
                network.get_layer("fade").alpha.assign(alpha)

    def train_step(self, real):
        if self.fade_steps:
            steps = ops.cast(self.step + 1 - self.grown_at, "float32")  # this one counts
            alpha = ops.minimum(steps / self.fade_steps, 1.0)
            self.set_fade(alpha)
            real = cross_fade(real, alpha)
        return super().train_step(real)

    def sample(self, count, *, seed=0):
        """Return `count` images (count, S, S, C), clipped to [−1, 1]; see `AdversarialModel`."""
        return np.clip(super().sample(count, seed=seed), -1, 1)


def multiply_adds(network):
    """Return how many multiply-adds one image costs on one pass through `network`.

    A convolution has one for each weight of its kernel and each pixel, a dense layer one for
    each weight. A multiply-add is two floating-point operations.
    """
    total = 0
    for layer in network.layers:
        if isinstance(layer, EqualizedConv2D | EqualizedDense):
            pixels = layer.output.shape[1:3] if isinstance(layer, EqualizedConv2D) else ()
            total += math.prod(layer.kernel.shape) * math.prod(pixels)
    return total
