"""The one check of image arrays that everything in the course shares.

The convention: float32, (samples, height, width, channels), values in [-1, 1], the range of the
generators' tanh. Images in [0, 1] also lie in that range and cannot be told apart from dark ones.
"""

import numpy as np


def check_images(images, name="images"):
    """Return `images` as a float32 NumPy array, or say what is wrong with it.

    Args:
        images: array-like, (samples, height, width, channels), floating point, in [-1, 1].
        name: what the error calls the argument.

    Returns:
        float32 array of the same shape; the argument itself where it already is one.

    Raises:
        ValueError: not numbers, not four axes, empty, not finite, outside [-1, 1], or integers.
    """
    try:
        array = np.asarray(images)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be one array of numbers, got a {type(images).__name__} that cannot be "
            f"made into one ({error}); give every image the same shape"
        ) from error
    if array.dtype.name == "bfloat16":  # NumPy itself does not know it; mixed precision makes it
        array = array.astype("float32")
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} must be an array of real numbers, got dtype {array.dtype}; "
            "convert it with .astype('float32')"
        )
    if array.ndim != 4:
        hint = {
            2: f"add the axes of samples and channels: {name}[None, ..., None]",
            3: f"add the missing axis: {name}[..., None] for gray images, {name}[None] for one",
        }.get(array.ndim, "reshape it")
        raise ValueError(
            f"{name} must have the shape (samples, height, width, channels), "
            f"got {array.shape}; {hint}"
        )
    if array.size == 0:
        raise ValueError(
            f"{name} must hold at least one image with at least one pixel, "
            f"got the shape {array.shape}; check how they were selected"
        )
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        raise ValueError(
            f"{name} must be finite, got {np.count_nonzero(~finite):,} NaN or infinite values "
            f"of {array.size:,}; find where they come from, or leave those images out"
        )
    low, high = array.min(), array.max()
    if low < -1 or high > 1:
        eight_bit = low >= 0 and 2 < high <= 255
        remedy = "divide by 127.5 and subtract 1" if eight_bit else "rescale or clip them"
        raise ValueError(
            f"{name} must be in [-1, 1], got a minimum of {low:g} and a maximum of {high:g}; "
            f"{remedy}"
        )
    if array.dtype.kind != "f":
        raise ValueError(
            f"{name} must be floating-point numbers in [-1, 1], got dtype {array.dtype}; "
            "for 8-bit images divide by 127.5 and subtract 1"
        )
    return array.astype("float32", copy=False)
