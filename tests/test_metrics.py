"""`metrics` against scipy, closed forms and cases whose answer is known."""

import numpy as np
import pytest
import scipy.linalg

from ganvae_lessons import metrics


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
