"""`models.progressive` and its layers: published counts, growth without a jump, the fade."""

import dataclasses
import gc
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from ganvae_lessons import data, layers, training
from ganvae_lessons.models import progressive

SMALL = progressive.Config(resolution=16, channels=2, latent_dim=5, fmap_base=32, fmap_max=8)
BUILDERS = [progressive.build_generator, progressive.build_discriminator]


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


def at(config, resolution):
    return dataclasses.replace(config, resolution=resolution)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def images_of(config, count=8, seed=0):
    shape = (count, config.resolution, config.resolution, config.channels)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


def inputs_of(network, count=6):
    return noise(count, *network.input_shape[1:])


# --- the networks -------------------------------------------------------------------------


@pytest.mark.verifies("models.progressive.Config", against="1710.10196, Table 2, layer by layer")
@pytest.mark.verifies("models.progressive.build_generator", against="23,071,507 and each layer")
@pytest.mark.verifies("models.progressive.build_discriminator", against="23,077,137, each layer")
def test_the_papers_counts_at_every_resolution(monkeypatch):
    monkeypatch.setattr(keras.initializers.RandomNormal, "__call__", zeros)  # only shapes matter
    blocks = {  # resolution: weights of its two convolutions, in the generator
        8: (2_359_808, 2_359_808),
        16: (2_359_808, 2_359_808),
        32: (2_359_808, 2_359_808),
        64: (1_179_904, 590_080),
        128: (295_040, 147_584),
        256: (73_792, 36_928),
        512: (18_464, 9_248),
        1024: (4_624, 2_320),
    }
    mirrored = {  # and in the discriminator, whose second one has twice as many biases
        8: (2_359_808, 2_359_808),
        16: (2_359_808, 2_359_808),
        32: (2_359_808, 2_359_808),
        64: (590_080, 1_180_160),
        128: (147_584, 295_168),
        256: (36_928, 73_856),
        512: (9_248, 18_496),
        1024: (2_320, 4_640),
    }
    maps = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
    generator = 4_194_816 + 2_359_808
    discriminator = 2_364_416 + 4_194_816 + 513
    for resolution in progressive.Config.paper().resolutions():
        generator += sum(blocks.get(resolution, ()))
        discriminator += sum(mirrored.get(resolution, ()))
        config = at(progressive.Config.paper(), resolution)
        assert config.maps(resolution) == maps[resolution]
        to_rgb, from_rgb = 3 * maps[resolution] + 3, 4 * maps[resolution]
        made, judged = (build(config) for build in BUILDERS)
        assert trainable(made) == made.count_params() == generator + to_rgb
        assert trainable(judged) == judged.count_params() == discriminator + from_rgb
        totals = {4: (6_556_163, 6_561_793), 1024: (23_071_507, 23_077_137)}
        assert (trainable(made), trainable(judged)) == totals.get(
            resolution, (trainable(made), trainable(judged))
        )


def zeros(initializer, shape, dtype=None):
    return ops.zeros(shape, dtype)


def test_the_papers_networks_fade_with_one_more_rgb_layer(monkeypatch):
    monkeypatch.setattr(keras.initializers.RandomNormal, "__call__", zeros)
    config = at(progressive.Config.paper(), 64)
    for build, extra in zip(BUILDERS, (3 * 512 + 3, 4 * 512), strict=True):
        assert trainable(build(config, fading=True)) == trainable(build(config)) + extra


@pytest.mark.verifies(
    "models.progressive.build_generator", against="gains √2, √2/4 first, 1 to RGB (1710.10196, 4.1)"
)
@pytest.mark.verifies(
    "models.progressive.build_discriminator", against="gains √2, and 1 for the logit"
)
def test_gains():
    for build in BUILDERS:
        network = build(SMALL, fading=True)
        weighted = [layer for layer in network.layers if hasattr(layer, "kernel")]
        for layer in weighted:
            fan_in = math.prod(layer.kernel.shape[:-1])
            if layer.name == "dense_4x4" and build is progressive.build_generator:
                fan_in = SMALL.latent_dim
                gain = math.sqrt(2) / 4
            elif layer.name.startswith("to_rgb") or layer.name == "logits":
                gain = 1.0
            else:
                gain = math.sqrt(2)
            assert layer.scale == pytest.approx(gain / math.sqrt(fan_in)), layer.name
        assert len(weighted) == 8 if build is progressive.build_generator else 9


