"""`models.dcgan`: the published parameter counts, layer by layer, and that training works."""

import keras
import numpy as np
import pytest
from conftest import trainable

from ganvae_lessons import data, metrics, training
from ganvae_lessons.models import classifier, dcgan


@pytest.mark.verifies("models.dcgan.Config", against="the authors' code: 18,885,760 and 17,232,768")
@pytest.mark.verifies("models.dcgan.build_generator", against="the authors' code: 18,885,760")
@pytest.mark.verifies("models.dcgan.build_discriminator", against="the authors' code: 17,232,768")
@pytest.mark.verifies("models.dcgan.build_features", against="the authors' code, less 16,384")
def test_the_authors_counts():
    paper = dcgan.Config.paper()
    assert trainable(dcgan.build_generator(paper)) == 18_885_760
    assert trainable(dcgan.build_discriminator(paper)) == 17_232_768
    assert trainable(dcgan.build_features(paper)) == 17_232_768 - 4 * 4 * 1024


@pytest.mark.verifies("models.dcgan.build_generator", against="PyTorch's example: 3,576,704")
@pytest.mark.verifies("models.dcgan.build_discriminator", against="PyTorch's example: 2,765,568")
def test_the_counts_of_pytorchs_example():
    variant = dcgan.Config.pytorch()
    assert trainable(dcgan.build_generator(variant)) == 3_576_704
    assert trainable(dcgan.build_discriminator(variant)) == 2_765_568


@pytest.mark.verifies("models.dcgan.Config", against="the default layers, counted by hand")
def test_default_counts_by_hand():
    generator = 64 * 16 * 128 + 2 * 128 + 16 * 128 * 64 + 2 * 64 + 16 * 64 * 32 + 2 * 32
    generator += 16 * 32 + 1
    discriminator = (16 + 1) * 32 + 16 * 32 * 64 + 2 * 64 + 16 * 64 * 128 + 2 * 128
    discriminator += 16 * 128 + 1
    assert trainable(dcgan.build_generator(dcgan.Config())) == generator
    assert trainable(dcgan.build_discriminator(dcgan.Config())) == discriminator


SWITCHES = [
    {},
    {"learned_resampling": False},
    {"batch_norm": False},
    {"norm_at_the_ends": True},
    {"norm_per_unit": True},
    {"bias_at_the_ends": False},
    {"hidden_units": (16,)},
    {"generator_activation": "leaky_relu"},
    {"discriminator_slope": 0.0},
    {"image_shape": (32, 32, 3), "filters": (8, 8, 4)},
    {"image_shape": (30, 27, 1), "filters": (8, 8, 8, 4), "kernel_size": 5},
    {"image_shape": (28, 27, 1)},  # only one of the two sides is odd
    {"image_shape": (27, 30, 1), "filters": (8, 8, 4), "learned_resampling": False},
]


@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_every_switch_builds_steps_and_saves(switch, tmp_path):
    keras.utils.set_random_seed(0)
    config = dcgan.Config(**{"latent_dim": 5, "filters": (8, 8, 4), **switch})
    model = training.AdversarialModel(
        dcgan.build_generator(config), dcgan.build_discriminator(config)
    )
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3), ema_decay=0.9)
    images = np.random.default_rng(0).uniform(-1, 1, (12, *config.image_shape)).astype("float32")
    before = [w.numpy().copy() for w in model.generator.weights + model.discriminator.weights]
    model.fit(training.batches(images, 6), steps_per_epoch=2, verbose=0)
    after = model.generator.weights + model.discriminator.weights
    still = [new.path for old, new in zip(before, after, strict=True) if np.array_equal(old, new)]
    assert not still
    samples = model.sample(3)
    assert samples.shape == (3, *config.image_shape)
    assert np.abs(samples).max() <= 1
    model.generator.save(tmp_path / "g.keras")
    latents = np.random.default_rng(1).normal(size=(3, 5)).astype("float32")
    np.testing.assert_array_equal(
        keras.models.load_model(tmp_path / "g.keras").predict(latents, verbose=0),
        model.generator.predict(latents, verbose=0),
    )


def kinds(config):
    """The names of the classes of all layers of both networks, nested ones too."""
    networks = [dcgan.build_generator(config), dcgan.build_discriminator(config)]
    found = []
    while networks:
        for layer in networks.pop().layers:
            if hasattr(layer, "layers"):
                networks.append(layer)
            else:
                found.append(type(layer).__name__)
    return found


