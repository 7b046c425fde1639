"""What a lesson hands on, so that a page of the book shows its numbers and nobody types them.

An output of a notebook may carry metadata, which no viewer shows and every tool keeps. `publish`
shows one line and hangs the record on it, `spent` what the run took; tools/fill_tables.py reads
both in the executed lesson. Away from the book, in Colab say, the line is all there is.
"""

import base64
import io
import math
import numbers

from ganvae_lessons import budget
from ganvae_lessons.data import check_images

__all__ = ["publish", "spent"]

KEY = "ganvae_lessons"  # in the output's metadata
SHOWN = 8  # images of a model, in two rows


def publish(results, samples=None):
    """Publish `results` = {model: {what: number or None}} and `samples` = {model: images}.

    None stands for what a model does not have, such as a GAN's likelihood. Of the images
    (N, H, W, 1 or 3) in [−1, 1] the first eight are kept, as one picture. ValueError where a
    number is not finite, a result is no number, or samples are of a model without results.
    """
    samples = samples or {}
    unknown = sorted(set(samples) - set(results))
    if unknown or not results:
        raise ValueError(
            f"samples must be of models in results, got {unknown} beside {sorted(results)}"
        )
    kept = {
        model: {what: _number(value, f"{model}, {what}") for what, value in row.items()}
        for model, row in results.items()
    }
    pictures = {model: _png(images, model) for model, images in samples.items()}
    line = f'For the page "Choosing a model", at the {budget.name()} budget: '
    _show(line + ", ".join(results), kept, pictures)


def spent():
    """Show what this kernel has taken since it was started, and publish it under "run".

    "seconds" by the clock and, at the fullest moment, "gigabytes" (10⁹ bytes) of memory. The last
    cell of each lesson calls it, so that the book tells what a lesson costs where it was built.
    """
    import time

    import psutil  # every kernel has it

    seconds = time.time() - psutil.Process().create_time()
    gigabytes = _peak_bytes() / 1e9
    line = f"At the {budget.name()} budget: {seconds:.0f} s, at most {gigabytes:.1f} GB of memory."
    _show(line, {"run": {"seconds": seconds, "gigabytes": gigabytes}}, {})


def _peak_bytes():
    """The most memory that this process has held."""
    import psutil

    held = psutil.Process().memory_info()
    if hasattr(held, "peak_wset"):  # Windows
        return held.peak_wset
    import resource
    import sys

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


def _show(line, results, samples):
    from IPython.display import display

    record = {"budget": budget.name(), "results": results, "samples": samples}
    display({"text/plain": line}, metadata={KEY: record}, raw=True)


def _number(value, name):
    if value is None or isinstance(value, bool | int):
        return value
    if not isinstance(value, numbers.Number) and getattr(value, "shape", None) != ():
        raise ValueError(f"{name} must be one number or None, got {value!r}")
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}; where there is no number, put None")
    return value


def _png(images, model):
    """The first images as the text of a PNG, each pixel a square of two."""
    from PIL import Image

    from ganvae_lessons import plots

    images = check_images(images, f"samples of {model}")[:SHOWN]
    picture = plots.montage(images, min(SHOWN // 2, len(images)))
    picture = (255 * picture).round().astype("uint8")
    still = Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
    file = io.BytesIO()
    still.resize((2 * still.width, 2 * still.height), Image.NEAREST).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
