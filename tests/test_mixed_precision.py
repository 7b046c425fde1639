"""`budget.mixed_precision`: where it applies, and that it computes what float32 computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganvae_lessons import budget, training
from ganvae_lessons.models import cgan, convlstm, dcgan, stackgan

SMALL = stackgan.Config()


def nets(config):
    """The networks of a config as {name: model}, built under the policy in force."""
    module = {dcgan.Config: dcgan, cgan.Config: cgan}.get(type(config))
    if module:
        return {
            "generator": module.build_generator(config),
            "discriminator": module.build_discriminator(config),
        }
    return {
        "generator": stackgan.build_stage1_generator(config),
        "discriminator": stackgan.build_stage1_discriminator(config),
        "stage2_generator": stackgan.build_stage2_generator(config),
        "stage2_discriminator": stackgan.build_stage2_discriminator(config),
    }


@pytest.fixture
def modern_gpu(monkeypatch):
    """A machine at the gpu budget whose only GPU has compute capability 8.0, as `budget` sees it.

    The test may change the dictionary that it gets.
    """
    seen = {"devices": ["GPU:0"], "compute_capability": (8, 0)}
    every = tf.config.list_physical_devices
    gpus = lambda kind=None: seen["devices"] if kind == "GPU" else every(kind)  # noqa: E731
    monkeypatch.setenv("GANVAE_BUDGET", "gpu")
    monkeypatch.setattr(tf.config, "list_physical_devices", gpus)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: seen)
    return seen


@pytest.mark.verifies("budget.mixed_precision", against="the policies of Keras")
@pytest.mark.parametrize(
    ("name", "devices", "capability", "expected"),
    [
        ("gpu", ["GPU:0"], (8, 0), "mixed_bfloat16"),
        ("gpu", ["GPU:0"], (9, 0), "mixed_bfloat16"),
        ("gpu", ["GPU:0"], (7, 5), "float32"),
        ("gpu", [], (8, 0), "float32"),
        ("laptop", ["GPU:0"], (8, 0), "float32"),
    ],
)
def test_only_where_the_gpu_is_made_for_it(
    name, devices, capability, expected, modern_gpu, monkeypatch
):
    monkeypatch.setenv("GANVAE_BUDGET", name)
    modern_gpu.update(devices=devices, compute_capability=capability)
    with budget.mixed_precision() as policy:
        assert policy == keras.config.dtype_policy().name == expected
    assert keras.config.dtype_policy().name == "float32"


def test_the_policy_is_put_back_after_an_error(modern_gpu):
    with pytest.raises(KeyError), budget.mixed_precision():
        raise KeyError
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    "config",
    [
        dcgan.Config(),
        *(cgan.Config(method=method) for method in ("concatenation", "projection", "auxiliary")),
        SMALL,
        stackgan.Config(match="concatenation"),
    ],
    ids=lambda config: f"{type(config).__module__[-8:]}-{getattr(config, 'method', '')}",
)
def test_outputs_are_those_of_float32(config, modern_gpu):
    """Hidden layers compute in bfloat16, what comes out is float32 and agrees to its precision."""
    keras.utils.set_random_seed(0)
    plain = nets(config)
    with budget.mixed_precision():
        mixed = nets(config)
    generator = np.random.default_rng(0)
    for name, network in mixed.items():
        network.set_weights(plain[name].get_weights())
        used = {layer.compute_dtype for layer in network._flatten_layers(include_self=False)}
        assert "bfloat16" in used, name
        assert {weight.dtype for weight in network.trainable_variables} == {"float32"}
        random = lambda tensor: generator.uniform(-1, 1, (8, *tensor.shape[1:]))  # noqa: E731
        inputs = [np.arange(8) if "int" in t.dtype else random(t) for t in network.inputs]
        inputs = inputs if len(inputs) > 1 else inputs[0]
        for found, expected in zip(
            tf.nest.flatten(network(inputs)), tf.nest.flatten(plain[name](inputs)), strict=True
        ):
            assert found.dtype == "float32", f"{name} returns {found.dtype}"
            scale = np.std(expected)
            # 2⁻⁸ a rounding, and some ten of them one after another
            assert 0 < np.abs(found - expected).max() < 0.15 * scale, name


def test_a_step_moves_both_players_and_keeps_them_finite(modern_gpu):
    images = np.random.default_rng(0).uniform(-1, 1, (16, 28, 28, 1)).astype("float32")
    with budget.mixed_precision():
        model = training.AdversarialModel(
            dcgan.build_generator(dcgan.Config()), dcgan.build_discriminator(dcgan.Config())
        )
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3), ema_decay=0.9)
    before = [weight.numpy() for weight in model.trainable_variables]
    model.fit(training.batches(images, 8), steps_per_epoch=2, verbose=0)
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert np.isfinite(new.numpy()).all() and not np.array_equal(old, new.numpy()), new.path
    samples = model.sample(3, seed=0)
    assert samples.dtype == np.float32 and np.abs(samples).max() <= 1


def test_the_forecaster(modern_gpu):
    config = convlstm.Config(frames_in=2, frames_out=2)
    clips = np.random.default_rng(0).uniform(-1, 1, (4, 4, *config.frame_shape)).astype("float32")
    plain = convlstm.build(config)
    with budget.mixed_precision():
        model = convlstm.build(config)
    model.set_weights(plain.get_weights())
    found, expected = model.forecast(clips[:, :2]), plain.forecast(clips[:, :2])
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.15 * np.std(expected)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(training.batches(clips, 2), steps_per_epoch=1, verbose=0)
    assert not np.array_equal(found, model.forecast(clips[:, :2]))
