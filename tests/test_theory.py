"""`theory` against scipy, scikit-learn, quadrature and the figures of the papers."""

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from sklearn.decomposition import PCA

from ganvae_lessons import theory


@pytest.fixture
def distributions():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(7), size=(2, 5))


@pytest.mark.verifies("theory.kl_divergence", against="scipy.stats.entropy")
def test_kl_agrees_with_scipy(distributions):
    p, q = distributions
    np.testing.assert_allclose(
        theory.kl_divergence(p, q), scipy.stats.entropy(p, q, axis=-1), rtol=1e-12
    )


@pytest.mark.verifies("theory.kl_divergence", against="the definition at zeros")
def test_kl_at_zeros():
    assert theory.kl_divergence([0.0, 1.0], [0.5, 0.5]) == pytest.approx(np.log(2), abs=1e-15)
    assert theory.kl_divergence([0.5, 0.5], [0.0, 1.0]) == np.inf
    assert theory.kl_divergence([0.0, 1.0], [0.0, 1.0]) == 0


@pytest.mark.verifies("theory.js_divergence", against="scipy.spatial.distance.jensenshannon")
def test_js_agrees_with_scipy(distributions):
    from scipy.spatial.distance import jensenshannon

    p, q = distributions
    np.testing.assert_allclose(
        theory.js_divergence(p, q), jensenshannon(p, q, axis=-1) ** 2, rtol=1e-10
    )
    assert theory.js_divergence([1.0, 0.0], [0.0, 1.0]) == pytest.approx(np.log(2), abs=1e-15)


@pytest.mark.verifies("theory.optimal_discriminator", against="a numerical search for the maximum")
def test_optimal_discriminator_maximizes_the_value(distributions):
    from scipy.optimize import minimize_scalar

    p, q = distributions[:, 0]
    best = [
        minimize_scalar(
            lambda d, a=a, b=b: -(a * np.log(d) + b * np.log1p(-d)),
            bounds=(1e-9, 1 - 1e-9),
            method="bounded",
            options={"xatol": 1e-10},
        ).x
        for a, b in zip(p, q, strict=True)
    ]
    np.testing.assert_allclose(theory.optimal_discriminator(p, q), best, atol=1e-6)
    assert theory.optimal_discriminator([0.0], [0.0]) == 0.5


@pytest.mark.verifies("theory.minimax_value", against="1406.2661, Theorem 1: −log 4 + 2 JSD")
def test_value_at_the_best_discriminator(distributions):
    p, q = distributions
    value = theory.minimax_value(p, q, theory.optimal_discriminator(p, q))
    midpoint = (p + q) / 2
    jsd = (scipy.special.rel_entr(p, midpoint) + scipy.special.rel_entr(q, midpoint)).sum(-1) / 2
    np.testing.assert_allclose(value, -np.log(4) + 2 * jsd, rtol=1e-12)
    equal = theory.minimax_value(p, p, theory.optimal_discriminator(p, p))
    np.testing.assert_allclose(equal, -1.386294, atol=1e-6)


@pytest.mark.verifies("theory.gaussian_kl", against="quadrature of the definition")
@pytest.mark.parametrize(("mean", "log_var"), [(0.0, 0.0), (1.5, -1.0), (-0.3, 0.8)])
def test_gaussian_kl_by_quadrature(mean, log_var):
    q = scipy.stats.norm(mean, np.exp(log_var / 2))
    prior = scipy.stats.norm()
    integral, _ = scipy.integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - prior.logpdf(z)), -15, 15, epsabs=1e-11
    )
    assert theory.gaussian_kl([mean], [log_var]) == pytest.approx(integral, abs=1e-8)


@pytest.mark.verifies(
    "theory.gaussian_kl", against="1312.6114, Appendix B, over several dimensions"
)
def test_gaussian_kl_sums_over_the_last_axis():
    rng = np.random.default_rng(1)
    mean, log_var = rng.normal(size=(2, 4, 3))
    each = -0.5 * (1 + log_var - mean**2 - np.exp(log_var))
    np.testing.assert_allclose(theory.gaussian_kl(mean, log_var), each.sum(axis=-1), rtol=1e-12)


EIGENVALUES = [
    ("gan", 1.0, [-0.5j, 0.5j]),
    ("non_saturating", 1.0, [-0.5j, 0.5j]),
    ("wgan", 1.0, [-1j, 1j]),
    ("r1", 0.3, [-0.15 - 0.47697j, -0.15 + 0.47697j]),
    ("r1", 1.0, [-0.5, -0.5]),
    ("r1", 2.0, [-1.866025, -0.133975]),
    ("instance_noise", 1.0, [-0.25 - 0.43301j, -0.25 + 0.43301j]),
    ("consensus", 1.0, [-0.25 - 0.5j, -0.25 + 0.5j]),
]


@pytest.mark.verifies("theory.dirac_gan_eigenvalues", against="1801.04406, section 2 and 3")
@pytest.mark.parametrize(("method", "gamma", "expected"), EIGENVALUES)
def test_dirac_eigenvalues_of_the_paper(method, gamma, expected):
    found = theory.dirac_gan_eigenvalues(method, gamma=gamma)
    np.testing.assert_allclose(found, np.asarray(expected, dtype=complex), atol=1e-5)