def test_structure_of_the_networks():
    generator, discriminator = (build(SMALL) for build in BUILDERS)
    kinds = [[type(layer).__name__ for layer in net.layers] for net in (generator, discriminator)]
    assert generator.layers[-1].name == "to_rgb_16x16"  # no tanh after it
    assert kinds[0].count("PixelNorm") == 1 + 6  # the latents, and after each layer but the last
    assert kinds[0].count("LeakyReLU") == 6
    assert kinds[0].count("UpSampling2D") == kinds[1].count("AveragePooling2D") == 2
    assert "PixelNorm" not in kinds[1]
    before_last_conv = discriminator.get_layer("conv_4x4")
    assert before_last_conv.kernel.shape[2] == SMALL.maps(4) + 1  # and the deviations' map
    assert generator.output_shape == discriminator.input_shape == (None, 16, 16, 2)
    assert discriminator.output_shape == (None, 1)


@pytest.mark.parametrize(
    ("switch", "gone"),
    [({"pixel_norm": False}, "PixelNorm"), ({"stddev_group": 0}, "MinibatchStddev")],
)
def test_switches_switch_off(switch, gone):
    config = dataclasses.replace(SMALL, **switch)
    for build in BUILDERS:
        assert gone not in [type(layer).__name__ for layer in build(config).layers]


def test_without_equalized_rates_the_function_is_of_the_same_size():
    """The weights then carry He's scale themselves: same sizes of outputs, other gradients."""
    keras.utils.set_random_seed(0)
    plain = dataclasses.replace(SMALL, equalized=False, fmap_base=512, fmap_max=64)
    scaled = dataclasses.replace(plain, equalized=True)
    for build in BUILDERS:
        one, two = build(plain), build(scaled)
        layer, other = one.get_layer("conv_4x4"), two.get_layer("conv_4x4")
        assert layer.scale == 1
        assert np.std(layer.kernel) == pytest.approx(other.scale, rel=0.05)
        assert np.std(other.kernel) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resolution": 24}, "resolution must be a power of two from 4 on, got 24"),
        ({"resolution": 2}, "got 2"),
        ({"fmap_base": 7}, r"leave a map at 16×16, got 7; give at least 8"),
    ],
)
def test_bad_sizes_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **wrong)


def test_the_first_resolution_has_nothing_to_fade_in():
    for build in BUILDERS:
        with pytest.raises(ValueError, match="fading must be False at 4×4"):
            build(at(SMALL, 4), fading=True)


# --- growing ------------------------------------------------------------------------------


def grown(build, resolution=8):
    """(the old network, the grown one at α = 0), with weights unlike the initial ones."""
    keras.utils.set_random_seed(0)
    old = build(at(SMALL, resolution))
    for place, weight in enumerate(old.weights):
        weight.assign(noise(*weight.shape, seed=place))
    return old, progressive.inherit(build(at(SMALL, 2 * resolution), fading=True), old)


def double(images):
    return np.repeat(np.repeat(images, 2, axis=1), 2, axis=2)


