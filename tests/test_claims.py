"""The false claims of book/claims.md, each shown false with numbers and the package.

A number in a test's name is the claim's number on that page. Claims 14 and 15 are matters of
record: their tests hold the bibliography and the package's own attributions against arXiv's
numbers, whose first four digits are the year and the month of the first version.
"""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy import integrate, stats

from ganvae_lessons import data, latent, losses, metrics, theory
from ganvae_lessons.models import cgan, dcgan, gan, progressive, rnn, stackgan

ROOT = Path(__file__).resolve().parent.parent
P_DATA = np.array([0.5, 0.3, 0.2])
P_MODEL = np.array([0.1, 0.3, 0.6])
OPTIMUM = theory.optimal_discriminator(P_DATA, P_MODEL)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def table_losses(logits):
    """(discriminator loss, gradient): a discriminator with one free logit for each outcome.

    Ten samples stand for each distribution exactly, so the means are expectations.
    """
    real = np.repeat([0, 1, 2], np.round(10 * P_DATA).astype(int))
    fake = np.repeat([0, 1, 2], np.round(10 * P_MODEL).astype(int))
    logits = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = losses.get("minimax").discriminator(tf.gather(logits, real), tf.gather(logits, fake))
    return float(loss), tf.convert_to_tensor(tape.gradient(loss, logits)).numpy()


def linear_elbo(x, parameters):
    """The exact ELBO (nats, mean over rows) of a linear VAE: no sampling is needed.

    `x` (N, n), centered. Encoder: mean x·A, variances exp(log_var); decoder: mean z·W, variance
    exp(log_noise). E‖x − zW‖² = ‖x − mW‖² + Σⱼ exp(log_varⱼ)‖Wⱼ‖².
    """
    encoder, log_var, decoder, log_noise = parameters
    mean = x @ encoder  # (N, k)
    square = tf.reduce_sum((x - mean @ decoder) ** 2, axis=1)
    square += tf.reduce_sum(tf.exp(log_var)[:, None] * decoder**2)
    log_likelihood = -0.5 * (
        x.shape[1] * (np.log(2 * np.pi) + log_noise) + square * tf.exp(-log_noise)
    )
    log_vars = tf.broadcast_to(log_var, tf.shape(mean))
    return tf.reduce_mean(log_likelihood - losses.gaussian_kl(mean, log_vars))


def linear_data(count, dims, latent_dim, seed, noise=0.3):
    """Centered rows around a random plane of `latent_dim` dimensions, float64."""
    generator = np.random.default_rng(seed)
    loadings = generator.normal(size=(latent_dim, dims))
    x = generator.normal(size=(count, latent_dim)) @ loadings
    x += noise * generator.normal(size=(count, dims))
    return x - x.mean(axis=0)


def initial_parameters(dims, latent_dim, seed):
    """Small random (encoder, log_var, decoder, log_noise) as float64 Variables."""
    generator = np.random.default_rng(seed)
    shapes = ((dims, latent_dim), (latent_dim,), (latent_dim, dims), ())
    return [tf.Variable(0.1 * generator.normal(size=shape)) for shape in shapes]


def gradient_step(x, parameters, rates):
    """Ascend the ELBO by `rates`, one for each parameter; return the ELBO before the step."""
    with tf.GradientTape() as tape:
        elbo = linear_elbo(x, parameters)
    for parameter, slope, rate in zip(
        parameters, tape.gradient(elbo, parameters), rates, strict=True
    ):
        parameter.assign_add(rate * slope)
    return elbo


def test_claim_01_wrong_signs():
    """Minimizing V drives D away from D*; ascending on log(1 − D) lowers D(G(z))."""
    loss, _ = table_losses(np.zeros(3))
    assert loss == pytest.approx(-theory.minimax_value(P_DATA, P_MODEL, np.full(3, 0.5)), rel=1e-6)
    right, wrong = np.zeros(3), np.zeros(3)
    for _ in range(400):
        right -= table_losses(right)[1]
    start = np.abs(0.5 - OPTIMUM)
    np.testing.assert_allclose(sigmoid(right), OPTIMUM, atol=1e-3)
    for _ in range(5):  # −loss = V, minimized
        wrong += table_losses(wrong)[1]
    distance = np.abs(sigmoid(wrong) - OPTIMUM)
    differs = start > 0.01  # outcome 1 has p_data = p_model: there D = ½ is right already
    assert (distance[differs] > start[differs] + 0.1).all()

    fake_logits = tf.Variable([-1.0, 0.5, 2.0])
    for name, sign in (("minimax", 1), ("non_saturating", 1), ("minimax", -1)):
        with tf.GradientTape() as tape:
            loss = sign * losses.get(name).generator(fake_logits)
        moved = fake_logits - tape.gradient(loss, fake_logits)
        assert bool(tf.reduce_all((moved > fake_logits) if sign == 1 else (moved < fake_logits)))


