"""`metrics` against torchmetrics, prdc, scikit-image, scikit-learn, scipy and known answers.

torch and torchmetrics are large: `make reference` installs them, and CI does. Without them
the tests that need them are skipped with a line that says so.
"""

import math

import numpy as np
import prdc
import pytest
import scipy.linalg
import skimage.metrics
import sklearn.neighbors

from ganvae_lessons import data, metrics


def torchmetrics(name):
    """(torch, the module torchmetrics.<name>), or skip the test."""
    reason = "torch and torchmetrics are missing; 'make reference' installs them"
    torch = pytest.importorskip("torch", reason=reason)
    return torch, pytest.importorskip(f"torchmetrics.{name}", reason=reason)


def plain_features(torch, dims):
    """A torchmetrics feature extractor that returns its (n, dims) input as it came."""

    class Plain(torch.nn.Module):
        num_features = dims

        def forward(self, features):
            return features.reshape(len(features), -1).double()

    return Plain()


def feature_sets(n=300, m=200, dims=8, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(dims, dims))
    return rng.normal(size=(n, dims)) @ mix, rng.normal(size=(m, dims)) @ mix.T + 0.5


@pytest.mark.verifies("metrics.frechet_distance", against="the formula with scipy.linalg.sqrtm")
def test_frechet_agrees_with_the_matrix_square_root():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 8))
    b = rng.normal(size=(200, 8)) @ rng.normal(size=(8, 8)) + 1
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    offset = a.mean(0) - b.mean(0)
    expected = offset @ offset + np.trace(cov_a + cov_b - 2 * root)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


@pytest.mark.verifies("metrics.frechet_distance", against="2048 for means 0 and 1 in 2,048 dims")
def test_frechet_with_fewer_samples_than_dimensions():
    a = np.random.default_rng(0).normal(size=(20, 2048))
    assert metrics.frechet_distance(a, a + 1) == pytest.approx(2048, abs=1e-6)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


@pytest.mark.verifies("metrics.frechet_distance", against="1-D: (μ₁ − μ₂)² + (σ₁ − σ₂)²")
def test_frechet_in_one_dimension():
    a, b = np.random.default_rng(0).normal(size=(2, 50, 1)) * [[[1.0]], [[3.0]]]
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.verifies("metrics.frechet_distance", against="torchmetrics FID on plain features")
def test_frechet_agrees_with_torchmetrics():
    torch, fid = torchmetrics("image.fid")
    a, b = feature_sets()
    fid = fid.FrechetInceptionDistance(feature=plain_features(torch, 8), normalize=True)
    fid.set_dtype(torch.float64)
    fid.update(torch.from_numpy(a), real=True)
    fid.update(torch.from_numpy(b), real=False)
    assert metrics.frechet_distance(a, b) == pytest.approx(float(fid.compute()), rel=1e-6)


@pytest.mark.verifies("metrics.frechet_distance", against="equal Gaussians: C/n, more than 2d/n")
def test_frechet_bias_falls_as_one_over_n():
    # for N(0, I) in d dims the mean part alone has expectation 2d/n
    rng = np.random.default_rng(0)
    at = lambda n: np.mean(  # noqa: E731
        [metrics.frechet_distance(*rng.normal(size=(2, n, 10))) for _ in range(40)]
    )
    small, large = at(200), at(800)
    assert small / large == pytest.approx(4, rel=0.1)
    assert small * 200 > 2 * 10  # more than the means' part: the covariances' comes on top


@pytest.mark.verifies("metrics.kernel_distance", against="torchmetrics KID, one subset of all")
def test_kernel_distance_agrees_with_torchmetrics():
    torch, kid = torchmetrics("image.kid")
    a, b = feature_sets(200, 200)
    kid = kid.KernelInceptionDistance(
        feature=plain_features(torch, 8), normalize=True, subsets=1, subset_size=200
    )
    kid.set_dtype(torch.float64)
    kid.update(torch.from_numpy(a), real=True)
    kid.update(torch.from_numpy(b), real=False)
    mean, std = metrics.kernel_distance(a, b, subsets=1, subset_size=200)
    assert mean == pytest.approx(float(kid.compute()[0]), rel=1e-6)
    assert std == 0


