"""`models.stackgan`: the authors' counts, the augmentation, pairs that match, two stages."""

import dataclasses

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from conftest import trainable
from keras import ops

from ganvae_lessons import layers, losses, training
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
    stage2_condition_filters=(6,),
    stage2_joint_filters=8,
    stage2_residual_blocks=1,
    stage2_generator_filters=(4, 8),
    stage2_discriminator_filters=(8, 16),
    match_dim=5,
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


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def stage1(seed=0, **changes):
    config = dataclasses.replace(SMALL, **changes)
    keras.utils.set_random_seed(seed)
    generator = stackgan.build_stage1_generator(config)
    return stackgan.StackGAN(generator, stackgan.build_stage1_discriminator(config), seed=seed)


def compiled(model, rate=1e-3, **rules):
    model.compile(keras.optimizers.Adam(rate), keras.optimizers.Adam(rate), **rules)
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"match": "sum"}, "one of projection, concatenation, got 'sum'"),
        ({"stage1_size": 32}, r"each halving from 32 to 4, got \(8,\)"),
        ({"stage2_discriminator_filters": (8,)}, "each halving from 16 to 4"),
        ({"stage2_generator_filters": (8,)}, "encoder's 4 to stage2_size=16"),
        ({"stage2_condition_filters": (8, 8)}, r"encoder's 4, or none, got \(8, 8\)"),
    ],
)
def test_sizes_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


@pytest.mark.verifies(
    "layers.ConditioningAugmentation", against="scipy.stats.norm, quadrature of its KL"
)
@pytest.mark.parametrize("rectified", [False, True])
def test_augmentation_draws_a_normal_distribution(rectified):
    layer = layers.ConditioningAugmentation(
        4, kl_weight=0.5, rectified=rectified, initial_log_std=-0.3
    )
    code = drawn((1, 6))
    codes = np.repeat(code, 20_000, axis=0)
    samples = ops.convert_to_numpy(layer([codes, drawn((20_000, 4))]))
    layer.dense.set_weights([drawn((6, 8), 1) / 3, drawn((8,), 2) / 3])
    samples = ops.convert_to_numpy(layer([codes, drawn((20_000, 4))]))
    raw = code @ layer.dense.kernel.numpy() + layer.dense.bias.numpy()
    raw = np.where(raw > 0, raw, (0.2 if rectified else 1.0) * raw)[0]
    mean, std = raw[:4], np.exp(raw[4:] - 0.3)
    for place in range(4):
        expected = scipy.stats.norm(mean[place], std[place])
        assert scipy.stats.kstest(samples[:, place], expected.cdf).pvalue > 1e-3
    points = np.linspace(-30, 30, 200_001)
    kl = 0.0
    for m, s in zip(mean, std, strict=True):
        q = scipy.stats.norm(m, s)
        kl += np.trapezoid(
            q.pdf(points) * (q.logpdf(points) - scipy.stats.norm.logpdf(points)), points
        )
    np.testing.assert_allclose(float(layer.losses[0]), 0.5 * kl, rtol=1e-4)


def test_the_weight_of_the_paper_and_that_of_the_code():
    """2.0 times the KL's mean over the 128 numbers of c is 2/128 times its sum."""
    paper = stackgan.Config.paper()
    mean, log_std = drawn((64, 128)), drawn((64, 128), 1) / 4
    by_number = -log_std + 0.5 * (np.exp(2 * log_std) + mean**2 - 1)
    summed = ops.mean(losses.gaussian_kl(mean, 2 * log_std))
    np.testing.assert_allclose(paper.kl_weight * float(summed), 2.0 * by_number.mean(), rtol=1e-5)
    np.testing.assert_allclose(paper.kl_weight, 1 / 64)  # of the λ = 1 that the paper writes