@pytest.mark.verifies("theory.dirac_gan_eigenvalues", against="1801.04406, Lemma 2.4: √(1 + h²/4)")
def test_dirac_eigenvalues_of_a_step():
    simultaneous = theory.dirac_gan_eigenvalues("gan", learning_rate=0.2)
    np.testing.assert_allclose(np.abs(simultaneous), 1.00498756, atol=1e-8)
    alternating = theory.dirac_gan_eigenvalues("gan", learning_rate=0.2, alternating=True)
    np.testing.assert_allclose(np.abs(alternating), 1, atol=1e-12)
    too_far = theory.dirac_gan_eigenvalues("gan", learning_rate=4.2, alternating=True)
    assert np.abs(too_far).max() > 1.5


@pytest.mark.verifies(
    "theory.dirac_gan_field", against="finite differences and the Jacobian's table"
)
@pytest.mark.parametrize(("method", "gamma", "expected"), EIGENVALUES)
def test_dirac_field_has_those_eigenvalues(method, gamma, expected):
    small = 1e-5
    jacobian = np.empty((2, 2))
    for column, (theta, psi) in enumerate([(small, 0.0), (0.0, small)]):
        ahead = np.array(theory.dirac_gan_field(method, theta, psi, gamma=gamma))
        behind = np.array(theory.dirac_gan_field(method, -theta, -psi, gamma=gamma))
        jacobian[:, column] = (ahead - behind) / (2 * small)
    found = np.sort_complex(np.linalg.eigvals(jacobian).astype(complex))
    np.testing.assert_allclose(found, np.asarray(expected, dtype=complex), atol=2e-5)


@pytest.mark.verifies("theory.dirac_gan_field", against="numerical gradients of the game's value")
def test_dirac_field_is_the_gradient_of_the_game():
    """Away from the equilibrium too: f(ψθ) + f(0), ascended by D and descended by G."""

    def value(theta, psi):
        return -np.logaddexp(0, -psi * theta) - np.log(2)

    theta, psi, small = 0.7, -1.3, 1e-6
    slope_theta = (value(theta + small, psi) - value(theta - small, psi)) / (2 * small)
    slope_psi = (value(theta, psi + small) - value(theta, psi - small)) / (2 * small)
    d_theta, d_psi = theory.dirac_gan_field("gan", theta, psi)
    np.testing.assert_allclose([d_theta, d_psi], [-slope_theta, slope_psi], atol=1e-8)

    def consensus_energy(theta, psi):
        return sum(part**2 for part in theory.dirac_gan_field("gan", theta, psi)) / 2

    c_theta, c_psi = theory.dirac_gan_field("consensus", theta, psi, gamma=0.7)
    pull = [
        (consensus_energy(theta + small, psi) - consensus_energy(theta - small, psi)) / (2 * small),
        (consensus_energy(theta, psi + small) - consensus_energy(theta, psi - small)) / (2 * small),
    ]
    np.testing.assert_allclose([c_theta - d_theta, c_psi - d_psi], -0.7 * np.array(pull), atol=1e-7)


@pytest.mark.verifies("theory.dirac_gan_field", against="the slope of −log D at the generator")
def test_non_saturating_generator_descends_its_own_loss():
    """With ψ·x the logit of fake, −log D(θ) = log(1 + exp(ψθ)); the equilibrium hides the sign."""
    theta, psi, small = 0.7, -1.3, 1e-6
    slope = np.logaddexp(0, psi * (theta + small)) - np.logaddexp(0, psi * (theta - small))
    d_theta, d_psi = theory.dirac_gan_field("non_saturating", theta, psi)
    assert d_theta == pytest.approx(-slope / (2 * small), abs=1e-8)
    assert d_psi == theory.dirac_gan_field("gan", theta, psi)[1]


@pytest.mark.verifies("theory.dirac_gan", against="the ring at √(2η), by averaging over a turn")
def test_non_saturating_run_settles_on_a_ring():
    path = theory.dirac_gan("non_saturating", learning_rate=0.1, steps=6000)
    assert np.hypot(*path[-1]) == pytest.approx(np.sqrt(0.2), rel=0.02)


@pytest.mark.verifies("theory.dirac_gan", against="1801.04406, Figure 3: who converges")
def test_dirac_trajectories():
    def last_distance(method, **kwargs):
        path = theory.dirac_gan(method, learning_rate=0.2, steps=500, **kwargs)
        assert path.shape == (501, 2)
        np.testing.assert_array_equal(path[0], [1.0, 1.0])
        return np.hypot(*path[-1])

    start = np.sqrt(2)
    assert 2 * start < last_distance("gan") < 5 * start
    assert 0.8 * start < last_distance("gan", alternating=True) < 1.2 * start
    for method in ("r1", "consensus", "instance_noise"):
        assert last_distance(method) < 1e-8
    assert 0.5 < last_distance("wgan_gp", alternating=True) < 3
    assert last_distance("wgan") > 100


