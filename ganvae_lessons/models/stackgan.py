"""StackGAN: from the code of a caption to a small picture, and from that to a large one.

Zhang, Xu, Li, Zhang, Wang, Huang and Metaxas, ICCV 2017 (arXiv 1612.03242). `Config.paper()` is
the network of the authors' code, 64×64 and then 256×256; the defaults are 16×16 and 32×32 with
far fewer maps, a projection discriminator, and a second stage that stays at the small picture's
size and corrects it. In both, three things differ: the noise of the conditioning augmentation is
an input, a part of the latents, so that the same latents give the same picture; its tails are not
cut off; and each normalized layer of the discriminators has its rectifier, which one of theirs
lacks.
"""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from ganvae_lessons import training
from ganvae_lessons.layers import BatchNorm, ConditioningAugmentation

__all__ = [
    "Config",
    "StackGAN",
    "build_stage1_discriminator",
    "build_stage1_generator",
    "build_stage2_discriminator",
    "build_stage2_generator",
    "most_similar",
    "stack",
]

MATCHES = ("projection", "concatenation")


@dataclass(frozen=True)
class Config:
    """Sizes of the four networks. Filters are listed from the image's side of each network on.

    A picture has the side 4·2ⁿ for n filters of its discriminator, as the last maps are 4×4.
    """

    channels: int = 3
    text_dim: int = 128  # of the text encoder's code
    condition_dim: int = 128  # N_g: of c, the augmented condition
    latent_dim: int = 32  # N_z
    augmentation: bool = True
    kl_weight: float = 0.1 / 128  # of the KL summed over c
    initial_log_std: float = -2.0  # of c: little noise to begin with
    rectified_moments: bool = False  # μ and log σ come out of a leaky rectifier, as the authors'
    constant_start: bool = True  # a generator begins with one picture, whatever it is told
    transposed: bool = True  # 4×4 convolutions enlarge; else repeated pixels and a 3×3 one
    bottlenecks: bool = False  # residual ones, at the smallest maps of Stage-I and of both D
    match: str = "projection"  # or "concatenation": how a discriminator compares text and maps
    match_dim: int = 128  # of the text that is concatenated
    initial_stddev: float | None = None  # of the kernels; None for Glorot's
    stage1_size: int = 16
    stage1_generator_filters: tuple = (128, 256)
    stage1_discriminator_filters: tuple = (64, 128)
    stage2_size: int = 32
    stage2_encoder_filters: tuple = (48,)  # of the small picture; each but the first halves
    stage2_condition_filters: tuple = (48, 64, 128)  # of c's own maps; () repeats c at every place
    stage2_joint_filters: int = 64
    stage2_residual_blocks: int = 0
    stage2_generator_filters: tuple = (32,)
    stage2_correction: bool = True  # Stage-II draws what is to be added to the small picture
    stage2_discriminator_filters: tuple = (32, 64, 128)

    def __post_init__(self):
        if self.match not in MATCHES:
            raise ValueError(f"match must be one of {', '.join(MATCHES)}, got {self.match!r}")
        for stage, size, networks in (
            (1, self.stage1_size, ("generator", "discriminator")),
            (2, self.stage2_size, ("discriminator",)),
        ):
            for network in networks:
                name = f"stage{stage}_{network}_filters"
                filters = getattr(self, name)
                if 4 * 2 ** len(filters) != size:
                    raise ValueError(
                        f"{name} must hold a number for each halving from {size} to 4, "
                        f"got {filters}"
                    )
        smallest = self.stage1_size // 2 ** (len(self.stage2_encoder_filters) - 1)
        if smallest * 2 ** len(self.stage2_generator_filters) != self.stage2_size:
            raise ValueError(
                "stage2_generator_filters must hold a number for each doubling from the encoder's "
                f"{smallest} to stage2_size={self.stage2_size}, got {self.stage2_generator_filters}"
            )
        condition = self.stage2_condition_filters
        if condition and 2 * 2 ** len(condition) != smallest:
            raise ValueError(
                "stage2_condition_filters must hold a number for 4 and for each doubling from "
                f"there to the encoder's {smallest}, or none, got {condition}"
            )

    @property
    def noise_dim(self):
        """The latents of Stage-I: z, and the noise of its conditioning augmentation."""
        return self.latent_dim + self.condition_dim

    @classmethod
    def paper(cls):
        """64×64 and 256×256 color, 1024 numbers of text, as in the authors' code."""
        return cls(
            text_dim=1024,
            condition_dim=128,
            latent_dim=100,
            kl_weight=2 / 128,  # the authors' 2.0 times the KL's mean over the 128 numbers
            initial_log_std=0.0,
            rectified_moments=True,
            constant_start=False,
            transposed=False,
            bottlenecks=True,
            match="concatenation",
            initial_stddev=0.02,
            stage1_size=64,
            stage1_generator_filters=(128, 256, 512, 1024),
            stage1_discriminator_filters=(64, 128, 256, 512),
            stage2_size=256,
            stage2_encoder_filters=(128, 256, 512),
            stage2_condition_filters=(),
            stage2_joint_filters=512,
            stage2_residual_blocks=4,
            stage2_generator_filters=(32, 64, 128, 256),
            stage2_correction=False,
            stage2_discriminator_filters=(64, 128, 256, 512, 1024, 2048),
        )


