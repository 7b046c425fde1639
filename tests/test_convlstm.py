"""`models.convlstm`: the cell step by step, counts, what a forecast may depend on, learning."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import trainable
from scipy.signal import correlate2d
from scipy.special import expit

from ganvae_lessons import training
from ganvae_lessons.data import moving
from ganvae_lessons.models import convlstm

TINY = {"frame_shape": (8, 8, 1), "frames_in": 3, "frames_out": 4, "units": (5, 3), "patch": 2}
KINDS = ("convlstm", "fc_lstm")


def tiny(seed=0, teacher_forcing=False, **changes):
    """A small forecaster whose every weight is drawn, so that nothing is 0 by accident."""
    model = convlstm.build(convlstm.Config(**{**TINY, **changes}), teacher_forcing=teacher_forcing)
    rng = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape) * 0.4)
    return model


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


@pytest.mark.verifies(
    "models.convlstm.Config", "models.convlstm.build", against="1506.04214, table 1"
)
@pytest.mark.parametrize(("kind", "count"), [("convlstm", 7_585_296), ("fc_lstm", 142_667_776)])
def test_the_papers_networks(kind, count):
    config = convlstm.Config.paper(kind)
    assert config.map_shape == {"convlstm": (16, 16, 16), "fc_lstm": (1, 1, 4096)}[kind]
    # the same weights whatever the number of frames; a step through two of the twenty is quicker
    model = convlstm.build(dataclasses.replace(config, frames_in=1, frames_out=1))
    assert trainable(model) == count
    before = model.trainable_variables[-1].numpy().copy()
    model.compile(keras.optimizers.SGD(1e-6))  # RMSProp in the paper; it would need memory here
    clip = noise(1, 2, 64, 64, 1)
    loss = model.fit(training.batches(clip, 1), steps_per_epoch=1, verbose=0).history["loss"][0]
    assert 0.6 < loss / 64**2 < 0.8  # ln 2 a pixel, for who knows nothing
    assert not np.array_equal(model.trainable_variables[-1].numpy(), before)


@pytest.mark.verifies("models.convlstm.ConvLSTMCell", against="1506.04214, equation 3, with scipy")
@pytest.mark.parametrize("channels", [2, 0])
def test_one_step_by_hand(channels):
    filters, rng = 3, np.random.default_rng(0)
    cell = convlstm.ConvLSTMCell(filters, 5, channels)
    kernel, bias, (peep_i, peep_f, peep_o) = (
        rng.normal(size=weight.shape) * 0.5 for weight in cell.trainable_variables
    )
    cell.set_weights([kernel, bias, np.stack([peep_i, peep_f, peep_o])])
    hidden, memory = rng.normal(size=(2, 1, 6, 7, filters))
    inputs = rng.normal(size=(1, 6, 7, channels)) if channels else None
    seen = hidden if inputs is None else np.concatenate([inputs, hidden], axis=-1)

    def gate(number):  # i, f, c, o
        maps = [
            bias[number * filters + out]
            + sum(
                correlate2d(seen[0, ..., k], kernel[..., k, number * filters + out], mode="same")
                for k in range(seen.shape[-1])
            )
            for out in range(filters)
        ]
        return np.stack(maps, axis=-1)[None]

    i = expit(gate(0) + peep_i * memory)
    f = expit(gate(1) + peep_f * memory)
    later = f * memory + i * np.tanh(gate(2))
    o = expit(gate(3) + peep_o * later)
    states = (array.astype("float32") for array in (hidden, memory))
    found = cell(*states, None if inputs is None else inputs.astype("float32"))
    np.testing.assert_allclose(found[0], o * np.tanh(later), atol=1e-5)
    np.testing.assert_allclose(found[1], later, atol=1e-5)


def run(cell, sequence, size, filters):
    hidden = memory = tf.zeros((len(sequence), *size, filters))
    for time in range(sequence.shape[1]):
        hidden, memory = cell(hidden, memory, sequence[:, time])
    return hidden


@pytest.mark.verifies("models.convlstm.ConvLSTMCell", against="keras.layers.ConvLSTM2D and LSTM")
def test_without_peepholes_it_is_keras_s():
    theirs = keras.layers.ConvLSTM2D(4, 3, padding="same", bias_initializer="glorot_normal")
    sequence = noise(2, 5, 6, 6, 2)
    expected = theirs(sequence)
    kernel, recurrent, bias = theirs.get_weights()
    ours = convlstm.ConvLSTMCell(4, 3, 2)
    ours.set_weights([np.concatenate([kernel, recurrent], axis=2), bias, np.zeros((3, 4))])
    np.testing.assert_allclose(run(ours, sequence, (6, 6), 4), expected, atol=1e-5)

    theirs = keras.layers.LSTM(4)
    expected = theirs(sequence.reshape(2, 5, 72))
    kernel, recurrent, bias = theirs.get_weights()
    ours = convlstm.ConvLSTMCell(4, 1, 72)
    np.testing.assert_array_equal(ours.bias, bias)  # both begin with 1 at the forget gate
    ours.set_weights([np.concatenate([kernel, recurrent])[None, None], bias, np.zeros((3, 4))])
    found = run(ours, sequence.reshape(2, 5, 1, 1, 72), (1, 1), 4)
    np.testing.assert_allclose(found[:, 0, 0], expected, atol=1e-5)


@pytest.mark.verifies("models.convlstm.to_patches", against="tf.nn.space_to_depth")
@pytest.mark.verifies("models.convlstm.to_frames", against="the frames that were cut")
def test_patches():
    frames = noise(2, 3, 8, 12, 2)
    patches = convlstm.to_patches(frames, (4, 4))
    expected = tf.nn.space_to_depth(frames.reshape(6, 8, 12, 2), 4)
    np.testing.assert_array_equal(patches, tf.reshape(expected, (2, 3, 2, 3, 32)))
    np.testing.assert_array_equal(convlstm.to_frames(patches, (4, 4)), frames)
    whole = convlstm.to_patches(frames, (8, 12))
    np.testing.assert_array_equal(whole[:, :, 0, 0], frames.reshape(2, 3, -1))
    np.testing.assert_array_equal(convlstm.to_frames(whole, (8, 12)), frames)


@pytest.mark.verifies("models.convlstm.Forecaster", against="1502.04681, figure 2, cell by cell")
@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_forecaster_goes_on_from_the_encoder_s_states(kind, conditional):
    model = tiny(kind=kind, conditional=conditional)
    frames = noise(2, 3, 8, 8, 1)
    inputs = [(frames[:, t] + 1) / 2 for t in range(3)]
    if kind == "convlstm":
        inputs = [tf.nn.space_to_depth(frame, 2) for frame in inputs]
        size = (4, 4)
    else:
        inputs = [frame.reshape(2, 1, 1, 64) for frame in inputs]
        size = (1, 1)
    h1, c1, h2, c2 = (tf.zeros((2, *size, units)) for units in (5, 5, 3, 3))
    for frame in inputs:
        h1, c1 = model.encoder[0](h1, c1, frame)
        h2, c2 = model.encoder[1](h2, c2, h1)
    logits, told = [], inputs[-1]
    kernel, bias = (weight.numpy() for weight in model.readout.trainable_variables)
    for _ in range(4):
        h1, c1 = model.decoder[0](h1, c1, told if conditional else None)
        h2, c2 = model.decoder[1](h2, c2, h1)
        read = tf.concat([h1, h2], -1) if kind == "convlstm" else h2
        made = read.numpy() @ kernel[0, 0] + bias
        logits.append(tf.nn.depth_to_space(made, 2) if kind == "convlstm" else made)
        told = expit(made)
    expected = np.stack(logits, axis=1).reshape(2, 4, 8, 8, 1)
    np.testing.assert_allclose(model(frames), expected, atol=1e-5)
    np.testing.assert_allclose(model.forecast(frames), 2 * expit(expected) - 1, atol=1e-5)


@pytest.mark.verifies("models.convlstm.Forecaster", against="which frames a forecast may know")
@pytest.mark.parametrize("kind", KINDS)
def test_no_frame_depends_on_later_ones(kind):
    model = tiny(kind=kind, conditional=True)
    frames, targets = noise(2, 3, 8, 8, 1), noise(2, 4, 8, 8, 1, seed=1)
    told = model.forecast(frames, targets)
    for time in range(4):  # teacher forcing: frame t is made from the targets before t
        other = targets.copy()
        other[:, time] *= -1
        moved = np.abs(model.forecast(frames, other) - told).max(axis=(0, 2, 3, 4)) > 0
        assert moved.tolist() == [later > time for later in range(4)]
    # told what it would have said itself, it says the same; told the truth, it does not
    free = model.forecast(frames)
    np.testing.assert_allclose(model.forecast(frames, free), free, atol=1e-5)
    assert np.abs(free - told)[:, 1:].max() > 0.01
    np.testing.assert_allclose(free[:, 0], told[:, 0], atol=1e-6)
    # a shorter forecast is the beginning of a longer one
    shorter = tiny(kind=kind, conditional=True, frames_out=2)
    shorter.set_weights(model.get_weights())
    np.testing.assert_allclose(shorter.forecast(frames), free[:, :2], atol=1e-6)
    # every frame that was seen counts
    for time in range(3):
        other = frames.copy()
        other[:, time] *= -1
        assert (np.abs(model.forecast(other) - free).max(axis=(0, 2, 3, 4)) > 0).all()


@pytest.mark.verifies("models.convlstm.Forecaster", against="keras.losses.BinaryCrossentropy")
@pytest.mark.parametrize("teacher_forcing", [False, True])
def test_fit_and_evaluate_measure_the_cross_entropy(teacher_forcing):
    model = tiny(conditional=True, teacher_forcing=teacher_forcing)
    for cell in model.decoder:  # so that what the decoder is told counts
        cell.kernel.assign(3 * cell.kernel)
    clips = noise(4, 7, 8, 8, 1)
    model.compile(keras.optimizers.SGD(0.0))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    free = loss((clips[:, 3:] + 1) / 2, model(clips[:, :3])) * 64
    told = loss((clips[:, 3:] + 1) / 2, model(clips[:, :3], clips[:, 3:])) * 64
    assert abs(free - told) > 1e-2
    data = training.batches(clips, 4)
    found = model.fit(data, steps_per_epoch=1, verbose=0).history["loss"][0]
    np.testing.assert_allclose(found, told if teacher_forcing else free, rtol=1e-5)
    found = model.evaluate(data, steps=1, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(found, free, rtol=1e-5)  # `evaluate` is free-running


@pytest.mark.verifies("models.convlstm.build", against="all weights move, and a saved model is it")
@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_moves_every_weight_and_saving_keeps_them(kind, conditional, tmp_path):
    model = tiny(kind=kind, conditional=conditional, teacher_forcing=conditional)
    clips = noise(4, 7, 8, 8, 1)
    model.compile(keras.optimizers.Adam(1e-2))
    before = [weight.numpy() for weight in model.trainable_variables]
    model.fit(training.batches(clips, 2), steps_per_epoch=2, verbose=0)
    after = zip(before, model.trainable_variables, strict=True)
    assert all((old != new.numpy()).all() for old, new in after)
    model.save_weights(tmp_path / "weights.weights.h5")
    other = tiny(seed=1, kind=kind, conditional=conditional)
    other.load_weights(tmp_path / "weights.weights.h5")
    np.testing.assert_array_equal(other.forecast(clips[:, :3]), model.forecast(clips[:, :3]))


@pytest.mark.verifies("models.convlstm.Forecaster", against="moving on, which a network can learn")
def test_it_learns_to_move_a_bar():
    """A bar that goes one pixel a frame: copying the last frame is wrong, more so each time."""
    rows = np.arange(32) % 8
    frames = -np.ones((32, 7, 8, 8, 1), "float32")
    for time in range(7):
        frames[np.arange(32), time, (rows + time) % 8] = 1
    keras.utils.set_random_seed(0)
    config = convlstm.Config(**{**TINY, "units": (16,), "kernel_size": 3})
    model = convlstm.build(config)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(training.batches(frames, 32), steps_per_epoch=150, verbose=0)
    made, truth = model.forecast(frames[:, :3]), frames[:, 3:]
    error = ((made - truth) ** 2).mean(axis=(0, 2, 3, 4))
    copied = ((moving.copy_last(frames[:, :3], 4) - truth) ** 2).mean(axis=(0, 2, 3, 4))
    assert (error < 0.3 * copied).all(), (error, copied)


@pytest.mark.verifies("models.convlstm.Config", against="the error wording of STYLE.md")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "gru"}, r"kind must be one of \('convlstm', 'fc_lstm'\), got 'gru'"),
        ({"patch": 5}, r"divisible by patch, 5, got \(32, 32, 1\); crop"),
        ({"frames_out": 0}, "must be at least 1, got 10, 0, 4, 5 and "),
        ({"units": (8, 0)}, r"must be at least 1, got .*\(8, 0\)"),
    ],
)
def test_bad_config(changes, message):
    with pytest.raises(ValueError, match=message):
        convlstm.Config(**changes)


@pytest.mark.verifies("models.convlstm.Forecaster", against="the error wording of STYLE.md")
def test_bad_input():
    with pytest.raises(ValueError, match=r"teacher_forcing needs .*set conditional=True"):
        convlstm.build(convlstm.Config(**TINY), teacher_forcing=True)
    model = tiny()
    frames = noise(2, 3, 8, 8, 1)
    with pytest.raises(ValueError, match=r"frames must have the shape \(N, 3, 8, 8, 1\), got"):
        model.forecast(noise(2, 4, 8, 8, 1))
    with pytest.raises(ValueError, match=r"frames must be in \[-1, 1\], got"):
        model.forecast(2 * frames)
    with pytest.raises(ValueError, match="got 2 for 2 and conditional=False"):
        model.forecast(frames, noise(2, 4, 8, 8, 1))
    with pytest.raises(ValueError, match="got 1 for 2 and conditional=True"):
        tiny(conditional=True).forecast(frames, noise(1, 4, 8, 8, 1))
    model.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match=r"fit takes clips \(B, 7, 8, 8, 1\)"):
        model.fit(training.batches(frames, 2), steps_per_epoch=1, verbose=0)