def test_claim_02_max_min_for_min_max():
    """With the roles exchanged V has no minimum; with the order exchanged G collapses."""
    # max_G min_D: whatever G does, D makes V as low as it likes by answering wrongly
    for p_model in (P_MODEL, P_DATA, np.array([0.0, 0.0, 1.0])):
        values = [theory.minimax_value(P_DATA, p_model, np.full(3, d)) for d in (1e-3, 1e-9, 0.0)]
        assert values[0] > values[1] > values[2] == -np.inf
    # a generator that can make one of two points, against data that are both points
    p_data = np.array([0.5, 0.5])
    points = np.eye(2)
    grid = np.linspace(0.005, 0.995, 199)
    tables = np.stack(np.meshgrid(grid, grid), axis=-1)  # every discriminator (D(0), D(1))
    values = np.array([theory.minimax_value(p_data, point, tables) for point in points])
    min_max = values.max(axis=(1, 2)).min()
    max_min = values.min(axis=0).max()
    assert max_min == pytest.approx(-np.log(4), abs=1e-9)
    exact = -np.log(4) + 2 * theory.js_divergence(p_data, points[0])
    assert min_max == pytest.approx(exact, abs=5e-3)  # the grid ends at 0.995
    assert min_max > max_min + 0.4
    # D first, then G: G puts everything where that D is highest, whatever the data are
    d = np.array([0.4, 0.7, 0.5])
    generator = np.random.default_rng(0)
    candidates = np.vstack([np.eye(3), generator.dirichlet(np.ones(3), size=2000)])
    best = candidates[theory.minimax_value(P_DATA, candidates, d).argmin()]
    np.testing.assert_array_equal(best, [0, 1, 0])


def test_claim_03_vae_as_a_game():
    """A step of either raises the ELBO; an encoder that descends ruins it."""
    x = linear_data(500, 6, 2, seed=0, noise=0.7)
    optimum = theory.linear_vae(x, 2)
    for which in ((1, 1, 0, 0), (0, 0, 1, 1)):  # the encoder alone, the decoder alone
        parameters = initial_parameters(6, 2, seed=1)
        before = gradient_step(x, parameters, 0.05 * np.array(which))
        assert float(linear_elbo(x, parameters) - before) > 1e-3
    joint, opposed = initial_parameters(6, 2, seed=1), initial_parameters(6, 2, seed=1)
    start = float(linear_elbo(x, joint))
    together = tf.function(lambda: gradient_step(x, joint, (0.03,) * 4))
    for _ in range(2000):
        together()
    assert float(linear_elbo(x, joint)) == pytest.approx(optimum.elbo, abs=0.02)
    for _ in range(60):  # the encoder minimizes what the decoder maximizes
        gradient_step(x, opposed, (-0.02, -0.02, 0.02, 0.02))
    assert float(linear_elbo(x, opposed)) < start - 1
    assert start < optimum.elbo - 1


def test_claim_04_likelihood_equals_elbo():
    """log p(x) − ELBO is KL(q‖posterior): zero at the posterior, positive beside it."""
    x = linear_data(400, 5, 2, seed=2)
    model = theory.linear_vae(x, 2)
    _, covariance = model.encode(x)
    encoder = model.weights @ covariance / model.noise_variance
    log_var = np.log(np.diag(covariance))
    log_noise = np.log(model.noise_variance)

    def elbo(offset, scale):
        """The ELBO with q's means moved by `offset` and its variances times `scale`."""
        # x is centered, so a constant shift of the mean needs one more column, always 1
        padded = np.hstack([x, np.ones((len(x), 1))])
        mean = padded @ np.vstack([encoder, np.full((1, 2), offset)])
        variance = np.exp(log_var) * scale
        square = ((x - mean @ model.weights.T) ** 2).sum(axis=1)
        square = square + (variance * model.weights**2).sum()
        likelihood = -0.5 * (5 * (np.log(2 * np.pi) + log_noise) + square / model.noise_variance)
        log_vars = np.broadcast_to(np.log(variance), mean.shape)
        return (likelihood - theory.gaussian_kl(mean, log_vars)).mean()

    assert elbo(0.0, 1.0) == pytest.approx(model.log_likelihood, abs=1e-9)
    for offset, scale in ((0.1, 1.0), (0.0, 1.5), (0.0, 0.5), (-0.3, 2.0)):
        # KL between the perturbed q and the posterior: their variances differ by a factor
        kl = 0.5 * (offset**2 / np.exp(log_var) + scale - 1 - np.log(scale)).sum()
        gap = model.log_likelihood - elbo(offset, scale)
        assert gap == pytest.approx(kl, rel=1e-6)
        assert gap > 0.05


