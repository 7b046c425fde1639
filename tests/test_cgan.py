"""`models.cgan` and conditional games: counts, ways to tell the condition, classes drawn."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import trainable
from keras import ops

from ganvae_lessons import data, training
from ganvae_lessons.models import cgan, classifier, dcgan, gan

CLASSES = 10


def game(config, *, seed=0, rate=1e-3, **rules):
    keras.utils.set_random_seed(seed)
    model = training.AdversarialModel(
        cgan.build_generator(config), cgan.build_discriminator(config), seed=seed
    )
    rates = [keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.99) for _ in range(2)]
    model.compile(*rates, **rules)
    return model


@pytest.fixture(scope="module")
def fashion():
    return data.load("fashion_mnist", limit=2_000)


@pytest.mark.verifies("models.cgan.Config", against="1411.1784, section 4.1, counted by hand")
@pytest.mark.verifies("models.cgan.build_generator", against="1411.1784, section 4.1, by hand")
@pytest.mark.verifies("models.cgan.build_discriminator", against="1411.1784, section 4.1, by hand")
def test_the_papers_mnist_network():
    paper = cgan.Config.paper()
    generator = 101 * 200 + 11 * 1000 + 1201 * 1200 + 1201 * 784
    discriminator = 785 * 240 * 5 + 11 * 50 * 5 + (240 + 50 + 1) * 240 * 4 + 241
    assert trainable(cgan.build_generator(paper)) == generator == 2_413_984
    assert trainable(cgan.build_discriminator(paper)) == discriminator == 1_224_351
    dropped = [
        layer.rate
        for build in (cgan.build_generator, cgan.build_discriminator)
        for layer in build(paper).layers
        if isinstance(layer, keras.layers.Dropout)
    ]
    assert dropped == [0.5] * 4


@pytest.mark.verifies("models.cgan.build_condition", against="a row of the matrix, through tanh")
def test_a_dense_layer_on_a_one_hot_class_picks_a_row():
    keras.utils.set_random_seed(0)
    labels = np.array([3, 0, 9, 3])
    dense = cgan.build_condition(cgan.Config(embedding="dense_tanh", condition_dim=4))
    kernel, bias = dense.layers[-1].get_weights()
    np.testing.assert_allclose(dense(labels), np.tanh(kernel[labels] + bias), rtol=1e-6)
    table = cgan.build_condition(cgan.Config(embedding="embedding", condition_dim=4))
    np.testing.assert_array_equal(table(labels), table.layers[-1].get_weights()[0][labels])
    codes = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    text = cgan.build_condition(cgan.Config(text_dim=6, condition_dim=4))
    kernel, bias = text.layers[-1].get_weights()
    np.testing.assert_allclose(text(codes), np.tanh(codes @ kernel + bias), rtol=1e-5)


@pytest.mark.verifies(
    "models.cgan.build_discriminator", against="1802.05637: l(h) + ⟨e(C), h⟩ in NumPy"
)
def test_projection_is_a_dot_product():
    keras.utils.set_random_seed(0)
    config = cgan.Config(filters=(8, 4), condition_dim=5)
    discriminator = cgan.build_discriminator(config)
    for weight in discriminator.trainable_variables:  # so that no product is near 0
        weight.assign(np.random.default_rng(1).normal(size=weight.shape) * 0.3)
    images = np.random.default_rng(0).uniform(-1, 1, (6, 28, 28, 1)).astype("float32")
    labels = np.arange(6)
    features = ops.convert_to_numpy(discriminator.get_layer("features")(images))
    code = ops.convert_to_numpy(discriminator.get_layer("code")(labels))
    dense = [layer for layer in discriminator.layers if isinstance(layer, keras.layers.Dense)]
    (embed,) = (layer.get_weights()[0] for layer in dense if layer.units > 1)
    kernel, bias = next(layer.get_weights() for layer in dense if layer.units == 1)
    expected = features @ kernel[:, 0] + bias + (code @ embed * features).sum(axis=1)
    found = discriminator([images, labels]).numpy()
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4, atol=1e-4)
    moved = discriminator([images, labels + 1]).numpy()
    assert np.abs(moved - found).min() > 1e-3  # the condition counts


WAYS = [
    {"method": "concatenation"},
    {"method": "concatenation", "embedding": "embedding"},
    {"method": "projection"},
    {"method": "projection", "embedding": "embedding"},
    {"method": "auxiliary"},
    {"method": "concatenation", "filters": ()},
    {"text_dim": 7},
    {"text_dim": 7, "method": "concatenation"},
    {"text_dim": 7, "method": "concatenation", "filters": ()},
]


@pytest.mark.verifies("training.AdversarialModel", against="a conditional game moves all")
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("simultaneous", [True, False])
def test_every_way_moves_both_networks_and_saves(way, simultaneous, fashion, tmp_path):
    config = cgan.Config(**{"latent_dim": 5, "condition_dim": 6, "filters": (8, 4), **way})
    model = game(config, simultaneous=simultaneous, ema_decay=0.9)
    images, labels = fashion[0][:24], fashion[1][:24]
    if config.text_dim:
        conditions = np.random.default_rng(0).normal(size=(24, 7)).astype("float32")
    else:
        conditions = labels
    before = [w.numpy().copy() for w in model.generator.weights + model.discriminator.weights]
    model.fit(training.batches(images, 12, conditions=conditions), steps_per_epoch=2, verbose=0)
    after = model.generator.weights + model.discriminator.weights
    still = [n.path for o, n in zip(before, after, strict=True) if np.array_equal(o, n)]
    assert not [path for path in still if "seed" not in path]
    samples = model.sample(3, conditions=conditions[:3])
    assert samples.shape == (3, 28, 28, 1)
    model.generator.save(tmp_path / "g.keras")
    model.discriminator.save(tmp_path / "d.keras")
    latents = np.random.default_rng(1).normal(size=(3, 5)).astype("float32")
    for network, inputs in (
        (model.generator, [latents, conditions[:3]]),
        (model.discriminator, images[:3] if model.auxiliary else [images[:3], conditions[:3]]),
    ):
        path = tmp_path / f"{network.name[0]}.keras"
        expected = network.predict(inputs, verbose=0)
        found = keras.models.load_model(path).predict(inputs, verbose=0)
        for one, two in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.verifies("training.AdversarialModel", against="AC-GAN's losses (1610.09585) in NumPy")
@pytest.mark.parametrize("simultaneous", [True, False])
def test_both_players_of_an_acgan_minimize_the_cross_entropy(simultaneous, fashion):
    config = cgan.Config(method="auxiliary", filters=(8, 4), latent_dim=5)
    model = game(config, simultaneous=simultaneous, rate=0.0)
    images, labels = fashion[0][:20], fashion[1][:20]
    state = model.seed_generator.state.numpy().copy()
    values = model.train_step((tf.constant(images), tf.constant(labels)))
    model.seed_generator.state.assign(state)

    def draw():
        latents = keras.random.normal((20, 5), seed=model.seed_generator)
        return model.generator([latents, tf.constant(labels)], training=True)

    def judge(samples):
        logits, class_logits = model.discriminator(samples, training=True)
        log_p = ops.convert_to_numpy(ops.log_softmax(class_logits))
        return ops.convert_to_numpy(logits)[:, 0], -log_p[np.arange(20), labels].mean()

    softplus = lambda x: np.logaddexp(0, x)  # noqa: E731
    real_logits, real_surprise = judge(images)
    fake_logits, fake_surprise = judge(draw())
    adversarial = softplus(-real_logits).mean() + softplus(fake_logits).mean()
    assert float(values["d_loss"]) == pytest.approx(
        adversarial + real_surprise + fake_surprise, rel=1e-4
    )
    if not simultaneous:
        fake_logits, fake_surprise = judge(draw())
    assert float(values["g_loss"]) == pytest.approx(
        softplus(-fake_logits).mean() + fake_surprise, rel=1e-4
    )


@pytest.mark.verifies("training.batches", against="each sample keeps its own condition")
def test_conditions_stay_with_their_samples():
    points = np.arange(40, dtype="float32").reshape(20, 2)
    drawn = list(training.batches(points, 5, conditions=np.arange(20), seed=1).take(8))
    for samples, conditions in drawn:
        np.testing.assert_array_equal(samples, points[conditions.numpy()])
    seen = np.concatenate([conditions.numpy() for _, conditions in drawn[:4]])
    np.testing.assert_array_equal(np.sort(seen), np.arange(20))
    for (samples, _), plain in zip(drawn, training.batches(points, 5, seed=1), strict=False):
        np.testing.assert_array_equal(samples, plain)


def test_penalties_know_the_condition(fashion):
    config = cgan.Config(filters=(8, 4), latent_dim=5)
    model = game(config, penalty="r1", penalty_weight=0.5)
    pairs = training.batches(fashion[0][:24], 12, conditions=fashion[1][:24])
    assert np.isfinite(model.fit(pairs, steps_per_epoch=2, verbose=0).history["d_loss"][0])
    model = game(config, simultaneous=False, d_steps=2, loss="hinge")
    model.fit(pairs, steps_per_epoch=2, verbose=0)


@pytest.mark.verifies("models.cgan.Config", against="the classes asked for are drawn: a classifier")
def test_cgan_draws_the_class_it_is_asked_for(fashion):
    images, labels, _ = fashion
    model = game(cgan.Config(filters=(32, 16)), steps_per_execution=20)
    asked = np.arange(500) % CLASSES
    judge = classifier.load()

    def accuracy():
        samples = model.sample(500, conditions=asked)
        return (classifier.probabilities(samples, judge).argmax(axis=1) == asked).mean()

    assert accuracy() < 0.25
    model.fit(training.batches(images, 32, conditions=labels), steps_per_epoch=500, verbose=0)
    assert 0.6 < accuracy() <= 1


def test_bad_games_are_named(fashion):
    config = cgan.Config(filters=(8, 4), latent_dim=5)
    with pytest.raises(ValueError, match="both players or neither must know the condition"):
        training.AdversarialModel(
            cgan.build_generator(config), dcgan.build_discriminator(dcgan.Config())
        )
    with pytest.raises(ValueError, match="both players or neither"):
        training.AdversarialModel(
            gan.build_generator(gan.Config()), cgan.build_discriminator(config)
        )
    model = game(config)
    with pytest.raises(ValueError, match=r"takes batches \(samples, conditions\).*got samples"):
        model.fit(training.batches(fashion[0][:12], 12), steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match="conditions must be 3 conditions, one for each sample"):
        model.sample(3)
    with pytest.raises(ValueError, match="conditions must be 12 labels or codes"):
        training.batches(fashion[0][:12], 12, conditions=fashion[1][:11])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "film"}, "method must be one of concatenation, projection, auxiliary, got"),
        ({"embedding": "lstm"}, "embedding must be one of .* got 'lstm'"),
        ({"text_dim": 5, "embedding": "embedding"}, "text_dim needs a dense embedding"),
        ({"text_dim": 5, "method": "auxiliary"}, "a text code is no class"),
        ({"filters": ()}, "dense networks .* got method='projection'"),
    ],
)
def test_bad_configs_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        cgan.Config(**wrong)
