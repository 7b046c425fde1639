"""The classic recipes, written anew from their descriptions, to be timed beside ours.

The DCGAN of TensorFlow's tutorial (tensorflow.org/tutorials/generative/dcgan), the loops of
Keras's examples for GANs and VAEs (keras.io/examples/generative/dcgan_overriding_train_step and
/vae), the sampler of its PixelCNN example (/pixelcnn), and the eager step of PyTorch's DCGAN
tutorial. Sizes and rates are theirs; a network may be ours, so that both do the same arithmetic.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganvae_lessons import losses

_entropy = keras.losses.BinaryCrossentropy(from_logits=True)


# --- the DCGAN of TensorFlow's tutorial --------------------------------------------------------


def tutorial_networks():
    """28×28 gray: 256-128-64 maps, 5×5 kernels, dropout in the discriminator; latents of 100."""
    generator = keras.Sequential(
        [
            keras.Input((100,)),
            layers.Dense(7 * 7 * 256, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Reshape((7, 7, 256)),
            layers.Conv2DTranspose(128, 5, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(64, 5, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(
                1, 5, strides=2, padding="same", use_bias=False, activation="tanh"
            ),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(64, 5, strides=2, padding="same"),
            layers.LeakyReLU(),
            layers.Dropout(0.3),
            layers.Conv2D(128, 5, strides=2, padding="same"),
            layers.LeakyReLU(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    return generator, discriminator


class TutorialLoop:
    """Two tapes over one shared pass, a `tf.function` for a step, a Python loop over a dataset."""

    def __init__(self, generator, discriminator, images, batch_size=256, rate=1e-4):
        self.generator, self.discriminator = generator, discriminator
        self.latent_dim = generator.input_shape[-1]
        self.batch_size = batch_size
        self.g_optimizer, self.d_optimizer = (keras.optimizers.Adam(rate) for _ in range(2))
        data = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images))
        self.batches = iter(data.batch(batch_size, drop_remainder=True).repeat())
        self.step = tf.function(self._step)

    def _step(self, real):
        latents = tf.random.normal((self.batch_size, self.latent_dim))
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake = self.generator(latents, training=True)
            real_logits = self.discriminator(real, training=True)
            fake_logits = self.discriminator(fake, training=True)
            g_loss = _entropy(tf.ones_like(fake_logits), fake_logits)
            d_loss = _entropy(tf.ones_like(real_logits), real_logits)
            d_loss += _entropy(tf.zeros_like(fake_logits), fake_logits)
        for tape, loss, network, optimizer in (
            (g_tape, g_loss, self.generator, self.g_optimizer),
            (d_tape, d_loss, self.discriminator, self.d_optimizer),
        ):
            weights = network.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    def train(self, steps):
        for _ in range(steps):
            self.step(next(self.batches))
        self.discriminator.trainable_variables[-1].numpy()  # waits for a GPU, which works behind

    def sample(self, count):
        latents = np.random.default_rng(1).normal(size=(count, self.latent_dim))
        return self.generator.predict(latents.astype("float32"), batch_size=250, verbose=0)


# --- the loops of Keras's examples -------------------------------------------------------------


class KerasGAN(keras.Model):
    """`train_step` of Keras's DCGAN example: new fakes, and a second pass, for each player."""

    def __init__(self, generator, discriminator, **kwargs):
        super().__init__(**kwargs)
        self.generator, self.discriminator = generator, discriminator
        self.latent_dim = generator.input_shape[-1]
        self.seed_generator = keras.random.SeedGenerator(0)
        self.built = True

    def compile(self, g_optimizer, d_optimizer, **kwargs):
        super().compile(**kwargs)
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer

    def _latents(self, count):
        return keras.random.normal((count, self.latent_dim), seed=self.seed_generator)

    def train_step(self, real):
        count = tf.shape(real)[0]
        fake = self.generator(self._latents(count), training=True)
        both = tf.concat([fake, real], axis=0)
        wanted = tf.concat([tf.zeros((count, 1)), tf.ones((count, 1))], axis=0)
        with tf.GradientTape() as tape:
            d_loss = _entropy(wanted, self.discriminator(both, training=True))
        weights = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(d_loss, weights), weights)
        with tf.GradientTape() as tape:
            made = self.generator(self._latents(count), training=True)
            logits = self.discriminator(made, training=True)
            g_loss = _entropy(tf.ones_like(logits), logits)
        weights = self.generator.trainable_variables
        self.g_optimizer.apply(tape.gradient(g_loss, weights), weights)
        return {"d_loss": d_loss, "g_loss": g_loss}


