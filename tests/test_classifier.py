"""`models.classifier`: its size, its recipe, and the weights that come with the package."""

from importlib import resources

import keras
import numpy as np
import pytest

from ganvae_lessons import data
from ganvae_lessons.models import classifier


@pytest.fixture(scope="module")
def held_out():
    return data.load("fashion_mnist", "test")


@pytest.mark.verifies("models.classifier.Config", against="the layers, counted by hand")
@pytest.mark.verifies("models.classifier.build_classifier", against="the layers, counted by hand")
def test_counts_by_hand():
    convolutions = (9 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 64
    dense = (3 * 3 * 64 + 1) * 64 + (64 + 1) * 10
    model = classifier.build_classifier(classifier.Config())
    assert model.count_params() == convolutions + dense


@pytest.mark.verifies("models.classifier.load", against="held-out labels: 90 % right")
@pytest.mark.verifies("models.classifier.probabilities", against="held-out labels: 90 % right")
def test_shipped_weights_recognize_held_out_images(held_out):
    images, labels, _ = held_out
    probabilities = classifier.probabilities(images)
    assert probabilities.shape == (2000, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    right = probabilities.argmax(axis=1) == labels
    assert 0.885 < right.mean() < 0.915
    assert all(right[labels == label].mean() > 0.6 for label in range(10))
    size = resources.files("ganvae_lessons.models").joinpath("classifier.npz").stat().st_size
    assert size < 500_000


@pytest.mark.verifies("models.classifier.features", against="the last layer, by hand")
def test_features_are_those_before_the_logits(held_out):
    images = held_out[0][:50]
    model = classifier.load()
    features = classifier.features(images, model)
    assert features.shape == (50, 64)
    assert features.min() >= 0
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(
        features @ kernel + bias, model.predict(images, verbose=0), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(features, classifier.features(images))


@pytest.mark.verifies("models.classifier.train", against="held-out labels, from 1,000 images")
def test_training_repeats_and_generalizes(held_out):
    images, labels, _ = data.load("fashion_mnist", limit=1_000)
    first = classifier.train(images, labels, epochs=4, seed=3)
    probabilities = classifier.probabilities(held_out[0], first)
    assert 0.6 < (probabilities.argmax(axis=1) == held_out[1]).mean() < 0.85
    again = classifier.train(images[:200], labels[:200], epochs=1, seed=3)
    other = classifier.train(images[:200], labels[:200], epochs=1, seed=3)
    for one, two in zip(again.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_bad_input_is_named(monkeypatch):
    images = np.zeros((3, 28, 28, 1), "float32")
    with pytest.raises(ValueError, match=r"labels must be integers of shape \(3,\).*float64"):
        classifier.train(images, np.zeros(3))
    with pytest.raises(ValueError, match=r"images must be in \[-1, 1\]"):
        classifier.features(images + 255)
    monkeypatch.setattr(classifier, "_WEIGHTS", "nowhere.npz")
    with pytest.raises(OSError, match=r"nowhere.npz does not hold .* install the package again"):
        classifier.load()


def test_a_damaged_file_is_named(monkeypatch, tmp_path):
    (tmp_path / "classifier.npz").write_bytes(b"not an archive")
    monkeypatch.setattr(classifier.resources, "files", lambda package: tmp_path)
    with pytest.raises(OSError, match="does not hold the classifier's weights"):
        classifier.load()
    assert keras.backend.backend() == "tensorflow"
