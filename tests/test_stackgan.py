"""`models.stackgan`: the authors' counts, the augmentation, pairs that match, two stages."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from conftest import trainable
from keras import ops

from ganvae_lessons import losses, training
from ganvae_lessons.models import stackgan

SMALL = stackgan.Config(
    text_dim=6,
    condition_dim=4,
    latent_dim=3,
    kl_weight=0.5,
    stage1_size=8,
    stage1_generator_filters=(8,),
    stage1_discriminator_filters=(8,),
    stage2_size=16,
    stage2_encoder_filters=(8, 8),
    stage2_residual_blocks=1,
    stage2_generator_filters=(4, 8),
    stage2_discriminator_filters=(8, 16),
    discriminator_condition_dim=5,
)


def conv(kernel_size, taken, made, norm=True):
    return kernel_size**2 * taken * made + 2 * made * norm


def dense(taken, made):
    return (taken + 1) * made


def bottleneck(maps):
    return conv(1, maps, maps // 4) + conv(3, maps // 4, maps // 4) + conv(3, maps // 4, maps)


@pytest.mark.verifies("models.stackgan.Config", against="the layers of the authors' code, counted")
@pytest.mark.verifies(
    "models.stackgan.build_stage1_generator",
    "models.stackgan.build_stage1_discriminator",
    against="the layers of the authors' code, counted",
)
def test_paper_counts_of_stage_1():
    paper = stackgan.Config.paper()
    generator = (
        dense(1024, 256)  # mean and log standard deviation
        + dense(128 + 100, 16_384)
        + 2 * 16_384  # normalized per unit
        + bottleneck(1024)
        + conv(3, 1024, 512)
        + bottleneck(512)
        + conv(3, 512, 256)
        + conv(3, 256, 128)
        + conv(3, 128, 3, norm=False)
    )
    assert trainable(stackgan.build_stage1_generator(paper)) == generator
    assert trainable(stackgan.build_stage1_discriminator(paper)) == (
        conv(4, 3, 64, norm=False)
        + conv(4, 64, 128)
        + conv(4, 128, 256)
        + conv(4, 256, 512)
        + bottleneck(512)
        + match_count()
    )


def match_count():
    return dense(1024, 128) + conv(1, 512 + 128, 512) + conv(4, 512, 1, norm=False)


@pytest.mark.verifies(
    "models.stackgan.build_stage2_generator",
    "models.stackgan.build_stage2_discriminator",
    against="the layers of the authors' code, counted",
)
def test_paper_counts_of_stage_2():
    paper = stackgan.Config.paper()
    generator = stackgan.build_stage2_generator(paper)
    assert trainable(generator) == (
        dense(1024, 256)
        + conv(3, 3, 128, norm=False)
        + conv(4, 128, 256)
        + conv(4, 256, 512)
        + conv(3, 512 + 128, 512)
        + 4 * 2 * conv(3, 512, 512)
        + conv(3, 512, 256)
        + conv(3, 256, 128)
        + conv(3, 128, 64)
        + conv(3, 64, 32)
        + conv(3, 32, 3, norm=False)
    )
    assert [tuple(each.shape[1:]) for each in generator.inputs] == [(64, 64, 3), (1024,), (128,)]
    assert generator.output_shape == (None, 256, 256, 3)
    assert trainable(stackgan.build_stage2_discriminator(paper)) == (
        conv(4, 3, 64, norm=False)
        + sum(conv(4, 64 * 2**n, 128 * 2**n) for n in range(5))
        + conv(1, 2048, 1024)
        + conv(1, 1024, 512)
        + bottleneck(512)
        + match_count()
    )