@pytest.mark.verifies("metrics.kernel_distance", against="the double sum, written out")
def test_kernel_distance_agrees_with_the_double_sum():
    a, b = feature_sets(12, 12, dims=3)
    kernel = lambda x, y: (x @ y / 3 + 1) ** 3  # noqa: E731
    pairs = [(i, j) for i in range(12) for j in range(12)]
    expected = sum(kernel(a[i], a[j]) + kernel(b[i], b[j]) for i, j in pairs if i != j) / 132
    expected -= 2 * sum(kernel(a[i], b[j]) for i, j in pairs) / 144
    mean, _ = metrics.kernel_distance(a, b, subsets=1, subset_size=12)
    assert mean == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_is_unbiased_and_repeats():
    rng = np.random.default_rng(0)
    values = [
        metrics.kernel_distance(*rng.normal(size=(2, 50, 4)), subsets=1, subset_size=50)[0]
        for _ in range(300)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)
    assert min(values) < 0 < max(values)
    a, b = feature_sets()
    first = metrics.kernel_distance(a, b, subsets=5, subset_size=50)
    assert first == metrics.kernel_distance(a, b, subsets=5, subset_size=50)
    assert first != metrics.kernel_distance(a, b, subsets=5, subset_size=50, seed=1)
    assert first[1] > 0


@pytest.mark.verifies("metrics.inception_score", against="1, 10 and exp of a mutual information")
def test_inception_score_of_known_cases():
    certain = np.eye(10)[np.arange(50) % 10]
    assert metrics.inception_score(certain) == pytest.approx(10)
    assert metrics.inception_score(np.full((50, 10), 0.1)) == pytest.approx(1)
    assert metrics.inception_score(certain[:1].repeat(50, axis=0)) == pytest.approx(1)
    # a binary channel that errs with probability 0.1: log 2 minus the entropy of (0.1, 0.9)
    channel = np.array([[0.9, 0.1], [0.1, 0.9]])
    information = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    assert metrics.inception_score(channel) == pytest.approx(math.exp(information))


@pytest.mark.verifies("metrics.inception_score", against="torchmetrics, one split")
def test_inception_score_agrees_with_torchmetrics():
    torch, inception = torchmetrics("image.inception")
    logits = np.random.default_rng(0).normal(size=(100, 10)) * 2
    score = inception.InceptionScore(feature=plain_features(torch, 10), splits=1)
    score.update(torch.from_numpy(logits))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert metrics.inception_score(probabilities) == pytest.approx(
        float(score.compute()[0]), rel=1e-5
    )


@pytest.mark.verifies(
    "metrics.precision_recall",
    "metrics.density_coverage",
    against="the authors' package prdc (Naeem et al. 2020)",
)
@pytest.mark.parametrize("k", [1, 3, 5])
def test_manifold_metrics_agree_with_prdc(k, capsys):
    a, b = feature_sets()
    expected = prdc.compute_prdc(a, b, nearest_k=k)
    assert 0.05 < expected["precision"] < 0.999  # a case that can tell
    precision, recall = metrics.precision_recall(a, b, k=k)
    density, coverage = metrics.density_coverage(a, b, k=k)
    assert precision == pytest.approx(expected["precision"], abs=1e-12)
    assert recall == pytest.approx(expected["recall"], abs=1e-12)
    assert density == pytest.approx(expected["density"], abs=1e-12)
    assert coverage == pytest.approx(expected["coverage"], abs=1e-12)