def test_claim_05_near_misses_of_the_kl():
    """Minus the KL falls without end; log σ in the place of log σ² has its minimum elsewhere."""
    mean, log_var = np.meshgrid(np.linspace(-3, 3, 61), np.linspace(-4, 4, 81), indexing="ij")
    kl = theory.gaussian_kl(mean[..., None], log_var[..., None])  # (61, 81)
    assert kl.min() == pytest.approx(0, abs=1e-12)
    assert np.unravel_index(kl.argmin(), kl.shape) == (30, 40)  # mean 0, log σ² 0
    far = theory.gaussian_kl(np.array([[10.0], [100.0]]), np.zeros((2, 1)))
    assert (-far < -40).all() and -far[1] < -4000  # the wrong sign, minimized, runs away

    # "1 + log σ − μ² − σ²": one factor of two is lost, and with it the standard normal
    std = np.linspace(0.05, 3, 2951)
    mixed = -0.5 * (1 + np.log(std) - std**2)
    assert std[mixed.argmin()] == pytest.approx(np.sqrt(0.5), abs=1e-3)
    assert mixed.min() < 0 < mixed[np.abs(std - 1).argmin()] + 1e-9
    # a head that the KL takes for log σ and the sampler for σ: the prior now asks for no noise
    head = np.linspace(-2, 2, 4001)
    asked = head[theory.gaussian_kl(np.zeros((4001, 1)), 2 * head[:, None]).argmin()]
    assert asked == pytest.approx(0, abs=1e-9)  # so z = μ + head·ε has σ = 0
    assert theory.gaussian_kl([0.0], [2 * np.log(1e-6)]) > 10


def test_claim_06_cross_entropy_against_ones():
    """Its minima are all the vectors with equal entries, and it does not know the variance."""
    latent_dim = 8
    ones = np.ones((1, latent_dim), dtype="float32")
    far = 5 * ones

    def cross_entropy(mean):
        return float(keras.losses.categorical_crossentropy(ones, mean, from_logits=True)[0])

    at_prior = cross_entropy(0 * ones)
    assert at_prior == pytest.approx(latent_dim * np.log(latent_dim), rel=1e-5)
    assert cross_entropy(far) == pytest.approx(at_prior, rel=1e-5)
    assert theory.gaussian_kl(far, 0 * far)[0] == pytest.approx(12.5 * latent_dim)
    centered = np.random.default_rng(0).normal(size=(200, latent_dim)).astype("float32")
    assert all(cross_entropy(row[None]) >= at_prior - 1e-4 for row in centered)

    mean, log_var = tf.Variable(far), tf.Variable(-3 * ones)
    with tf.GradientTape(persistent=True) as tape:
        wrong = -ops.sum(ops.log_softmax(mean), axis=-1)
        fused = keras.losses.categorical_crossentropy(ones, mean, from_logits=True)
        right = losses.gaussian_kl(mean, log_var)
    assert float(wrong[0]) == pytest.approx(at_prior, rel=1e-5)
    assert tape.gradient(wrong, log_var) is None
    assert np.abs(tape.gradient(wrong, mean)).max() < 1e-5  # content at mean 5
    assert (tape.gradient(right, mean).numpy() > 4.9).all()
    assert (tape.gradient(right, log_var).numpy() < -0.4).all()
    # TensorFlow's own gradient supposes labels that sum to 1; with ones it drives the mean up
    assert (tape.gradient(fused, mean).numpy() < -0.5).all()


