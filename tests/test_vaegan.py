"""`models.vaegan` and `training.PlayersModel`: sizes by hand, who gets which slope, resuming."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import trainable

from ganvae_lessons import data, training
from ganvae_lessons.models import vaegan

NAMES = ("encoder", "decoder", "discriminator")
SMALL = vaegan.Config(
    image_shape=(14, 14, 1),
    latent_dim=3,
    encoder_filters=(4, 4),
    encoder_units=(8,),
    decoder_filters=(8, 4),
    discriminator_filters=(4, 4),
)


@pytest.fixture(scope="module")
def images():
    return data.load("fashion_mnist", limit=64)[0][:, ::2, ::2]


def compiled(model, rate=0.1, optimizer=keras.optimizers.SGD, **kwargs):
    model.compile({name: optimizer(rate) for name in model.players()}, **kwargs)
    return model


def small(seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    return vaegan.build_vaegan(SMALL, seed=seed, **kwargs)


def weights(model):
    """{name: the trainable weights of that network, as one vector}."""
    return {
        name: np.concatenate([w.numpy().ravel() for w in network.trainable_variables] or [[]])
        for name, network in model.players().items()
    }


@pytest.mark.verifies("models.vaegan.Config", against="1512.09300, table 1: counts by hand")
@pytest.mark.verifies("models.vaegan.build_encoder", against="1512.09300, table 1, by hand")
@pytest.mark.verifies("models.vaegan.build_decoder", against="1512.09300, table 1, by hand")
@pytest.mark.verifies("models.vaegan.build_discriminator", against="1512.09300, table 1, by hand")
def test_the_papers_networks_layer_by_layer():
    """No bias before a norm, whose scale and shift are 2 for each map or unit (authors' code)."""
    paper = vaegan.Config.paper()
    encoder = 25 * (3 * 64 + 64 * 128 + 128 * 256) + 2 * (64 + 128 + 256)
    encoder += 8 * 8 * 256 * 2048 + 2 * 2048 + 2 * (2048 + 1) * 128
    assert trainable(vaegan.build_encoder(paper)) == encoder == 35_112_768
    decoder = 128 * 16_384 + 2 * 16_384 + 25 * (256 * 256 + 256 * 128 + 128 * 32)
    decoder += 2 * (256 + 128 + 32) + 25 * 32 * 3 + 3
    network = vaegan.build_decoder(paper)
    assert trainable(network) == decoder and network.output_shape == (None, 64, 64, 3)
    discriminator = 25 * 3 * 32 + 32 + 25 * (32 * 128 + 128 * 256 + 256 * 256)
    discriminator += 2 * (128 + 256 + 256) + 16_384 * 512 + 2 * 512 + 512 + 1
    network = vaegan.build_discriminator(paper)
    assert trainable(network) == discriminator
    assert network.output_shape == [(None, 1), (None, 8, 8, 256)]  # the ninth layer: a third conv


def test_the_default_networks():
    config = vaegan.Config()
    assert config.decoder_sizes() == [(4, 4), (7, 7), (14, 14), (28, 28)]
    encoder = 16 * (32 + 32 * 64) + 2 * (32 + 64) + 7 * 7 * 64 * 256 + 2 * 256 + 2 * 257 * 20
    assert trainable(vaegan.build_encoder(config)) == encoder
    decoder = 20 * 2048 + 2 * 2048 + 16 * (128 * 64 + 64 * 32 + 32) + 2 * (64 + 32) + 1
    assert trainable(vaegan.build_decoder(config)) == decoder
    discriminator = 16 * (32 + 32 * 64 + 64 * 128) + 32 + 2 * (64 + 128) + 4 * 4 * 128 + 1
    assert trainable(vaegan.build_discriminator(config)) == discriminator


def test_an_images_features_are_its_own(images):
    """The defaults measure likeness below every norm: what else is in the batch does not count."""
    network = vaegan.build_discriminator(SMALL)
    logits, features = network(images[:8], training=True)
    fewer_logits, fewer = network(images[:4], training=True)
    np.testing.assert_allclose(features[:4], fewer, atol=1e-6)
    assert np.abs(logits[:4] - fewer_logits).max() > 1e-4  # the verdict is normalized


class Point(keras.layers.Layer):
    """One trainable number by which the input is multiplied."""

    def __init__(self, value):
        super().__init__()
        self.value = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(value), name="value"
        )

    def call(self, inputs):
        return inputs * self.value


def line(inputs_shape, *values):
    """A model whose outputs are its input times each of `values`."""
    inputs = keras.Input(inputs_shape)
    outputs = [Point(value)(inputs) for value in values]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])