@pytest.mark.verifies("metrics.precision_recall", against="five points on a line, by hand")
def test_precision_and_recall_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [3.0]])  # balls of radius 1 for k = 1
    fake = np.array([[4.0], [4.5], [10.0]])  # 4 lies on the rim of 3's ball; balls 0.5, 0.5, 5.5
    precision, recall = metrics.precision_recall(real, fake, k=1)
    assert precision == pytest.approx(1 / 3)  # the rim counts (Kynkäänniemi et al., equation 1)
    assert recall == 0.0
    assert metrics.precision_recall(real, real, k=1) == (1.0, 1.0)


@pytest.mark.verifies("metrics.density_coverage", against="its expectations for equal p and q")
def test_density_and_coverage_of_equal_distributions():
    rng = np.random.default_rng(0)
    n, m, k = 400, 250, 5
    results = [
        metrics.density_coverage(rng.normal(size=(n, 4)), rng.normal(size=(m, 4)), k=k)
        for _ in range(60)
    ]
    density, coverage = np.mean(results, axis=0)
    expected = 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    assert density == pytest.approx(1, abs=0.02)
    assert coverage == pytest.approx(expected, abs=0.005)
    assert metrics.density_coverage(*feature_sets()[:1] * 2) == (1.0, 1.0)


def test_large_sets_are_compared_block_by_block():
    real, fake = feature_sets(2_300, 1_700)
    whole = metrics.precision_recall(real, fake), metrics.density_coverage(real, fake)
    block, metrics._BLOCK = metrics._BLOCK, 10_000
    try:
        assert (metrics.precision_recall(real, fake), metrics.density_coverage(real, fake)) == whole
    finally:
        metrics._BLOCK = block


@pytest.mark.verifies("metrics.nearest_neighbors", against="sklearn.neighbors.NearestNeighbors")
def test_nearest_neighbors_agree_with_sklearn():
    a, b = feature_sets(300, 1_500)
    expected = sklearn.neighbors.NearestNeighbors(n_neighbors=1).fit(b).kneighbors(a)
    indices, distances = metrics.nearest_neighbors(a, b)
    np.testing.assert_array_equal(indices, expected[1][:, 0])
    np.testing.assert_allclose(distances, expected[0][:, 0], rtol=1e-10)
    _, zero = metrics.nearest_neighbors(b[:5] + 1e4, b + 1e4)  # far from the origin, no rounding
    np.testing.assert_array_equal(zero, 0.0)


@pytest.mark.verifies("metrics.nearest_neighbor_kl", against="KL of two Gaussians, in closed form")
@pytest.mark.parametrize("k", [1, 5])
def test_nearest_neighbor_kl_of_gaussians(k):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(8_000, 2))
    b = np.array([1.0, 0.0]) + 1.5 * rng.normal(size=(6_000, 2))
    expected = 2 * (math.log(1.5) + 0.5 / 1.5**2 - 0.5) + 0.5 / 1.5**2
    assert metrics.nearest_neighbor_kl(a, b, k=k) == pytest.approx(expected, abs=0.05)
    assert metrics.nearest_neighbor_kl(a, rng.normal(size=(6_000, 2)), k=k) == pytest.approx(
        0, abs=0.05
    )


def test_nearest_neighbor_kl_of_a_lost_mode():
    rng = np.random.default_rng(0)
    both = np.array([[-2.0, 0.0], [2.0, 0.0]])[rng.integers(0, 2, 4_000)]
    both = both + 0.05 * rng.normal(size=(4_000, 2))
    one = np.array([2.0, 0.0]) + 0.05 * rng.normal(size=(4_000, 2))
    # samples of the one mode against the mixture: log 2; the other way a lost mode is dear
    assert metrics.nearest_neighbor_kl(one, both) == pytest.approx(math.log(2), abs=0.05)
    assert metrics.nearest_neighbor_kl(both, one) > 3


@pytest.mark.verifies("metrics.bits_per_dim", against="8 bits for each of a uniform byte image")
def test_bits_per_dim_of_uniform_bytes():
    assert metrics.bits_per_dim(784 * math.log(256), 784) == pytest.approx(8)
    np.testing.assert_allclose(metrics.bits_per_dim(np.array([0.0, math.log(2)]), 1), [0, 1])


