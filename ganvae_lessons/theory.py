"""Exact facts that the lessons rest on, in closed form: NumPy in, NumPy out.

Divergences and the minimax value: Goodfellow et al., NIPS 2014 (arXiv 1406.2661).
The Gaussian KL: Kingma and Welling, ICLR 2014 (1312.6114), Appendix B. The linear
VAE: Tipping and Bishop, JRSS B 1999; Lucas et al., NeurIPS 2019 (1911.02469).
The Dirac-GAN stands in `_dirac_gan.py` and is found here under the same names.
Logarithms are natural, so divergences are in nats.
"""

from dataclasses import dataclass, replace

import numpy as np

from ganvae_lessons._dirac_gan import dirac_gan, dirac_gan_eigenvalues, dirac_gan_field

__all__ = [
    "LinearVAE",
    "dirac_gan",
    "dirac_gan_eigenvalues",
    "dirac_gan_field",
    "gaussian_kl",
    "js_divergence",
    "kl_divergence",
    "linear_vae",
    "minimax_value",
    "optimal_discriminator",
]


def _distribution(values, name):
    """Return `values` as float64 after checking that the last axis is a distribution."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"{name} must have outcomes on its last axis, got shape {values.shape}")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"{name} must hold finite probabilities >= 0, got {values}")
    total = values.sum(axis=-1)
    if not np.allclose(total, 1, rtol=0, atol=1e-6):
        raise ValueError(
            f"{name} must sum to 1 over its last axis, got {total}; divide it by its sum"
        )
    return values


def _same_outcomes(first, second, names):
    if first.shape[-1] != second.shape[-1]:
        raise ValueError(
            f"{names} must have the same number of outcomes, "
            f"got {first.shape[-1]} and {second.shape[-1]}"
        )


def _times_log(weight, value):
    """weight · log(value), with 0 · log 0 = 0 and log 0 = −inf."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight == 0, 0.0, weight * np.log(value))


def kl_divergence(p, q):
    """KL(p‖q) = Σ p log(p/q) in nats, over the last axis (leading axes broadcast).

    Infinite where p > 0 and q = 0. Raises ValueError unless p and q are distributions.
    """
    p, q = _distribution(p, "p"), _distribution(q, "q")
    _same_outcomes(p, q, "p and q")
    return (_times_log(p, p) - _times_log(p, q)).sum(axis=-1)


def js_divergence(p, q):
    """JSD(p‖q) = ½ KL(p‖m) + ½ KL(q‖m), m = (p + q)/2, in nats: between 0 and log 2."""
    p, q = _distribution(p, "p"), _distribution(q, "q")
    _same_outcomes(p, q, "p and q")
    mixture = (p + q) / 2
    return kl_divergence(p, mixture) / 2 + kl_divergence(q, mixture) / 2


def optimal_discriminator(p_data, p_model):
    """D*(x) = p_data / (p_data + p_model), element by element (1406.2661, Proposition 1).

    Takes densities as well as probabilities. Where both vanish, no value is better
    than another, and ½ is returned. Raises ValueError for negative or non-finite input.
    """
    p_data = np.asarray(p_data, dtype=np.float64)
    p_model = np.asarray(p_model, dtype=np.float64)
    for name, values in (("p_data", p_data), ("p_model", p_model)):
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(f"{name} must be finite and >= 0, got a minimum of {values.min()}")
    total = p_data + p_model
    return np.where(total > 0, p_data / np.where(total > 0, total, 1), 0.5)


def minimax_value(p_data, p_model, d):
    """V = Σ p_data log d + Σ p_model log(1 − d) over the last axis, in nats.

    `d` holds the discriminator's probability of "real" for each outcome, in [0, 1].
    At the best d this is −log 4 + 2 JSD(p_data‖p_model).
    """
    p_data, p_model = _distribution(p_data, "p_data"), _distribution(p_model, "p_model")
    _same_outcomes(p_data, p_model, "p_data and p_model")
    d = np.asarray(d, dtype=np.float64)
    if not ((d >= 0) & (d <= 1)).all():
        raise ValueError(f"d must be a probability in [0, 1], got {d}; apply a sigmoid to logits")
    return (_times_log(p_data, d) + _times_log(p_model, 1 - d)).sum(axis=-1)