def halve(images):
    count, height, width, channels = images.shape
    return images.reshape(count, height // 2, 2, width // 2, 2, channels).mean((2, 4))


@pytest.mark.verifies("models.progressive.inherit", against="α = 0: the old image, each pixel × 4")
@pytest.mark.verifies("layers.FadeIn", against="α = 0: the old network's output, bit for bit")
@pytest.mark.parametrize("resolution", [4, 8])
def test_a_grown_generator_begins_with_the_old_images(resolution):
    old, new = grown(progressive.build_generator, resolution)
    latents = noise(6, SMALL.latent_dim)
    before = ops.convert_to_numpy(old(latents))
    np.testing.assert_array_equal(new(latents), double(before))
    assert before.std() > 0.1
    new.get_layer("fade").alpha.assign(0.5)
    assert not np.allclose(new(latents), double(before), atol=1e-2)


@pytest.mark.verifies("models.progressive.inherit", against="α = 0: the old logit of half the size")
@pytest.mark.parametrize("resolution", [4, 8])
def test_a_grown_discriminator_begins_with_the_old_logits(resolution):
    old, new = grown(progressive.build_discriminator, resolution)
    images = images_of(at(SMALL, 2 * resolution))
    before = ops.convert_to_numpy(old(halve(images)))
    np.testing.assert_allclose(new(images), before, rtol=1e-5, atol=1e-5)
    assert before.std() > 1e-2
    new.get_layer("fade").alpha.assign(0.5)
    assert not np.allclose(new(images), before, atol=1e-3)


@pytest.mark.verifies("models.progressive.inherit", against="α = 1: the network without a fade")
@pytest.mark.verifies("layers.FadeIn", against="α = 1: the new network's output, bit for bit")
@pytest.mark.parametrize("build", BUILDERS)
def test_after_the_fade_the_old_path_is_gone(build):
    _, fading = grown(build)
    fading.get_layer("fade").alpha.assign(1.0)
    stable = progressive.inherit(build(SMALL), fading)
    inputs = inputs_of(stable)
    np.testing.assert_array_equal(stable(inputs), fading(inputs))


def test_growing_from_a_faded_network_starts_the_next_fade_at_zero():
    for build in BUILDERS:
        _, fading = grown(build, 4)
        fading.get_layer("fade").alpha.assign(1.0)
        again = progressive.inherit(build(SMALL, fading=True), fading)
        assert float(again.get_layer("fade").alpha) == 0


def test_networks_that_do_not_fit_are_named():
    wide = dataclasses.replace(SMALL, fmap_max=16, fmap_base=64)
    with pytest.raises(ValueError, match=r"must have the same maps, got .* in dense_4x4"):
        progressive.inherit(
            progressive.build_generator(wide), progressive.build_generator(at(SMALL, 8))
        )
    with pytest.raises(ValueError, match="older must share layers"):
        progressive.inherit(
            progressive.build_generator(SMALL), keras.Sequential([keras.Input((2,))])
        )


# --- the images ---------------------------------------------------------------------------


@pytest.mark.verifies("models.progressive.cross_fade", against="halving and doubling in NumPy")
def test_cross_fade_by_hand():
    images = images_of(SMALL)
    coarse = double(halve(images))
    for alpha in (0.0, 0.3, 1.0):
        expected = (1 - alpha) * coarse + alpha * images
        np.testing.assert_allclose(progressive.cross_fade(images, alpha), expected, atol=1e-6)
    np.testing.assert_array_equal(progressive.cross_fade(images, 1.0), images)


@pytest.mark.verifies("models.progressive.shrink", against="halving twice in NumPy; the mean")
def test_shrink_by_hand():
    images = images_of(SMALL)
    np.testing.assert_allclose(progressive.shrink(images, 4), halve(halve(images)), atol=1e-6)
    np.testing.assert_array_equal(progressive.shrink(images, 16), images)
    np.testing.assert_allclose(
        progressive.shrink(images, 1)[:, 0, 0], images.mean((1, 2)), atol=1e-6
    )
    with pytest.raises(ValueError, match=r"a multiple of 32, got 28×28; pad or crop"):
        progressive.shrink(np.zeros((1, 28, 28, 1), "float32"), 32)


# --- training -----------------------------------------------------------------------------


def game(resolution=8, fade_steps=0, **rules):
    keras.utils.set_random_seed(0)
    model = progressive.ProgressiveGAN(at(SMALL, resolution), fade_steps=fade_steps)
    model.compile(**rules)
    return model


def fit(model, steps, start=0):
    batches = training.batches(images_of(model.config, 12), 4, start=start)
    return model.fit(batches, steps_per_epoch=steps, verbose=0)


def alphas(model):
    networks = (model.generator, model.discriminator, model.ema_generator)
    return [float(network.get_layer("fade").alpha) for network in networks]


@pytest.mark.verifies("models.progressive.ProgressiveGAN", against="α = steps/4 by hand, then 1")
def test_the_fade_rises_in_all_networks_and_then_stays():
    model = game(8)
    fit(model, 3)
    model = model.grow(fade_steps=4)
    model.compile()
    assert alphas(model) == [0, 0, 0]
    for step in range(1, 7):
        fit(model, 1)
        assert alphas(model) == pytest.approx([min(step / 4, 1)] * 3, abs=1e-6)
    assert int(model.step) == 9
    assert alphas(model) == [1, 1, 1]


@pytest.mark.verifies("models.progressive.ProgressiveGAN", against="cross_fade of the batch")
def test_real_images_are_cross_faded():
    model = game(8, fade_steps=4)
    seen = []
    judge = model._judge
    model._judge = lambda samples, *rest: (seen.append(samples), judge(samples, *rest))[1]
    real = tf.constant(images_of(model.config))
    for step in range(1, 6):
        seen.clear()
        model.train_step(real)
        expected = progressive.cross_fade(real, min(step / 4, 1))
        np.testing.assert_allclose(seen[0], expected, atol=1e-6)
    np.testing.assert_array_equal(seen[0], real)


@pytest.mark.verifies(
    "models.progressive.ProgressiveGAN", against="the average before growth, and its recursion"
)
def test_the_average_grows_too_and_goes_on():
    model = game(4, ema_decay=0.99)
    fit(model, 30)
    before = model.sample(5, seed=3)
    bigger = model.grow(fade_steps=5)
    bigger.compile(ema_decay=0.99)
    np.testing.assert_array_equal(bigger.sample(5, seed=3), double(before))
    shared, new = (
        bigger.ema_generator.get_layer(name).kernel for name in ("conv_4x4", "conv1_8x8")
    )
    np.testing.assert_array_equal(shared, model.ema_generator.get_layer("conv_4x4").kernel)
    assert not np.allclose(shared, bigger.generator.get_layer("conv_4x4").kernel)
    np.testing.assert_array_equal(new, bigger.generator.get_layer("conv1_8x8").kernel)
    average = shared.numpy()
    fit(bigger, 1)
    keep = 32 / 41  # (1 + step)/(10 + step) at step 31: the steps have not begun anew
    average = keep * average + (1 - keep) * bigger.generator.get_layer("conv_4x4").kernel.numpy()
    np.testing.assert_allclose(shared, average, rtol=1e-5, atol=1e-6)


@pytest.mark.verifies("models.progressive.ProgressiveGAN", against="every shared weight, copied")
def test_growing_keeps_all_weights_and_begins_new_momenta():
    model = game(8)
    fit(model, 4)
    bigger = model.grow()
    bigger.compile()
    for old, new in (
        (model.generator, bigger.generator),
        (model.discriminator, bigger.discriminator),
    ):
        kept = [layer for layer in old.layers if layer.weights and "rgb" not in layer.name]
        assert len(kept) >= 4
        for layer in kept:
            for one, two in zip(layer.weights, new.get_layer(layer.name).weights, strict=True):
                np.testing.assert_array_equal(one, two)
        assert "fade" not in [layer.name for layer in new.layers]  # no fade was asked for
    np.testing.assert_array_equal(bigger.seed_generator.state, model.seed_generator.state)
    assert all(not np.any(v) for v in bigger.d_optimizer.variables[2:])
    assert any(np.any(v) for v in model.d_optimizer.variables[2:])
    fit(bigger, 1)
    assert not any("8x8" in w.path and "rgb" in w.path for w in bigger.weights)


@pytest.mark.verifies(
    "models.progressive.ProgressiveGAN", against="1710.10196, appendix A.1: the rules"
)
def test_the_default_rules_are_the_papers():
    model = game(4)
    assert (model.game.name, model.penalty_weight, model.drift) == ("wasserstein", 10, 0.001)
    assert model.penalty is training._PENALTIES["gradient_penalty"]
    assert model.ema_decay == 0.999
    for adam in model.optimizers():
        found = float(adam.learning_rate), adam.beta_1, adam.beta_2, adam.epsilon
        assert found == pytest.approx((1e-3, 0, 0.99, 1e-8))
    assert model.g_optimizer is not model.d_optimizer


def test_a_run_stopped_in_the_middle_of_a_fade_resumes(tmp_path):
    whole = game(8, fade_steps=6)
    fit(whole, 5)
    stopped = game(8, fade_steps=6)
    fit(stopped, 3)
    training.save_state(stopped, tmp_path / "run.npz")
    resumed = game(8, fade_steps=6)
    step = training.load_state(resumed, tmp_path / "run.npz")
    assert alphas(resumed) == alphas(stopped)
    fit(resumed, 2, start=step)
    for found, expected in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy(), err_msg=expected.path)


