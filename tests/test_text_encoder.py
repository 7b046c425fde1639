"""`models.text_encoder` and `losses.matching`: words, codes, pictures found by their captions."""

import keras
import numpy as np
import pytest
import scipy.special

from ganvae_lessons import data, losses, training
from ganvae_lessons.data import nouns
from ganvae_lessons.models import text_encoder

CAPTIONS = ["a shark head with red glasses", "red glasses on a Whale's head", "a cat"]


def test_vocabulary_numbers_words_from_one():
    vocabulary = text_encoder.Vocabulary(CAPTIONS)
    assert vocabulary.words == (
        "a", "cat", "glasses", "head", "on", "red", "shark", "whale's", "with",
    )  # fmt: skip
    assert (len(vocabulary), vocabulary.length) == (9, 6)
    tokens = vocabulary.encode(["A cat, red", "whale's glasses on red shark head"])
    np.testing.assert_array_equal(tokens, [[1, 2, 6, 0, 0, 0], [8, 3, 5, 6, 7, 4]])
    assert tokens.dtype == "int32"


@pytest.mark.verifies("models.text_encoder.Vocabulary", against="NumPy's unique words")
def test_vocabulary_of_the_nouns_holds_every_word_once():
    _, captions, _ = data.load("nouns", limit=500)
    vocabulary = text_encoder.Vocabulary(captions)
    words = np.unique(" ".join(captions).split())
    np.testing.assert_array_equal(vocabulary.words, words)
    tokens = vocabulary.encode(captions)
    np.testing.assert_array_equal(np.unique(tokens[tokens > 0]), np.arange(1, len(words) + 1))
    back = [" ".join(vocabulary.words[number - 1] for number in row if number) for row in tokens]
    assert back == list(captions)


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        (["a sharc head", "two zzz"], r"9 words .* 'sharc' \(do you mean 'shark'\?\), 'two'"),
        (["a cat a cat a cat a"], "1 to 6 words, got 7: 'a cat a cat a cat a'"),
        ([""], "1 to 6 words, got 0"),
        ("a cat", "a list of strings, got the string 'a cat'"),
    ],
)
def test_captions_that_cannot_be_read(captions, message):
    with pytest.raises(ValueError, match=message):
        text_encoder.Vocabulary(CAPTIONS).encode(captions)


def test_a_vocabulary_needs_words():
    with pytest.raises(ValueError, match="at least one word"):
        text_encoder.Vocabulary([])
    with pytest.raises(
        ValueError, match="kind must be one of pooled, convolutional, recurrent, got 'bag'"
    ):
        text_encoder.Config(vocabulary_size=3, length=2, kind="bag")


@pytest.mark.verifies("losses.matching", against="scipy.special.log_softmax, log B")
def test_matching_is_the_symmetric_cross_entropy():
    products = np.random.default_rng(0).normal(size=(5, 5)).astype("float32") * 3
    rows = np.diag(scipy.special.log_softmax(products, axis=1))
    columns = np.diag(scipy.special.log_softmax(products, axis=0))
    expected = -(rows.mean() + columns.mean()) / 2
    np.testing.assert_allclose(float(losses.matching(products)), expected, rtol=1e-5)
    np.testing.assert_allclose(float(losses.matching(np.zeros((7, 7)))), np.log(7), rtol=1e-6)
    assert float(losses.matching(100 * np.eye(7))) < 1e-6


def encoders(kind, vocabulary, **sizes):
    config = text_encoder.Config(len(vocabulary), vocabulary.length, kind=kind, **sizes)
    keras.utils.set_random_seed(0)
    return text_encoder.MatchingModel(
        text_encoder.build_text_encoder(config), text_encoder.build_image_encoder(config), seed=0
    )


@pytest.mark.verifies("models.text_encoder.Config", against="the shapes and lengths of codes")
@pytest.mark.verifies("models.text_encoder.build_image_encoder", against="codes of unit length")
@pytest.mark.verifies(
    "models.text_encoder.build_text_encoder", against="codes of unit length; order and filling"
)
@pytest.mark.parametrize("kind", text_encoder.KINDS)
def test_codes(kind):
    vocabulary = text_encoder.Vocabulary(CAPTIONS)
    model = encoders(kind, vocabulary, code_dim=8, image_shape=(16, 16, 3))
    codes = model.encode(
        vocabulary.encode([*CAPTIONS, "a head shark with red glasses", "a cat a cat"])
    )
    assert codes.shape == (5, 8)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, rtol=1e-5)
    moved = np.abs(codes[3] - codes[0]).max()  # the same words in another order
    assert (moved < 1e-6) if kind == "pooled" else (moved > 1e-3)
    # the filling does not count: a shorter table of numbers gives the same codes
    short = encoders(kind, text_encoder.Vocabulary(CAPTIONS), code_dim=8)
    short.text_encoder.set_weights(model.text_encoder.get_weights())
    np.testing.assert_allclose(short.encode(vocabulary.encode(["a cat"])), codes[2:3], atol=1e-6)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype("float32")
    seen = model.image_encoder.predict(images, verbose=0)
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, rtol=1e-5)


@pytest.mark.verifies(
    "models.text_encoder.MatchingModel", against="retrieval far above chance, and chance untrained"
)
def test_training_finds_pictures_by_their_captions():
    images, captions, _ = data.load("nouns", limit=1000)
    vocabulary = text_encoder.Vocabulary(captions)
    model = encoders("pooled", vocabulary)
    held_out = nouns.attributes("test", 200)
    pictures = nouns.render(held_out)
    tokens = vocabulary.encode(nouns.caption(held_out))
    before = model.retrieval(pictures, tokens)
    assert before < 0.05  # chance is 0.005
    model.compile(optimizer=keras.optimizers.Adam(3e-3), jit_compile=False)
    drawn = training.batches(images, 200, conditions=vocabulary.encode(captions))
    history = model.fit(drawn, steps_per_epoch=60, epochs=1, verbose=0).history
    assert history["loss"][0] < np.log(200)
    assert 0.4 < model.retrieval(pictures, tokens) <= 1
    with pytest.raises(ValueError, match="each of the 200 images, got 199"):
        model.retrieval(pictures, tokens[:-1])
