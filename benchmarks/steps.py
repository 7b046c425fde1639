"""Training steps: images a second, the share of the matrix-product peak, and the classic recipes.

All contestants take turns in the same rounds, and each one's best round counts.
"""

import numpy as np
import tensorflow as tf

from benchmarks import classic, clock, cost, models
from ganvae_lessons import budget
from ganvae_lessons.models import dcgan, vae

OURS = "this course"
TUTORIAL, DCGAN, VAE = "the tutorial's DCGAN", "our DCGAN", "our VAE"


def measure():
    """Return {"machine": rates, "steps": rows, "recipes": rows}; rows are dictionaries."""
    rounds = budget.pick(smoke=1, laptop=5, gpu=7)
    seconds = budget.pick(smoke=0.01, laptop=0.5, gpu=1.0)
    few, every = ("GAN, dense", "VAE"), tuple(models.BUILDERS)
    names = budget.pick(smoke=few, laptop=every, gpu=every)
    subjects = {name: models.BUILDERS[name]() for name in names}
    pairs, yardsticks = recipes(), clock.yardsticks()
    times = clock.take_turns(
        {
            **yardsticks,
            **{name: subject.runner() for name, subject in subjects.items()},
            **{(task, recipe): run for task, recipe, _, run in pairs},
        },
        rounds,
        seconds,
    )
    machine = clock.device({name: clock.best(times[name])[0] for name in yardsticks})
    unrest = [clock.best(row)[1] for row in times.values()]
    return {
        "unrest": float(np.median(unrest)),
        "machine": {name: getattr(machine, name) for name in ("float32", "bandwidth", "launch")},
        "steps": [_row(name, subject, times, machine) for name, subject in subjects.items()],
        "recipes": [_compare(task, recipe, batch, times) for task, recipe, batch, _ in pairs],
    }


def _row(name, subject, times, machine):
    counted = cost.of_step(subject.model, *subject.parts())
    seconds, _ = clock.best(times[name])
    return {
        "model": name,
        "weights": subject.weights(),
        "batch": subject.batch,
        "gflop_per_image": counted.flops / subject.batch / 1e9,
        "images_per_second": subject.batch / seconds,
        "share": counted.flops / seconds / machine.float32,
        "predicted": counted.seconds(machine) / seconds,
        "peak_megabytes": counted.peak_bytes / 1e6,
    }


def _compare(task, recipe, batch, times):
    seconds, _ = clock.best(times[task, recipe])
    return {
        "task": task,
        "recipe": recipe,
        "images_per_second": batch / seconds,
        "ratio": clock.best(times[task, OURS])[0] / seconds,
    }


def recipes():
    """Return [(task, recipe, batch, run)]: the same network under our recipe and the classic ones.

    A task's networks are built anew for each recipe; a run's unit is a step.
    """
    images = models.fashion(budget.pick(smoke=500, laptop=None, gpu=None))
    few = _dcgan(images)  # at smoke, of a network of a few maps
    every = lambda: [*_tutorial(images), *few, *_vae(images)]  # noqa: E731
    return few if budget.name() == "smoke" else every()


def _tutorial(images, batch=256):
    ours = models.game(*classic.tutorial_networks(), batch, images)
    loop = classic.TutorialLoop(*classic.tutorial_networks(), images, batch)
    return [
        (TUTORIAL, OURS, batch, ours.runner()),
        (TUTORIAL, "TensorFlow's tutorial", batch, loop.train),
    ]


def _dcgan(images, batch=64):
    config = budget.pick(
        smoke=dcgan.Config(filters=(8, 8, 4)), laptop=dcgan.Config(), gpu=dcgan.Config()
    )
    pair = lambda: (dcgan.build_generator(config), dcgan.build_discriminator(config))  # noqa: E731
    keras_gan = classic.KerasGAN(*pair())
    keras_gan.compile(models.adam(), models.adam())
    found = [
        (DCGAN, OURS, batch, models.build_dcgan(config, batch, images).runner()),
        (DCGAN, "TensorFlow's tutorial", batch, classic.TutorialLoop(*pair(), images, batch).train),
        (DCGAN, "Keras's example", batch, _fit_array(keras_gan, images, batch)),
    ]
    if clock.torch_version() and not tf.config.list_physical_devices("GPU"):  # it stays on the CPU
        eager = classic.TorchDCGAN(images, config, batch, clock.cores())
        found.append((DCGAN, "PyTorch, eager", batch, eager.train))
    return found


def _vae(images, batch=100):
    plain = classic.KerasVAE(vae.build_encoder(vae.Config()), vae.build_decoder(vae.Config()))
    plain.compile(optimizer=models.adam())
    return [
        (VAE, OURS, batch, models.build_vae(images).runner()),
        (VAE, "Keras's example", batch, _fit_array(plain, images, batch)),
    ]


def _fit_array(model, images, batch):
    """A contestant that calls `fit` on an array for whole epochs, as the examples do.

    Where an epoch is longer than the turn, on as many images as the steps need. Images that do not
    fill a batch are left out: they would make a step that nobody counts.
    """
    whole = len(images) // batch * batch

    def run(steps):
        epochs, rest = divmod(steps * batch, whole)
        if epochs:
            model.fit(images[:whole], batch_size=batch, epochs=epochs, verbose=0)
        if rest:
            model.fit(images[:rest], batch_size=batch, epochs=1, verbose=0)

    run.at_once = 5
    return run
