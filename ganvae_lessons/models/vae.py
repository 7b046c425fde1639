"""Variational autoencoders, dense and convolutional, with the importance-weighted bound.

Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (arXiv 1312.6114), whose
MNIST network is `Config.paper()`; Burda, Grosse and Salakhutdinov, ICLR 2016 (1509.00519)
for the bound; Kingma et al., NIPS 2016 (1606.04934) for free bits. The convolutional
default differs: strided 4×4 convolutions, one dense layer, SiLU.
"""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from ganvae_lessons import losses
from ganvae_lessons.data import check_images
from ganvae_lessons.training import ObjectiveModel

__all__ = ["VAE", "Config", "build_decoder", "build_encoder", "build_vae"]


@dataclass(frozen=True)
class Config:
    """Sizes of both networks. `kind` is "conv" or "dense", `likelihood` "bernoulli" or "gaussian".

    `filters` holds one number of maps for each halving of the image; the dense network has none.
    """

    image_shape: tuple = (28, 28, 1)
    latent_dim: int = 20
    kind: str = "conv"
    filters: tuple = (32, 64)
    units: tuple = (256,)
    activation: str = "silu"
    likelihood: str = "bernoulli"

    def __post_init__(self):
        for name, known in (
            ("kind", ("conv", "dense")),
            ("likelihood", ("bernoulli", "gaussian")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        shrink = 2 ** len(self.filters)
        if self.kind == "conv" and any(side % shrink for side in self.image_shape[:2]):
            raise ValueError(
                f"image_shape must be divisible by {shrink}, once by 2 for each of the filters "
                f"{self.filters}, got {self.image_shape}; pad the images"
            )

    @classmethod
    def paper(cls):
        """1312.6114, section 5, on MNIST: one hidden layer of 500 tanh units on either side."""
        return cls(kind="dense", units=(500,), activation="tanh")

    @property
    def smallest(self):
        """(height, width, maps) where the convolutions end."""
        shrink = 2 ** len(self.filters)
        return (self.image_shape[0] // shrink, self.image_shape[1] // shrink, self.filters[-1])


def build_encoder(config):
    """Return the model images (B, H, W, C) in [−1, 1] → [mean, log_var], each (B, latent_dim)."""
    images = keras.Input(config.image_shape, name="image")
    hidden = images
    if config.kind == "conv":
        for maps in config.filters:
            hidden = layers.Conv2D(
                maps, 4, strides=2, padding="same", activation=config.activation
            )(hidden)
    hidden = layers.Flatten()(hidden)
    for units in config.units:
        hidden = layers.Dense(units, activation=config.activation)(hidden)
    mean = layers.Dense(config.latent_dim, name="mean")(hidden)
    log_var = layers.Dense(config.latent_dim, name="log_var")(hidden)
    return keras.Model(images, [mean, log_var], name="encoder")


def build_decoder(config):
    """Return the model latents (B, latent_dim) → (B, H, W, C).

    What comes out are Bernoulli logits, or the mean of a Gaussian in [−1, 1].
    """
    latents = keras.Input((config.latent_dim,), name="latent")
    hidden = latents
    for units in reversed(config.units):
        hidden = layers.Dense(units, activation=config.activation)(hidden)
    channels = config.image_shape[-1]
    last = "tanh" if config.likelihood == "gaussian" else None
    if config.kind == "dense":
        hidden = layers.Dense(math.prod(config.image_shape), activation=last)(hidden)
        return keras.Model(latents, layers.Reshape(config.image_shape)(hidden), name="decoder")
    hidden = layers.Dense(math.prod(config.smallest), activation=config.activation)(hidden)
    hidden = layers.Reshape(config.smallest)(hidden)
    for maps in reversed(config.filters[:-1]):
        hidden = layers.Conv2DTranspose(
            maps, 4, strides=2, padding="same", activation=config.activation
        )(hidden)
    images = layers.Conv2DTranspose(channels, 4, strides=2, padding="same", activation=last)(hidden)
    return keras.Model(latents, images, name="decoder")


class VAE(ObjectiveModel):
    """An encoder q(z|x) and a decoder p(x|z), trained together to raise the ELBO.

    The loss is −(log-likelihood − β·KL), in nats for each image, *summed* over pixels and
    latent dimensions. β climbs from 0 to `beta` over the first `warm_up` steps. With
    `free_bits` = f, each latent dimension's KL, averaged over the batch, costs at least f
    nats, so nothing is gained by pressing it below. Reported: "loss", and the terms of the
    ELBO itself, whatever β is: "elbo", "log_likelihood", "kl".

    "bernoulli" scores (x + 1)/2 in [0, 1] against logits; "gaussian" scores x in [−1, 1]
    with one variance for all pixels, which is learned (Rybkin et al., 2006.13202).
    """

    def __init__(
        self,
        encoder,
        decoder,
        *,
        likelihood="bernoulli",
        beta=1.0,
        warm_up=0,
        free_bits=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.latent_dim = decoder.input_shape[-1]
        self.likelihood, self.beta = likelihood, beta
        self.warm_up, self.free_bits = warm_up, free_bits
        if likelihood == "gaussian":
            self.pixel_log_var = self.add_weight(
                shape=(), initializer=keras.initializers.Constant(-2.0), name="pixel_log_var"
            )
        self.built = True  # both networks are

    def call(self, images, training=False):
        """Return what the decoder makes of the encoder's mean: logits or means (B, H, W, C)."""
        return self.decoder(self.encoder(images, training=training)[0], training=training)

    def log_likelihood(self, images, latents):
        """log p(x|z) of each image under the latent of the same row: (B,), nats."""
        output = self.decoder(latents)
        if self.likelihood == "gaussian":
            return losses.gaussian_log_likelihood(images, output, self.pixel_log_var)
        return losses.bernoulli_log_likelihood((images + 1) / 2, output)

    def draw(self, mean, log_var):
        """z = μ + σ·ε, the reparameterized sample of q(z|x)."""
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(log_var / 2) * noise

    def objective(self, batch, training):
        mean, log_var = self.encoder(batch, training=training)
        log_likelihood = ops.mean(self.log_likelihood(batch, self.draw(mean, log_var)))
        kl = ops.mean(losses.gaussian_kl(mean, log_var))
        beta = self.beta
        if self.warm_up:
            beta = beta * ops.minimum(1.0, ops.cast(self.step, "float32") / self.warm_up)
        price = kl
        if self.free_bits:
            # each dimension's KL averaged over the batch: gaussian_kl of (B, k, 1) is (B, k)
            by_dimension = ops.mean(losses.gaussian_kl(mean[..., None], log_var[..., None]), axis=0)
            price = ops.sum(ops.maximum(by_dimension, self.free_bits))
        return {
            "loss": beta * price - log_likelihood,
            "elbo": log_likelihood - kl,
            "log_likelihood": log_likelihood,
            "kl": kl,
        }

    def encode(self, images):
        """Return (mean, log_var) of q(z|x) as NumPy arrays (N, latent_dim)."""
        return self.encoder.predict(check_images(images), batch_size=250, verbose=0)

    def decode(self, latents):
        """Return the mean images (N, H, W, C) in [−1, 1] for latents (N, latent_dim)."""
        output = self.decoder.predict(np.asarray(latents, "float32"), batch_size=250, verbose=0)
        return np.tanh(output / 2) if self.likelihood == "bernoulli" else output  # 2·sigmoid − 1

    def sample(self, count, *, seed=0):
        """Return the mean images of `count` draws from the prior, (count, H, W, C) in [−1, 1]."""
        return self.decode(keras.random.normal((count, self.latent_dim), seed=seed))

    def importance_weighted_bound(self, images, samples, *, seed=0, batch_size=100):
        """Return L_K = log (1/K) Σ p(x, z_k)/q(z_k|x) of each image, K = `samples`: (N,), nats.

        One draw of the bound of Burda et al., equation 8; for K = 1 an ELBO estimate. Its
        expectation rises with K to log p(x).
        """
        import tensorflow as tf

        if samples < 1:
            raise ValueError(f"samples must be >= 1, got {samples}")
        images = check_images(images)
        seeds = keras.random.SeedGenerator(seed)

        @tf.function
        def log_weight(batch, mean, log_var):
            noise = keras.random.normal(ops.shape(mean), seed=seeds)
            latents = mean + ops.exp(log_var / 2) * noise
            # log p(z) − log q(z|x): the two Gaussians' constants cancel
            ratio = 0.5 * ops.sum(noise**2 + log_var - latents**2, axis=-1)
            return self.log_likelihood(batch, latents) + ratio

        bounds = []
        for start in range(0, len(images), batch_size):
            batch = ops.convert_to_tensor(images[start : start + batch_size])
            mean, log_var = self.encoder(batch)
            weights = [log_weight(batch, mean, log_var) for _ in range(samples)]
            bounds.append(ops.logsumexp(ops.stack(weights), axis=0) - math.log(samples))
        return np.concatenate([ops.convert_to_numpy(bound) for bound in bounds])


def build_vae(config, **kwargs):
    """Return an untrained `VAE` of `config`; `kwargs` (beta, warm_up, free_bits, seed) go to it."""
    return VAE(build_encoder(config), build_decoder(config), likelihood=config.likelihood, **kwargs)
