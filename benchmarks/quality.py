"""Time to a distance: lesson 05's DCGAN against the recipe of TensorFlow's tutorial.

Both train by turns, for the same seconds, on the same images. After each turn the Fréchet distance
of the same number of samples to the test images is taken, in the features of our classifier; that
time does not count, and neither does compiling. The steps made while compiling do: at the pace of
the next ones.
"""

import time

import keras

from benchmarks import classic, models
from ganvae_lessons import budget, data, metrics, training
from ganvae_lessons.models import classifier, dcgan

OURS, CLASSIC = "lesson 05", "TensorFlow's tutorial"
TARGETS = (200, 100, 50, 20, 10, 6)


def measure():
    """Return {"curves": {recipe: [(seconds, distance), …]}, "targets": rows}."""
    samples = budget.pick(smoke=50, laptop=2000, gpu=2000)
    turn = budget.pick(smoke=0.2, laptop=8.0, gpu=8.0)
    turns = budget.pick(smoke=1, laptop=11, gpu=13)
    images = models.fashion(budget.pick(smoke=500, laptop=None, gpu=None))
    judge = classifier.load()
    real = classifier.features(data.load("fashion_mnist", "test")[0], judge)

    def distance(made):
        return float(metrics.frechet_distance(classifier.features(made, judge), real))

    keras.utils.set_random_seed(0)
    config = budget.pick(smoke=dcgan.Config(filters=(8, 8, 4)), laptop=None, gpu=None)
    chunk = budget.pick(smoke=5, laptop=100, gpu=500)
    model = models.build_dcgan(config, 64, images).model

    def train():
        # each call goes on in the stream where the last one stopped
        stream = training.batches(images, 64, start=int(model.step.numpy()))
        model.fit(stream, steps_per_epoch=chunk, verbose=0)

    batch = budget.pick(smoke=16, laptop=256, gpu=256)
    classical = classic.TutorialLoop(*classic.tutorial_networks(), images, batch)
    contestants = {
        OURS: (train, lambda: model.sample(samples, seed=1)),
        CLASSIC: (lambda: classical.train(5), lambda: classical.sample(samples)),
    }
    curves, spent = {}, {}
    for name, (work, sample) in contestants.items():
        curves[name] = [(0.0, distance(sample()))]
        work()  # compiles
        start = time.perf_counter()
        work()
        spent[name] = 2 * (time.perf_counter() - start)
    for _ in range(turns):
        for name, (work, sample) in contestants.items():
            start = time.perf_counter()
            while time.perf_counter() - start < turn:
                work()
            spent[name] += time.perf_counter() - start
            curves[name].append((spent[name], distance(sample())))
    return {"curves": curves, "targets": [_reached(target, curves) for target in TARGETS]}


def _reached(target, curves):
    """When each recipe was first seen at or below a distance; None where it was not."""
    row = {"distance": target}
    for name, curve in curves.items():
        row[name] = next((seconds for seconds, distance in curve if distance <= target), None)
    return row
