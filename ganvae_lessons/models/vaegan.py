"""VAE-GAN: an autoencoder whose likeness of two images is measured inside a discriminator.

Larsen, Sønderby, Larochelle and Winther, ICML 2016 (arXiv 1512.09300). The VAE's decoder is the
GAN's generator, and the reconstruction's likelihood is a Gaussian around the features of a
discriminator's layer. `Config.paper()` is their CelebA network (table 1; layer and latents as in
their code). The defaults differ: 28 → 14 → 7 → 4 and back with 4×4 kernels, few maps, a leaky
discriminator, features below all its normalizations, and their variance is 0.1², where the paper
has 1: ours are smaller. With either, real and generated images are normalized apart (in their code
together), the two kinds of generated ones count as much as the real ones, together, and the
decoder's adversarial loss is by default the non-saturating one. `Config.paper()` sets sizes alone:
their code's γ on CelebA is 1e-5, and it skips a player that is too far ahead.
"""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from ganvae_lessons import losses
from ganvae_lessons.data import check_images
from ganvae_lessons.layers import BatchNorm
from ganvae_lessons.training import PlayersModel

__all__ = [
    "VAEGAN",
    "Config",
    "build_decoder",
    "build_discriminator",
    "build_encoder",
    "build_vaegan",
]


@dataclass(frozen=True)
class Config:
    """Sizes of the three networks, filters and units from each network's input on.

    Each of the `encoder_filters` and `discriminator_filters` halves the image, rounding up; there
    is one of the `decoder_filters` for each size below the image's own, the smallest first.
    """

    image_shape: tuple = (28, 28, 1)
    latent_dim: int = 20
    kernel_size: int = 4
    encoder_filters: tuple = (32, 64)
    encoder_units: tuple = (256,)
    decoder_filters: tuple = (128, 64, 32)
    discriminator_filters: tuple = (32, 64, 128)
    discriminator_units: tuple = ()
    discriminator_slope: float = 0.2  # of the leaky rectifier; 0 for a plain one
    full_size_filters: int = 0  # D's first maps and the decoder's last, at the image's size
    similarity_layer: int = 2  # which halving convolution of D makes the features, from 1 on

    def __post_init__(self):
        if not 1 <= self.similarity_layer <= len(self.discriminator_filters):
            raise ValueError(
                f"similarity_layer must be from 1 to {len(self.discriminator_filters)}, one of "
                f"the discriminator's halvings, got {self.similarity_layer}"
            )

    @classmethod
    def paper(cls):
        """CelebA at 64×64: 5×5 kernels, 128 latents, features of D's last convolution."""
        return cls(
            image_shape=(64, 64, 3),
            latent_dim=128,
            kernel_size=5,
            encoder_filters=(64, 128, 256),
            encoder_units=(2048,),
            decoder_filters=(256, 256, 128),
            discriminator_filters=(128, 256, 256),
            discriminator_units=(512,),
            discriminator_slope=0.0,
            full_size_filters=32,
            similarity_layer=3,
        )

    def decoder_sizes(self):
        """(height, width) of the decoder's maps from the smallest to the image: 4, 7, 14, 28."""
        sizes = [tuple(self.image_shape[:2])]
        for _ in self.decoder_filters:
            sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
        return sizes[::-1]


def _normed(hidden, slope=0.0):
    hidden = BatchNorm(momentum=0.9)(hidden)
    return layers.LeakyReLU(negative_slope=slope)(hidden) if slope else layers.ReLU()(hidden)


def _halve(config, filters, **options):
    return layers.Conv2D(filters, config.kernel_size, strides=2, padding="same", **options)


def _double(config, hidden, filters, size, use_bias=False):
    """(B, h, w, c) → (B, *size, filters), where size is 2h or 2h − 1, and so for w."""
    hidden = layers.Conv2DTranspose(
        filters, config.kernel_size, strides=2, padding="same", use_bias=use_bias
    )(hidden)
    odd = (size[0] % 2, size[1] % 2)
    return layers.Cropping2D(((0, odd[0]), (0, odd[1])))(hidden) if any(odd) else hidden


def build_encoder(config):
    """Return the model images (B, H, W, C) in [−1, 1] → [mean, log_var], each (B, latent_dim)."""
    images = hidden = keras.Input(config.image_shape, name="image")
    for filters in config.encoder_filters:
        hidden = _normed(_halve(config, filters, use_bias=False)(hidden))
    hidden = layers.Flatten()(hidden)
    for units in config.encoder_units:
        hidden = _normed(layers.Dense(units, use_bias=False)(hidden))
    mean = layers.Dense(config.latent_dim, name="mean")(hidden)
    log_var = layers.Dense(config.latent_dim, name="log_var")(hidden)
    return keras.Model(images, [mean, log_var], name="encoder")


def build_decoder(config):
    """Return the model latents (B, latent_dim) → images (B, H, W, C) in (−1, 1)."""
    sizes = config.decoder_sizes()
    start = (*sizes[0], config.decoder_filters[0])
    latents = keras.Input((config.latent_dim,), name="latent")
    hidden = _normed(layers.Dense(math.prod(start), use_bias=False)(latents))  # each unit apart
    hidden = layers.Reshape(start)(hidden)
    for filters, size in zip(config.decoder_filters[1:], sizes[1:-1], strict=True):
        hidden = _normed(_double(config, hidden, filters, size))
    channels = config.image_shape[-1]
    if config.full_size_filters:
        hidden = _normed(_double(config, hidden, config.full_size_filters, sizes[-1]))
        hidden = layers.Conv2D(channels, config.kernel_size, padding="same")(hidden)
    else:
        hidden = _double(config, hidden, channels, sizes[-1], use_bias=True)
    return keras.Model(latents, layers.Activation("tanh")(hidden), name="decoder")


