"""Figures that the lessons share: sample grids, curves, clouds of points, fields, animations.

Importing this file sets Matplotlib's defaults for the whole book. Colors are those of
Okabe and Ito, which survive color-blindness, and `COLORS` gives a thing the same color
in every lesson. A helper draws on the `axis` it is given, or makes a figure and shows it.
"""

import io
import math

import matplotlib.pyplot as plt
import numpy as np

__all__ = ["COLORS", "animation", "curves", "field", "image_grid", "montage", "points"]

COLORS = {
    "data": "#4D4D4D",
    "model": "#D55E00",
    "generator": "#D55E00",
    "discriminator": "#0072B2",
    "vae": "#009E73",
    "bound": "#56B4E9",
    "accent": "#CC79A7",
    "extra": "#E69F00",
}
_CYCLE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D"]

plt.rcParams.update(
    {
        "figure.dpi": 110,
        "figure.figsize": (6.4, 3.6),
        "figure.facecolor": "white",  # a light plate on a dark page
        "figure.constrained_layout.use": True,
        "axes.prop_cycle": plt.cycler(color=_CYCLE),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "axes.titlesize": 11,
        "legend.frameon": False,
        "image.cmap": "gray",
    }
)


def _axis(axis, size):
    """Return (axis, finish): the axis to draw on, and what to call when it is drawn."""
    if axis is not None:
        return axis, lambda: None
    return plt.subplots(figsize=size)[1], plt.show


def montage(images, columns=None, *, gap=1):
    """Tile images (N, H, W, C) in [−1, 1] into one picture (rows·…, columns·…, C) in [0, 1].

    Row by row, white gaps of `gap` pixels, missing tiles white; C is 1 or 3. By default
    there are about twice as many columns as rows. Values outside [−1, 1] are clipped.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(f"images must be (N, H, W, 1 or 3) with N >= 1, got {images.shape}")
    count, height, width, channels = images.shape
    columns = columns or min(count, math.ceil(math.sqrt(2 * count)))
    rows = math.ceil(count / columns)
    picture = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, channels))
    for place, image in enumerate(np.clip((images + 1) / 2, 0, 1)):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        picture[top : top + height, left : left + width] = image
    return picture


def image_grid(images, columns=None, *, title=None, axis=None, width=8.0):
    """Show images (N, H, W, C) in [−1, 1] as one grid, `width` inches wide (see `montage`)."""
    picture = montage(images, columns)
    height = width * picture.shape[0] / picture.shape[1] + (0.3 if title else 0)
    axis, finish = _axis(axis, (width, height))
    axis.imshow(picture.squeeze(-1) if picture.shape[-1] == 1 else picture, vmin=0, vmax=1)
    axis.set_axis_off()
    if title:
        axis.set_title(title)
    finish()


def curves(lines, *, xlabel, ylabel, x=None, title=None, log=False, axis=None):
    """Draw named sequences, `lines` = {label: values}, over `x` or over 1, 2, 3, …

    A label that is a key of `COLORS` takes that color. `log` makes the y axis logarithmic.
    """
    axis, finish = _axis(axis, None)
    for label, values in lines.items():
        places = np.arange(1, len(values) + 1) if x is None else x
        axis.plot(places, values, label=label, color=COLORS.get(label))
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if log:
        axis.set_yscale("log")
    if len(lines) > 1:
        axis.legend()
    finish()


def points(samples, *, real=None, limit=None, title=None, axis=None, label="model"):
    """Scatter 2-D `samples` (N, 2) over `real` ones; the axes run from −`limit` to `limit`."""
    axis, finish = _axis(axis, (4, 4))
    if real is not None:
        axis.scatter(*np.asarray(real).T, s=4, alpha=0.3, color=COLORS["data"], label="data")
    axis.scatter(*np.asarray(samples).T, s=4, alpha=0.5, color=COLORS["model"], label=label)
    axis.set(title=title, aspect="equal")
    if limit:
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit))
    finish()


def field(direction, *, limit=2.0, path=None, title=None, axis=None, xlabel="θ", ylabel="ψ"):
    """Draw a plane field as arrows of equal length, and a `path` (steps + 1, 2) through it.

    `direction` maps two arrays of one shape to two of that shape, as
    `theory.dirac_gan_field` does.
    """
    axis, finish = _axis(axis, (4, 4))
    line = np.linspace(-limit, limit, 17)
    x, y = np.meshgrid(line, line)
    dx, dy = direction(x, y)
    length = np.hypot(dx, dy) + 1e-12
    axis.quiver(x, y, dx / length, dy / length, color=COLORS["data"], alpha=0.45, scale=24)
    if path is not None:
        axis.plot(*path.T, color=COLORS["model"], lw=1.2)
        axis.plot(*path[0], "o", color=COLORS["model"], ms=5)
    axis.plot(0, 0, "*", color=COLORS["discriminator"], ms=11)
    axis.set(title=title, aspect="equal", xlabel=xlabel, ylabel=ylabel)
    axis.set(xlim=(-limit, limit), ylim=(-limit, limit))
    finish()


def animation(frames, *, seconds=0.25, hold=1.5, scale=2):
    """Return an `IPython.display.Image` that plays pictures (H, W, 1 or 3) in [0, 1] as a GIF.

    `frames` is a sequence of arrays of one shape, as `montage` makes them, each shown for
    `seconds`, the last for `hold`, each pixel enlarged to a square of `scale`.
    """
    from IPython.display import Image
    from PIL import Image as Picture

    stills = []
    for frame in frames:
        frame = (np.clip(np.asarray(frame), 0, 1) * 255).astype(np.uint8)
        still = Picture.fromarray(frame.squeeze(-1) if frame.shape[-1] == 1 else frame)
        stills.append(still.resize((scale * still.width, scale * still.height), Picture.NEAREST))
    durations = [int(1000 * seconds)] * (len(stills) - 1) + [int(1000 * hold)]
    file = io.BytesIO()
    stills[0].save(file, "GIF", save_all=True, append_images=stills[1:], duration=durations, loop=0)
    return Image(data=file.getvalue(), format="gif")