@pytest.mark.verifies("models.vaegan.VAEGAN", against="a linear case, its slopes derived by hand")
@pytest.mark.verifies("training.PlayersModel", against="a linear case, its slopes derived by hand")
def test_one_step_of_a_linear_case_by_hand():
    """x, z in one dimension: mean ax, log σ² = bx, Dec z ↦ wz, D x ↦ logit ux, feature vx."""
    a, b, w, u, v, gamma, rate = 0.7, -0.4, 1.3, 0.5, 0.9, 0.25, 0.1
    model = vaegan.VAEGAN(
        line((1,), a, b), line((1,), w), line((1,), u, v), gamma=gamma, feature_std=0.5, seed=4
    )
    compiled(model, rate)
    copy = keras.random.SeedGenerator(4)
    copy.state.assign(model.seed_generator.state)
    x = np.float32([[0.3], [-1.1], [2.0]])
    noise = keras.random.normal((6, 1), seed=copy).numpy()
    values = {k: float(v) for k, v in model.train_step(tf.constant(x)).items()}

    sigma = np.exp(b * x / 2)
    e, z_p = noise[:3], noise[3:]
    z = a * x + sigma * e
    miss = v * (w * z - x)  # the features' difference; their standard deviation is ½
    likelihood = np.mean(-(miss**2) / 0.5 - 0.5 * np.log(2 * np.pi * 0.25))
    kl = np.mean(((a * x) ** 2 + sigma**2 - 1 - b * x) / 2)
    assert values["log_likelihood"] == pytest.approx(likelihood, rel=1e-5)
    assert values["kl"] == pytest.approx(kl, rel=1e-5)
    assert values["encoder"] == pytest.approx(kl - likelihood, rel=1e-5)
    by_z = 4 * miss * v * w  # the slope of −likelihood along z
    slope_a = np.mean(a * x**2 + by_z * x)
    slope_b = np.mean((sigma**2 * x - x) / 2 + by_z * sigma * e * x / 2)
    made = np.concatenate([w * z, w * z_p])  # both kinds of generated points
    sigmoid = lambda s: 1 / (1 + np.exp(-s))  # noqa: E731
    all_z = np.concatenate([z, z_p])
    slope_w = gamma * np.mean(4 * miss * v * z) - np.mean(sigmoid(-u * made) * u * all_z)
    slope_u = -np.mean(sigmoid(-u * x) * x) + np.mean(sigmoid(u * made) * made)
    found = {name: vector.tolist() for name, vector in weights(model).items()}
    expected = {
        "encoder": [a - rate * slope_a, b - rate * slope_b],
        "decoder": [w - rate * slope_w],
        "discriminator": [u - rate * slope_u, v],  # the feature is not there to be likened
    }
    for name in NAMES:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)


@pytest.mark.verifies("training.PlayersModel", against="finite differences of each player's loss")
def test_each_player_descends_its_own_loss(images):
    """A small step along SGD's move lowers the loss by rate·‖slope‖², for its owner alone."""
    model = compiled(small(gamma=0.05), rate=1.0)
    batch = tf.constant(images[:16])
    state = model.seed_generator.state.numpy()
    start = {name: network.get_weights() for name, network in model.players().items()}
    before = weights(model)
    model.train_step(batch)
    slopes = {name: before[name] - after for name, after in weights(model).items()}

    def losses_at(shifted=None, by=0.0):
        for name, network in model.players().items():
            network.set_weights(start[name])
        place = 0
        if shifted:
            for variable in model.players()[shifted].trainable_variables:
                size = int(np.prod(variable.shape))
                slope = slopes[shifted][place : place + size].reshape(variable.shape)
                variable.assign_add(by * slope)
                place += size
        model.seed_generator.state.assign(state)
        return {k: float(v) for k, v in model.objectives(batch, training=True).items()}

    for name in NAMES:
        square = float(slopes[name] @ slopes[name])
        by = 2e-3 / np.sqrt(square)
        difference = losses_at(name, by)[name] - losses_at(name, -by)[name]
        assert difference / (2 * by) == pytest.approx(square, rel=0.05), name


class Muted(vaegan.VAEGAN):
    """A VAE-GAN that counts some of its players' losses as 0."""

    muted = ()

    def objectives(self, batch, training):
        values = super().objectives(batch, training)
        return {k: v * (0.0 if k in self.muted else 1.0) for k, v in values.items()}


@pytest.mark.verifies(
    "models.vaegan.VAEGAN", against="the owners of algorithm 1: one loss moves one network"
)
@pytest.mark.parametrize("spoken", NAMES)
def test_each_loss_moves_its_owner_alone(spoken, images):
    built = small()
    model = Muted(built.encoder, built.decoder, built.discriminator, seed=0)
    model.muted = tuple(name for name in NAMES if name != spoken)
    before = weights(compiled(model))
    model.train_step(tf.constant(images[:8]))
    for name, vector in weights(model).items():
        assert np.array_equal(vector, before[name]) == (name != spoken), name