def test_samples_are_images():
    model = game(4)
    model.generator.get_layer("to_rgb_4x4").bias.assign([9.0, -9.0])
    model.ema_generator.set_weights(model.generator.get_weights())
    samples = model.sample(3)
    assert samples.shape == (3, 4, 4, 2)
    assert (samples.min(), samples.max()) == (-1, 1)


@pytest.mark.verifies("models.progressive.schedule", against="1710.10196, appendix A.1, by hand")
@pytest.mark.verifies("models.progressive.Phase", against="1710.10196, appendix A.1, by hand")
def test_the_papers_schedule():
    phases = progressive.schedule(progressive.Config.paper())
    assert [phase.resolution for phase in phases] == [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert [phase.batch_size for phase in phases] == [16] * 6 + [14, 6, 3]
    assert phases[0] == progressive.Phase(4, 16, 0, 50_000)
    assert phases[1] == progressive.Phase(8, 16, 50_000, 100_000)
    shown = sum(phase.steps * phase.batch_size for phase in phases)
    assert 17 * 800_000 <= shown < 17 * 800_000 + 100
    at_once = progressive.schedule(SMALL, images=640, fade=0, batch_sizes={4: 64, 16: 32})
    assert at_once == [(4, 64, 0, 10), (8, 64, 0, 10), (16, 32, 0, 20)]


@pytest.mark.verifies("models.progressive.ProgressiveGAN", against="the distance to real images")
def test_growing_learns_in_seconds():
    """From 4×4 to 8×8: each pixel's mean and deviation come near those of real images."""
    keras.utils.set_random_seed(0)
    images = data.load("fashion_mnist", limit=2_000)[0][:, 2:26, 2:26]
    config = progressive.Config(resolution=8, latent_dim=16, fmap_base=32, fmap_max=16)
    model = progressive.ProgressiveGAN(at(config, 4))
    real = progressive.shrink(images, 8)
    for phase in progressive.schedule(config, images=2_400, fade=1_600, batch_sizes={4: 16}):
        if phase.resolution > 4:
            model = model.grow(phase.fade_steps)
        model.compile(*(keras.optimizers.Adam(1e-2, beta_1=0.0, beta_2=0.99) for _ in "gd"))
        small = progressive.shrink(images, phase.resolution)
        model.fit(training.batches(small, 16), steps_per_epoch=phase.steps, verbose=0)
    made = model.sample(500)
    errors = [np.abs(f(made, 0) - f(real, 0)).mean() for f in (np.mean, np.std)]
    spread = np.abs(real - real.mean()).mean()
    assert max(errors) < spread / 3


# --- what it costs ------------------------------------------------------------------------


@pytest.mark.verifies("models.progressive.multiply_adds", against="the paper's 4×4, by hand")
def test_multiply_adds_by_hand(monkeypatch):
    monkeypatch.setattr(keras.initializers.RandomNormal, "__call__", zeros)
    generator, discriminator = (build(at(progressive.Config.paper(), 4)) for build in BUILDERS)
    made = 512 * 512 * 16 + 16 * 9 * 512 * 512 + 16 * 512 * 3
    judged = 16 * 3 * 512 + 16 * 9 * 513 * 512 + 16 * 512 * 512 + 512
    assert progressive.multiply_adds(generator) == made == 41_967_616
    assert progressive.multiply_adds(discriminator) == judged == 42_041_856


@pytest.mark.verifies("models.progressive.multiply_adds", against="TensorFlow's profiler at 16×16")
def test_multiply_adds_equal_the_profilers_count():
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    for build in BUILDERS:
        network = build(SMALL)
        spec = tf.TensorSpec((1, *network.input_shape[1:]))
        frozen = convert_variables_to_constants_v2(
            tf.function(lambda x, n=network: n(x)).get_concrete_function(spec)
        )
        options = tf.compat.v1.profiler.ProfileOptionBuilder(
            tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        )
        options = options.with_empty_output().build()
        with tf.Graph().as_default() as graph:
            tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
            counted = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
        products = 0
        while counted.children:  # each kind of operation is the child of the one before
            (counted,) = counted.children
            products += counted.float_ops if counted.name in ("Conv2D", "MatMul") else 0
        assert products == 2 * progressive.multiply_adds(network)


@pytest.mark.verifies("models.progressive.Config", against="one step of the paper's, 4² to 128²")
def test_the_papers_networks_take_a_step_at_each_resolution():
    """Full width, growing as in training; two images a step, one where it takes long.

    Not 256², which alone takes as long as all the others, nor beyond: those are counted.
    """
    model = progressive.ProgressiveGAN(at(progressive.Config.paper(), 4))
    for resolution in (4, 8, 16, 32, 64, 128):
        if resolution > 4:
            model = model.grow(fade_steps=2)
            gc.collect()  # Keras models hold themselves; six of them would stay in memory
        model.compile()
        before = [weight.numpy().ravel()[:50] for weight in model.trainable_variables]
        losses = model.train_step(tf.constant(images_of(model.config, 2 if resolution < 64 else 1)))
        assert model.config.resolution == resolution
        assert all(np.isfinite(float(value)) for value in losses.values())
        still = [
            weight.path
            for old, weight in zip(before, model.trainable_variables, strict=True)
            if np.array_equal(old, weight.numpy().ravel()[:50])
        ]
        assert [path for path in still if not path.endswith("logits/bias")] == []


# --- the layers ---------------------------------------------------------------------------


@pytest.mark.verifies("layers.EqualizedConv2D", against="keras.layers.Conv2D with scaled weights")
def test_equalized_convolution_by_hand():
    keras.utils.set_random_seed(0)
    layer = layers.EqualizedConv2D(6, 3, gain=0.7)
    x = noise(2, 5, 5, 4)
    found = layer(x)
    layer.bias.assign(noise(6))
    plain = keras.layers.Conv2D(6, 3, padding="same")
    plain.build(x.shape)
    plain.set_weights([layer.kernel.numpy() * 0.7 / math.sqrt(9 * 4), noise(6)])
    np.testing.assert_allclose(layer(x), plain(x), atol=1e-5)
    assert found.shape == layer.compute_output_shape(x.shape) == (2, 5, 5, 6)
    assert layer.count_params() == 9 * 4 * 6 + 6


@pytest.mark.verifies("layers.EqualizedDense", against="a matrix product in NumPy")
@pytest.mark.parametrize("units", [6, (2, 2, 3)])
def test_equalized_dense_by_hand(units):
    keras.utils.set_random_seed(0)
    layer = layers.EqualizedDense(units, gain=0.7)
    x = noise(5, 4)
    shape = layer(x).shape
    layer.bias.assign(noise(*layer.bias.shape))
    kernel, bias = layer.kernel.numpy().reshape(4, -1), layer.bias.numpy()
    expected = (x @ kernel * 0.7 / 2).reshape(shape) + bias
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert bias.shape == (6 if units == 6 else 3,)  # one bias for a map, not for a unit
    assert shape == layer.compute_output_shape(x.shape)


@pytest.mark.verifies(
    "layers.EqualizedDense", against="He et al. 2015: gain² times the mean square"
)
@pytest.mark.verifies("layers.EqualizedConv2D", against="He et al. 2015: gain² times the square")
@pytest.mark.parametrize("equalized", [True, False])
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2), math.sqrt(2) / 4])
def test_outputs_have_the_gains_size(gain, equalized):
    keras.utils.set_random_seed(0)
    options = {"gain": gain, "equalized": equalized}
    dense, conv = layers.EqualizedDense(256, **options), layers.EqualizedConv2D(64, 3, **options)
    assert np.std(dense(noise(200, 128))) == pytest.approx(gain, rel=0.05)
    inner = ops.convert_to_numpy(conv(noise(8, 16, 16, 64)))[:, 1:-1, 1:-1]  # no zeros at the edge
    assert np.std(inner) == pytest.approx(gain, rel=0.05)


