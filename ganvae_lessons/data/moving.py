"""Image sequences made on the fly: pieces of clothing that move and bounce off a frame's edges.

As in the Moving MNIST of Srivastava et al. (ICML 2015, arXiv 1502.04681), but speeds are whole
pixels a frame, so that a frame is an exact copy of its objects and motion can be undone exactly.
Frames are float32 in [-1, 1], as in all of the course; (frames + 1) / 2 is in [0, 1]. The two
baselines forecast from pixels alone.
"""

from typing import NamedTuple

import numpy as np

from ganvae_lessons.data._check import check_images
from ganvae_lessons.data._load import load

__all__ = [
    "Clips",
    "clips",
    "constant_velocity",
    "copy_last",
    "cross_entropy",
    "estimate_velocity",
    "items",
    "render",
]

GROUND = -1.0  # black


class Clips(NamedTuple):
    """N clips of T frames, and what is in them; a position is an object's top left corner.

    frames: float32 (N, T, side, side, C) in [-1, 1].
    positions: int64 (N, T, objects, 2), row and column in pixels.
    velocities: int64 (N, T, objects, 2), pixels a frame, with which an object leaves that frame.
    which: int64 (N, objects), rows of the items.
    """

    frames: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    which: np.ndarray


def items(split="train", *, side=14, limit=None):
    """Fashion-MNIST's images, averaged block by block: float32 (N, side, side, 1) in [-1, 1].

    Raises:
        ValueError: `side` does not divide 28, or what `data.load` refuses.
    """
    if not 1 <= side <= 28 or 28 % side:
        raise ValueError(f"side must be one of 28, 14, 7, 4, 2 and 1 pixels, got {side!r}")
    images, _, _ = load("fashion_mnist", split, limit)
    block = 28 // side
    return images.reshape(-1, side, block, side, block, 1).mean(axis=(2, 4))


def clips(items, count, *, frames=20, side=32, objects=2, max_speed=3, seed=0):
    """Make clips of items that move straight on, and are mirrored where they touch an edge.

    Item, starting place and velocity of each object are drawn uniformly: rows and columns each at
    0 to `max_speed` pixels a frame, forward or backward, but never both at 0.

    Args:
        items: float32 (M, h, w, C) in [-1, 1], as from `items`.
        count: how many clips, N.
        frames: frames in a clip, T.
        side: height and width of a frame in pixels, more than the items'.
        objects: how many items in a clip; where they overlap, the brighter pixel shows.
        max_speed: pixels a frame, along each axis.
        seed: the same seed and arguments give the same clips.

    Returns:
        `Clips`.

    Raises:
        ValueError: a number below 1, or items that are not images or leave no room to move.
    """
    items = check_images(items, "items")
    numbers = {"count": count, "frames": frames, "objects": objects, "max_speed": max_speed}
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    room = side - np.array(items.shape[1:3])  # the last position on each axis
    if room.min() < 1:
        raise ValueError(
            f"side must be more than the items' {items.shape[1]}×{items.shape[2]} pixels, got "
            f"{side}; give smaller items, such as items(side=14)"
        )
    rng = np.random.default_rng(seed)
    which = rng.integers(len(items), size=(count, objects))
    speeds = np.array(list(np.ndindex(max_speed + 1, max_speed + 1)))[1:]  # without (0, 0)
    speed = speeds[rng.integers(len(speeds), size=(count, 1, objects))]
    # There and back is a circle of 2·room pixels; its second half is the way back.
    start = rng.integers(2 * room, size=(count, 1, objects, 2))
    phase = (start + speed * np.arange(frames)[:, None, None]) % (2 * room)
    positions = np.where(phase < room, phase, 2 * room - phase)
    velocities = np.where(phase < room, speed, -speed)
    return Clips(render(items[which], positions, side), positions, velocities, which)


