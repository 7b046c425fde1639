"""`models` and `layers`: parameter counts by hand, the bound against enumeration, round trips."""

import dataclasses

import keras
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf
from conftest import trainable
from keras import ops

from benchmarks import gpu_plans, lessons
from ganvae_lessons import data, layers, losses, theory, training
from ganvae_lessons.models import cgan, convlstm, dcgan, gan, vae


@pytest.fixture(scope="module")
def images():
    return data.load("fashion_mnist", "test", limit=64)[0]


@pytest.mark.verifies("layers.Maxout", against="the maximum of five dense maps in NumPy")
def test_maxout_by_hand():
    keras.utils.set_random_seed(0)
    layer = layers.Maxout(3, 5)
    x = np.random.default_rng(0).normal(size=(4, 7)).astype("float32")
    found = ops.convert_to_numpy(layer(x))
    kernel, bias = (ops.convert_to_numpy(weight) for weight in layer.weights)
    expected = (x @ kernel + bias).reshape(4, 3, 5).max(axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert layer.count_params() == 3 * 5 * (7 + 1)
    with pytest.raises(ValueError, match="units and pieces must be >= 1"):
        layers.Maxout(3, 0)


@pytest.mark.verifies("layers.Pointwise", against="keras.layers.Dense, and a product in NumPy")
@pytest.mark.parametrize("shape", [(2, 1, 28, 8), (3, 4, 5, 6), (3, 4, 6), (5, 6)])
def test_pointwise_is_dense_on_the_last_axis(shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    ours, theirs = layers.Pointwise(3), keras.layers.Dense(3)
    found = ops.convert_to_numpy(ours(x))
    theirs.build(shape)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    kernel = ours.kernel.numpy()
    ours.bias.assign([1.0, 2.0, 3.0])
    assert found.shape == (*shape[:-1], 3) == tuple(ours.compute_output_shape(shape))
    np.testing.assert_allclose(found, x @ kernel, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours(x), x @ kernel + [1.0, 2.0, 3.0], rtol=1e-4, atol=1e-5)
    inputs = keras.Input((None, *shape[2:]) if len(shape) > 2 else shape[1:])
    assert tuple(ours(inputs).shape[2:]) == ((*shape[2:-1], 3) if len(shape) > 2 else ())


@pytest.mark.verifies("layers.BatchNorm", against="keras.layers.BatchNormalization, and NumPy")
@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (6, 3)])
def test_batch_norm_equals_keras_and_numpy(shape, tmp_path):
    x = np.random.default_rng(0).normal(2.0, 3.0, size=shape).astype("float32")
    ours, theirs = layers.BatchNorm(momentum=0.9), keras.layers.BatchNormalization(momentum=0.9)
    slopes = []
    for layer in (ours, theirs):
        layer.build(shape)
        layer.gamma.assign([0.5, 1.0, 2.0])
        layer.beta.assign([0.0, 1.0, -1.0])
        points = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(points)
            total = ops.sum(layer(points, training=True) ** 3)
        slopes.append(tape.gradient(total, [points, layer.gamma, layer.beta]))
    for one, two in zip(*slopes, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)
    axes = tuple(range(len(shape) - 1))
    expected = (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-3) * [0.5, 1, 2] + [0, 1, -1]
    np.testing.assert_allclose(ours(x, training=True), expected, rtol=1e-4, atol=1e-4)
    # two updates of the moving statistics from (0, 1); the fused variance is the unbiased one
    np.testing.assert_allclose(ours.moving_mean, x.mean(axes) * 0.19, rtol=1e-5)
    variance = x.var(axes, ddof=1 if len(shape) == 4 else 0)
    np.testing.assert_allclose(ours.moving_variance, 0.81 + 0.19 * variance, rtol=1e-5)
    held = ours(x, training=False)
    mean, scale = (ops.convert_to_numpy(w) for w in (ours.moving_mean, ours.moving_variance))
    expected = (x - mean) / np.sqrt(scale + 1e-3) * [0.5, 1, 2] + [0, 1, -1]
    np.testing.assert_allclose(held, expected, rtol=1e-4, atol=1e-4)
    model = keras.Sequential([keras.Input(shape[1:]), ours])
    model.save(tmp_path / "norm.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "norm.keras")(x), held)


def test_batch_norm_lets_a_penalty_through():
    """R1 takes gradients of gradients; the fused kernel has both."""
    keras.utils.set_random_seed(0)
    x = tf.constant(np.random.default_rng(0).normal(size=(6, 4, 4, 2)).astype("float32"))
    slopes = []
    for kind in (layers.BatchNorm, keras.layers.BatchNormalization):
        keras.utils.set_random_seed(0)
        network = keras.Sequential([keras.layers.Conv2D(3, 3), kind(), keras.layers.Flatten()])
        network(x)
        with tf.GradientTape() as tape:
            penalty = losses.r1_penalty(lambda p: network(p, training=True) ** 2, x)  # noqa: B023
        slopes.append(tape.gradient(penalty, network.trainable_variables))
    for one, two in zip(*slopes, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)


@pytest.mark.verifies(
    "models.gan.Config", against="mnist.yaml of the authors' code, counted by hand"
)
@pytest.mark.verifies("models.gan.build_generator", against="mnist.yaml of the authors' code")
@pytest.mark.verifies("models.gan.build_discriminator", against="mnist.yaml of the authors' code")
def test_first_gan_at_the_papers_size():
    paper = gan.Config.paper()
    generator = (100 + 1) * 1200 + (1200 + 1) * 1200 + (1200 + 1) * 784
    discriminator = (784 + 1) * 240 * 5 + (240 + 1) * 240 * 5 + 240 + 1
    assert trainable(gan.build_generator(paper)) == generator
    assert trainable(gan.build_discriminator(paper)) == discriminator
    rates = [
        layer.rate
        for layer in gan.build_discriminator(paper).layers
        if isinstance(layer, keras.layers.Dropout)
    ]
    assert rates == [0.2, 0.5, 0.5]  # input kept with 0.8, hidden units with 0.5


@pytest.mark.verifies("models.gan.build_generator", against="saved, loaded, and sampled again")
@pytest.mark.verifies("models.gan.build_discriminator", against="saved, loaded, and asked again")
def test_gan_networks_survive_saving(tmp_path):
    config = gan.Config(maxout_pieces=2, generator_units=(8,), discriminator_units=(8,))
    latents = np.random.default_rng(0).normal(size=(3, config.latent_dim)).astype("float32")
    generator, discriminator = gan.build_generator(config), gan.build_discriminator(config)
    samples = generator.predict(latents, verbose=0)
    assert samples.shape == (3, 28, 28, 1)
    assert np.abs(samples).max() <= 1
    logits = discriminator.predict(samples, verbose=0)
    assert logits.shape == (3, 1)
    generator.save(tmp_path / "g.keras")
    discriminator.save(tmp_path / "d.keras")
    loaded = keras.models.load_model(tmp_path / "g.keras")
    np.testing.assert_array_equal(loaded.predict(latents, verbose=0), samples)
    loaded = keras.models.load_model(tmp_path / "d.keras")
    np.testing.assert_array_equal(loaded.predict(samples, verbose=0), logits)


@pytest.mark.verifies(
    "models.gan.build_discriminator", against="singular values by NumPy, at most 1"
)
def test_spectral_norm_bounds_every_matrix():
    keras.utils.set_random_seed(0)
    config = gan.Config(sample_shape=(2,), discriminator_units=(16, 16), spectral_norm=True)
    discriminator = gan.build_discriminator(config)
    points = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    for _ in range(50):  # power iterations
        discriminator(points, training=True)
    kernels = [w.numpy() for w in discriminator.trainable_variables if len(w.shape) == 2]
    norms = [np.linalg.svd(kernel, compute_uv=False)[0] for kernel in kernels]
    np.testing.assert_allclose(norms, 1, rtol=1e-3)
    ends = points + np.random.default_rng(1).normal(size=points.shape).astype("float32")
    rise = np.abs(discriminator(points) - discriminator(ends)).ravel()
    assert (rise <= np.linalg.norm(points - ends, axis=1) * 1.001).all()


def test_clipped_weights_stay_in_the_box(tmp_path):
    keras.utils.set_random_seed(0)
    config = gan.Config.points()
    config = dataclasses.replace(config, discriminator_units=(8, 8), weight_clip=0.05)
    model = training.AdversarialModel(
        gan.build_generator(config), gan.build_discriminator(config), seed=0
    )
    model.compile(keras.optimizers.RMSprop(1e-2), keras.optimizers.RMSprop(1e-2), "wasserstein")
    points = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    model.fit(training.batches(points, 16), steps_per_epoch=5, verbose=0)
    largest = [float(np.abs(w).max()) for w in model.discriminator.trainable_variables]
    assert max(largest) == pytest.approx(0.05)
    assert max(float(np.abs(w).max()) for w in model.generator.trainable_variables) > 0.05
    model.discriminator.save(tmp_path / "critic.keras")
    loaded = keras.models.load_model(tmp_path / "critic.keras")
    assert loaded.layers[-1].kernel_constraint.bound == 0.05


def gpu_configs():
    """Yield (lesson, Config) for every `gpu=…Config(…)` that a lesson gives to budget.pick."""
    for lesson in lessons.names():
        for config in lessons.configs(lesson):
            yield lesson, config


@pytest.mark.parametrize(
    ("name", "config"),
    [
        *(("paper", module.Config.paper()) for module in (cgan, dcgan, gan, vae)),
        ("pytorch", dcgan.Config.pytorch()),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__module__[-3:],
)
def test_one_step_at_full_size(name, config, images):
    """The papers' networks build, and a step moves them; test_gpu_plans has the lessons'."""
    asked, batch = {}, training.batches(images, 4)
    if isinstance(config, vae.Config):
        model = vae.build_vae(config)
        model.compile(optimizer=keras.optimizers.Adam(1e-3))
    else:
        module = {each.Config: each for each in (gan, dcgan, cgan)}[type(config)]
        model = training.AdversarialModel(
            module.build_generator(config), module.build_discriminator(config)
        )
        model.compile(keras.optimizers.SGD(0.1, 0.5), keras.optimizers.SGD(0.1, 0.5))
        shape = model.generator.output_shape[1:]
        if shape != (28, 28, 1):
            some = np.random.default_rng(0).uniform(-1, 1, (8, *shape)).astype("float32")
            batch = training.batches(some, 4)
        if model.conditional:
            batch = training.batches(images, 4, conditions=np.arange(len(images)) % 10)
            asked = {"conditions": np.arange(2)}
    before = model.sample(2, **asked)
    model.fit(batch, steps_per_epoch=1, verbose=0)
    assert not np.array_equal(before, model.sample(2, **asked))


def test_the_papers_fully_connected_forecaster():
    """143 million weights: a step by plain gradient descent, and over one frame each way."""
    config = dataclasses.replace(convlstm.Config.paper("fc_lstm"), frames_in=1, frames_out=1)
    model = convlstm.build(config)
    model.compile(keras.optimizers.SGD(0.01))
    clip = np.random.default_rng(0).uniform(-1, 1, (1, 2, *config.frame_shape)).astype("float32")
    before = model.forecast(clip[:, :1])
    model.fit(training.batches(clip, 1), steps_per_epoch=1, verbose=0)
    after = model.forecast(clip[:, :1])
    assert np.isfinite(after).all() and not np.array_equal(before, after)


def test_the_lessons_have_gpu_configurations():
    """Each is in a plan, whose step test_gpu_plans takes, or has taken one above or in test_rnn."""
    found = list(gpu_configs())
    expected = {"04_first_gan", "05_dcgan", "07_evaluation", "08_cgan", "09_stackgan"}
    expected |= {"10_progressive", "11_vae", "12_latent_space", "13_vaegan"}
    expected |= {"14_rnn_images", "15_rnn_video"}
    assert {lesson for lesson, _ in found} == expected
    planned = {plan.config for plan in gpu_plans.plans()}
    assert [(lesson, config) for lesson, config in found if config not in planned] == []


@pytest.mark.verifies("models.vae.Config", against="1312.6114, section 5: 784-500-20, by hand")
@pytest.mark.verifies("models.vae.build_encoder", against="1312.6114, section 5, by hand")
@pytest.mark.verifies("models.vae.build_decoder", against="1312.6114, section 5, by hand")
def test_vae_at_the_papers_size():
    paper = vae.Config.paper()
    assert trainable(vae.build_encoder(paper)) == 785 * 500 + 2 * 501 * 20
    assert trainable(vae.build_decoder(paper)) == 21 * 500 + 501 * 784


@pytest.mark.verifies(
    "models.vae.build_encoder", against="the counts of the default layers, by hand"
)
@pytest.mark.verifies(
    "models.vae.build_decoder", against="the counts of the default layers, by hand"
)
def test_convolutional_vae_layer_by_layer():
    config = vae.Config(filters=(32, 64), units=(256,))
    convs = (16 * 1 + 1) * 32 + (16 * 32 + 1) * 64
    dense = (49 * 64 + 1) * 256 + 2 * (256 + 1) * 20
    assert trainable(vae.build_encoder(config)) == convs + dense
    dense = (20 + 1) * 256 + (256 + 1) * 49 * 64
    convs = (16 * 64 + 1) * 32 + 16 * 32 + 1
    assert trainable(vae.build_decoder(config)) == dense + convs


@pytest.mark.verifies("models.vae.build_vae", against="both networks move, and the ELBO rises")
@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_vae_learns(kind, likelihood, images):
    keras.utils.set_random_seed(0)
    config = vae.Config(kind=kind, likelihood=likelihood, filters=(8, 8), units=(32,), latent_dim=4)
    model = vae.build_vae(config, seed=1)
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    before = [weight.numpy().copy() for weight in model.trainable_variables]
    history = model.fit(
        training.batches(images, 32), steps_per_epoch=6, epochs=4, verbose=0
    ).history
    assert history["elbo"][-1] > history["elbo"][0] + 40
    assert set(history) == {"loss", "elbo", "log_likelihood", "kl"}
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert not np.array_equal(old, new), new.path
    assert model.sample(3).shape == (3, 28, 28, 1)
    assert np.abs(model.sample(3)).max() <= 1
    np.testing.assert_array_equal(model.sample(3, seed=2), model.sample(3, seed=2))


@pytest.mark.verifies("models.vae.VAE", against="theory.gaussian_kl and scipy, term by term")
def test_objective_is_the_elbo(images):
    """β, warm-up and free bits change the loss and never the reported ELBO."""
    keras.utils.set_random_seed(0)
    config = vae.Config(kind="dense", units=(16,), latent_dim=3)
    model = vae.build_vae(config, beta=4.0, warm_up=10, free_bits=0.5, seed=7)
    model.step.assign(5)
    state = model.seed_generator.state.numpy().copy()
    found = {name: float(value) for name, value in model.objective(images, True).items()}

    mean, log_var = model.encode(images)
    model.seed_generator.state.assign(state)
    latents = model.draw(mean, log_var)
    probabilities = (model.decode(latents) + 1) / 2
    targets = (images + 1) / 2
    score = targets * np.log(probabilities) + (1 - targets) * np.log1p(-probabilities)
    log_likelihood = score.sum(axis=(1, 2, 3)).mean()
    kl = theory.gaussian_kl(mean, log_var).mean()
    by_dimension = theory.gaussian_kl(mean[..., None], log_var[..., None]).mean(axis=0)
    price = np.maximum(by_dimension, 0.5).sum()
    assert found["log_likelihood"] == pytest.approx(log_likelihood, rel=1e-4)
    assert found["kl"] == pytest.approx(kl, rel=1e-4)
    assert found["elbo"] == pytest.approx(log_likelihood - kl, rel=1e-4)
    assert price > kl  # so that free bits do something here
    assert found["loss"] == pytest.approx(4 * 0.5 * price - log_likelihood, rel=1e-4)


def linear_decoder_vae():
    """A VAE whose marginal is known: x = Wz + noise, W and the noise's variance chosen."""
    config = vae.Config(
        image_shape=(2, 2, 1), kind="dense", units=(), latent_dim=2, likelihood="gaussian"
    )
    model = vae.build_vae(config, seed=0)
    flat = keras.Input((2,))
    weights = np.array([[0.5, -0.2, 0.3, 0.1], [0.1, 0.4, -0.3, 0.2]], "float32")
    dense = keras.layers.Dense(4, use_bias=False)
    model.decoder = keras.Model(flat, keras.layers.Reshape((2, 2, 1))(dense(flat)))
    dense.kernel.assign(weights)
    model.pixel_log_var.assign(np.log(0.1))
    return model, weights


@pytest.mark.verifies("models.vae.VAE", against="the exact marginal of a linear model, scipy")
def test_importance_weighted_bound_rises_to_the_log_likelihood():
    keras.utils.set_random_seed(0)
    model, weights = linear_decoder_vae()
    points = np.clip(np.random.default_rng(0).normal(scale=0.4, size=(40, 4)), -1, 1)
    images = points.reshape(40, 2, 2, 1).astype("float32")
    exact = scipy.stats.multivariate_normal(
        np.zeros(4), weights.T @ weights + 0.1 * np.eye(4)
    ).logpdf(points)
    one, ten, many = (
        np.mean([model.importance_weighted_bound(images, k, seed=s) for s in range(repeats)])
        for k, repeats in ((1, 20), (10, 10), (2000, 1))
    )
    assert one < ten < many + 0.02
    assert many == pytest.approx(exact.mean(), abs=0.03)
    assert one < exact.mean() - 0.2  # an untrained encoder leaves a gap to close
    kl = theory.gaussian_kl(*model.encode(images))
    assert np.isfinite(kl).all()


@pytest.mark.verifies("models.vae.VAE", against="quadrature over a one-dimensional latent")
def test_bound_of_a_bernoulli_model_by_quadrature(images):
    keras.utils.set_random_seed(3)
    config = vae.Config(kind="dense", units=(8,), latent_dim=1)
    model = vae.build_vae(config)
    some = np.sign(images[:3])  # binary images
    some[some == 0] = -1
    grid = np.linspace(-8, 8, 4001)
    decoded = model.decoder.predict(grid[:, None].astype("float32"), verbose=0).reshape(4001, -1)
    for image, bound in zip(some, model.importance_weighted_bound(some, 3000, seed=1), strict=True):
        bits = (image.ravel() + 1) / 2
        log_joint = (bits * decoded - np.logaddexp(0, decoded)).sum(axis=1)
        log_joint = log_joint + scipy.stats.norm.logpdf(grid)
        top = log_joint.max()
        exact = top + np.log(scipy.integrate.trapezoid(np.exp(log_joint - top), grid))
        assert bound == pytest.approx(exact, abs=0.15)


def test_a_vae_resumes_and_survives_saving(images, tmp_path):
    def build():
        keras.utils.set_random_seed(0)
        config = vae.Config(kind="dense", units=(8,), latent_dim=2, likelihood="gaussian")
        model = vae.build_vae(config, warm_up=4, seed=1)
        model.compile(optimizer=keras.optimizers.Adam(1e-3))
        model.optimizer.build(model.trainable_variables)
        return model

    def train(model, steps, start=0):
        data = training.batches(images, 16, start=start)
        model.fit(data, steps_per_epoch=steps, epochs=1, verbose=0)

    whole, stopped, resumed = build(), build(), build()
    train(whole, 5)
    train(stopped, 2)
    training.save_state(stopped, tmp_path / "vae.npz")
    train(resumed, 3, start=training.load_state(resumed, tmp_path / "vae.npz"))
    np.testing.assert_array_equal(whole.sample(4), resumed.sample(4))
    whole.decoder.save(tmp_path / "decoder.keras")
    loaded = keras.models.load_model(tmp_path / "decoder.keras")
    latents = keras.random.normal((4, 2), seed=0)
    np.testing.assert_array_equal(loaded.predict(latents, verbose=0), whole.sample(4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vae.Config(kind="cnn"), "kind must be one of"),
        (lambda: vae.Config(likelihood="laplace"), "likelihood must be one of"),
        (lambda: vae.Config(image_shape=(30, 28, 1)), "divisible by 4.*pad the images"),
        (lambda: gan.Config(maxout_pieces=2, spectral_norm=True), "maxout_pieces must be 0 with"),
        (lambda: gan.Config(dropout=(0.5,)), "one rate before each dense layer"),
        (
            lambda: linear_decoder_vae()[0].importance_weighted_bound(np.zeros((1, 2, 2, 1)), 0),
            "samples must be >= 1",
        ),
        (
            lambda: linear_decoder_vae()[0].encode(np.full((1, 2, 2, 1), 255.0)),
            r"images must be in \[-1, 1\]",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
