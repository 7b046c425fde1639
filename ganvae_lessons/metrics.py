"""Distances between sets of samples, and measures of single images. Computed in float64.

Feature sets are arrays (samples, dims): the rows of two sets are compared, whatever they
are features of (`models.classifier.features` makes them from images). Each function names
its paper; NumPy in, numbers out.
"""

import math

import numpy as np

__all__ = [
    "bits_per_dim",
    "density_coverage",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "mode_coverage",
    "nearest_neighbor_kl",
    "nearest_neighbors",
    "precision_recall",
    "psnr",
    "sharpness",
    "ssim",
]

_BLOCK = 1_000  # rows of a distance matrix that are held at once


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


def _feature_pair(a, b, names, minimum=2):
    a, b = _features(a, names[0], minimum), _features(b, names[1], minimum)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same dims, got {a.shape[1]} and {b.shape[1]}"
        )
    return a, b


def frechet_distance(a, b):
    """‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) between Gaussians fitted to two feature sets.

    `a` (n, dims) and `b` (m, dims); covariances with ddof 1. With the features of the
    Inception network this is FID (Heusel et al., NIPS 2017, arXiv 1706.08500); the closed
    form is Dowson and Landau's (1982). The last trace is taken as a nuclear norm: with
    Σ₁ = AᵀA and Σ₂ = BᵀB it is the sum of the singular values of ABᵀ, which is real and
    exact even with fewer samples than dimensions, where a matrix square root of the product
    is not. Biased upward by about C/n: compare at equal sample sizes.
    """
    a, b = _feature_pair(a, b, ("a", "b"))
    factors, spread = [], 0.0
    for features in (a, b):
        centered = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
        factors.append(np.linalg.qr(centered, mode="r"))
        spread += (centered**2).sum()
    overlap = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    offset = a.mean(axis=0) - b.mean(axis=0)
    return float(max(offset @ offset + spread - 2 * overlap, 0.0))