def build_discriminator(config):
    """Return the model images (B, H, W, C) → [logits (B, 1), features (B, h, w, c)].

    The features, among which images are likened, are what the convolution `similarity_layer`
    gives, before its normalization.
    """
    slope = config.discriminator_slope
    images = hidden = keras.Input(config.image_shape, name="image")
    if config.full_size_filters:
        hidden = layers.Conv2D(config.full_size_filters, config.kernel_size, padding="same")(hidden)
        hidden = layers.LeakyReLU(negative_slope=slope)(hidden)
    for place, filters in enumerate(config.discriminator_filters, start=1):
        first = hidden is images  # no norm on what looks at the pixels, as in a DCGAN
        hidden = _halve(config, filters, use_bias=first)(hidden)
        if place == config.similarity_layer:
            features = hidden
        hidden = layers.LeakyReLU(negative_slope=slope)(hidden) if first else _normed(hidden, slope)
    hidden = layers.Flatten()(hidden)
    for units in config.discriminator_units:
        hidden = _normed(layers.Dense(units, use_bias=False)(hidden), slope)
    return keras.Model(images, [layers.Dense(1)(hidden), features], name="discriminator")


class VAEGAN(PlayersModel):
    """An encoder, a decoder and a discriminator, each with a loss of its own (algorithm 1).

    With x̃ = Dec(z), z ~ q(z|x), and x_p = Dec(z_p), z_p ~ N(0, I), and with the likelihood
    log N(Dis_l(x); Dis_l(x̃), s²·I), summed over the features of layer l, in nats, s =
    `feature_std` (1 in the paper):

    - "encoder": KL(q(z|x) ‖ N(0, I)) − likelihood;
    - "decoder": −γ·likelihood + the generator's loss on x̃ and x_p, γ = `gamma`;
    - "discriminator": its loss on x against x̃ and x_p, and nothing of the likelihood, which it
      would raise by making all features 0.

    The paper writes −L_GAN for the decoder and L_GAN for the discriminator, which minimize, with
    L_GAN = log D(x) + …; so written both would lose. Here L_GAN is the cross-entropy, −log D(x)
    − …, as is meant. `game` is a name for `losses.get`, "minimax" for the paper's −L_GAN itself.
    Also reported: "log_likelihood" and "kl".
    """

    averaged = ("encoder", "decoder")

    def __init__(
        self,
        encoder,
        decoder,
        discriminator,
        *,
        gamma=1e-3,
        feature_std=0.1,
        game="non_saturating",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder, self.decoder, self.discriminator = encoder, decoder, discriminator
        self.latent_dim = decoder.input_shape[-1]
        if not feature_std > 0:
            raise ValueError(f"feature_std must be > 0, got {feature_std}")
        self.gamma, self.feature_log_var = gamma, 2 * math.log(feature_std)
        self.game = losses.get(game)
        self.built = True  # all networks are

    def players(self):
        return {
            "encoder": self.encoder,
            "decoder": self.decoder,
            "discriminator": self.discriminator,
        }

    def call(self, images, training=False):
        """Return what the decoder makes of the encoder's mean: images (B, H, W, C)."""
        return self.decoder(self.encoder(images, training=training)[0], training=training)

    def objectives(self, batch, training):
        mean, log_var = self.encoder(batch, training=training)
        count = ops.shape(mean)[0]
        noise = keras.random.normal((2 * count, self.latent_dim), seed=self.seed_generator)
        latents = mean + ops.exp(log_var / 2) * noise[:count]
        # one pass for both, so that the decoder's moving averages are those of both
        images = self.decoder(ops.concatenate([latents, noise[count:]]), training=training)
        real_logits, features = self.discriminator(batch, training=training)
        fake_logits, fake_features = self.discriminator(images, training=training)
        likelihood = losses.gaussian_log_likelihood(
            features, fake_features[:count], self.feature_log_var
        )
        likelihood, kl = ops.mean(likelihood), ops.mean(losses.gaussian_kl(mean, log_var))
        return {
            "encoder": kl - likelihood,
            "decoder": self.game.generator(fake_logits) - self.gamma * likelihood,
            "discriminator": self.game.discriminator(real_logits, fake_logits),
            "log_likelihood": likelihood,
            "kl": kl,
        }

    def encode(self, images):
        """Return (mean, log_var) of q(z|x) as NumPy arrays (N, latent_dim)."""
        return self.best("encoder").predict(check_images(images), batch_size=250, verbose=0)

    def decode(self, latents):
        """Return the images (N, H, W, C) in (−1, 1) of latents (N, latent_dim)."""
        latents = np.asarray(latents, "float32")
        return self.best("decoder").predict(latents, batch_size=250, verbose=0)

    def sample(self, count, *, seed=0):
        """Return the images of `count` draws from the prior, (count, H, W, C) in (−1, 1)."""
        return self.decode(keras.random.normal((count, self.latent_dim), seed=seed))


def build_vaegan(config, **kwargs):
    """Return an untrained `VAEGAN` of `config`; `kwargs` (gamma, game, seed) go to it."""
    return VAEGAN(
        build_encoder(config), build_decoder(config), build_discriminator(config), **kwargs
    )