def test_claim_07_softplus_one_minus_logit():
    """With it the discriminator's loss falls for ever; with softplus(a) it ends at logit(D*)."""
    logits = np.linspace(-8, 40, 4801)
    for p_data, p_model, d in zip(P_DATA, P_MODEL, OPTIMUM, strict=True):
        right = p_data * np.logaddexp(0, -logits) + p_model * np.logaddexp(0, logits)
        wrong = p_data * np.logaddexp(0, -logits) + p_model * np.logaddexp(0, 1 - logits)
        assert logits[right.argmin()] == pytest.approx(np.log(d / (1 - d)), abs=0.006)
        assert (np.diff(wrong) < 0).all()
    # the package's fake term is softplus(a): −log(1 − D)
    fake = ops.convert_to_tensor([-2.0, 0.0, 3.0])
    both = losses.get("minimax").discriminator(ops.full((1,), 50.0), fake)
    assert float(both) == pytest.approx(-np.log(1 - sigmoid(fake.numpy())).mean(), rel=1e-5)


def test_claim_08_mean_square_of_own_output():
    """Such a generator goes to zero, whatever the data and the discriminator are."""
    keras.utils.set_random_seed(0)
    generator = gan.build_generator(gan.Config.points())
    discriminator = gan.build_discriminator(gan.Config.points())
    latents = keras.random.normal((64, 16), seed=1)
    rms = lambda samples: float(ops.sqrt(ops.mean(ops.square(samples))))  # noqa: E731
    before = rms(generator(latents))
    optimizer = keras.optimizers.Adam(1e-2)

    @tf.function
    def step():
        with tf.GradientTape(persistent=True) as tape:
            fake = generator(latents)
            loss = ops.mean(ops.square(fake))
            intended = losses.get("least_squares").generator(discriminator(fake))
        optimizer.apply(
            tape.gradient(loss, generator.trainable_variables), generator.trainable_variables
        )
        return tape.gradient(loss, discriminator.trainable_variables), tape.gradient(
            intended, discriminator.trainable_variables
        )

    for _ in range(150):
        own, game = step()
    assert rms(generator(latents)) < 0.02 * before
    assert all(slope is None for slope in own)  # the discriminator plays no part in it
    assert all(slope is not None for slope in game)


