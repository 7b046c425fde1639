"""`latent`: the sphere's walk against plane geometry, the inverted generator against algebra."""

import keras
import numpy as np
import pytest

from ganvae_lessons import latent


def on_circle(degrees, radius=1.0):
    angle = np.radians(degrees)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


@pytest.mark.verifies("latent.slerp", against="equal angles on a circle")
def test_slerp_walks_around_the_circle_at_an_even_pace():
    fractions = np.linspace(0, 1, 7)
    for start, end in ((0.0, 90.0), (20.0, 199.0), (10.0, -80.0), (5.0, 5.0 + 1e-7)):
        walk = latent.slerp(on_circle(start, 3.0), on_circle(end, 3.0), fractions)
        np.testing.assert_allclose(
            walk, on_circle(start + fractions * (end - start), 3.0), atol=1e-12
        )
    # many walks at once, in many dimensions; the length stays, which a straight walk loses
    ends = np.random.default_rng(0).normal(size=(2, 5, 100))
    ends *= 10 / np.linalg.norm(ends, axis=-1, keepdims=True)
    walk = latent.slerp(*ends, [0.0, 0.5, 1.0])
    assert walk.shape == (3, 5, 100)
    np.testing.assert_allclose(np.linalg.norm(walk, axis=-1), 10)
    np.testing.assert_allclose(walk[[0, 2]], ends)
    assert np.linalg.norm(ends.mean(axis=0), axis=-1).max() < 9


@pytest.mark.verifies("latent.slerp", against="the straight line between parallel ends")
def test_slerp_between_parallel_ends_is_straight():
    walk = latent.slerp([1.0, 1.0], [3.0, 3.0], [0.0, 0.25, 1.0])
    np.testing.assert_allclose(walk, [[1, 1], [1.5, 1.5], [3, 3]])


def linear_generator(seed=0):
    """A model z (B, 3) → z W + b as images (B, 4, 4, 1), with W and b."""
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(3, 16)).astype("float32") / 8
    bias = generator.normal(size=16).astype("float32") / 20
    latents = keras.Input((3,))
    images = keras.layers.Reshape((4, 4, 1))(keras.layers.Dense(16)(latents))
    model = keras.Model(latents, images)
    model.set_weights([matrix, bias])
    return model, matrix, bias


@pytest.mark.verifies("latent.invert", against="weighted ridge regression, numpy.linalg.solve")
@pytest.mark.parametrize(("masked", "prior_weight"), [(False, 0.0), (True, 0.0), (True, 0.3)])
def test_inverting_a_linear_generator_is_least_squares(masked, prior_weight):
    model, matrix, bias = linear_generator()
    before = [weight.copy() for weight in model.get_weights()]
    rng = np.random.default_rng(1)
    images = np.clip(rng.normal(size=(4, 4, 4, 1)) / 4, -1, 1).astype("float32")
    mask = np.ones((4, 4, 4, 1))
    if masked:
        mask[:2, :, :2] = 0  # two images lose their left half, the others other rows
        mask[2:, 1] = 0
    found, errors = latent.invert(
        model, images, mask=mask, prior_weight=prior_weight, steps=300, learning_rate=0.2
    )
    assert found.shape == (4, 3) and errors.shape == (4,)
    for image, weight, z, error in zip(images, mask, found, errors, strict=True):
        seen = matrix[:, weight.ravel() == 1]  # (3, known pixels)
        rest = (image.ravel() - bias)[weight.ravel() == 1]
        best = np.linalg.solve(seen @ seen.T + prior_weight * np.eye(3), seen @ rest)
        np.testing.assert_allclose(z, best, atol=2e-3)
        assert error == pytest.approx(np.mean((best @ seen - rest) ** 2), abs=1e-5)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # the generator itself stays


@pytest.mark.verifies("latent.invert", against="a generator with a bad valley, found by hand")
def test_more_starts_find_the_better_valley():
    """G(z) = tanh(z³ − 2z)/2 is 0.47 near z = 1.73 only; from z < 0.8 descent ends at 0.40."""
    latents = keras.Input((1,))
    images = keras.layers.Reshape((1, 1, 1))(
        keras.layers.Lambda(lambda z: keras.ops.tanh(z**3 - 2 * z) / 2)(latents)
    )
    model = keras.Model(latents, images)
    target = np.full((6, 1, 1, 1), 0.47, "float32")
    slow = {"steps": 300, "learning_rate": 0.03, "seed": 3}  # faster it is carried past the goal
    _, one = latent.invert(model, target, **slow)
    found, many = latent.invert(model, target, starts=120, **slow)
    assert one.max() > 1e-3 > 1e-5 > many.max()
    np.testing.assert_allclose(np.tanh(found**3 - 2 * found) / 2, 0.47, atol=3e-3)
    again, _ = latent.invert(model, target, starts=120, **slow)
    np.testing.assert_array_equal(found, again)


def test_bad_input_is_named():
    model, _, _ = linear_generator()
    images = np.zeros((2, 4, 4, 1), "float32")
    with pytest.raises(ValueError, match=r"one shape .* got \(2,\), \(3,\) and \(1,\)"):
        latent.slerp(np.ones(2), np.ones(3), [0.5])
    with pytest.raises(ValueError, match="must not be 0"):
        latent.slerp(np.zeros(2), np.ones(2), [0.5])
    with pytest.raises(ValueError, match="must not be opposite"):
        latent.slerp(np.ones(2), -2 * np.ones(2), [0.5])
    with pytest.raises(ValueError, match=r"images must be such .* \(4, 4, 1\), got \(2, 4, 4, 2\)"):
        latent.invert(model, np.zeros((2, 4, 4, 2), "float32"))
    with pytest.raises(ValueError, match="mask must hold 0 and 1"):
        latent.invert(model, images, mask=np.zeros((4, 4, 1)))
    with pytest.raises(ValueError, match="mask must hold 0 and 1"):
        latent.invert(model, images, mask=np.full((4, 4, 1), 0.5))
    with pytest.raises(ValueError, match="starts and steps must be at least 1, got 0 and 200"):
        latent.invert(model, images, starts=0)
