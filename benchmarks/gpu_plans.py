"""Which trainings a lesson's gpu budget holds: how each is built, on which batches, for how long.

Every size, batch and number of steps is read from the notebooks by `lessons`.
"""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import keras
import tensorflow as tf

from benchmarks.lessons import argument, default, function, gpu_value, keys, mixed
from ganvae_lessons import training
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


@dataclass(frozen=True)
class Plan:
    """`runs` trainings of `steps` steps each. `build(config, batch)` → model, shapes of a batch."""

    lesson: str
    what: str
    build: Callable
    config: object
    batch: int
    steps: int
    runs: float = 1

    @property
    def mixed(self):
        """Whether the lesson builds it inside `with budget.mixed_precision():`."""
        return self.build in MIXED and mixed(self.lesson)


def plans():
    """Return the trainings of lessons 04 to 15, without what takes minutes: judges, readers."""
    return [
        *(_first_gan() + _dcgan_lesson() + _stability() + _evaluation() + _conditional()),
        *(_stackgan() + _progressive_lesson() + _vae_lesson() + _latent_space() + _vaegan_lesson()),
        *(_images_by_pixel() + _video()),
    ]


# --- how each kind of model is built and compiled ------------------------------------------------


@contextlib.contextmanager
def policy(name):
    """Networks built inside the `with` have this policy of Keras."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _adam():
    return keras.optimizers.Adam(1e-3)


def _game(networks, model=training.AdversarialModel, options=None, **rules):
    game = model(*networks, **(options or {}))
    game.compile(_adam(), _adam(), **{"ema_decay": 0.999} | rules)
    return game


def dense_gan(config, batch, **rules):
    networks = gan.build_generator(config), gan.build_discriminator(config)
    return _game(networks, **rules), (batch, *config.sample_shape)


def dense_gan_r1(config, batch):
    return dense_gan(config, batch, penalty="r1")


def points(config, batch):
    return dense_gan(config, batch, simultaneous=False, ema_decay=None)


def points_penalized(config, batch):
    rules = {"loss": "wasserstein", "penalty": "gradient_penalty", "simultaneous": False}
    return dense_gan(config, batch, **rules)


def convolutional_gan(config, batch, **rules):
    networks = dcgan.build_generator(config), dcgan.build_discriminator(config)
    return _game(networks, **rules), (batch, *config.image_shape)


def convolutional_gan_r1(config, batch):
    return convolutional_gan(config, batch, penalty="r1")


def conditional_gan(config, batch):
    networks = cgan.build_generator(config), cgan.build_discriminator(config)
    return _game(networks), (batch, *config.image_shape), tf.TensorSpec((batch,), "int64")


def stage1(config, batch):
    networks = (
        stackgan.build_stage1_generator(config),
        stackgan.build_stage1_discriminator(config),
    )
    return _stage(networks, config, config.stage1_size, batch)


def stage2(config, batch):
    first = stackgan.build_stage1_generator(config)
    networks = (
        stackgan.stack(first, stackgan.build_stage2_generator(config)),
        stackgan.build_stage2_discriminator(config),
    )
    return _stage(networks, config, config.stage2_size, batch)


def _stage(networks, config, size, batch):
    with policy("float32"):
        captioner = function("09", "build_captioner")(size)  # the lesson's own
    options = gpu_value("09", "RULES") | {"captioner": captioner}
    game = _game(networks, stackgan.StackGAN, options)
    return game, (batch, size, size, config.channels), (batch, config.text_dim)


def growing(config, batch):
    """A progressive GAN that is fading in; at 4×4 there is nothing to fade in."""
    return grown(config, batch, fade_steps=0 if config.resolution == 4 else 10)


def grown(config, batch, fade_steps=0):
    model = progressive.ProgressiveGAN(config, fade_steps=fade_steps)
    model.compile()
    return model, (batch, config.resolution, config.resolution, config.channels)


def _with_adam(model, *shapes):
    model.compile(optimizer=_adam(), jit_compile=False)
    return model, *shapes


def autoencoder(config, batch):
    return _with_adam(vae.build_vae(config), (batch, *config.image_shape))


def autoencoder_gan(config, batch):
    model = vaegan.build_vaegan(config)
    model.compile({name: _adam() for name in model.players()}, ema_decay=0.999)
    return model, (batch, *config.image_shape)


def pixels(config, batch):
    return _with_adam(rnn.build_model(config), (batch, *config.image_shape))


def forecaster(config, batch):
    clip = (config.frames_in + config.frames_out, *config.frame_shape)
    return _with_adam(convlstm.build(config), (batch, *clip))


def connected_forecaster(config, batch):
    """Of dense layers: these stay in float32 in the lesson."""
    return forecaster(config, batch)


def taught_forecaster(config, batch):
    clip = (config.frames_in + config.frames_out, *config.frame_shape)
    return _with_adam(convlstm.build(config, teacher_forcing=True), (batch, *clip))


MIXED = {convolutional_gan, conditional_gan, stage1, stage2, forecaster, taught_forecaster}


# --- the lessons ---------------------------------------------------------------------------------


def _first_gan():
    of = functools.partial(gpu_value, "04")
    clothes = of("clothes_config"), of("clothes_batch"), of("clothes_steps")
    return [
        Plan("04", "five games on the ring", points, of("config"), of("BATCH"), of("STEPS"), 5),
        Plan("04", "clothes by dense layers", dense_gan_r1, *clothes),
    ]


def _dcgan_lesson():
    of = functools.partial(gpu_value, "05")
    stream = "training.batches(images, batch, seed=0)"
    part = argument("05", "shallow_model.fit", stream, "epochs")
    shallow = of("shallow_config"), of("batch"), of("steps") // of("epochs") * part
    return [
        Plan("05", "DCGAN", convolutional_gan, of("config"), of("batch"), of("steps")),
        Plan("05", "with one halving less", convolutional_gan, *shallow),
    ]


def _stability():
    of = functools.partial(gpu_value, "06")
    plain = SimpleNamespace(spectral_norm=False, weight_clip=0.0)
    config = gpu_value("06", "config", "networks", recipe=plain)
    batch = argument("06", "training.batches", "points", 1)
    main = len(of("HEADLINE"))
    runs = main * len(of("SEEDS")) + (len(keys("06", "RECIPES")) - main) * len(of("OTHER_SEEDS"))
    clothes = of("small"), argument("06", "training.batches", "images", 1), of("IMAGE_STEPS")
    return [  # each run as its dearest recipe
        Plan("06", "twelve recipes on points", points_penalized, config, batch, of("STEPS"), runs),
        Plan(
            "06",
            "six recipes on clothes",
            convolutional_gan_r1,
            *clothes,
            runs=len(keys("06", "IMAGE_RECIPES")),
        ),
    ]


def _evaluation():
    of = functools.partial(gpu_value, "07")
    batch = argument("07", "training.batches", "images", 1)
    weak = of("gan_config"), batch, of("gan_steps")
    return [Plan("07", "a weak DCGAN, on purpose", convolutional_gan, *weak)]


def _conditional():
    of = functools.partial(gpu_value, "08")
    base, batch, steps = of("base"), of("BATCH"), of("STEPS")
    told = [
        Plan("08", name, conditional_gan, replace(base, method=method), batch, count)
        for name, method, count in (
            ("AC-GAN", "auxiliary", steps),
            ("by projection", "projection", steps),
            ("by concatenation", "concatenation", steps // 2),
        )
    ]
    return [Plan("08", "DCGAN, not told", convolutional_gan, of("plain"), batch, steps), *told]


def _stackgan():
    of = functools.partial(gpu_value, "09")
    batch = argument("09", "training.batches", "pictures", 1, within="play")
    shorter = len(keys("09", "variants")) - 1  # the last is the run in one stage
    config, one_stage = of("config"), of("one_stage")
    return [
        Plan("09", "Stage-I", stage1, config, batch, of("STAGE1_STEPS")),
        Plan("09", "Stage-II", stage2, config, batch, of("STAGE2_STEPS")),
        Plan("09", "Stage-I, part by part", stage1, config, batch, of("ABLATION_STEPS"), shorter),
        Plan("09", "in one stage", stage1, one_stage, batch, of("ONE_STAGE_STEPS")),
    ]


def _progressive_lesson():
    of = functools.partial(gpu_value, "10")
    config, runs = of("config"), len(of("SEEDS"))
    batch = argument("10", "progressive.Phase", "size", 1)
    phases = [
        Plan(
            "10",
            f"grown, at {size}×{size}",
            growing,
            replace(config, resolution=size),
            batch,
            n,
            runs,
        )
        for size, n in of("steps_at").items()
    ]
    return [*phases, Plan("10", "direct", grown, config, batch, of("direct_steps"), runs)]


def _vae_lesson():
    of = functools.partial(gpu_value, "11")
    batch = argument("11", "training.batches", "images", 1)
    conv, dense, variants = of("conv_config"), of("dense_config"), len(keys("11", "variants"))
    return [
        Plan("11", "convolutional VAE", autoencoder, conv, batch, of("conv_steps")),
        Plan("11", "its three rates", autoencoder, conv, batch, of("ablation_steps"), variants),
        # plain, two latents, Gaussian, warm-up, free bits; the averaged loss for half as long
        Plan("11", "dense VAEs", autoencoder, dense, batch, of("dense_steps"), 5.5),
    ]


def _latent_space():
    of = functools.partial(gpu_value, "12")
    config, batch = of("config"), argument("12", "training.batches", "images", 1, within="train")
    game = of("gan_config"), of("gan_batch"), of("gan_steps")
    sweep = config, batch, of("sweep_steps"), len(of("BETAS"))
    return [
        Plan("12", "VAEs at six prices", autoencoder, *sweep),
        Plan("12", "VAE", autoencoder, config, batch, of("vae_steps")),
        Plan("12", "DCGAN", convolutional_gan, *game),
    ]


def _vaegan_lesson():
    of = functools.partial(gpu_value, "13")
    vae_batch = argument("13", "timed_fit", "plain", 1)
    batch = argument("13", "timed_fit", "joint", 1)
    game = of("gan_config"), of("gan_batch"), of("gan_steps")
    knobs = of("small"), argument("13", "timed_fit", "model", 1), of("small_steps")
    return [
        Plan("13", "DCGAN", convolutional_gan, *game),
        Plan("13", "VAE", autoencoder, of("vae_config"), vae_batch, of("vae_steps")),
        Plan("13", "VAE-GAN", autoencoder_gan, of("joint_config"), batch, of("joint_steps")),
        Plan("13", "small VAE-GANs", autoencoder_gan, *knobs, runs=len(keys("13", "variants"))),
    ]


def _images_by_pixel():
    of = functools.partial(gpu_value, "14")
    batch = default("14", "train", "batch_size")
    configs, steps = of("configs"), of("steps")
    four = [
        Plan("14", name, pixels, configs[kind], batch, steps[kind])
        for kind, name in of("TITLES").items()
    ]
    gray = replace(configs["pixelcnn"], levels=of("LEVELS")), batch, of("gray_steps")
    vae_batch = argument("14", "train", "latent_model", "batch_size")
    return [
        *four,
        Plan("14", "PixelCNN in gray", pixels, *gray),
        Plan("14", "VAE", autoencoder, of("vae_config"), vae_batch, of("vae_steps")),
    ]


def _video():
    of = functools.partial(gpu_value, "15")
    batch = argument(
        "15", "training.batches", "make_clips(train_items, pool_size, seed=2).frames", 1
    )
    told = of("told_config"), batch, of("told_steps")
    return [
        Plan("15", "ConvLSTM", forecaster, of("conv_config"), batch, of("conv_steps")),
        Plan("15", "FC-LSTM", connected_forecaster, of("dense_config"), batch, of("dense_steps")),
        Plan("15", "ConvLSTM, taught by the truth", taught_forecaster, *told),
        Plan("15", "ConvLSTM, taught by itself", forecaster, *told),
    ]