def build_stage1_generator(config):
    """Return the model [latents (B, noise_dim), codes (B, text_dim)] → images in (−1, 1).

    A latent is z, then the noise of the augmentation. The images are (B, stage1_size,
    stage1_size, channels).
    """
    latents = keras.Input((config.noise_dim,), name="latent")
    codes = keras.Input((config.text_dim,), name="text")
    noise = latents[:, config.latent_dim :]
    joint = layers.Concatenate()([_augment(config, codes, noise), latents[:, : config.latent_dim]])
    *inner, first = config.stage1_generator_filters
    hidden = _first_maps(config, joint, first)
    hidden = _bottleneck(config, hidden) if config.bottlenecks else layers.ReLU()(hidden)
    for place, filters in enumerate(reversed(inner)):
        hidden = BatchNorm(**_NORM)(_enlarged(config, hidden, filters))
        deep = config.bottlenecks and place == 0
        hidden = _bottleneck(config, hidden) if deep else layers.ReLU()(hidden)
    images = _enlarged(config, hidden, config.channels)
    return keras.Model([latents, codes], _image(images), name="stage1_generator")


def build_stage1_discriminator(config):
    """Return the model [images (B, stage1_size, stage1_size, channels), codes] → logits (B, 1)."""
    return _discriminator(
        config, config.stage1_size, config.stage1_discriminator_filters, "stage1_discriminator"
    )


def build_stage2_generator(config):
    """Return the model [small images, codes (B, text_dim), noise (B, condition_dim)] → images.

    It takes no z: what varies comes from Stage-I's picture. The images are (B, stage2_size,
    stage2_size, channels) in (−1, 1).
    """
    small = keras.Input((config.stage1_size, config.stage1_size, config.channels), name="small")
    codes = keras.Input((config.text_dim,), name="text")
    noise = keras.Input((config.condition_dim,), name="noise")
    first, *halving = config.stage2_encoder_filters
    hidden = layers.ReLU()(_conv(config, first, 3)(small))
    for filters in halving:
        hidden = layers.ReLU()(_normed(config, hidden, filters, 4, strides=2))
    condition = _augment(config, codes, noise)
    if config.stage2_condition_filters:
        *inner, deepest = config.stage2_condition_filters
        condition = layers.ReLU()(_first_maps(config, condition, deepest))
        for filters in reversed(inner):
            condition = layers.ReLU()(BatchNorm(**_NORM)(_enlarged(config, condition, filters)))
    hidden = _beside(hidden, condition)
    hidden = layers.ReLU()(_normed(config, hidden, config.stage2_joint_filters, 3))
    for _ in range(config.stage2_residual_blocks):
        filters = hidden.shape[-1]
        change = layers.ReLU()(_normed(config, hidden, filters, 3))
        change = _normed(config, change, filters, 3)
        hidden = layers.ReLU()(layers.Add()([hidden, change]))
    for filters in reversed(config.stage2_generator_filters):
        hidden = layers.ReLU()(BatchNorm(**_NORM)(_enlarged(config, hidden, filters)))
    drawn = _conv(config, config.channels, 3)(hidden)
    if config.stage2_correction:
        times = config.stage2_size // config.stage1_size
        drawn = drawn + ops.arctanh(0.98 * layers.UpSampling2D(times)(small))
    return keras.Model([small, codes, noise], _image(drawn), name="stage2_generator")


def build_stage2_discriminator(config):
    """Return the model [images (B, stage2_size, stage2_size, channels), codes] → logits (B, 1)."""
    return _discriminator(
        config, config.stage2_size, config.stage2_discriminator_filters, "stage2_discriminator"
    )