def kernel_distance(a, b, *, subsets=100, subset_size=1000, seed=0):
    """Return (mean, std) over random subsets of the squared MMD with kernel (xᵀy/dims + 1)³.

    KID (Bińkowski et al., ICLR 2018, arXiv 1801.01401) on features `a` (n, dims) and `b`
    (m, dims). Each subset draws `subset_size` rows of each set without replacement. The
    estimator is unbiased, so it may be negative, and its mean does not depend on n.
    """
    a, b = _feature_pair(a, b, ("a", "b"))
    if not 2 <= subset_size <= min(len(a), len(b)) or subsets < 1:
        raise ValueError(
            f"subset_size must be from 2 to the smaller set's {min(len(a), len(b))} samples and "
            f"subsets at least 1, got subset_size={subset_size} and subsets={subsets}"
        )
    rng = np.random.default_rng(seed)
    values = [
        _squared_mmd(
            a[rng.choice(len(a), subset_size, replace=False)],
            b[rng.choice(len(b), subset_size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def _squared_mmd(a, b):
    """The unbiased estimate: no sample is compared with itself. Equal sizes (n, dims)."""
    n, dims = a.shape
    kernel = lambda x, y: (x @ y.T / dims + 1) ** 3  # noqa: E731
    within = kernel(a, a) + kernel(b, b)
    return (within.sum() - np.trace(within)) / (n * (n - 1)) - 2 * kernel(a, b).mean()


def inception_score(probabilities):
    """exp E_x KL(p(y|x) ‖ p(y)): from 1 (all alike, or all unsure) to the number of classes.

    `probabilities` (samples, classes), rows that sum to 1; p(y) is their mean (Salimans et
    al., NIPS 2016, arXiv 1606.03498). It looks at the samples alone, never at real data.
    """
    probabilities = _features(probabilities, "probabilities", 1)
    sums = probabilities.sum(axis=1)
    if probabilities.min() < 0 or np.abs(sums - 1).max() > 1e-3:
        raise ValueError(
            "probabilities must be at least 0 with rows that sum to 1, got a minimum of "
            f"{probabilities.min():.4g} and sums from {sums.min():.4g} to {sums.max():.4g}; "
            "apply a softmax to logits first"
        )
    marginal = np.broadcast_to(probabilities.mean(axis=0), probabilities.shape)
    ratio = np.ones_like(probabilities)  # 0 log 0 = 0
    np.divide(probabilities, marginal, out=ratio, where=probabilities > 0)
    return float(np.exp((probabilities * np.log(ratio)).sum(axis=1).mean()))


def _squared_distances(queries, references):
    """Blocks (rows, squared Euclidean distances (len(rows), m)) of the full matrix, in turn."""
    norms = (references**2).sum(axis=1)
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        squares = (block**2).sum(axis=1)[:, None] + norms - 2 * block @ references.T
        yield np.arange(start, start + len(block)), np.maximum(squares, 0.0)


def _radii(points, k):
    """The squared distance of each point (n, dims) to its k-th nearest other point, (n,)."""
    radii = np.empty(len(points))
    for rows, squares in _squared_distances(points, points):
        squares[np.arange(len(rows)), rows] = 0.0  # itself, free of rounding
        radii[rows] = np.partition(squares, k, axis=1)[:, k]
    return radii


def _check_k(k, *counts):
    if not 1 <= k < min(counts):
        raise ValueError(f"k must be from 1 to {min(counts) - 1} for these samples, got {k}")


def precision_recall(real, fake, k=3):
    """Return (precision, recall) of `fake` (m, dims) against `real` (n, dims).

    Each set's manifold is a union of balls: around each sample, as far as its k-th nearest
    neighbor in its own set. Precision is the share of fakes in the real manifold (are they
    good?), recall the share of reals in the fake one (are all kinds there?). Kynkäänniemi et
    al., NeurIPS 2019 (arXiv 1904.06991), a point on the rim counting as inside.
    """
    real, fake = _feature_pair(real, fake, ("real", "fake"))
    _check_k(k, len(real), len(fake))
    inside = lambda points, centers, radii: np.concatenate(  # noqa: E731
        [(d <= radii).any(axis=1) for _, d in _squared_distances(points, centers)]
    )
    precision = inside(fake, real, _radii(real, k)).mean()
    recall = inside(real, fake, _radii(fake, k)).mean()
    return float(precision), float(recall)


def density_coverage(real, fake, k=5):
    """Return (density, coverage) of `fake` (m, dims) against `real` (n, dims).

    Density is the mean number of real balls that hold a fake, over k: an average, where
    precision asks for one ball, so that a lone outlier's wide ball counts little; it may
    exceed 1. Coverage is the share of real balls that hold at least one fake. Naeem et al.,
    ICML 2020 (arXiv 2002.09797). For equal distributions E[density] = 1 and
    E[coverage] = 1 − ∏_{i=1..k} (n − i)/(n + m − i).
    """
    real, fake = _feature_pair(real, fake, ("real", "fake"))
    _check_k(k, len(real))
    radii = _radii(real, k)
    held, covered = 0, np.zeros(len(real), dtype=bool)
    for _, squares in _squared_distances(fake, real):
        inside = squares < radii
        held += inside.sum()
        covered |= inside.any(axis=0)
    return float(held / (k * len(fake))), float(covered.mean())


def nearest_neighbors(queries, references):
    """Return (indices, distances), each (n,): the nearest of `references` to each query.

    `queries` (n, dims), `references` (m, dims), Euclidean. To look for memorized training
    images, compare the distances of samples to the training set with those of held-out
    images to it.
    """
    queries, references = _feature_pair(queries, references, ("queries", "references"), 1)
    indices = np.concatenate(
        [squares.argmin(axis=1) for _, squares in _squared_distances(queries, references)]
    )
    return indices, np.linalg.norm(queries - references[indices], axis=1)


def nearest_neighbor_kl(a, b, k=5):
    """Estimate KL(p ‖ q) in nats from samples `a` (n, dims) of p and `b` (m, dims) of q.

    (dims/n) Σ log(ν/ρ) + log(m/(n − 1)), with ρ and ν the distances of each row of a to
    its k-th nearest other row of a, and row of b (Wang, Kulkarni and Verdú, IEEE Trans.
    Inf. Theory 55, 2009). Consistent, and finite even where q has no mass near a mode of
    p: the distance to the nearest sample then stands in for the density.
    """
    a, b = _feature_pair(a, b, ("a", "b"))
    _check_k(k, len(a), len(b) + 1)
    own = _radii(a, k)
    other = np.concatenate(
        [np.partition(d, k - 1, axis=1)[:, k - 1] for _, d in _squared_distances(a, b)]
    )
    if own.min() == 0:
        raise ValueError(f"a must hold fewer than {k + 1} equal rows, got more; raise k")
    tiny = np.finfo(float).tiny
    ratio = np.log(np.maximum(other, tiny) / own) / 2
    return float(a.shape[1] * ratio.mean() + math.log(len(b) / (len(a) - 1)))


def mode_coverage(samples, centers, std, *, within=3.0, minimum=None):
    """Return (modes, share): the modes covered, and the share of high-quality samples.

    A sample (of `samples` (n, dims)) is of high quality if it lies within `within` standard
    deviations `std` of the nearest of `centers` (k, dims); a mode is covered if at least
    `minimum` such samples are its own, by default a tenth of a fair share, n / (10 k).
    For an isotropic Gaussian in 2-D, three standard deviations hold 1 − e^−4.5 = 98.9 %
    (Srivastava et al., VEEGAN, NIPS 2017, arXiv 1705.07761).
    """
    samples, centers = _feature_pair(samples, centers, ("samples", "centers"), 1)
    if not std > 0:
        raise ValueError(f"std must be > 0, got {std}")
    if minimum is None:
        minimum = len(samples) / (10 * len(centers))
    distances = np.linalg.norm(samples[:, None] - centers[None], axis=-1)  # (n, k)
    good = distances.min(axis=1) <= within * std
    counts = np.bincount(distances.argmin(axis=1)[good], minlength=len(centers))
    return int((counts >= max(minimum, 1)).sum()), float(good.mean())


def bits_per_dim(nll_nats, dims):
    """Negative log-likelihood of a sample in nats → bits for each of its `dims` numbers."""
    if dims < 1:
        raise ValueError(f"dims must be >= 1, got {dims}")
    return nll_nats / (dims * math.log(2))


def _image_pair(a, b, data_range):
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(
            f"a and b must be images (N, H, W, C) of one shape, got {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a and b must be finite, got NaN or infinity")
    if not data_range > 0:
        raise ValueError(f"data_range must be > 0, got {data_range}")
    return a, b


def psnr(a, b, *, data_range=2.0):
    """10 log₁₀(data_range² / mean squared error) of each image pair (N, H, W, C), dB, (N,).

    `data_range` is the width of the scale: 2 for images in [−1, 1]. Equal images: infinity.
    """
    a, b = _image_pair(a, b, data_range)
    error = ((a - b) ** 2).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(data_range**2 / error)


def ssim(a, b, *, data_range=2.0):
    """Structural similarity of each image pair (N, H, W, C), in [−1, 1], shape (N,).

    Wang, Bovik, Sheikh and Simoncelli (IEEE Trans. Image Processing 13, 2004): Gaussian
    windows of 11 × 11 pixels, σ = 1.5, K₁ = 0.01, K₂ = 0.03, no padding; the mean over
    window positions and channels. `data_range` as in `psnr`.
    """
    a, b = _image_pair(a, b, data_range)
    if min(a.shape[1:3]) < 11:
        raise ValueError(f"a and b must be at least 11 pixels high and wide, got {a.shape[1:3]}")
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(images):
        for axis in (1, 2):
            views = np.lib.stride_tricks.sliding_window_view(images, 11, axis=axis)
            images = views @ window
        return images

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a**2) - mean_a**2, blur(b**2) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return (luminance * structure).mean(axis=(1, 2, 3))


def sharpness(images):
    """The mean square of the Laplacian over the inner pixels of each image (N, H, W, C), (N,).

    The Laplacian of a pixel is the sum of its four neighbors less four times itself (as in
    Pech-Pacheco et al., ICPR 2000, who take its variance): 0 on even ground and on slopes, large
    at edges. A blurred image has less of it; so noise has more, and neither is real. Compare the
    mean over generated images with that over real ones: their ratio is 1 at best, not at most.
    """
    images = np.asarray(images, dtype=np.float64)
    if images.ndim != 4 or min(images.shape[1:3]) < 3:
        raise ValueError(
            f"images must be (N, H, W, C), at least 3 pixels high and wide, got {images.shape}"
        )
    if not np.isfinite(images).all():
        raise ValueError("images must be finite, got NaN or infinity")
    inner = images[:, 1:-1, 1:-1]
    beside = images[:, 1:-1, :-2] + images[:, 1:-1, 2:] + images[:, :-2, 1:-1] + images[:, 2:, 1:-1]
    return ((beside - 4 * inner) ** 2).mean(axis=(1, 2, 3))
