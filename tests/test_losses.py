"""`losses` against TF-GAN's fixtures, closed forms, scipy and finite differences."""

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from ganvae_lessons import losses, theory

REAL = np.array([-5, 1.4, 12.5, 2.7], dtype="float32")
FAKE = np.array([10, 4.4, -5.5, 3.6], dtype="float32")


def softplus(logits):
    return np.logaddexp(0, np.asarray(logits, dtype=np.float64))


@pytest.mark.verifies("losses.get", against="the fixtures of TF-GAN's losses_impl_test.py")
@pytest.mark.parametrize(
    ("name", "generator", "discriminator"),
    [("least_squares", 17.69625, 41.73375), ("hinge", -3.125, 6.75)],
)
def test_fixtures_of_tfgan(name, generator, discriminator):
    loss = losses.get(name)
    assert float(loss.generator(FAKE)) == pytest.approx(generator, rel=1e-6)
    assert float(loss.discriminator(REAL, FAKE)) == pytest.approx(discriminator, rel=1e-6)


@pytest.mark.verifies("losses.get", against="the definitions in float64")
def test_cross_entropy_and_wasserstein():
    d_loss = softplus(-REAL).mean() + softplus(FAKE).mean()
    for name in ("minimax", "non_saturating"):
        assert float(losses.get(name).discriminator(REAL, FAKE)) == pytest.approx(d_loss, rel=1e-6)
    assert float(losses.get("minimax").generator(FAKE)) == pytest.approx(
        -softplus(FAKE).mean(), rel=1e-6
    )
    assert float(losses.get("non_saturating").generator(FAKE)) == pytest.approx(
        softplus(-FAKE).mean(), rel=1e-6
    )
    wasserstein = losses.get("wasserstein")
    assert float(wasserstein.generator(FAKE)) == pytest.approx(-3.125, rel=1e-6)
    assert float(wasserstein.discriminator(REAL, FAKE)) == pytest.approx(3.125 - 2.9, rel=1e-5)


@pytest.mark.verifies("losses.get", against="1406.2661: 2 log 2 and log 2 at D = ½; hinge's 2")
def test_values_at_equilibrium():
    zeros = np.zeros(4, dtype="float32")
    assert float(losses.get("minimax").discriminator(zeros, zeros)) == pytest.approx(1.386294)
    assert float(losses.get("non_saturating").generator(zeros)) == pytest.approx(0.693147)
    assert float(losses.get("hinge").discriminator(zeros, zeros)) == 2


@pytest.mark.verifies("losses.AdversarialLoss", against="theory.minimax_value")
def test_minimax_is_the_value_of_the_game():
    """On finite distributions, minus the discriminator's loss is V(D, G)."""
    p, q = np.array([0.25, 0.75]), np.array([0.5, 0.5])
    logits = np.array([0.3, -1.2])
    real = np.repeat(logits, [1, 3]).astype("float32")  # p, as four draws
    fake = np.repeat(logits, [2, 2]).astype("float32")
    value = theory.minimax_value(p, q, 1 / (1 + np.exp(-logits)))
    loss = losses.get("minimax")
    assert -float(loss.discriminator(real, fake)) == pytest.approx(value, rel=1e-6)
    assert loss.name == "minimax"


@pytest.mark.verifies("losses.get", against="finite values where a naive logarithm overflows")
def test_extreme_logits_stay_finite():
    extreme = np.array([-1000.0, 1000.0], dtype="float32")
    for name in ("minimax", "non_saturating"):
        assert np.isfinite(float(losses.get(name).discriminator(extreme, extreme)))
        assert np.isfinite(float(losses.get(name).generator(extreme)))


@pytest.mark.verifies(
    "losses.gradient_penalty", against="a linear critic, whose slope is its weights"
)
def test_gradient_penalty_of_a_linear_critic():
    weights = np.array([[3.0], [4.0]], dtype="float32")  # slope of norm 5 everywhere
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 6, 2)).astype("float32")
    critic = lambda x: ops.matmul(x, weights)  # noqa: E731
    assert float(losses.gradient_penalty(critic, real, fake)) == pytest.approx(16, rel=1e-5)
    assert float(losses.gradient_penalty(critic, real, fake, target=0.0)) == pytest.approx(
        25, rel=1e-5
    )
    flat = lambda x: 0 * ops.sum(x, axis=-1)  # noqa: E731
    assert float(losses.gradient_penalty(flat, real, fake)) == pytest.approx(1, rel=1e-4)


