"""`training`: who moves in a step, what a step is, what stops it, and how it resumes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from ganvae_lessons import losses, training
from ganvae_lessons.models import gan

POINTS = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")


def small_game(*, seed=0, ema_decay=None, **rules):
    keras.utils.set_random_seed(seed)
    config = gan.Config(
        sample_shape=(2,),
        latent_dim=3,
        generator_units=(8,),
        discriminator_units=(8,),
        output_activation="linear",
    )
    model = training.AdversarialModel(
        gan.build_generator(config), gan.build_discriminator(config), seed=seed
    )
    g_optimizer = rules.pop("g_optimizer", None) or keras.optimizers.Adam(1e-2)
    d_optimizer = rules.pop("d_optimizer", None) or keras.optimizers.Adam(1e-2)
    model.compile(g_optimizer, d_optimizer, ema_decay=ema_decay, **rules)
    return model


def train(model, steps, *, start=0, batch_size=8, **kwargs):
    data = training.batches(POINTS, batch_size, seed=3, start=start)
    return model.fit(data, steps_per_epoch=steps, epochs=1, verbose=0, **kwargs)


def weights(network):
    return [weight.numpy().copy() for weight in network.weights]


def moved(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


@pytest.mark.verifies("training.AdversarialModel", against="every weight of both networks moves")
@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"simultaneous": False},
        {"simultaneous": False, "d_steps": 2},
        {"loss": "wasserstein", "penalty": "gradient_penalty"},
        {"penalty": "r1", "penalty_weight": 5.0},
        {"loss": "hinge"},
        {"loss": "least_squares"},
        {"loss": "minimax"},
    ],
)
def test_both_networks_move(rules):
    model = small_game(**rules)
    before = weights(model.generator), weights(model.discriminator)
    history = train(model, 2)
    assert all(moved(before[0], weights(model.generator)))
    # the last bias cancels out of the Wasserstein loss, and of the hinge loss within its margins
    flags = moved(before[1], weights(model.discriminator))
    assert all(flags[:-1]) and (flags[-1] or rules.get("loss") in ("wasserstein", "hinge"))
    assert set(history.history) == {"d_loss", "g_loss", "d_accuracy"}
    assert 0 <= history.history["d_accuracy"][0] <= 1


@pytest.mark.verifies("training.AdversarialModel", against="gradients taken by hand, one SGD step")
@pytest.mark.parametrize("simultaneous", [True, False])
def test_a_step_is_gradient_descent_on_both_losses(simultaneous):
    """The same noise is drawn by a copy of the seed generator; the losses are written out."""
    rate = 0.1
    model = small_game(
        simultaneous=simultaneous,
        g_optimizer=keras.optimizers.SGD(rate),
        d_optimizer=keras.optimizers.SGD(rate),
    )
    generator = keras.models.clone_model(model.generator)
    generator.set_weights(model.generator.get_weights())
    discriminator = keras.models.clone_model(model.discriminator)
    discriminator.set_weights(model.discriminator.get_weights())
    noise = keras.random.SeedGenerator(0)
    noise.state.assign(model.seed_generator.state)
    real = POINTS[:8]
    model.train_step(tf.constant(real))

    latents = keras.random.normal((8, 3), seed=noise)
    with tf.GradientTape(persistent=True) as tape:
        fake_logits = discriminator(generator(latents))
        d_loss = tf.reduce_mean(tf.nn.softplus(-discriminator(real))) + tf.reduce_mean(
            tf.nn.softplus(fake_logits)
        )
        g_loss = tf.reduce_mean(tf.nn.softplus(-fake_logits))
    d_slopes = tape.gradient(d_loss, discriminator.trainable_variables)
    g_slopes = tape.gradient(g_loss, generator.trainable_variables)
    for variable, slope in zip(discriminator.trainable_variables, d_slopes, strict=True):
        variable.assign_sub(rate * slope)
    if not simultaneous:  # the generator answers the discriminator that has moved, on new noise
        latents = keras.random.normal((8, 3), seed=noise)
        with tf.GradientTape() as tape:
            g_loss = tf.reduce_mean(tf.nn.softplus(-discriminator(generator(latents))))
        g_slopes = tape.gradient(g_loss, generator.trainable_variables)
    for variable, slope in zip(generator.trainable_variables, g_slopes, strict=True):
        variable.assign_sub(rate * slope)

    for found, expected in zip(model.generator.weights, generator.weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for found, expected in zip(model.discriminator.weights, discriminator.weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_d_steps_share_the_batch_out():
    """With d_steps=2 and a frozen generator, one step equals two steps on the halves."""
    still = {"g_optimizer": keras.optimizers.SGD(0.0), "d_optimizer": keras.optimizers.SGD(0.1)}
    twice = small_game(simultaneous=False, d_steps=2, **still)
    real = tf.constant(POINTS[:8])
    seen = []
    original = twice._discriminator_step
    twice._discriminator_step = lambda *part: (seen.append(part[0].numpy()), original(*part))[1]
    twice.train_step(real)
    np.testing.assert_array_equal(np.concatenate(seen), real)
    assert [len(part) for part in seen] == [4, 4]


@pytest.mark.parametrize("simultaneous", [True, False])
def test_penalty_is_weighted_and_sees_real_and_fake(simultaneous):
    asked = []

    def penalty(discriminator, real, fake, seed):
        asked.append((real.numpy(), fake.numpy()))
        return 0.5 + 0 * ops.sum(discriminator(real))

    plain = small_game(simultaneous=simultaneous)
    penalized = small_game(penalty=penalty, penalty_weight=4.0, simultaneous=simultaneous)
    real = tf.constant(POINTS[:8])
    without = plain.train_step(real)["d_loss"]
    assert float(penalized.train_step(real)["d_loss"] - without) == pytest.approx(2.0, abs=1e-5)
    (seen_real, seen_fake) = asked[0]
    np.testing.assert_array_equal(seen_real, real)
    latents = keras.random.normal((8, 3), seed=small_game().seed_generator)
    made = small_game().generator(latents)  # the same weights and noise: what the step made
    np.testing.assert_allclose(seen_fake, made, atol=1e-6)


@pytest.mark.parametrize("simultaneous", [True, False])
def test_drift_is_the_mean_square_of_the_real_logits(simultaneous):
    free, held = (
        small_game(loss="wasserstein", simultaneous=simultaneous, drift=drift)
        for drift in (0.0, 0.5)
    )
    real = tf.constant(POINTS[:8])
    logits = ops.convert_to_numpy(free.discriminator(real))
    added = float(held.train_step(real)["d_loss"] - free.train_step(real)["d_loss"])
    assert added == pytest.approx(0.5 * np.mean(logits**2), rel=1e-3)
    assert added > 1e-3


def test_custom_game_is_taken_as_it_is():
    game = losses.AdversarialLoss("mine", lambda real, fake: 3.0 + 0 * ops.mean(fake), ops.mean)
    model = small_game(loss=game)
    assert float(model.train_step(tf.constant(POINTS[:8]))["d_loss"]) == pytest.approx(3.0)


@pytest.mark.verifies(
    "training.AdversarialModel", against="the moving average's recursion in NumPy"
)
def test_moving_average_of_the_generator():
    model = small_game(ema_decay=0.5)
    average = [w.copy() for w in weights(model.generator)]
    for step in range(1, 6):
        model.train_step(tf.constant(POINTS[:8]))
        keep = min(0.5, (1 + step) / (10 + step))
        average = [
            keep * a + (1 - keep) * w
            for a, w in zip(average, weights(model.generator), strict=True)
        ]
    for found, expected in zip(weights(model.ema_generator), average, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert any(moved(weights(model.generator), weights(model.ema_generator)))
    np.testing.assert_array_equal(
        model.sample(4, seed=1),
        model.ema_generator.predict(keras.random.normal((4, 3), seed=1), verbose=0),
    )


@pytest.mark.verifies("training.AdversarialModel", against="the same seed gives the same samples")
def test_runs_repeat():
    first, second, other = small_game(seed=5), small_game(seed=5), small_game(seed=6)
    for model in (first, second, other):
        train(model, 5)
    np.testing.assert_array_equal(first.sample(6), second.sample(6))
    assert not np.allclose(first.sample(6), other.sample(6))
    assert not np.array_equal(first.sample(6, seed=1), first.sample(6, seed=2))


@pytest.mark.verifies("training.batches", against="each sample once a pass, a new order each pass")
def test_batches_shuffle_without_replacement():
    samples = np.arange(20, dtype="float32")[:, None]
    rows = [batch.numpy()[:, 0] for batch in training.batches(samples, 5, seed=1).take(8)]
    first, second = np.concatenate(rows[:4]), np.concatenate(rows[4:])
    np.testing.assert_array_equal(np.sort(first), samples[:, 0])
    np.testing.assert_array_equal(np.sort(second), samples[:, 0])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, samples[:, 0])


@pytest.mark.verifies("training.batches", against="starting at k equals skipping k batches")
def test_batches_start_anywhere():
    whole = [batch.numpy() for batch in training.batches(POINTS, 8, seed=1).take(20)]
    tail = [batch.numpy() for batch in training.batches(POINTS, 8, seed=1, start=13).take(7)]
    np.testing.assert_array_equal(np.stack(whole[13:]), np.stack(tail))


@pytest.mark.parametrize(
    ("samples", "batch_size", "message"),
    [
        (np.full((9, 2), np.nan, "float32"), 3, "finite float array"),
        (np.zeros((9, 2), "int64"), 3, "finite float array.*int64"),
        (np.zeros((9, 2), "float32"), 10, "batch_size must be from 1 to .*9, got 10"),
        (np.zeros((9, 2), "float32"), 0, "batch_size"),
        (np.full((9, 4, 4, 1), 255.0, "float32"), 3, r"samples must be in \[-1, 1\]"),
        (np.zeros((0, 4, 4, 1), "float32"), 1, "samples"),
    ],
)
def test_bad_samples_are_named(samples, batch_size, message):
    with pytest.raises(ValueError, match=message):
        training.batches(samples, batch_size)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"loss": "bce"}, "loss must be one of"),
        ({"penalty": "r2"}, "penalty must be None, a function or one of"),
        ({"d_steps": 5}, "simultaneous steps have d_steps=1, got 5"),
    ],
)
def test_bad_rules_are_named(rules, message):
    with pytest.raises(ValueError, match=message):
        small_game(**rules)


def test_networks_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="the discriminator must take what the generator makes"):
        training.AdversarialModel(
            gan.build_generator(gan.Config.points(3)), gan.build_discriminator(gan.Config.points(2))
        )


@pytest.mark.verifies("training.DivergedError", against="a run whose data turn infinite at step 4")
@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_stops_at_the_first_non_finite_loss(steps_per_execution):
    model = small_game(steps_per_execution=steps_per_execution)
    good = [POINTS[:8]] * 3
    data = tf.data.Dataset.from_tensor_slices(
        np.stack([*good, np.full((8, 2), np.inf, "float32"), *good])
    )
    with pytest.raises(
        training.DivergedError, match=r"at step 4.*last good weights.*after step 3"
    ) as caught:
        model.fit(data, verbose=0, epochs=1)
    assert caught.value.step == 4

    reference = small_game(steps_per_execution=steps_per_execution)
    reference.fit(data.take(3), verbose=0, epochs=1)
    for found, expected in zip(
        model.discriminator.weights, reference.discriminator.weights, strict=True
    ):
        np.testing.assert_array_equal(found, expected)  # the last good weights are kept
    assert all(np.isfinite(weight).all() for weight in weights(model.generator))


def test_one_player_that_diverges_stops_both():
    """Only the generator's loss is bad: in a simultaneous step the discriminator stays too."""
    game = losses.AdversarialLoss(
        "bad", losses.get("hinge").discriminator, lambda fake: np.nan * ops.mean(fake)
    )
    model = small_game(loss=game)
    before = weights(model.discriminator)
    with pytest.raises(training.DivergedError, match="at step 1"):
        train(model, 1)
    assert not any(moved(before, weights(model.discriminator)))