@pytest.mark.verifies(
    "models.vaegan.VAEGAN", against="algorithm 1: what a changed term does to each network's move"
)
def test_who_hears_what(images):
    """γ and the game speak to the decoder, the likelihood never to D, the game never to Enc."""

    def moves(**kwargs):
        model = compiled(small(seed=2, **kwargs))
        before = weights(model)
        model.train_step(tf.constant(images[:16]))
        return {name: after - before[name] for name, after in weights(model).items()}

    base = moves()
    changed = lambda other: {n for n in NAMES if not np.allclose(base[n], other[n], atol=1e-7)}  # noqa: E731
    assert changed(moves()) == set()
    assert changed(moves(gamma=0.5)) == {"decoder"}
    assert changed(moves(game="minimax")) == {"decoder"}  # D's loss is the same in both
    assert changed(moves(game="hinge")) == {"decoder", "discriminator"}
    assert changed(moves(feature_std=0.2)) == {"encoder", "decoder"}


@pytest.mark.verifies("models.vaegan.build_vaegan", against="every weight of all three moves")
def test_all_three_move_and_frozen_ones_do_not(images):
    model = compiled(small(), optimizer=keras.optimizers.Adam, rate=1e-2)
    before = {name: network.get_weights() for name, network in model.players().items()}
    history = model.fit(training.batches(images, 16), steps_per_epoch=2, verbose=0).history
    assert set(history) == {*NAMES, "log_likelihood", "kl"}
    for name, network in model.players().items():
        for old, variable in zip(before[name], network.weights, strict=True):
            assert not np.array_equal(old, variable.numpy()), (name, variable.path)
    for frozen in NAMES:
        model = small()
        model.players()[frozen].trainable = False
        start = {name: network.get_weights() for name, network in model.players().items()}
        compiled(model).train_step(tf.constant(images[:8]))
        for name, network in model.players().items():
            same = [
                np.array_equal(old, new)
                for old, new in zip(start[name], network.get_weights(), strict=True)
            ]
            assert all(same) if name == frozen else not any(same), (frozen, name)


@pytest.mark.verifies("training.PlayersModel", against="the uninterrupted run")
def test_an_interrupted_run_resumes_exactly(images, tmp_path):
    def fresh():
        adam = lambda rate: keras.optimizers.Adam(rate, beta_1=0.0)  # noqa: E731
        return compiled(small(), optimizer=adam, rate=1e-3, ema_decay=0.9)

    def train(model, steps, start=0):
        batches = training.batches(images, 16, seed=1, start=start)
        model.fit(batches, steps_per_epoch=steps, verbose=0)

    whole, stopped = fresh(), fresh()
    train(whole, 4)
    train(stopped, 2)
    training.save_state(stopped, tmp_path / "state.npz")
    resumed = fresh()
    train(resumed, 1)  # whatever it was before
    train(resumed, 2, start=training.load_state(resumed, tmp_path / "state.npz"))
    np.testing.assert_array_equal(whole.sample(3), resumed.sample(3))
    np.testing.assert_array_equal(whole.encode(images[:4])[1], resumed.encode(images[:4])[1])
    for name in NAMES:
        for one, other in zip(
            whole.players()[name].get_weights(), resumed.players()[name].get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.verifies("training.PlayersModel", against="the average written out, step by step")
def test_averages_are_what_samples_come_from(images):
    model = compiled(small(), ema_decay=0.8)
    average = model.decoder.get_weights()
    for step in (1, 2, 3):
        model.train_step(tf.constant(images[:8]))
        keep = min(0.8, (1 + step) / (10 + step))
        pairs = zip(average, model.decoder.get_weights(), strict=True)
        average = [keep * old + (1 - keep) * new for old, new in pairs]
    for expected, weight in zip(average, model.best("decoder").weights, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-6)
    assert model.best("discriminator") is model.discriminator
    latents = np.zeros((2, 3), "float32")
    np.testing.assert_allclose(
        model.decode(latents), model.best("decoder")(latents, training=False), atol=1e-6
    )
    assert model.sample(2, seed=1).shape == (2, 14, 14, 1)


def test_evaluation_moves_nothing(images):
    model = compiled(small())
    before = [variable.numpy() for variable in model.weights if "seed" not in variable.path]
    values = model.evaluate(images[:32], batch_size=16, verbose=0, return_dict=True)
    assert values["kl"] > 0 and values["encoder"] > 0
    after = [variable.numpy() for variable in model.weights if "seed" not in variable.path]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_bad_number_stops_all_three(images):
    model = compiled(small(gamma=float("inf")))
    before = weights(model)
    with pytest.raises(training.DivergedError):
        model.fit(training.batches(images, 16), steps_per_epoch=2, verbose=0)
    for name, vector in weights(model).items():
        np.testing.assert_array_equal(vector, before[name])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"similarity_layer must be from 1 to 3.* got 4"):
        vaegan.Config(similarity_layer=4)
    with pytest.raises(ValueError, match="feature_std must be > 0, got 0"):
        small(feature_std=0)
    with pytest.raises(ValueError, match="loss must be one of"):
        small(game="chess")
    with pytest.raises(ValueError, match="one for each of encoder, decoder, discriminator, got d"):
        small().compile({"decoder": keras.optimizers.SGD(0.1)})
    with pytest.raises(ValueError, match="images"):
        small().encode(np.full((1, 14, 14, 1), 255.0))