def stack(stage1_generator, stage2_generator):
    """Return both as one generator [latents, codes] → large images; Stage-I is frozen in it.

    A latent is Stage-I's, then the noise of Stage-II's augmentation. Freezing is a property of
    the model itself: build Stage-I anew to train it further.
    """
    stage1_generator.trainable = False
    noise_dim = stage1_generator.inputs[0].shape[-1]
    condition_dim = stage2_generator.inputs[2].shape[-1]
    latents = keras.Input((noise_dim + condition_dim,), name="latent")
    codes = keras.Input(stage1_generator.inputs[1].shape[1:], name="text")
    small = stage1_generator([latents[:, :noise_dim], codes])
    images = stage2_generator([small, codes, latents[:, noise_dim:]])
    return keras.Model([latents, codes], images, name="generator")


class StackGAN(training.AdversarialModel):
    """One stage at play, with the matching-aware discriminator: right picture, right caption?

    Three kinds of pairs: real pictures with their captions are right; real pictures with the
    caption of another, and generated pictures, are wrong, each with half of the weight. The
    other's caption is that of a neighbor in the batch, as good as a "random" one, or the most
    "similar" in the batch, which differs in the details. With `mismatched=None` it is the plain
    conditional game.

    Two charges on the generator are not in the paper. A `captioner`, a model from images to the
    codes of their captions, trained before on real pictures and frozen here, reads what was drawn,
    and `captioner_weight` times the mean square of what it misreads is added to the loss (in
    another form in MirrorGAN, Qiao et al., CVPR 2019, 1903.05854). And so is `content_weight`
    times the mean absolute difference between a generated picture and the real one with the same
    caption (Isola et al., CVPR 2017, 1611.07004).
    """

    def __init__(
        self,
        generator,
        discriminator,
        *,
        mismatched="random",
        captioner=None,
        captioner_weight=5.0,
        content_weight=0.0,
        **kwargs,
    ):
        super().__init__(generator, discriminator, **kwargs)
        if mismatched not in (None, "random", "similar"):
            raise ValueError(f"mismatched must be None, 'random' or 'similar', got {mismatched!r}")
        if captioner is not None:
            reads, writes = captioner.input_shape[1:], captioner.output_shape[1:]
            drawn, told = generator.output_shape[1:], tuple(generator.inputs[1].shape[1:])
            if (reads, writes) != (drawn, told):
                raise ValueError(
                    f"captioner must map images {drawn} to codes {told}, as the generator has "
                    f"them, got {reads} to {writes}"
                )
            captioner.trainable = False
        self.mismatched = mismatched
        self.captioner, self.captioner_weight = captioner, captioner_weight
        self.content_weight = content_weight

    def charge(self, real, fake, conditions):
        total = 0.0
        if self.captioner is not None:
            read = self.captioner(fake, training=False)
            total += self.captioner_weight * ops.mean(ops.square(read - conditions))
        if self.content_weight:
            total += self.content_weight * ops.mean(ops.abs(fake - real))
        return total

    def judge_both(self, real, fake, conditions):
        if self.mismatched is None:
            return super().judge_both(real, fake, conditions)
        features = self.discriminator.get_layer("features")(real, training=True)
        match = self.discriminator.get_layer("match")
        if self.mismatched == "similar":
            others = most_similar(conditions)
        else:
            others = ops.roll(conditions, 1, axis=0)
        right_logits = match([features, conditions], training=True)
        wrong_logits = match([features, others], training=True)
        fake_logits = self.discriminator([fake, conditions], training=True)
        loss = (
            self.game.discriminator(right_logits, fake_logits)
            + self.game.discriminator(right_logits, wrong_logits)
        ) / 2
        return loss, right_logits, fake_logits, 0.0


def most_similar(codes):
    """For each of the codes (B, dims), the other one of the batch with the largest product."""
    products = ops.matmul(codes, ops.transpose(codes))
    products = ops.where(ops.eye(ops.shape(codes)[0], dtype="bool"), -np.inf, products)
    return ops.take(codes, ops.argmax(products, axis=1), axis=0)


_NORM = {"epsilon": 1e-5, "momentum": 0.9}


def _initial(stddev):
    return keras.initializers.TruncatedNormal(stddev=stddev) if stddev else "glorot_uniform"


def _image(drawn):
    return layers.Activation("tanh", dtype="float32")(drawn)  # also under mixed precision


def _conv(config, filters, kernel_size, strides=1):
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_initial(config.initial_stddev),
    )


def _normed(config, hidden, filters, kernel_size, strides=1):
    return BatchNorm(**_NORM)(_conv(config, filters, kernel_size, strides)(hidden))


def _enlarged(config, hidden, filters):
    """(B, h, w, m) → (B, 2h, 2w, filters)."""
    if not config.transposed:
        return _conv(config, filters, 3)(layers.UpSampling2D()(hidden))
    return layers.Conv2DTranspose(
        filters,
        4,
        strides=2,
        padding="same",
        use_bias=False,
        kernel_initializer=_initial(config.initial_stddev),
    )(hidden)


