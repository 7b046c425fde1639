"""Distances between sets of samples: features in (samples, dims), numbers out.

Fréchet distance: Heusel et al., NIPS 2017 (arXiv 1706.08500); Dowson and Landau 1982
for its closed form. Modes and high-quality share: Srivastava et al., VEEGAN, NIPS 2017
(1705.07761). Computed in float64, whatever comes in.
"""

import numpy as np

__all__ = ["frechet_distance", "mode_coverage"]


def _features(values, name, minimum=2):
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) < minimum:
        raise ValueError(
            f"{name} must be features (samples, dims) with at least {minimum} samples, "
            f"got shape {values.shape}; flatten images or embed them first"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {(~np.isfinite(values)).sum()} bad values")
    return values


def frechet_distance(a, b):
    """‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) between Gaussians fitted to two feature sets.

    `a` (n, dims) and `b` (m, dims); covariances with ddof 1. The last trace is taken as a
    nuclear norm: with Σ₁ = AᵀA and Σ₂ = BᵀB it is the sum of the singular values of ABᵀ,
    which is real and exact even with fewer samples than dimensions, where a matrix square
    root of the product is not. Biased upward by about C/n: compare at equal sample sizes.
    """
    a, b = _features(a, "a"), _features(b, "b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a and b must have the same dims, got {a.shape[1]} and {b.shape[1]}")
    factors, spread = [], 0.0
    for features in (a, b):
        centered = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
        factors.append(np.linalg.qr(centered, mode="r"))
        spread += (centered**2).sum()
    overlap = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    offset = a.mean(axis=0) - b.mean(axis=0)
    return float(max(offset @ offset + spread - 2 * overlap, 0.0))


def mode_coverage(samples, centers, std, *, within=3.0, minimum=None):
    """Return (modes, share): the modes covered, and the share of high-quality samples.

    A sample (of `samples` (n, dims)) is of high quality if it lies within `within` standard
    deviations `std` of the nearest of `centers` (k, dims); a mode is covered if at least
    `minimum` such samples are its own, by default a tenth of a fair share, n / (10 k).
    For an isotropic Gaussian in 2-D, three standard deviations hold 1 − e^−4.5 = 98.9 %.
    """
    samples, centers = _features(samples, "samples", 1), _features(centers, "centers", 1)
    if samples.shape[1] != centers.shape[1]:
        raise ValueError(
            "samples and centers must have the same dims, "
            f"got {samples.shape[1]} and {centers.shape[1]}"
        )
    if not std > 0:
        raise ValueError(f"std must be > 0, got {std}")
    if minimum is None:
        minimum = len(samples) / (10 * len(centers))
    distances = np.linalg.norm(samples[:, None] - centers[None], axis=-1)  # (n, k)
    good = distances.min(axis=1) <= within * std
    counts = np.bincount(distances.argmin(axis=1)[good], minlength=len(centers))
    return int((counts >= max(minimum, 1)).sum()), float(good.mean())