class KerasVAE(keras.Model):
    """`train_step` of Keras's VAE example, with the sums over pixels and the KL that it has."""

    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.seed_generator = keras.random.SeedGenerator(0)
        self.tracker = keras.metrics.Mean(name="loss")
        self.built = True

    def train_step(self, images):
        with tf.GradientTape() as tape:
            mean, log_var = self.encoder(images, training=True)
            noise = keras.random.normal(tf.shape(mean), seed=self.seed_generator)
            logits = self.decoder(mean + tf.exp(0.5 * log_var) * noise, training=True)
            surprise = -losses.bernoulli_log_likelihood((images + 1) / 2, logits)
            kl = -0.5 * tf.reduce_sum(1 + log_var - mean**2 - tf.exp(log_var), axis=1)
            loss = tf.reduce_mean(surprise + kl)
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}


class PixelByPixel:
    """Draw from a network → logits of two levels by computing the whole image for each pixel."""

    def __init__(self, network):
        self.shape = network.input_shape[1:]
        self.run = tf.function(network)

    def sample(self, count, seed=0):
        uniforms = np.array(keras.random.uniform((count, *self.shape), seed=seed))
        images = np.full(uniforms.shape, -1.0, "float32")
        for row in range(self.shape[0]):
            for column in range(self.shape[1]):
                logits = self.run(tf.constant(images)).numpy()[:, row, column]
                upper = uniforms[:, row, column] >= 1 / (1 + np.exp(logits))
                images[:, row, column] = np.where(upper, 1.0, -1.0)
        return images


# --- PyTorch -----------------------------------------------------------------------------------


class TorchDCGAN:
    """Our default DCGAN's layers in PyTorch, with the eager step of its tutorial: D, then G.

    The convolutions from 7×7 to 4×4 and back pad as TensorFlow does ("same").
    """

    def __init__(self, images, config, batch_size, threads):
        import torch
        from torch import nn

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.torch, self.batch_size, self.latent_dim = torch, batch_size, config.latent_dim
        deep, middle, shallow = config.filters
        norm = lambda maps: [nn.BatchNorm2d(maps), nn.ReLU()]  # noqa: E731
        down = lambda a, b, **k: nn.Conv2d(a, b, 4, stride=2, **k)  # noqa: E731
        self.generator = nn.Sequential(
            nn.Linear(config.latent_dim, deep * 16, bias=False),
            nn.Unflatten(1, (deep, 4, 4)),
            *norm(deep),
            nn.ConvTranspose2d(deep, middle, 4, stride=2, padding=1, bias=False),
            nn.ZeroPad2d((0, -1, 0, -1)),  # 8 → 7
            *norm(middle),
            nn.ConvTranspose2d(middle, shallow, 4, stride=2, padding=1, bias=False),
            *norm(shallow),
            nn.ConvTranspose2d(shallow, 1, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        self.discriminator = nn.Sequential(
            down(1, shallow, padding=1),
            nn.LeakyReLU(0.2),
            down(shallow, middle, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.LeakyReLU(0.2),
            nn.ZeroPad2d((1, 2, 1, 2)),  # 7 → 4
            down(middle, deep, bias=False),
            nn.BatchNorm2d(deep),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(deep * 16, 1),
        )
        self.entropy = nn.BCEWithLogitsLoss()
        self.g_optimizer, self.d_optimizer = (
            torch.optim.Adam(network.parameters(), 1e-3, betas=(0.0, 0.99))
            for network in (self.generator, self.discriminator)
        )
        data = torch.utils.data.TensorDataset(torch.tensor(images.transpose(0, 3, 1, 2)))
        self.loader = torch.utils.data.DataLoader(data, batch_size, shuffle=True, drop_last=True)
        self.batches = iter(())

    def train(self, steps):
        torch = self.torch
        ones, zeros = torch.ones(self.batch_size, 1), torch.zeros(self.batch_size, 1)
        for _ in range(steps):
            real = next(self.batches, None)
            if real is None:
                self.batches = iter(self.loader)
                real = next(self.batches)
            fake = self.generator(torch.randn(self.batch_size, self.latent_dim))
            self.discriminator.zero_grad()
            loss = self.entropy(self.discriminator(real[0]), ones)
            loss = loss + self.entropy(self.discriminator(fake.detach()), zeros)
            loss.backward()
            self.d_optimizer.step()
            self.generator.zero_grad()
            self.entropy(self.discriminator(fake), ones).backward()
            self.g_optimizer.step()
