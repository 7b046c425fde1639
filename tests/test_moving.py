"""Clips of moving clothes: how they move, how they are drawn, and the baselines' errors.

The trajectories are compared with a simulation that takes sub-steps of one pixel, the pictures with
a slow drawing of their own.
"""

import keras
import numpy as np
import pytest
import skimage

from ganvae_lessons import data
from ganvae_lessons.data import moving


@pytest.fixture(scope="module")
def clothes():
    return moving.items("test", limit=200)


def bounced(clips):
    """Which objects were mirrored between a frame and the next: bool (N, T − 1, objects, 2)."""
    return (np.diff(clips.positions, axis=1) != clips.velocities[:, :-1]) | (
        clips.velocities[:, 1:] != clips.velocities[:, :-1]
    )


@pytest.mark.verifies("data.moving.items", against="skimage.measure.block_reduce")
def test_items(clothes):
    images, _, _ = data.load("fashion_mnist", "test", 200)
    expected = skimage.measure.block_reduce(images, (1, 2, 2, 1), np.mean)
    assert clothes.shape == (200, 14, 14, 1) and clothes.dtype == np.float32
    np.testing.assert_allclose(clothes, expected, atol=1e-6)
    np.testing.assert_allclose(moving.items("test", side=28, limit=200), images)
    with pytest.raises(ValueError, match=r"side must be one of 28, 14, .*, got 15"):
        moving.items(side=15)


@pytest.mark.verifies("data.moving.clips", "data.moving.Clips", against="a walk pixel by pixel")
@pytest.mark.parametrize("seed", [0, 1])
def test_trajectories(clothes, seed):
    clips = moving.clips(clothes, 40, frames=60, side=32, max_speed=3, seed=seed)
    positions, velocities = clips.positions, clips.velocities
    assert positions.shape == velocities.shape == (40, 60, 2, 2)
    assert positions.min() == 0 and positions.max() == 18  # inside, and up to the edges
    # the speed never changes, only its direction; nothing stands still
    speed = np.abs(velocities)
    assert (speed == speed[:, :1]).all() and speed.max() == 3 and speed.sum(axis=-1).min() >= 1
    place, direction = positions[:, 0].copy(), np.sign(velocities[:, 0])
    for time in range(1, 60):
        for step in range(3):  # up to three pixels, turning at an edge
            moves = step < speed[:, 0]
            direction = np.where(moves & (place + direction > 18), -1, direction)
            direction = np.where(moves & (place + direction < 0), 1, direction)
            place = place + np.where(moves, direction, 0)
        np.testing.assert_array_equal(positions[:, time], place)
    straight = ~bounced(clips)
    assert 0.5 < straight.mean() < 0.95
    steps = np.diff(positions, axis=1)
    np.testing.assert_array_equal(steps[straight], velocities[:, :-1][straight])


@pytest.mark.verifies("data.moving.clips", against="its promise about the seed, and uniform draws")
def test_seed(clothes):
    one, two = (moving.clips(clothes, 30, seed=5) for _ in range(2))
    for array, again in zip(one, two, strict=True):
        np.testing.assert_array_equal(array, again)
    other = moving.clips(clothes, 30, seed=6)
    assert not np.array_equal(one.frames, other.frames)
    assert one.frames.dtype == np.float32 and one.frames.shape == (30, 20, 32, 32, 1)
    assert one.frames.min() == -1 and 0.5 < one.frames.max() <= 1
    many = moving.clips(clothes[:, :1, :1], 4_000, frames=1, side=4, objects=1, max_speed=1)
    pairs = many.velocities[:, 0, 0]
    kinds, counts = np.unique(np.abs(pairs), axis=0, return_counts=True)
    assert kinds.tolist() == [[0, 1], [1, 0], [1, 1]]
    np.testing.assert_allclose(counts / 4_000, 1 / 3, atol=0.03)
    np.testing.assert_allclose((pairs > 0).mean(axis=0), (pairs < 0).mean(axis=0), atol=0.05)


@pytest.mark.verifies("data.moving.render", against="a drawing pixel by pixel")
def test_pictures(clothes):
    clips = moving.clips(clothes, 3, frames=4, seed=1)
    objects = clothes[clips.which]
    outside = clips.positions + np.array([[-20, 9], [-45, 60]])  # one cut off, one out of sight
    for positions, found in (
        (clips.positions, clips.frames),
        (outside, moving.render(objects, outside, 32)),
    ):
        expected = -np.ones((3, 4, 32, 32, 1), "float32")
        for n, t, k, i, j in np.ndindex(3, 4, 2, 14, 14):
            row, column = positions[n, t, k] + (i, j)
            if 0 <= row < 32 and 0 <= column < 32:
                pixel = expected[n, t, row, column]
                expected[n, t, row, column] = np.maximum(pixel, objects[n, k, i, j])
        np.testing.assert_array_equal(found, expected)