def test_what_the_switches_switch():
    plain = kinds(dcgan.Config())
    assert plain.count("BatchNorm") == 5  # three in the generator, two in the discriminator
    assert plain.count("Conv2DTranspose") == 3
    assert "MaxPooling2D" not in plain
    assert "BatchNorm" not in kinds(dcgan.Config(batch_norm=False))
    # on the generator's output, the discriminator's input, and so its first layer
    assert kinds(dcgan.Config(norm_at_the_ends=True)).count("BatchNorm") == 8
    pooled = kinds(dcgan.Config(learned_resampling=False))
    assert pooled.count("MaxPooling2D") == 3
    assert "Conv2DTranspose" not in pooled
    assert kinds(dcgan.Config(hidden_units=(9,))).count("Dense") == plain.count("Dense") + 2


@pytest.mark.verifies("models.dcgan.build_generator", against="the distance to real images falls")
@pytest.mark.verifies("models.dcgan.build_discriminator", against="the distance falls")
def test_dcgan_learns_in_seconds():
    keras.utils.set_random_seed(0)
    images, _, _ = data.load("fashion_mnist", limit=2_000)
    config = dcgan.Config(filters=(32, 16))
    model = training.AdversarialModel(
        dcgan.build_generator(config), dcgan.build_discriminator(config)
    )
    rates = [keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99) for _ in range(2)]
    model.compile(*rates, steps_per_execution=20)
    judge = classifier.load()
    real = classifier.features(images, judge)

    def distance():
        return metrics.frechet_distance(classifier.features(model.sample(500), judge), real)

    start = distance()
    model.fit(training.batches(images, 32), steps_per_epoch=400, verbose=0)
    assert 5 < distance() < start / 3


@pytest.mark.verifies("models.dcgan.build_generator", against="the adjoint: ⟨Cx, y⟩ = ⟨x, Cᵀy⟩")
@pytest.mark.parametrize("kernel_size", [3, 4, 5])
@pytest.mark.parametrize("size", [7, 8])
def test_up_is_the_adjoint_of_down(kernel_size, size):
    """With one kernel, the generator's layer transposes the discriminator's, 4 to 7 or to 8."""
    config = dcgan.Config(image_shape=(size, size, 2), filters=(3,), kernel_size=kernel_size)
    rng = np.random.default_rng(0)
    large = rng.normal(size=(1, size, size, 2)).astype("float32")
    small = rng.normal(size=(1, 4, 4, 3)).astype("float32")
    down = dcgan._down(config, 3, use_bias=False)
    up = dcgan._up(config, 2, (size, size), use_bias=False)
    down.build(large.shape)
    up.build(small.shape)
    down.kernel.assign(rng.normal(size=down.kernel.shape))
    up.kernel.assign(down.kernel)
    assert up(small).shape == large.shape
    inner = lambda a, b: float(np.sum(np.asarray(a) * np.asarray(b)))  # noqa: E731
    assert inner(down(large), small) == pytest.approx(inner(large, up(small)), rel=1e-4)


def test_bad_sizes_are_named():
    assert dcgan.Config().sizes() == [(28, 28), (14, 14), (7, 7), (4, 4)]
    with pytest.raises(ValueError, match=r"one for each halving of image_shape, got \(\)"):
        dcgan.Config(filters=())
    with pytest.raises(ValueError, match="one for each halving"):
        dcgan.Config(filters=(8,) * 6)


@pytest.mark.verifies("training.AdversarialModel", against="the recursion, for statistics as well")
def test_the_average_has_statistics_of_its_own():
    """Batch normalization's moving means follow the same average as the weights before them."""
    keras.utils.set_random_seed(0)
    config = dcgan.Config(latent_dim=5, filters=(8, 4))
    model = training.AdversarialModel(
        dcgan.build_generator(config), dcgan.build_discriminator(config)
    )
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3), ema_decay=0.6)
    images = np.random.default_rng(0).uniform(-1, 1, (12, 28, 28, 1)).astype("float32")
    place = [w.path for w in model.generator.weights].index(
        next(w.path for w in model.generator.weights if "moving_mean" in w.path)
    )
    average = model.generator.weights[place].numpy()
    for step in range(1, 4):
        model.train_step(images)
        keep = min(0.6, (1 + step) / (10 + step))
        average = keep * average + (1 - keep) * model.generator.weights[place].numpy()
    found = model.ema_generator.weights[place].numpy()
    np.testing.assert_allclose(found, average, rtol=1e-5)
    assert not np.allclose(found, model.generator.weights[place].numpy())