def test_without_augmentation_the_condition_is_its_mean():
    config = dataclasses.replace(SMALL, augmentation=False)
    generator = stackgan.build_stage1_generator(config)
    latents, codes = drawn((2, config.noise_dim)), drawn((2, 6), 1)
    latents[1, : config.latent_dim] = latents[0, : config.latent_dim]  # the same z, another noise
    codes[1] = codes[0]
    images = ops.convert_to_numpy(generator([latents, codes]))
    np.testing.assert_allclose(images[0], images[1], atol=1e-6)
    assert generator.losses == []
    noisy = stackgan.build_stage1_generator(SMALL)
    noisy.get_layer("augmentation").dense.bias.assign(np.ones(8))
    images = ops.convert_to_numpy(noisy([latents, codes]))
    assert np.abs(images[0] - images[1]).max() > 1e-4


@pytest.mark.verifies("models.stackgan.StackGAN", against="the paper's three terms, in NumPy")
@pytest.mark.parametrize("match", stackgan.MATCHES)
def test_matching_aware_loss(match):
    model = compiled(stage1(match=match))
    pairs = drawn((5, 8, 8, 3)), drawn((5, 8, 8, 3), 1), drawn((5, 6), 2)
    real, fake, codes = (tf.constant(array) for array in pairs)
    loss, right, generated, _ = model.judge_both(real, fake, codes)
    softplus = lambda a: np.logaddexp(0, np.asarray(a, "float64"))  # noqa: E731
    judge = lambda x, t: ops.convert_to_numpy(model.discriminator([x, t], training=True))  # noqa: E731
    wrong = judge(real, tf.roll(codes, 1, axis=0))
    expected = softplus(-judge(real, codes)).mean()
    expected += (softplus(wrong).mean() + softplus(judge(fake, codes)).mean()) / 2
    np.testing.assert_allclose(float(loss), expected, rtol=1e-5)
    np.testing.assert_allclose(right, judge(real, codes), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(generated, judge(fake, codes), rtol=1e-4, atol=1e-6)

    plain = compiled(stage1(match=match))
    plain.mismatched = None
    expected += (softplus(judge(fake, codes)).mean() - softplus(wrong).mean()) / 2
    loss = plain.judge_both(real, fake, codes)[0]
    np.testing.assert_allclose(float(loss), expected, rtol=1e-5)


@pytest.mark.verifies("models.stackgan.most_similar", against="a search in NumPy")
def test_the_most_similar_caption_is_another():
    codes = drawn((7, 4))
    expected = []
    for place, code in enumerate(codes):
        others = [other for other in range(7) if other != place]
        expected.append(codes[max(others, key=lambda other: code @ codes[other])])
    found = stackgan.most_similar(tf.constant(codes))
    np.testing.assert_array_equal(found, expected)

    model = compiled(stage1())
    model.mismatched = "similar"
    real, told = tf.constant(drawn((7, 8, 8, 3))), tf.constant(drawn((7, 6)))
    loss = model.judge_both(real, real, told)[0]
    judge = lambda asked: model.discriminator([real, asked], training=True)  # noqa: E731
    logits = [judge(told), judge(stackgan.most_similar(told)), judge(told)]
    right, wrong, fake = (np.asarray(logit, "float64") for logit in logits)
    by_hand = np.logaddexp(0, -right).mean()
    by_hand += (np.logaddexp(0, wrong).mean() + np.logaddexp(0, fake).mean()) / 2
    np.testing.assert_allclose(float(loss), by_hand, rtol=1e-5)
    with pytest.raises(ValueError, match="None, 'random' or 'similar', got 'hard'"):
        stackgan.StackGAN(model.generator, model.discriminator, mismatched="hard")


def captioner(size=8, code_dim=6):
    images = keras.Input((size, size, 3))
    codes = keras.layers.Dense(code_dim)(keras.layers.Flatten()(images))
    return keras.Model(images, codes)


@pytest.mark.parametrize("simultaneous", [True, False])
def test_captioner_and_content_charge_the_generator_alone(simultaneous):
    networks = stage1().generator, stage1().discriminator
    reader = captioner()
    images, codes = np.tanh(drawn((16, 8, 8, 3))), drawn((16, 6), 1)
    fake = tf.constant(np.tanh(drawn((16, 8, 8, 3), 2)))
    model = stackgan.StackGAN(*networks, captioner=reader, captioner_weight=0.5, content_weight=3.0)
    kernel, bias = (ops.convert_to_numpy(weight) for weight in reader.weights)
    misread = ops.convert_to_numpy(fake).reshape(16, -1) @ kernel + bias - codes
    expected = 0.5 * (misread.astype("float64") ** 2).mean()
    expected += 3.0 * np.abs(images.astype("float64") - ops.convert_to_numpy(fake)).mean()
    charge = model.charge(tf.constant(images), fake, tf.constant(codes))
    np.testing.assert_allclose(float(charge), expected, rtol=1e-5)
    assert model.trainable_variables == stackgan.StackGAN(*networks).trainable_variables

    # both players see the same; only the generator's loss and gradient differ by the charge
    moved = {}
    for weights in ((0.0, 0.0), (1000.0, 0.0), (0.0, 1000.0)):
        start = stage1()
        rules = dict(zip(("captioner_weight", "content_weight"), weights, strict=True))
        model = stackgan.StackGAN(start.generator, start.discriminator, captioner=reader, **rules)
        sgd = [keras.optimizers.SGD(1e-4) for _ in range(2)]
        model.compile(*sgd, simultaneous=simultaneous)
        batches = training.batches(images, 16, conditions=codes)
        history = model.fit(batches, steps_per_epoch=1, epochs=1, verbose=0).history
        players = model.generator, model.discriminator
        after = [[ops.convert_to_numpy(w) for w in each.trainable_weights] for each in players]
        moved[weights] = (*after, history["g_loss"][0], history["d_loss"][0])
    (plain_g, plain_d, plain_loss, d_loss), *charged = moved.values()
    for g, d, loss, same_loss in charged:
        assert loss > plain_loss + 100
        assert d_loss == same_loss
        for old, new in zip(plain_d, d, strict=True):
            np.testing.assert_array_equal(old, new)
        assert not any(np.array_equal(old, new) for old, new in zip(plain_g, g, strict=True))
    np.testing.assert_array_equal(kernel, ops.convert_to_numpy(reader.weights[0]))

    message = r"images \(8, 8, 3\) to codes \(6,\).*got \(8, 8, 3\) to \(5,\)"
    with pytest.raises(ValueError, match=message):
        stackgan.StackGAN(*networks, captioner=captioner(code_dim=5))


def test_a_step_moves_both_players_and_counts_the_kl():
    model = compiled(stage1(bottlenecks=True), ema_decay=0.9)
    before = [ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    images, codes = np.tanh(drawn((32, 8, 8, 3))), drawn((32, 6), 1)
    batches = training.batches(images, 8, conditions=codes)
    model.fit(batches, steps_per_epoch=2, epochs=1, verbose=0)
    still = [
        new.path
        for old, new in zip(before, model.trainable_variables, strict=True)
        if np.array_equal(old, ops.convert_to_numpy(new))
    ]
    assert still == []
    # the KL pulls: without any other pull the augmentation goes to N(0, I)
    alone = compiled(stage1(kl_weight=1000.0), rate=0.03)
    augmentation = alone.generator.get_layer("augmentation")
    augmentation.dense.bias.assign(np.ones(8))
    alone.fit(batches, steps_per_epoch=150, epochs=1, verbose=0)
    mean, log_std = (ops.convert_to_numpy(part) for part in augmentation.moments(codes))
    assert np.abs(mean).mean() < 0.2
    assert np.abs(log_std).mean() < 0.2


def test_the_constant_start_is_one_picture():
    """Whatever the caption and the noise, in training too: pictures vary by place, not by order."""
    latents, codes = drawn((16, SMALL.noise_dim)), drawn((16, 6), 1)
    differ = {}
    for constant in (True, False):
        keras.utils.set_random_seed(0)
        config = dataclasses.replace(SMALL, constant_start=constant)
        images = stackgan.build_stage1_generator(config)([latents, codes], training=True)
        images = ops.convert_to_numpy(images)
        differ[constant] = images.std(axis=0).mean() / images.std()
    assert 0.05 < differ[True] < 0.3 < 0.6 < differ[False]


def test_stage_2_corrects_the_small_picture():
    keras.utils.set_random_seed(0)
    second = stackgan.build_stage2_generator(SMALL)
    small = np.tanh(drawn((3, 8, 8, 3)))
    inputs = [small, drawn((3, 6), 1), drawn((3, 4), 2)]
    drawn_first = ops.convert_to_numpy(second(inputs))
    enlarged = small.repeat(2, axis=1).repeat(2, axis=2)
    assert np.abs(drawn_first - 0.98 * enlarged).max() > 0.02
    *_, last = [each for each in second.layers if isinstance(each, keras.layers.Conv2D)]
    last.set_weights([np.zeros_like(weight) for weight in last.get_weights()])
    np.testing.assert_allclose(second(inputs), 0.98 * enlarged, atol=1e-5)


@pytest.mark.verifies("models.stackgan.stack", against="both stages, one after the other")
def test_stage_2_trains_on_a_frozen_stage_1():
    first = stage1().generator
    keras.utils.set_random_seed(1)
    second = stackgan.build_stage2_generator(SMALL)
    both = stackgan.stack(first, second)
    assert trainable(both) == trainable(second)
    model = compiled(
        stackgan.StackGAN(both, stackgan.build_stage2_discriminator(SMALL)), ema_decay=0.5
    )
    frozen = [ops.convert_to_numpy(weight) for weight in first.weights]
    moving = [ops.convert_to_numpy(weight) for weight in second.trainable_variables]
    images, codes = np.tanh(drawn((32, 16, 16, 3))), drawn((32, 6), 1)
    model.fit(training.batches(images, 8, conditions=codes), steps_per_epoch=3, epochs=1, verbose=0)
    for old, new in zip(frozen, first.weights, strict=True):  # its moving statistics too
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))
    for old, new in zip(moving, second.trainable_variables, strict=True):
        assert not np.array_equal(old, ops.convert_to_numpy(new)), new.path
    assert len(both.losses) == 1  # the frozen stage's KL does not count

    latents = tf.constant(drawn((4, SMALL.noise_dim + SMALL.condition_dim)))
    asked = tf.constant(codes[:4])
    small = first([latents[:, : SMALL.noise_dim], asked])
    by_hand = second([small, asked, latents[:, SMALL.noise_dim :]])
    np.testing.assert_allclose(both([latents, asked]), by_hand, atol=1e-6)
    samples = model.sample(4, seed=3, conditions=codes[:4])
    np.testing.assert_array_equal(samples, model.sample(4, seed=3, conditions=codes[:4]))
    assert samples.shape == (4, 16, 16, 3)
    assert np.abs(samples).max() <= 1


def test_one_step_of_the_papers_stage_1():
    """At two pictures. Stage-II at 256² is only built and counted, above: a step takes too long."""
    paper = stackgan.Config.paper()
    model = compiled(
        stackgan.StackGAN(
            stackgan.build_stage1_generator(paper), stackgan.build_stage1_discriminator(paper)
        )
    )
    batch = tf.constant(np.tanh(drawn((2, 64, 64, 3)))), tf.constant(drawn((2, 1024), 1))
    values = model.train_step(batch)
    assert np.isfinite([float(value) for value in values.values()]).all()
    assert int(model.first_bad_step) == 0