class Line(training.ObjectiveModel):
    """Least squares for y = 2x, with dropout so that random state matters."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop, self.slope = keras.layers.Dropout(0.3, seed=4), keras.layers.Dense(1)

    def objective(self, batch, training):
        x, y = batch[:, :1], 2 * batch[:, :1]
        error = ops.mean(ops.square(self.slope(self.drop(x, training=training)) - y))
        return {"loss": error, "slope": ops.sum(self.slope.kernel)}


@pytest.mark.verifies("training.ObjectiveModel", against="least squares with a known answer")
def test_objective_model_finds_the_minimum():
    keras.utils.set_random_seed(0)
    model = Line()
    model.drop.rate = 0.0
    model.compile(optimizer=keras.optimizers.SGD(0.3))
    train(model, 60)
    assert float(model.slope.kernel[0, 0]) == pytest.approx(2, abs=1e-3)
    found = model.evaluate(training.batches(POINTS, 8), steps=4, verbose=0, return_dict=True)
    assert found["loss"] < 1e-5
    assert found["slope"] == pytest.approx(2, abs=1e-3)


def line():
    keras.utils.set_random_seed(0)
    model = Line()
    model.slope.build((None, 1))
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    model.optimizer.build(model.trainable_variables)
    return model


RESUMED = [
    pytest.param(line, id="objective"),
    pytest.param(lambda: small_game(ema_decay=0.9), id="game"),
    pytest.param(lambda: small_game(penalty="gradient_penalty"), id="game-with-random-penalty"),
    pytest.param(lambda: small_game(simultaneous=False, d_steps=2), id="game-alternating"),
]


@pytest.mark.verifies("training.save_state", against="the same run without a stop, bit for bit")
@pytest.mark.verifies("training.load_state", against="the same run without a stop, bit for bit")
@pytest.mark.parametrize("build", RESUMED)
def test_a_resumed_run_equals_an_uninterrupted_one(build, tmp_path):
    whole = build()
    train(whole, 9)
    stopped = build()
    train(stopped, 4)
    training.save_state(stopped, tmp_path / "run.npz")
    resumed = build()
    train(resumed, 2)  # any other state: loading must replace all of it
    step = training.load_state(resumed, tmp_path / "run.npz")
    assert step == 4
    train(resumed, 5, start=step)
    for found, expected in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy(), err_msg=expected.path)


@pytest.mark.verifies("training.Checkpoint", against="the state after the epoch it names")
def test_checkpoint_callback(tmp_path):
    model = small_game()
    path = tmp_path / "folder" / "run.npz"
    data = training.batches(POINTS, 8)
    checkpoint = training.Checkpoint(path, every=2)
    model.fit(data, steps_per_epoch=3, epochs=3, verbose=0, callbacks=[checkpoint])
    other = small_game(seed=9)
    assert training.load_state(other, path) == 6
    assert [file.name for file in path.parent.iterdir()] == ["run.npz"]


def test_an_interrupted_save_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    model, path = small_game(), tmp_path / "run.npz"
    training.save_state(model, path)
    before = path.read_bytes()

    def half(file, **arrays):
        file.write(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(training.np, "savez", half)
    with pytest.raises(KeyboardInterrupt):
        training.save_state(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_bad_checkpoints_are_named(tmp_path):
    model, path = small_game(), tmp_path / "run.npz"
    with pytest.raises(FileNotFoundError):
        training.load_state(model, path)
    training.save_state(model, path)
    before = weights(model.generator)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ValueError, match="not a whole checkpoint"):
        training.load_state(model, path)
    training.save_state(line(), path)
    with pytest.raises(ValueError, match="belongs to another model"):
        training.load_state(model, path)
    assert not any(moved(before, weights(model.generator)))


@pytest.mark.verifies("training.ShowSamples", against="the model's own samples at each epoch")
def test_show_samples_keeps_frames(capsys):
    model = small_game()
    show = training.ShowSamples(5, every=2, seed=1)
    data = training.batches(POINTS, 8)
    model.fit(data, steps_per_epoch=1, epochs=4, verbose=0, callbacks=[show])
    assert [frame.shape for frame in show.frames] == [(5, 2)] * 3
    np.testing.assert_array_equal(show.frames[-1], model.sample(5, seed=1))
    assert not np.array_equal(show.frames[0], show.frames[-1])


@pytest.mark.verifies(
    "training.AdversarialModel", against="passes counted while the step is traced"
)
@pytest.mark.parametrize(
    ("rules", "passes"),
    [
        ({}, (1, 2)),  # one generator pass for both players; real and fake judged once
        ({"loss": "hinge"}, (1, 2)),
        ({"loss": "wasserstein", "drift": 0.001}, (1, 2)),  # the logits that are there anyway
        ({"simultaneous": False}, (2, 3)),
        ({"simultaneous": False, "d_steps": 2}, (3, 5)),
    ],
)
def test_passes_of_a_step(rules, passes):
    """The step's Python runs while it is traced, once, and not at each of the twelve steps."""
    model = small_game(steps_per_execution=3, **rules)
    made, judged = [], []
    generate, judge = model._generate, model._judge
    model._generate = lambda *inputs: (made.append(1), generate(*inputs))[1]
    model._judge = lambda *inputs: (judged.append(1), judge(*inputs))[1]
    train(model, 12)
    assert (len(made), len(judged)) == passes
    assert int(model.step.numpy()) == 12