def test_claim_09_gradients_by_inputs():
    """They have the shape of a batch, and a step along them leaves every weight as it was."""
    keras.utils.set_random_seed(0)
    generator = gan.build_generator(gan.Config.points())
    discriminator = gan.build_discriminator(gan.Config.points())
    latents = tf.Variable(keras.random.normal((8, 16), seed=1))
    others = keras.random.normal((8, 16), seed=2)
    loss_of = losses.get("non_saturating").generator
    weights, made = generator.get_weights(), generator(others).numpy()
    with tf.GradientTape(persistent=True) as tape:
        images = generator(latents)
        loss = loss_of(discriminator(images))
    by_noise, by_images = tape.gradient(loss, [latents, images])
    assert by_noise.shape == (8, 16) and by_images.shape == (8, 2)
    keras.optimizers.SGD(1.0).apply([by_noise], [latents])
    for before, after in zip(weights, generator.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(generator(others), made)
    by_weights = tape.gradient(loss, generator.trainable_variables)
    assert [g.shape for g in by_weights] == [v.shape for v in generator.trainable_variables]
    keras.optimizers.SGD(1.0).apply(by_weights, generator.trainable_variables)
    assert float(loss_of(discriminator(generator(others)))) < float(loss_of(discriminator(made)))


def test_claim_10_one_variable_two_names():
    """Shared layers count once, move together, and get the sum of both gradients."""
    inputs = keras.Input((4,))
    once, first, second = (keras.layers.Dense(4) for _ in range(3))
    tied = keras.Model(inputs, once(once(inputs)))
    free = keras.Model(inputs, second(first(inputs)))
    assert (tied.count_params(), free.count_params()) == (20, 40)

    shared = tf.Variable([1.0, 2.0])
    biases = {"first": shared, "second": shared}
    biases["first"].assign([5.0, 5.0])
    np.testing.assert_array_equal(biases["second"], [5.0, 5.0])
    apart = {"first": tf.Variable([5.0, 5.0]), "second": tf.Variable([5.0, 5.0])}

    def slopes(table):
        with tf.GradientTape() as tape:
            hidden = tf.constant([1.0, -1.0]) * table["first"]
            loss = tf.reduce_sum(tf.square(hidden + table["second"] - 3))
        return tape.gradient(loss, [table["first"], table["second"]])

    alone = slopes(apart)
    assert not np.allclose(alone[0], alone[1])
    for slope in slopes(biases):
        np.testing.assert_allclose(slope, alone[0] + alone[1])


def test_claim_11_hidden_beta():
    """MSE + KL is the β-VAE with σ = 1 and β = n/2, or σ² = n/2 and β = 1: nothing is learned."""
    generator = np.random.default_rng(0)
    images = generator.uniform(-1, 1, size=(16, 28, 28, 1)).astype("float32")
    decoded = generator.uniform(-1, 1, size=(16, 28, 28, 1)).astype("float32")
    mean = generator.normal(size=(16, 4)).astype("float32")
    log_var = generator.normal(size=(16, 4)).astype("float32")
    pixels = 28 * 28
    kl = losses.gaussian_kl(mean, log_var).numpy()
    hidden = ((images - decoded) ** 2).mean(axis=(1, 2, 3)) + kl  # the loss one meets

    unit = losses.gaussian_log_likelihood(images, decoded).numpy()
    beta_loss = -unit + pixels / 2 * kl
    constant = pixels / 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(beta_loss, pixels / 2 * hidden + constant, rtol=1e-5)
    noise = np.log(pixels / 2)
    wide = losses.gaussian_log_likelihood(images, decoded, noise).numpy()
    constant = pixels / 2 * np.log(2 * np.pi * pixels / 2)
    np.testing.assert_allclose(-wide + kl, hidden + constant, rtol=1e-5)

    # A linear VAE keeps the directions whose variance exceeds σ². None does, nor all together.
    x, _, _ = data.load("fashion_mnist", limit=500)
    x = x.reshape(500, -1) - x.reshape(500, -1).mean(axis=0)
    variances = np.linalg.eigvalsh(x @ x.T / 500)  # those of the covariance that are not 0
    assert variances[-1] > 40 and 200 < variances.sum() < pixels / 2
    assert (variances > 1).sum() > 20


def test_claim_12_dense_is_not_recurrent():
    """Its output at one step depends on no other step; a recurrent layer's does."""
    keras.utils.set_random_seed(0)
    sequence = np.random.default_rng(0).normal(size=(1, 5, 3)).astype("float32")
    changed = sequence.copy()
    changed[:, 0] += 1
    dense, recurrent = keras.layers.Dense(4), keras.layers.SimpleRNN(4, return_sequences=True)
    np.testing.assert_array_equal(dense(sequence)[:, 1:], dense(changed)[:, 1:])
    assert np.abs(recurrent(sequence)[:, 1:] - recurrent(changed)[:, 1:]).max() > 1e-3
    # the recurrent connections are a matrix of their own, from the units to the units
    assert dense.count_params() == 3 * 4 + 4
    assert recurrent.count_params() == 3 * 4 + 4 + 4 * 4


def test_claim_13_transposed_convolutions_grow():
    """DCGAN's discriminator only shrinks, its generator only grows, and one is the other's Cᵀ."""
    config = dcgan.Config(image_shape=(8, 8, 1), filters=(3,), latent_dim=2)
    kinds = {
        build: [type(layer).__name__ for layer in build(config).layers]
        for build in (dcgan.build_generator, dcgan.build_features)
    }
    assert "Conv2D" in kinds[dcgan.build_features]
    assert "Conv2DTranspose" not in kinds[dcgan.build_features]
    assert "Conv2DTranspose" in kinds[dcgan.build_generator]
    assert "Conv2D" not in kinds[dcgan.build_generator]

    keras.utils.set_random_seed(0)
    shrink = keras.layers.Conv2D(1, 4, strides=2, padding="same", use_bias=False)
    grow = keras.layers.Conv2DTranspose(1, 4, strides=2, padding="same", use_bias=False)
    shrink.build((None, 8, 8, 1))
    grow.build((None, 4, 4, 1))
    grow.kernel.assign(shrink.kernel)  # (4, 4, 1, 1) in both
    columns = shrink(np.eye(64, dtype="float32").reshape(64, 8, 8, 1))
    matrix = np.reshape(columns, (64, 16)).T  # C: 64 pixels to 16
    small = np.random.default_rng(0).normal(size=(1, 4, 4, 1)).astype("float32")
    np.testing.assert_allclose(
        np.reshape(grow(small), 64), matrix.T @ small.reshape(16), rtol=1e-4, atol=1e-5
    )


def entry(key):
    """(surnames, year, arXiv number) of an entry of the bibliography."""
    text = (ROOT / "book/references.bib").read_text(encoding="utf-8")
    fields = re.search(rf"@\w+{{{key},(.*?)\n}}", text, re.S)[1]
    value = {
        name: re.search(rf"\b{name}\s*= {{(.*?)}},?\n", fields)[1]
        for name in ("author", "year", "eprint")
    }
    names = [name.split()[-1] for name in value["author"].split(" and ")]
    return names, int(value["year"]), value["eprint"]


def test_claim_14_wrong_authors():
    """Who wrote what, in the bibliography and in the package's files, and when it was first out."""
    record = {  # key: (file, first author, year, month and year of arXiv's first version)
        "mirza2014": (cgan, "Mirza", 2014, "1411"),
        "radford2016": (dcgan, "Radford", 2016, "1511"),
        "zhang2017stackgan": (stackgan, "Zhang", 2017, "1612"),
        "karras2018": (progressive, "Karras", 2018, "1710"),
    }
    authors = {}
    for key, (file, first, year, month) in record.items():
        authors[key], printed, number = entry(key)
        assert (authors[key][0], printed, number[:4]) == (first, year, month)
        assert first in file.__doc__ and number in file.__doc__
    papers = [set(names) for names in authors.values()]
    assert len(set.union(*papers)) == sum(map(len, papers))  # no two of them share an author
    assert entry("mirza2014")[2] < entry("zhang2017stackgan")[2]  # so 2017 came too late for it


def test_claim_15_dalle_is_not_by_dcgans_authors():
    """One author in common, more than five years between them."""
    (dcgans, _, first), (dalles, year, second) = entry("radford2016"), entry("ramesh2021")
    assert set(dcgans) & set(dalles) == {"Radford"}
    assert {"Metz", "Chintala"} <= set(dcgans) and dalles[0] == "Ramesh"
    months = [12 * int(number[:2]) + int(number[2:4]) for number in (first, second)]
    assert year == 2021 and months[1] - months[0] > 60


def test_claim_16_more_epochs():
    """A held-out ELBO rises, then falls, while training's rises; a GAN spirals away."""
    x = linear_data(225, 20, 3, seed=3, noise=1.0)
    x /= x.std()
    train, held_out = x[:25], x[25:]
    parameters = initial_parameters(20, 12, seed=4)

    @tf.function
    def epochs():
        for _ in tf.range(100):
            gradient_step(train, parameters, (0.003,) * 4)
        return linear_elbo(train, parameters), linear_elbo(held_out, parameters)

    curve = np.array([epochs() for _ in range(40)])  # (40, 2)
    best = curve[:, 1].argmax()
    assert 5 < best < 30
    assert curve[-1, 1] < curve[best, 1] - 0.5
    assert curve[-1, 0] > curve[best, 0] + 1

    distance = np.linalg.norm(theory.dirac_gan("gan", learning_rate=0.2, steps=400), axis=1)
    assert (np.diff(distance) > 0).all()
    assert distance[400] > 1.5 * distance[0]


def test_claim_17_frechet_distance_depends_on_the_sample_size():
    """One perfect model at three sample sizes, and a worse one that seems to beat it."""
    rng = np.random.default_rng(0)
    dims = 64
    real = np.random.default_rng(1).normal(size=(20_000, dims))

    def distance(shift, count):
        return metrics.frechet_distance(shift + rng.normal(size=(count, dims)), real)

    # for N(0, I): d/n from the means, and E‖Σ̂ − I‖²/4 = d(d + 1)/(4n) from the covariances
    for count in (1_000, 2_000, 8_000):
        bias = (dims + dims * (dims + 1) / 4) * (1 / count + 1 / len(real))
        assert distance(0.0, count) == pytest.approx(bias, rel=0.1)
    few = distance(0.0, 500)
    worse = distance(0.15, 20_000)  # truly 64 · 0.15² = 1.44
    assert worse < few  # and yet it seems to beat the perfect model


def test_claim_18_straight_walks_through_unlikely_points():
    """Half-way is shorter than nearly every draw, and likelier than both ends."""
    dims, count = 100, 4000
    start, end = np.random.default_rng(0).normal(size=(2, count, dims))
    straight, round_walk = (start + end) / 2, latent.slerp(start, end, [0.5])[0]
    draws, halfway, arc = (np.linalg.norm(z, axis=1) for z in (start, straight, round_walk))
    assert np.mean(halfway**2) == pytest.approx(dims / 2, rel=0.02)
    shortest, longest = np.quantile(draws, [0.01, 0.99])
    assert (halfway < shortest).mean() > 0.98  # true: no draw is there
    assert ((shortest < arc) & (arc < longest)).mean() > 0.97
    assert np.median(stats.chi2(dims).cdf(halfway**2)) < 1e-3

    density = stats.multivariate_normal(np.zeros(dims)).logpdf
    ends = np.array([density(start), density(end)])
    np.testing.assert_allclose(  # false: the density rises on the way, by ‖z₁ − z₂‖²/8
        density(straight) - ends.mean(axis=0), ((start - end) ** 2).sum(axis=1) / 8
    )
    assert (density(straight) > ends.max(axis=0)).mean() > 0.999
    assert density(np.zeros(dims)) > density(straight).max()  # and where no draw is, it is highest


def test_claim_19_nats_of_different_data():
    """The same clothes, known to the same detail: the number depends on what a pixel is."""
    gray = (data.load("fashion_mnist", limit=1000)[0] + 1) / 2
    noise = np.random.default_rng(0).random((5, *gray.shape)).astype("float32")

    def score(pixels, probabilities):
        """−log p in nats, the mean over images, with each pixel on its own."""
        p = np.clip(probabilities, 1e-3, 1 - 1e-3)
        logits = np.broadcast_to(np.log(p) - np.log1p(-p), pixels.shape)
        return -float(ops.mean(losses.bernoulli_log_likelihood(pixels, logits)))

    def coarse(pixels):
        """What a decoder would say that knows each image at half the resolution."""
        blocks = pixels.reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4))
        return np.repeat(np.repeat(blocks, 2, axis=1), 2, axis=2)

    sharp = (gray > 0.5).astype("float32")
    drawn = (noise < gray).astype("float32")  # five draws of each image
    thresholded = score(sharp, coarse(sharp))
    sampled = [score(draw, coarse(gray)) for draw in drawn]
    assert thresholded < np.mean(sampled) - 100  # and neither knows more
    # a draw's own randomness, which no model can foresee; a threshold has none
    floor = stats.bernoulli(gray).entropy().sum(axis=(1, 2, 3)).mean()
    assert 100 < floor < np.mean(sampled)
    # the usual score of gray pixels is the mean over draws, and its density is not normalized
    assert np.mean(sampled) == pytest.approx(score(gray, coarse(gray)), rel=2e-3)
    for s in (0.1, 0.3, 0.8):
        mass = integrate.quad(lambda y: s**y * (1 - s) ** (1 - y), 0, 1)[0]  # noqa: B023
        assert mass == pytest.approx((1 - 2 * s) / np.log((1 - s) / s)) and mass < 0.97

    # a density changes with the unit of a pixel, here by log 2 for each; a probability does not
    mean = np.broadcast_to(gray.mean(axis=0), gray.shape)
    unit = losses.gaussian_log_likelihood(gray, mean, np.log(0.09))
    wide = losses.gaussian_log_likelihood(2 * gray - 1, 2 * mean - 1, np.log(4 * 0.09))
    np.testing.assert_allclose(unit - wide, 784 * np.log(2), rtol=1e-4)
    assert float(losses.gaussian_log_likelihood(gray[:1], gray[:1], np.log(1e-4))[0]) > 0


