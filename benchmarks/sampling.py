"""Drawing images: how many a second each family makes, and the price of a pixel at a time."""

import numpy as np

from benchmarks import classic, clock, models
from ganvae_lessons import budget
from ganvae_lessons.models import rnn

MANY, FEW = 500, 16  # images in a call of those that draw all pixels at once, and of the others
PLAIN = "PixelCNN, the whole image for each pixel"


def measure():
    """Return rows {"model", "images_per_second"}; the weights are untrained."""
    rounds = budget.pick(smoke=1, laptop=4, gpu=4)
    contestants = {name: clock.again(draw) for name, draw in samplers().items()}
    times = clock.take_turns(contestants, rounds, budget.pick(smoke=0.01, laptop=0.5, gpu=0.5))
    rows = []
    for name, seconds in times.items():
        fewest, _ = clock.best(seconds)
        count = FEW if name in pixel_models() or name == PLAIN else MANY
        rows.append({"model": name, "images_per_second": count / fewest})
    return rows


def pixel_models():
    """Return {name: kind} of the models that draw pixel after pixel."""
    every = {
        "Row-by-row LSTM": "rows",
        "PixelCNN": "pixelcnn",
        "Row LSTM": "row_lstm",
        "Diagonal BiLSTM": "diagonal_bilstm",
    }
    return budget.pick(smoke=dict([*every.items()][:1]), laptop=every, gpu=every)


def samplers():
    """Return {name: a function that draws MANY images, or FEW of those that go by pixels}."""
    found = {}
    names = ("DCGAN", "StackGAN, Stage-II", "Progressive GAN at 32×32", "VAE", "VAE-GAN")
    for name in budget.pick(smoke=names[:1], laptop=names, gpu=names):
        model = models.BUILDERS[name]().model
        told = {}
        if getattr(model, "conditional", False):
            shape = model.generator.inputs[1].shape[1:]
            told["conditions"] = np.zeros((MANY, *shape), "float32")
        found[name] = lambda model=model, told=told: model.sample(MANY, **told)
    for name, kind in pixel_models().items():
        model = rnn.build_model(rnn.Config(kind))
        found[name] = lambda model=model: model.sample(FEW)
    # the default PixelCNN again, at smoke of images of four rows
    height = budget.pick(smoke=4, laptop=28, gpu=28)
    config = rnn.Config("pixelcnn", image_shape=(height, 28, 1))
    plain = classic.PixelByPixel(rnn.build_network(config))
    found[PLAIN] = lambda: plain.sample(FEW)
    return found