@pytest.mark.verifies("data.moving.copy_last", against="the definition")
def test_copy_last():
    frames = np.random.default_rng(0).uniform(-1, 1, (2, 3, 4, 5, 1)).astype("float32")
    copied = moving.copy_last(frames, 6)
    assert copied.shape == (2, 6, 4, 5, 1)
    assert (copied == frames[:, 2:]).all()


@pytest.mark.verifies(
    "data.moving.constant_velocity",
    "data.moving.estimate_velocity",
    against="the true motion of one object between bounces",
)
def test_constant_velocity_is_exact_between_bounces(clothes):
    clips = moving.clips(clothes, 150, frames=8, objects=1, seed=2)
    straight = ~bounced(clips).any(axis=(2, 3))  # (N, T − 1)
    known = straight[:, 2]  # between the last two frames that are seen
    velocities = moving.estimate_velocity(clips.frames[:, :4])
    np.testing.assert_array_equal(velocities[known], clips.velocities[known, 2, 0])
    forecast = moving.constant_velocity(clips.frames[:, :4], 4)
    exact = (forecast == clips.frames[:, 4:]).all(axis=(2, 3, 4))
    expected = np.logical_and.accumulate(straight[:, 2:], axis=1)[:, 1:]
    assert exact[expected].all() and 0.2 < expected[:, -1].mean() < 0.9
    # a bounce before the last frame, and it is wrong (one at the last frame only turns it round)
    displaced = (np.diff(clips.positions, axis=1) != clips.velocities[:, 2:3]).any(axis=(2, 3))
    assert displaced[known, -1].any() and not exact[:, -1][known & displaced[:, -1]].any()
    # what really happens if nothing bounces: the object leaves the picture
    positions = clips.positions[:, 3:4] + clips.velocities[:, 3:4] * np.arange(1, 5)[:, None, None]
    outward = moving.render(clothes[clips.which], positions, 32)
    left = ~bounced(clips)[:, 2:4].any(axis=(1, 2, 3))
    np.testing.assert_array_equal(forecast[left, :1], outward[left, :1])


@pytest.mark.verifies("data.moving.estimate_velocity", against="skimage's phase_cross_correlation")
def test_estimate_of_a_whole_picture():
    picture = skimage.data.camera()[::8, ::8].astype("float32")[None, None, ..., None] / 127.5 - 1
    moved = np.roll(picture, (2, -3), axis=(2, 3))
    frames = np.concatenate([picture, moved], axis=1)
    shift, _, _ = skimage.registration.phase_cross_correlation(moved[0, 0], picture[0, 0])
    assert moving.estimate_velocity(frames, ground=0.0).tolist() == [shift[:2].astype(int).tolist()]
    still = np.repeat(picture, 2, axis=1)
    assert moving.estimate_velocity(still).tolist() == [[0, 0]]
    gray = np.zeros((1, 2, 5, 5, 1), "float32")
    assert moving.estimate_velocity(gray, ground=0.0).tolist() == [[0, 0]]  # the smallest of equals
    with pytest.raises(ValueError, match=r"at least 2 frames, got \(1, 1, 64, 64, 1\)"):
        moving.constant_velocity(picture, 3)


@pytest.mark.verifies("data.moving.cross_entropy", against="keras.losses.binary_crossentropy")
def test_cross_entropy():
    truth, forecast = np.random.default_rng(0).uniform(-0.99, 0.99, (2, 3, 4, 5, 5, 1))
    found = moving.cross_entropy(truth, forecast)
    pixels = ((array.reshape(3, 4, 25) + 1) / 2 for array in (truth, forecast))
    expected = keras.losses.binary_crossentropy(*pixels) * 25
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    black, white = -np.ones((1, 1, 2, 2, 1)), np.ones((1, 1, 2, 2, 1))
    np.testing.assert_allclose(moving.cross_entropy(black, white), 4 * np.log(1e3))


@pytest.mark.verifies("data.moving.clips", against="the error wording of STYLE.md")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"max_speed": 0}, "max_speed must be at least 1, got 0"),
        ({"objects": -1}, "objects must be at least 1, got -1"),
        ({"side": 14}, "side must be more than the items' 14×14 pixels, got 14; give smaller"),
    ],
)
def test_bad_arguments(clothes, changes, message):
    with pytest.raises(ValueError, match=message):
        moving.clips(clothes, **{"count": 2, **changes})
    with pytest.raises(ValueError, match="items must be in"):
        moving.clips(clothes * 3, 2)