def test_claim_20_teacher_forcing_is_an_approximation():
    """Given the true pixels, it is log p(x) itself; given the model's own, it is something else."""
    images = np.array(np.meshgrid(*[[-1.0, 1.0]] * 6, indexing="ij"), "float32")
    images = images.reshape(6, 64).T.reshape(64, 2, 3, 1)  # all of the 2×3 grid
    model = rnn.build_model(rnn.Config("row_lstm", (2, 3, 1), units=3, layers=1, head=8))
    rng = np.random.default_rng(0)
    for weight in model.network.trainable_variables:
        weight.assign(0.7 * rng.normal(size=weight.shape))
    logits = ops.convert_to_numpy(model(images))
    forced = ops.convert_to_numpy(model.score(images, logits)).astype("float64")
    joint = np.exp(forced)
    assert joint.sum() == pytest.approx(1, abs=1e-5)  # so nothing is left out and nothing is added
    bits, ones = images.reshape(64, 6) > 0, sigmoid(logits.reshape(64, 6))
    for place in range(6):  # each conditional is the joint's own
        for row in range(64):
            same = (bits[:, :place] == bits[row, :place]).all(axis=1)
            expected = joint[same & bits[:, place]].sum() / joint[same].sum()
            assert ones[row, place] == pytest.approx(expected, abs=1e-4)

    # free running: the pixels of x are scored, but each after a beginning that the model drew
    own = np.log(ones), np.log1p(-ones)  # [y, i]: the next pixel's score after y's beginning
    free = np.where(bits[:, None], own[0], own[1]).sum(axis=2) @ joint
    assert np.exp(free).sum() < 0.95
    assert joint @ free < joint @ forced - 0.1  # the true model is told that it is worse

    # two pixels, always alike: free running prefers the model that takes them to be independent
    alike = 1 - 1e-3
    truth = np.log(0.5) + np.array([np.log(alike), (np.log(alike) + np.log(1 - alike)) / 2])
    apart = 2 * np.log(0.5)
    assert truth[0] > apart + 0.6 and truth[1] < apart - 2