@pytest.mark.verifies("theory.dirac_gan", against="one step by hand, generator first")
def test_dirac_order_of_moves():
    path = theory.dirac_gan("wgan", learning_rate=0.5, steps=1, start=(1.0, 2.0))
    np.testing.assert_allclose(path[1], [0.0, 2.5])
    path = theory.dirac_gan("wgan", learning_rate=0.5, steps=1, start=(1.0, 2.0), alternating=True)
    np.testing.assert_allclose(path[1], [0.0, 2.0])


@pytest.fixture(scope="module")
def correlated():
    rng = np.random.default_rng(2)
    return rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6)


@pytest.mark.verifies("theory.linear_vae", against="sklearn.decomposition.PCA(k).score")
def test_linear_vae_likelihood(correlated):
    count, dims = correlated.shape
    model = theory.linear_vae(correlated, 2)
    # scikit-learn fits the covariance with ddof 1, which scales every eigenvalue by N/(N − 1)
    shift = -0.5 * (dims * np.log(count / (count - 1)) - dims / count)
    assert PCA(2).fit(correlated).score(correlated) == pytest.approx(
        model.log_likelihood + shift, abs=1e-10
    )


@pytest.mark.verifies("theory.LinearVAE", against="scipy's multivariate normal with WWᵀ + σ²I")
def test_linear_vae_marginal_and_bound(correlated):
    model = theory.linear_vae(correlated, 2)
    covariance = model.weights @ model.weights.T + model.noise_variance * np.eye(6)
    exact = scipy.stats.multivariate_normal(model.mean, covariance).logpdf(correlated).mean()
    assert model.log_likelihood == pytest.approx(exact, abs=1e-9)
    assert model.elbo == pytest.approx(exact, abs=1e-9)


@pytest.mark.verifies("theory.LinearVAE", against="conditioning of the joint Gaussian")
def test_linear_vae_posterior(correlated):
    model = theory.linear_vae(correlated, 2)
    marginal = model.weights @ model.weights.T + model.noise_variance * np.eye(6)
    gain = model.weights.T @ np.linalg.inv(marginal)
    mean, covariance = model.encode(correlated[:5])
    np.testing.assert_allclose(mean, (correlated[:5] - model.mean) @ gain.T, atol=1e-10)
    np.testing.assert_allclose(covariance, np.eye(2) - gain @ model.weights, atol=1e-10)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-10)


@pytest.mark.verifies("theory.linear_vae", against="scipy's density, fewer rows than dimensions")
def test_linear_vae_of_few_rows():
    x = np.random.default_rng(5).normal(size=(12, 30))
    model = theory.linear_vae(x, 3)
    covariance = model.weights @ model.weights.T + model.noise_variance * np.eye(30)
    exact = scipy.stats.multivariate_normal(model.mean, covariance).logpdf(x).mean()
    assert model.log_likelihood == pytest.approx(exact, abs=1e-8)
    assert model.elbo == pytest.approx(exact, abs=1e-8)


BAD_INPUT = [
    (lambda: theory.kl_divergence([0.5, 0.6], [0.5, 0.5]), "p must sum to 1"),
    (lambda: theory.kl_divergence([0.5, 0.5], [1.5, -0.5]), "q must hold finite probabilities"),
    (lambda: theory.kl_divergence([np.nan, 0.5], [0.5, 0.5]), "p must hold finite probabilities"),
    (lambda: theory.js_divergence([1.0], [0.5, 0.5]), "same number of outcomes"),
    (lambda: theory.js_divergence([], []), "must have outcomes"),
    (lambda: theory.optimal_discriminator([-1.0], [1.0]), "p_data must be finite and >= 0"),
    (lambda: theory.minimax_value([1.0], [1.0], [3.2]), "apply a sigmoid"),
    (lambda: theory.gaussian_kl([0.0, 1.0], [0.0]), r"got \(2,\) and \(1,\)"),
    (lambda: theory.dirac_gan("dcgan", learning_rate=0.1, steps=1), "method must be one of gan"),
    (lambda: theory.dirac_gan("gan", learning_rate=-0.1, steps=1), "learning_rate must be > 0"),
    (lambda: theory.dirac_gan("gan", learning_rate=0.1, steps=-1), "steps must be a whole number"),
    (lambda: theory.dirac_gan_eigenvalues("wgan_gp"), "no eigenvalues"),
    (lambda: theory.dirac_gan_eigenvalues("r1", gamma=-1), "gamma must be"),
    (lambda: theory.dirac_gan_eigenvalues("r1", alternating=True), "alternating needs"),
    (lambda: theory.linear_vae(np.zeros((5, 3)), 3), "dims > latent_dim"),
    (lambda: theory.linear_vae(np.eye(3, 9), 2), "no variance left"),
    (lambda: theory.linear_vae(np.full((9, 3), np.nan), 1), "x must be finite"),
    (lambda: theory.linear_vae(np.ones((9, 3)), 1), "no variance left"),
]


@pytest.mark.parametrize(("call", "message"), BAD_INPUT)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_trajectory_that_overflows_says_where():
    with pytest.raises(FloatingPointError, match="step"):
        theory.dirac_gan("wgan", learning_rate=1e200, steps=10)