def gaussian_kl(mean, log_var):
    """KL(N(mean, diag exp(log_var)) ‖ N(0, I)) in nats, summed over the last axis.

    = ½ Σ (mean² + exp(log_var) − 1 − log_var): 1312.6114, Appendix B. Note that the
    second argument is log σ², not σ and not log σ.
    """
    mean = np.asarray(mean, dtype=np.float64)
    log_var = np.asarray(log_var, dtype=np.float64)
    if mean.ndim == 0 or mean.shape != log_var.shape:
        raise ValueError(
            "mean and log_var must have one shape (..., latent_dim), "
            f"got {mean.shape} and {log_var.shape}"
        )
    return 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=-1)


@dataclass(frozen=True)
class LinearVAE:
    """The optimum of the linear VAE: x = Wz + μ + noise, z ~ N(0, I), noise ~ N(0, σ²I).

    `weights` W (dims, latent_dim), `noise_variance` σ², `mean` μ (dims,),
    `log_likelihood` and `elbo`: averages over the training rows, in nats.
    """

    weights: np.ndarray
    noise_variance: float
    mean: np.ndarray
    log_likelihood: float
    elbo: float

    @property
    def posterior_precision(self):
        """M / σ², with M = WᵀW + σ²I: the posterior's inverse covariance, diagonal here."""
        latent_dim = self.weights.shape[1]
        gram = self.weights.T @ self.weights + self.noise_variance * np.eye(latent_dim)
        return gram / self.noise_variance

    def encode(self, x):
        """Return the exact posterior's mean (N, latent_dim) and covariance of each row."""
        covariance = np.linalg.inv(self.posterior_precision)
        mean = (np.asarray(x) - self.mean) @ self.weights @ covariance / self.noise_variance
        return mean, covariance


def linear_vae(x, latent_dim):
    """Return the maximum-likelihood `LinearVAE` of the rows of `x` (N, dims).

    This is probabilistic PCA: σ² is the mean of the discarded eigenvalues of the
    covariance (divided by N), and W = U (Λ − σ²I)^½ (Tipping and Bishop 1999). The
    encoder that is best for it is the exact posterior, so the ELBO touches the
    log-likelihood; it is computed here from its own definition, not copied.

    Raises ValueError unless dims > latent_dim ≥ 1 and x is finite and varies in more than
    latent_dim directions.
    """
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2 or not 1 <= latent_dim < x.shape[1]:
        raise ValueError(
            "x must have shape (N, dims) with N >= 2 and dims > latent_dim >= 1, "
            f"got {x.shape} and latent_dim {latent_dim}"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"x must be finite, got {np.isnan(x).sum()} NaN values or infinities")
    count, dims = x.shape
    mean = x.mean(axis=0)
    centered = x - mean
    eigenvalues, eigenvectors = np.linalg.eigh(centered.T @ centered / count)
    eigenvalues, eigenvectors = eigenvalues[::-1], eigenvectors[:, ::-1]  # largest first
    noise_variance = eigenvalues[latent_dim:].mean()
    if noise_variance <= 1e-12 * eigenvalues[0]:
        raise ValueError(
            f"x has no variance left beyond {latent_dim} directions, so its likelihood is "
            "unbounded; choose a smaller latent_dim"
        )
    kept = np.maximum(eigenvalues[:latent_dim] - noise_variance, 0)
    weights = eigenvectors[:, :latent_dim] * np.sqrt(kept)
    log_likelihood = -0.5 * (
        dims * np.log(2 * np.pi)
        + np.log(eigenvalues[:latent_dim]).sum()
        + (dims - latent_dim) * np.log(noise_variance)
        + dims
    )
    model = LinearVAE(weights, float(noise_variance), mean, float(log_likelihood), np.nan)
    return replace(model, elbo=_linear_elbo(model, x))


def _linear_elbo(model, x):
    """E_q[log p(x|z)] − KL(q(z|x)‖p(z)), averaged over rows, with q the best encoder."""
    mean, covariance = model.encode(x)
    residual = x - model.mean - mean @ model.weights.T
    expected_square = (residual**2).sum(axis=1) + np.trace(
        model.weights @ covariance @ model.weights.T
    )
    dims = x.shape[1]
    reconstruction = -0.5 * (
        dims * np.log(2 * np.pi * model.noise_variance) + expected_square / model.noise_variance
    )
    log_var = np.broadcast_to(np.log(np.diag(covariance)), mean.shape)  # covariance is diagonal
    return float((reconstruction - gaussian_kl(mean, log_var)).mean())
