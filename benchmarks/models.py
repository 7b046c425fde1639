"""Every architecture of the course at its default `Config`, compiled and with a stream of batches.

The default is what two cores train in a lesson. Each entry builds a `Subject`: what `fit` needs,
and the shape of a batch, so that its step can be both timed and counted.
"""

import math
from dataclasses import dataclass

import keras
import numpy as np

from ganvae_lessons import data, training
from ganvae_lessons.models import (
    cgan,
    convlstm,
    dcgan,
    gan,
    progressive,
    rnn,
    stackgan,
    vae,
    vaegan,
)


@dataclass
class Subject:
    """A compiled model and what it is trained on."""

    model: keras.Model
    batches: object  # an endless tf.data.Dataset
    batch: int

    def shapes(self):
        """The shapes and dtypes of a batch's parts, as `cost.of_step` takes them."""
        spec = self.batches.element_spec
        parts = spec if isinstance(spec, tuple) else (spec,)
        return [tuple(part.shape) for part in parts], [part.dtype.name for part in parts]

    def runner(self):
        """A contestant for `clock.take_turns`, whose unit is a step."""
        run = lambda steps: self.model.fit(self.batches, steps_per_epoch=steps, verbose=0)  # noqa: E731
        run.at_once = AT_ONCE
        return run

    def weights(self):
        """How many trainable weights move."""
        return sum(math.prod(weight.shape) for weight in self.model.trainable_variables)


AT_ONCE = 5  # steps in one call of the compiled graph


def adam():
    return keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99)


def fashion(limit=None):
    """The embedded training images (N, 28, 28, 1)."""
    return data.load("fashion_mnist", limit=limit)[0]


def game(generator, discriminator, batch, images, conditions=None, model=None, **rules):
    """Return a Subject of two players; `rules` go to `compile`."""
    model = (model or training.AdversarialModel)(generator, discriminator, seed=0)
    rules.setdefault("steps_per_execution", AT_ONCE)
    model.compile(adam(), adam(), ema_decay=0.999, **rules)
    stream = training.batches(images, batch, conditions=conditions)
    return Subject(model, stream, batch)


def _noise(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def build_gan():
    config = gan.Config()
    return game(gan.build_generator(config), gan.build_discriminator(config), 64, fashion())


def build_dcgan(config=None, batch=64, images=None, **rules):
    config = config or dcgan.Config()
    images = fashion() if images is None else images
    return game(
        dcgan.build_generator(config), dcgan.build_discriminator(config), batch, images, **rules
    )


def build_cgan():
    images, labels, _ = data.load("fashion_mnist")
    config = cgan.Config()
    pair = cgan.build_generator(config), cgan.build_discriminator(config)
    return game(*pair, 64, images, labels)


def build_stage1():
    config = stackgan.Config()
    pair = stackgan.build_stage1_generator(config), stackgan.build_stage1_discriminator(config)
    images = _noise(512, *pair[0].output_shape[1:])
    return game(*pair, 64, images, _noise(512, config.text_dim), stackgan.StackGAN)


def build_stage2():
    config = stackgan.Config()
    both = stackgan.stack(
        stackgan.build_stage1_generator(config), stackgan.build_stage2_generator(config)
    )
    images = _noise(512, *both.output_shape[1:])
    judge = stackgan.build_stage2_discriminator(config)
    return game(both, judge, 64, images, _noise(512, config.text_dim), stackgan.StackGAN)


def build_progressive():
    config = progressive.Config()
    model = progressive.ProgressiveGAN(config, seed=0)
    model.compile(adam(), adam(), steps_per_execution=AT_ONCE)
    images = _noise(512, *model.generator.output_shape[1:])
    return Subject(model, training.batches(images, 16), 16)


def build_vae(images=None):
    model = vae.build_vae(vae.Config())
    model.compile(optimizer=adam(), jit_compile=False, steps_per_execution=AT_ONCE)
    return Subject(model, training.batches(fashion() if images is None else images, 100), 100)


def build_vaegan():
    model = vaegan.build_vaegan(vaegan.Config())
    players = {name: adam() for name in model.players()}
    model.compile(players, ema_decay=0.999, steps_per_execution=AT_ONCE)
    return Subject(model, training.batches(fashion(), 64), 64)


def build_pixels(kind, batch=16):
    model = rnn.build_model(rnn.Config(kind))
    model.compile(optimizer=adam(), jit_compile=False, steps_per_execution=AT_ONCE)
    return Subject(model, training.batches(fashion(1000), batch), batch)


def build_forecaster(kind):
    config = convlstm.Config(kind=kind, units=(32, 32) if kind == "convlstm" else (256, 256))
    model = convlstm.build(config)
    model.compile(optimizer=adam(), jit_compile=False, steps_per_execution=AT_ONCE)
    clips = _noise(64, config.frames_in + config.frames_out, *config.frame_shape)
    return Subject(model, training.batches(clips, 16), 16)


BUILDERS = {
    "GAN, dense": build_gan,
    "DCGAN": build_dcgan,
    "Conditional GAN": build_cgan,
    "StackGAN, Stage-I": build_stage1,
    "StackGAN, Stage-II": build_stage2,
    "Progressive GAN at 32×32": build_progressive,
    "VAE": build_vae,
    "VAE-GAN": build_vaegan,
    "Row-by-row LSTM": lambda: build_pixels("rows"),
    "Row LSTM": lambda: build_pixels("row_lstm"),
    "Diagonal BiLSTM": lambda: build_pixels("diagonal_bilstm"),
    "PixelCNN": lambda: build_pixels("pixelcnn"),
    "ConvLSTM": lambda: build_forecaster("convlstm"),
    "FC-LSTM": lambda: build_forecaster("fc_lstm"),
}