@pytest.mark.verifies("layers.EqualizedDense", against="the chain rule: slopes times gain/√fan_in")
def test_gradients_carry_the_same_scale():
    """∂/∂w of f(c·w) is c·f′: the weights, of size 1, move as much as their slopes are scaled."""
    x = tf.constant(noise(7, 64))
    slopes = []
    for equalized in (True, False):
        layer = layers.EqualizedDense(3, equalized=equalized)
        layer.build(x.shape)
        layer.kernel.assign(noise(64, 3) * (1 if equalized else math.sqrt(2) / 8))
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(x) ** 2)
        slopes.append(tape.gradient(total, layer.kernel))
    np.testing.assert_allclose(slopes[0], slopes[1] * math.sqrt(2) / 8, rtol=1e-4, atol=1e-4)


@pytest.mark.verifies("layers.PixelNorm", against="1710.10196, section 4.2, in NumPy")
def test_pixel_norm_by_hand():
    x = noise(2, 3, 3, 5) * 100
    found = ops.convert_to_numpy(layers.PixelNorm()(x))
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose((found**2).mean(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(layers.PixelNorm()(np.zeros((1, 4))), np.zeros((1, 4)))


@pytest.mark.verifies("layers.MinibatchStddev", against="1710.10196, section 3, in NumPy")
@pytest.mark.parametrize(
    ("batch", "group", "used"), [(8, 4, 4), (8, 16, 8), (6, 4, 3), (14, 16, 14), (3, 4, 3)]
)
def test_minibatch_deviation_by_hand(batch, group, used):
    x = noise(batch, 2, 3, 4)
    found = ops.convert_to_numpy(layers.MinibatchStddev(group)(x))
    np.testing.assert_array_equal(found[..., :-1], x)
    rows = batch // used
    for start in range(rows):  # image n belongs to group n mod rows
        members = x[start::rows]
        assert len(members) == used
        number = np.sqrt(members.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(found[start::rows, ..., -1], number, rtol=1e-5)


def test_minibatch_deviation_tells_a_collapsed_batch():
    layer = layers.MinibatchStddev(4)
    same = np.repeat(noise(1, 2, 2, 3), 4, axis=0)
    assert float(ops.max(layer(same)[..., -1])) == pytest.approx(1e-4, rel=1e-3)
    assert float(ops.min(layer(noise(4, 2, 2, 3))[..., -1])) > 0.1
    assert layer(noise(7, 2, 2, 3)).shape == (7, 2, 2, 4)  # 7 has no divisor up to 4 but 1
    slope = slope_of(layer, same)
    assert np.isfinite(slope).all()  # the square root's slope at 0 would not be


def slope_of(function, x):
    points = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(points)
        total = tf.reduce_sum(function(points))
    return tape.gradient(total, points)


@pytest.mark.verifies("layers.FadeIn", against="(1 − α)·old + α·new in NumPy")
def test_fade_in_by_hand():
    layer = layers.FadeIn()
    old, new = noise(2, 3), noise(2, 3, seed=1)
    np.testing.assert_array_equal(layer([old, new]), old)  # α begins at 0
    layer.alpha.assign(0.3)
    np.testing.assert_allclose(layer([old, new]), 0.7 * old + 0.3 * new, rtol=1e-5)
    assert layer.trainable_weights == []


@pytest.mark.parametrize("build", BUILDERS)
def test_saved_networks_give_the_same_outputs(build, tmp_path):
    network = build(dataclasses.replace(SMALL, equalized=False), fading=True)
    network.get_layer("fade").alpha.assign(0.3)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    inputs = inputs_of(network)
    np.testing.assert_array_equal(loaded(inputs), network(inputs))
    for layer in network.layers:
        assert loaded.get_layer(layer.name).get_config() == layer.get_config()


def test_bad_layers_are_named():
    with pytest.raises(ValueError, match="group must be >= 1, got 0"):
        layers.MinibatchStddev(0)
    with pytest.raises(ValueError, match="units, filters and sizes must be >= 1"):
        layers.EqualizedConv2D(0, 3)