def render(objects, positions, side):
    """Draw objects (N, K, h, w, C) at positions (N, T, K, 2): frames (N, T, side, side, C).

    The ground is black, the brighter pixel shows, and what lies outside of the frame is cut off:
    so positions that go straight on through the edges can be drawn too.
    """
    (count, kinds, height, width, channels), time = objects.shape, positions.shape[1]
    size = np.array([height, width])
    # a margin as wide as an object holds what is cut off
    canvas = np.full((count, time, *(side + 2 * size), channels), GROUND, "float32")
    places = np.clip(positions, -size, side) + size
    clip, frame = np.ogrid[:count, :time]
    for kind in range(kinds):
        rows = places[:, :, kind, :1] + np.arange(height)  # (N, T, h)
        columns = places[:, :, kind, 1:] + np.arange(width)  # (N, T, w)
        spot = clip[..., None, None], frame[..., None, None], rows[..., None], columns[:, :, None]
        canvas[spot] = np.maximum(canvas[spot], objects[:, None, kind])
    return canvas[:, :, height : height + side, width : width + side].copy()  # not the margin


def copy_last(frames, count):
    """Forecast that nothing moves any more: the last of frames (N, T, H, W, C), `count` times."""
    return np.repeat(frames[:, -1:], count, axis=1)


def constant_velocity(frames, count, *, max_speed=4, ground=GROUND):
    """Forecast that the whole picture goes on as it moved between the last two frames.

    Args:
        frames: float32 (N, T, H, W, C), two or more frames each.
        count: how many frames to forecast.
        max_speed: as in `estimate_velocity`.
        ground: the value of what comes into view.

    Returns:
        float32 (N, count, H, W, C). One velocity for each clip: exact for one object up to its
        next bounce, a compromise for two.
    """
    velocities = estimate_velocity(frames, max_speed=max_speed, ground=ground)
    made = np.empty((len(frames), count, *frames.shape[2:]), "float32")
    for clip, velocity in enumerate(velocities):
        for time in range(count):
            made[clip, time] = _shift(frames[clip, -1], velocity * (time + 1), ground)
    return made


def estimate_velocity(frames, *, max_speed=4, ground=GROUND):
    """Find the shift that best makes the last frame of each clip from the one before it.

    All whole shifts of up to `max_speed` pixels along either axis are tried; the smallest mean
    square of the error wins, among equals the smallest shift.

    Returns:
        int64 (N, 2), rows and columns in pixels a frame.

    Raises:
        ValueError: fewer than two frames.
    """
    frames = np.asarray(frames)
    if frames.ndim != 5 or frames.shape[1] < 2:
        raise ValueError(
            f"frames must be clips (N, T, H, W, C) of at least 2 frames, got {frames.shape}"
        )
    before, last = frames[:, -2], frames[:, -1]
    along = np.arange(-max_speed, max_speed + 1)
    shifts = np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(-1, 2)
    shifts = shifts[np.argsort((shifts**2).sum(axis=1), kind="stable")]
    errors = [((_shift(before, s, ground) - last) ** 2).mean(axis=(1, 2, 3)) for s in shifts]
    return shifts[np.argmin(errors, axis=0)]


def _shift(images, by, ground):
    """Images (…, H, W, C) moved by whole (rows, columns); what comes into view is `ground`."""
    moved = np.full_like(images, ground)
    size = images.shape[-3:-1]
    here = tuple(slice(max(d, 0), max(n + min(d, 0), 0)) for d, n in zip(by, size, strict=True))
    there = tuple(slice(max(-d, 0), max(n - max(d, 0), 0)) for d, n in zip(by, size, strict=True))
    moved[(..., *here, slice(None))] = images[(..., *there, slice(None))]
    return moved


def cross_entropy(truth, forecast, *, least=1e-3):
    """−Σ x log s + (1 − x) log(1 − s) of each frame, in nats: (N, T).

    Both arguments are (N, T, H, W, C) in [-1, 1]; x and s are they, brought to [0, 1]. A baseline
    that is sure of a pixel and wrong would pay without limit, so s stays `least` away from 0
    and 1.
    """
    x = (np.asarray(truth, "float64") + 1) / 2
    s = np.clip((np.asarray(forecast, "float64") + 1) / 2, least, 1 - least)
    return -(x * np.log(s) + (1 - x) * np.log(1 - s)).sum(axis=(2, 3, 4))