def _leaky():
    return layers.LeakyReLU(negative_slope=0.2)


def _bottleneck(config, hidden, rectifier=layers.ReLU):
    """hidden + (1×1 to a quarter of the maps, 3×3, 3×3 back), then the rectifier."""
    filters = hidden.shape[-1]
    change = rectifier()(_normed(config, hidden, filters // 4, 1))
    change = rectifier()(_normed(config, change, filters // 4, 3))
    return rectifier()(layers.Add()([hidden, _normed(config, change, filters, 3)]))


def _augment(config, codes, noise):
    layer = ConditioningAugmentation(
        config.condition_dim,
        config.kl_weight,
        noisy=config.augmentation,
        initial_log_std=config.initial_log_std,
        rectified=config.rectified_moments,
        initial_stddev=config.initial_stddev,
        dtype="float32",  # its KL is a sum
        name="augmentation",
    )
    return layer([codes, noise])


def _first_maps(config, code, filters):
    """A code (B, n) → the maps (B, 4, 4, filters) that a generator enlarges, normalized."""
    if config.constant_start:
        kernel = keras.initializers.VarianceScaling(0.01)
        bias = keras.initializers.RandomNormal(stddev=0.5)
        dense = layers.Dense(16 * filters, kernel_initializer=kernel, bias_initializer=bias)
        return BatchNorm(**_NORM)(layers.Reshape((4, 4, filters))(dense(code)))
    hidden = layers.Dense(16 * filters, kernel_initializer=_initial(config.initial_stddev))(code)
    return layers.Reshape((4, 4, filters))(BatchNorm(**_NORM)(hidden))  # normalized per unit


def _beside(maps, code):
    """The maps (B, h, w, m) and a code (B, c) at every place, or maps (B, h, w, c), as one."""
    if len(code.shape) == 2:
        code = layers.Reshape((1, 1, code.shape[-1]))(code)
        code = layers.UpSampling2D(maps.shape[1:3])(code)
    return layers.Concatenate()([maps, code])


def _discriminator(config, size, filters, name):
    images = keras.Input((size, size, config.channels), name="image")
    codes = keras.Input((config.text_dim,), name="text")
    features = _build_features(config, size, filters)
    match = _build_match(config, features.output.shape[1:])
    return keras.Model([images, codes], match([features(images), codes]), name=name)


def _build_features(config, size, filters):
    """Images → maps (B, 4, 4, m): what a discriminator knows before it reads.

    m is the number of Stage-I's last maps: 1×1 convolutions bring more of them down to it.
    """
    plan = [(count, 4, 2) for count in filters]  # maps, kernel, stride
    while plan[-1][0] > config.stage1_discriminator_filters[-1]:
        plan.append((plan[-1][0] // 2, 1, 1))
    images = keras.Input((size, size, config.channels), name="image")
    hidden = _leaky()(_conv(config, *plan[0])(images))
    for place, conv in enumerate(plan[1:], start=2):
        hidden = _normed(config, hidden, *conv)
        if place < len(plan) or not config.bottlenecks:  # else it follows the bottleneck's sum
            hidden = _leaky()(hidden)
    if config.bottlenecks:
        hidden = _bottleneck(config, hidden, _leaky)
    return keras.Model(images, hidden, name="features")


def _build_match(config, shape):
    """[maps (B, 4, 4, m), codes (B, text_dim)] → logits (B, 1).

    By projection (Miyato and Koyama, ICLR 2018, 1802.05637) the logit is linear in the maps h,
    l(h) + ⟨e(t), h⟩/√dims; by concatenation, as in the paper, a layer reads both.
    """
    maps = keras.Input(shape, name="maps")
    codes = keras.Input((config.text_dim,), name="text")
    initial = _initial(config.initial_stddev)
    if config.match == "projection":
        flat = layers.Flatten()(maps)
        direction = layers.Dense(flat.shape[-1], use_bias=False, kernel_initializer=initial)(codes)
        match = layers.Dot(axes=-1, dtype="float32")([direction, flat]) / math.sqrt(flat.shape[-1])
        alone = layers.Dense(1, kernel_initializer=initial, dtype="float32")(flat)
        logits = layers.Add(dtype="float32")([alone, match])
    else:
        told = _leaky()(layers.Dense(config.match_dim, kernel_initializer=initial)(codes))
        hidden = _leaky()(_normed(config, _beside(maps, told), shape[-1], 1))
        last = layers.Conv2D(
            1, shape[:2], use_bias=False, kernel_initializer=initial, dtype="float32"
        )
        logits = layers.Flatten(dtype="float32")(last(hidden))
    return keras.Model([maps, codes], logits, name="match")