def test_claim_21_highest_psnr_is_the_best_restoration():
    """The mean of all answers beats a true one by 3 dB, and is the only one that looks wrong."""
    rng = np.random.default_rng(0)
    count, dims, noise = 4000, 24, 0.05
    places = np.arange(dims)
    covariance = np.exp(-np.abs(places[:, None] - places) / 3)
    x = rng.multivariate_normal(np.zeros(dims), covariance, size=count)
    seen = places % 4 == 0  # a row of pixels, of which every fourth is known
    y = x[:, seen] + noise * rng.normal(size=(count, seen.sum()))
    gain = covariance[:, seen] @ np.linalg.inv(
        covariance[np.ix_(seen, seen)] + noise**2 * np.eye(seen.sum())
    )
    mean = y @ gain.T  # E[x | y], and a draw from p(x | y)
    left = covariance - gain @ covariance[seen]
    sample = mean + rng.multivariate_normal(np.zeros(dims), left, size=count)

    decibels = [metrics.psnr(x[None, ..., None], a[None, ..., None])[0] for a in (mean, sample)]
    assert decibels[0] - decibels[1] == pytest.approx(10 * np.log10(2), abs=0.1)
    other = rng.multivariate_normal(np.zeros(dims), covariance, size=count)
    distances = [metrics.frechet_distance(a, other) for a in (mean, sample)]
    assert distances[1] < 0.2 < 2 < distances[0]
    # the mean is the smoother one: less of a step from pixel to pixel than any real row has
    steps = [np.mean(np.diff(a, axis=1) ** 2) for a in (x, mean, sample)]
    assert steps[1] < 0.6 * steps[0] and steps[2] == pytest.approx(steps[0], rel=0.05)