@pytest.mark.verifies("losses.gradient_penalty", against="points between real and fake, one ε each")
def test_gradient_penalty_interpolates_uniformly():
    """With D(x) = ½‖x‖² the slope at x̂ is x̂; real at 0 and fake at (1, 1) show the weights."""
    count = 4000
    real, fake = np.zeros((count, 2), "float32"), np.ones((count, 2), "float32")
    critic = lambda x: ops.sum(x * x, axis=-1) / 2  # noqa: E731
    # ‖x̂‖ = √2 (1 − ε): E‖x̂‖² = 2/3 and E‖x̂‖ = √2/2 for one uniform ε per sample;
    # a separate ε per coordinate would give E‖x̂‖ = 0.765 and fail the second line
    square = float(losses.gradient_penalty(critic, real, fake, target=0.0, seed=1))
    assert square == pytest.approx(2 / 3, abs=0.03)
    from_one = float(losses.gradient_penalty(critic, real, fake, seed=1))
    assert from_one == pytest.approx(2 / 3 - np.sqrt(2) + 1, abs=0.02)
    assert from_one == float(losses.gradient_penalty(critic, real, fake, seed=1))


@pytest.mark.verifies(
    "losses.gradient_penalty", against="a finite gradient where the slope is zero"
)
def test_gradient_penalty_of_a_flat_critic_can_be_trained():
    import tensorflow as tf

    scale = tf.Variable(0.0)
    points = np.ones((4, 2), "float32")
    with tf.GradientTape() as tape:
        penalty = losses.gradient_penalty(lambda x: scale * ops.sum(x, axis=-1), points, points)
    assert np.isfinite(tape.gradient(penalty, scale).numpy())


@pytest.mark.verifies("losses.r1_penalty", against="a quadratic discriminator, by hand")
def test_r1_of_a_quadratic():
    real = np.array([[1.0, 2.0], [3.0, 0.0]], dtype="float32")
    discriminator = lambda x: ops.sum(x * x, axis=-1, keepdims=True)  # noqa: E731
    # the slope is 2x, so the penalty is the mean of 4·(1 + 4) and 4·9
    assert float(losses.r1_penalty(discriminator, real)) == pytest.approx(28, rel=1e-6)


def test_r1_of_a_network_agrees_with_finite_differences():
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)]
    )
    real = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    small, slopes = 1e-2, np.empty((5, 3))
    for axis in range(3):
        shift = small * np.eye(3, dtype="float32")[axis]
        ahead, behind = network(real + shift), network(real - shift)
        slopes[:, axis] = (ahead - behind).numpy()[:, 0] / (2 * small)
    expected = (slopes**2).sum(axis=1).mean()
    assert float(losses.r1_penalty(network, real)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.verifies("losses.bernoulli_log_likelihood", against="scipy.stats.bernoulli")
def test_bernoulli_sums_over_pixels():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, size=(3, 4, 4, 1)).astype("float32")
    logits = rng.normal(size=(3, 4, 4, 1)).astype("float32")
    expected = scipy.stats.bernoulli.logpmf(images, 1 / (1 + np.exp(-logits))).sum(axis=(1, 2, 3))
    found = ops.convert_to_numpy(losses.bernoulli_log_likelihood(images, logits))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.verifies("losses.gaussian_log_likelihood", against="scipy.stats.norm")
@pytest.mark.parametrize("log_var", [0.0, -1.3])
def test_gaussian_sums_over_pixels(log_var):
    rng = np.random.default_rng(0)
    images, mean = rng.normal(size=(2, 3, 4, 4, 1)).astype("float32")
    expected = scipy.stats.norm.logpdf(images, mean, np.exp(log_var / 2)).sum(axis=(1, 2, 3))
    found = losses.gaussian_log_likelihood(images, ops.convert_to_tensor(mean), log_var)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


@pytest.mark.verifies(
    "losses.gaussian_kl", against="theory.gaussian_kl, itself checked by quadrature"
)
def test_gaussian_kl_agrees_with_theory():
    mean, log_var = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    found = ops.convert_to_numpy(losses.gaussian_kl(mean, log_var))
    np.testing.assert_allclose(found, theory.gaussian_kl(mean, log_var), rtol=1e-5)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"loss must be one of minimax.*got 'bce'"):
        losses.get("bce")
    with pytest.raises(ValueError, match="samples of one shape"):
        losses.gradient_penalty(
            lambda x: x, np.zeros((2, 3), "float32"), np.zeros((2, 4), "float32")
        )