def image_pairs(channels):
    rng = np.random.default_rng(0)
    if channels == 1:
        clean = data.load("fashion_mnist", "test", limit=6)[0]
    else:
        clean = rng.uniform(-1, 1, (6, 20, 24, channels)).astype("float32")
    noisy = np.clip(clean + rng.normal(size=clean.shape) * 0.3, -1, 1)
    return clean.astype("float64"), noisy


@pytest.mark.verifies("metrics.psnr", "metrics.ssim", against="scikit-image")
@pytest.mark.parametrize("channels", [1, 3])
def test_image_quality_agrees_with_skimage(channels):
    clean, noisy = image_pairs(channels)
    quality = [
        skimage.metrics.peak_signal_noise_ratio(a, b, data_range=2)
        for a, b in zip(clean, noisy, strict=True)
    ]
    np.testing.assert_allclose(metrics.psnr(clean, noisy), quality, rtol=1e-10)
    similarity = [
        skimage.metrics.structural_similarity(
            a, b, data_range=2, channel_axis=-1, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(clean, noisy, strict=True)
    ]  # fmt: skip
    np.testing.assert_allclose(metrics.ssim(clean, noisy), similarity, rtol=1e-6)


@pytest.mark.verifies("metrics.psnr", "metrics.ssim", against="torchmetrics")
def test_image_quality_agrees_with_torchmetrics():
    torch, image = torchmetrics("functional.image")
    clean, noisy = image_pairs(3)
    first, second = (torch.from_numpy(np.moveaxis(x, -1, 1).copy()) for x in (clean, noisy))
    quality = image.peak_signal_noise_ratio(
        first, second, data_range=2.0, dim=(1, 2, 3), reduction="none"
    )
    np.testing.assert_allclose(metrics.psnr(clean, noisy), quality, rtol=1e-6)
    # torchmetrics averages over a reflected margin of 5 pixels too; the paper does not
    _, similarity = image.structural_similarity_index_measure(
        first, second, data_range=2.0, reduction="none", return_full_image=True
    )
    inner = similarity[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
    np.testing.assert_allclose(metrics.ssim(clean, noisy), inner, rtol=1e-6)


def test_image_quality_of_known_cases():
    images = np.zeros((2, 16, 16, 1))
    assert metrics.psnr(images, images).tolist() == [math.inf, math.inf]
    np.testing.assert_allclose(metrics.psnr(images, images + 0.2), 20)  # 10 log10(4 / 0.04)
    np.testing.assert_allclose(metrics.ssim(images, images), 1)
    noise = np.random.default_rng(0).normal(size=images.shape)
    assert metrics.ssim(3 + noise, 3 - noise).max() < -0.9  # opposite structure


@pytest.mark.verifies("metrics.sharpness", against="scipy.ndimage.laplace, and waves by hand")
def test_sharpness_is_the_energy_of_the_laplacian():
    ndimage = pytest.importorskip("scipy.ndimage")
    images = np.random.default_rng(0).normal(size=(3, 9, 12, 2))
    found = metrics.sharpness(images)
    for image, value in zip(images, found, strict=True):
        bent = [ndimage.laplace(image[..., channel]) for channel in range(2)]
        assert value == pytest.approx(np.mean(np.square(bent)[:, 1:-1, 1:-1]), rel=1e-12)
    rows, columns = np.mgrid[:16, :16]
    ramp = (0.1 * rows - 0.2 * columns)[None, ..., None]
    np.testing.assert_allclose(metrics.sharpness(np.concatenate([0 * ramp, ramp])), 0, atol=1e-25)
    # the finest checkerboard of ±1: each pixel has four neighbors of the other sign, so (−8)²
    assert metrics.sharpness((1 - 2 * ((rows + columns) % 2))[None, ..., None]) == [64]
    blurred = ndimage.gaussian_filter(images, (0, 1, 1, 0))
    assert (metrics.sharpness(blurred) < 0.1 * found).all()


@pytest.mark.verifies("metrics.mode_coverage", against="1 − e^−4.5 within 3σ of a 2-D Gaussian")
def test_mode_coverage_of_the_true_mixture():
    rng = np.random.default_rng(0)
    centers = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    samples = centers[rng.integers(0, 3, 20_000)] + 0.1 * rng.normal(size=(20_000, 2))
    modes, share = metrics.mode_coverage(samples, centers, 0.1)
    assert modes == 3
    assert share == pytest.approx(1 - np.exp(-4.5), abs=0.003)


@pytest.mark.verifies(
    "metrics.mode_coverage", against="a collapsed and a scattered sample, by hand"
)
def test_mode_coverage_of_failures():
    centers = np.array([[-2.0, 0.0], [2.0, 0.0]])
    assert metrics.mode_coverage(np.full((50, 2), [2.0, 0.01]), centers, 0.1) == (1, 1.0)
    assert metrics.mode_coverage(np.zeros((50, 2)), centers, 0.1) == (0, 0.0)
    few = np.concatenate([np.full((98, 2), [2.0, 0.0]), np.full((2, 2), [-2.0, 0.0])])
    assert metrics.mode_coverage(few, centers, 0.1)[0] == 1  # 2 of a fair 50 is not covered
    assert metrics.mode_coverage(few, centers, 0.1, minimum=2)[0] == 2


def test_bad_input_is_named():
    images = np.zeros((10, 28, 28, 1))
    with pytest.raises(ValueError, match=r"a must be features .* got shape \(10, 28, 28, 1\)"):
        metrics.frechet_distance(images, images)
    with pytest.raises(ValueError, match="same dims, got 3 and 4"):
        metrics.frechet_distance(np.zeros((5, 3)), np.zeros((5, 4)))
    with pytest.raises(ValueError, match="b must be finite"):
        metrics.frechet_distance(np.zeros((5, 3)), np.full((5, 3), np.nan))
    with pytest.raises(ValueError, match="at least 2 samples"):
        metrics.frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="std must be > 0"):
        metrics.mode_coverage(np.zeros((5, 2)), np.zeros((1, 2)), 0)
    with pytest.raises(ValueError, match="subset_size must be from 2 to the smaller set's 5"):
        metrics.kernel_distance(np.zeros((5, 3)), np.zeros((9, 3)))
    with pytest.raises(ValueError, match=r"probabilities must .* minimum of -1 .*softmax"):
        metrics.inception_score(np.array([[2.0, -1.0]]))
    with pytest.raises(ValueError, match="sums from 2 to 2"):
        metrics.inception_score(np.ones((3, 2)))
    for function in (metrics.precision_recall, metrics.density_coverage):
        with pytest.raises(ValueError, match=r"k must be from 1 to 4 .* got 5"):
            function(np.zeros((5, 3)), np.zeros((9, 3)), k=5)
    with pytest.raises(ValueError, match="fewer than 6 equal rows"):
        metrics.nearest_neighbor_kl(np.zeros((9, 3)), np.ones((9, 3)))
    with pytest.raises(ValueError, match="dims must be >= 1, got 0"):
        metrics.bits_per_dim(1.0, 0)
    for function in (metrics.psnr, metrics.ssim):
        with pytest.raises(ValueError, match=r"one shape, got \(10, 28, 28, 1\) and \(9, 28"):
            function(images, images[:9])
        with pytest.raises(ValueError, match="finite"):
            function(images, images * np.nan)
        with pytest.raises(ValueError, match="data_range must be > 0"):
            function(images, images, data_range=0)
    with pytest.raises(ValueError, match=r"3 pixels high and wide, got \(10, 2, 28, 1\)"):
        metrics.sharpness(images[:, :2])
    with pytest.raises(ValueError, match="images must be finite"):
        metrics.sharpness(images * np.nan)
    with pytest.raises(ValueError, match=r"at least 11 pixels high and wide, got \(8, 28\)"):
        metrics.ssim(images[:, :8], images[:, :8])