def test_claim_22_sharper_is_better():
    """Noise is the sharpest of all, and one good picture is as sharp as itself, for ever."""
    images = data.load("fashion_mnist", limit=1000)[0]
    real, others = images[:500], images[500:]
    rng = np.random.default_rng(0)
    candidates = {
        "others": others,
        "noisy": np.clip(others + rng.normal(scale=0.2, size=others.shape), -1, 1),
        "noise": rng.uniform(-1, 1, size=others.shape),
        "one": np.repeat(real[np.argsort(metrics.sharpness(real))[[300]]], 500, axis=0),
    }
    blocks = lambda x: x.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49)  # noqa: E731
    sharp = {name: metrics.sharpness(made).mean() for name, made in candidates.items()}
    far = {
        name: metrics.frechet_distance(blocks(made), blocks(real))
        for name, made in candidates.items()
    }
    assert sharp["others"] == pytest.approx(metrics.sharpness(real).mean(), rel=0.15)
    assert sharp["noise"] > sharp["noisy"] > 1.3 * sharp["others"]
    assert 0.7 < sharp["one"] / sharp["others"] < 1.6
    assert far["others"] < far["noisy"] < far["noise"]
    assert far["others"] < 0.3 * far["one"]


def test_the_page_and_this_file_name_the_same_tests():
    """Each test here stands on the page under its number, and the page names no other."""
    page = (ROOT / "book/claims.md").read_text(encoding="utf-8")
    named = re.findall(r"tests/test_claims\.py::(test_claim_\w+)", page)
    assert sorted(named) == sorted(name for name in globals() if name.startswith("test_claim_"))
    sections = re.split(r"^## ", page, flags=re.M)[1:]
    for section in sections:
        number = re.match(r"(\d+)\.", section)
        for name in re.findall(r"::test_claim_(\d\d)_", section):
            assert number and int(number[1]) == int(name)
