"""How cost grows: exponents fitted to seconds against batch, width, resolution and set size.

An exponent k says that twice as much costs 2ᵏ times as much. It is the slope of a straight line
through the logarithms, with its standard error; small sizes, where a step's fixed cost hides
everything else, bend the line, so the slope between the two largest is given beside it.
"""

import numpy as np

from benchmarks import clock, models
from ganvae_lessons import budget, metrics, training
from ganvae_lessons.models import dcgan


def measure():
    """Return rows {"what", "of", "sizes", "seconds", "exponent", "error", "last"}."""
    rounds = budget.pick(smoke=1, laptop=4, gpu=4)
    turn = budget.pick(smoke=0.01, laptop=0.3, gpu=0.3)
    rows = []
    for what, of, sizes, make in sweeps():
        contestants = {size: make(size) for size in sizes}
        times = clock.take_turns(contestants, rounds, turn)
        seconds = [clock.best(times[size])[0] for size in sizes]
        exponent, error, last = fit(sizes, seconds)
        rows.append(
            {
                "what": what,
                "of": of,
                "sizes": list(sizes),
                "seconds": seconds,
                "exponent": exponent,
                "error": error,
                "last": last,
            }
        )
    return rows


def fit(sizes, seconds):
    """Return (slope, its standard error, the slope between the last two) of log against log."""
    x, y = np.log(sizes), np.log(seconds)
    last = (y[-1] - y[-2]) / (x[-1] - x[-2])
    if len(x) < 3:
        return float(last), float("nan"), float(last)
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    return float(slope), float(np.sqrt(covariance[0, 0])), float(last)


def sweeps():
    """Return [(what grows, of which work, sizes, size → contestant)]."""
    pick = lambda *sizes: budget.pick(smoke=sizes[:2], laptop=sizes, gpu=sizes)  # noqa: E731

    def batch(size):
        return models.build_dcgan(batch=size).runner()

    def width(size):
        return models.build_dcgan(dcgan.Config(filters=(4 * size, 2 * size, size))).runner()

    def resolution(size):
        config = dcgan.Config(image_shape=(size, size, 1), filters=(128, 64, 32))
        images = np.random.default_rng(0).uniform(-1, 1, (256, size, size, 1)).astype("float32")
        return models.build_dcgan(config, 16, images).runner()

    def stored(size):
        images = np.resize(models.fashion(), (size, 28, 28, 1))
        return models.build_dcgan(images=images).runner()

    def drawn(size):
        stream = iter(training.batches(np.resize(models.fashion(), (size, 28, 28, 1)), 64))
        return clock.again(lambda: next(stream))

    def compared(measure, dims=64):
        def make(size):
            a, b = np.random.default_rng(0).normal(size=(2, size, dims)).astype("float32")
            return clock.again(lambda: measure(a, b))

        return make

    step = "DCGAN, a training step"
    found = [
        ("batch", step, pick(32, 64, 128, 256), batch),
        ("width", step, pick(16, 32, 64, 96), width),
        ("side of the image", step, pick(16, 32, 64, 128), resolution),
        ("images in the set", step, pick(1000, 4000, 16_000), stored),
        ("images in the set", "drawing a batch", pick(1000, 10_000, 60_000), drawn),
        (
            "images compared",
            "Fréchet distance",
            pick(1000, 2000, 4000, 8000),
            compared(metrics.frechet_distance),
        ),
        (
            "images compared",
            "precision and recall",
            pick(1000, 2000, 4000, 8000),
            compared(metrics.precision_recall),
        ),
    ]
    return budget.pick(smoke=[found[0], found[-2]], laptop=found, gpu=found)
