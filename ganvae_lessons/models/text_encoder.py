"""A text encoder that learns from pictures: which of these captions belongs to which picture?

StackGAN takes its text codes from an encoder that was trained before (Reed et al., CVPR 2016,
arXiv 1605.05395). This one is trained here: codes of a picture and of its caption have a larger
scalar product than those of pairs that do not belong together (`losses.matching`, the symmetric
form of Radford et al., ICML 2021, 2103.00020).
"""

import difflib
import re
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from ganvae_lessons import losses, training
from ganvae_lessons.data import check_images

__all__ = [
    "Config",
    "MatchingModel",
    "Vocabulary",
    "build_image_encoder",
    "build_text_encoder",
]

KINDS = ("pooled", "convolutional", "recurrent")


class Vocabulary:
    """The words of some captions, each with its number from 1 on; 0 fills short captions up.

    A word is a run of letters, digits, apostrophes or hyphens, in lower case. `length` is the
    number of words that a caption may have, by default that of the longest of these.
    """

    def __init__(self, captions, length=None):
        captions = [_words(caption) for caption in captions]
        if not captions or not all(captions):
            raise ValueError("captions must be strings with at least one word each")
        self.words = tuple(sorted({word for caption in captions for word in caption}))
        self.length = length or max(len(caption) for caption in captions)
        self._numbers = {word: number for number, word in enumerate(self.words, start=1)}

    def __len__(self):
        """Number of words, the filling not counted."""
        return len(self.words)

    def encode(self, captions):
        """Return the words' numbers, int32 (N, length), of N captions.

        ValueError names the words that the vocabulary lacks, and captions that are too long.
        """
        if isinstance(captions, str):
            raise ValueError(f"captions must be a list of strings, got the string {captions!r}")
        split = [_words(caption) for caption in captions]
        unknown = sorted({word for words in split for word in words} - set(self.words))
        if unknown:
            raise ValueError(
                f"captions must use the {len(self)} words of the vocabulary, got "
                + ", ".join(f"{word!r}{self._similar(word)}" for word in unknown)
            )
        tokens = np.zeros((len(split), self.length), dtype="int32")
        for row, words in enumerate(split):
            if not 1 <= len(words) <= self.length:
                raise ValueError(
                    f"a caption must have 1 to {self.length} words, got {len(words)}: "
                    f"{captions[row]!r}"
                )
            tokens[row, : len(words)] = [self._numbers[word] for word in words]
        return tokens

    def _similar(self, word):
        similar = difflib.get_close_matches(word, self.words, n=3)
        return f" (do you mean {' or '.join(map(repr, similar))}?)" if similar else ""


def _words(caption):
    return re.findall(r"[\w'-]+", caption.lower())


@dataclass(frozen=True)
class Config:
    """Sizes of both encoders, whose codes have `code_dim` numbers."""

    vocabulary_size: int
    length: int  # words of a caption
    kind: str = "convolutional"  # over three words; or "recurrent", or "pooled": a bag of words
    word_dim: int = 64
    hidden_dim: int = 256
    code_dim: int = 128
    image_shape: tuple = (32, 32, 3)
    image_filters: tuple = (32, 64, 64)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")


def build_text_encoder(config):
    """Return the model tokens (B, length) → codes (B, code_dim), of unit length."""
    tokens = keras.Input((config.length,), dtype="int32", name="tokens")
    vectors = layers.Embedding(config.vocabulary_size + 1, config.word_dim)(tokens)
    is_word = ops.cast(ops.not_equal(tokens, 0), "float32")[..., None]  # (B, length, 1)
    vectors = layers.Multiply()([vectors, is_word])
    if config.kind == "convolutional":
        hidden = layers.Conv1D(config.hidden_dim, 3, padding="same", activation="relu")(vectors)
        hidden = layers.GlobalMaxPooling1D()(layers.Multiply()([hidden, is_word]))
    elif config.kind == "pooled":
        hidden = ops.sum(vectors, axis=1) / ops.sum(is_word, axis=1)
        hidden = layers.Dense(config.hidden_dim, activation="relu")(hidden)
    else:
        read = layers.Bidirectional(layers.GRU(config.hidden_dim // 2))
        hidden = read(vectors, mask=ops.not_equal(tokens, 0))
    codes = layers.UnitNormalization()(layers.Dense(config.code_dim)(hidden))
    return keras.Model(tokens, codes, name="text_encoder")


def build_image_encoder(config):
    """Return the model images (B, H, W, C) in [−1, 1] → codes (B, code_dim), of unit length."""
    images = hidden = keras.Input(config.image_shape, name="image")
    for filters in config.image_filters:
        hidden = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(hidden)
    codes = layers.Dense(config.code_dim)(layers.Flatten()(hidden))
    return keras.Model(images, layers.UnitNormalization()(codes), name="image_encoder")


class MatchingModel(training.ObjectiveModel):
    """Both encoders, trained to tell each picture's caption from the others in the batch."""

    def __init__(self, text_encoder, image_encoder, *, start_scale=10.0, **kwargs):
        super().__init__(**kwargs)
        self.text_encoder, self.image_encoder = text_encoder, image_encoder
        self.log_scale = self.add_weight(  # of the scalar products, which lie in [−1, 1]
            shape=(),
            initializer=keras.initializers.Constant(np.log(start_scale)),
            name="log_scale",
        )
        self.built = True  # both encoders are

    def call(self, tokens, training=False):
        return self.text_encoder(tokens, training=training)

    def objective(self, batch, training):
        images, tokens = batch
        products = ops.matmul(
            self.image_encoder(images, training=training),
            ops.transpose(self.text_encoder(tokens, training=training)),
        )  # (B, B)
        loss = losses.matching(ops.exp(self.log_scale) * products)
        right = ops.argmax(products, axis=1) == ops.arange(ops.shape(products)[0])
        return {"loss": loss, "accuracy": ops.mean(ops.cast(right, "float32"))}

    def encode(self, tokens):
        """Return the codes of captions, tokens (N, length), as a NumPy array (N, code_dim)."""
        return self.text_encoder.predict(tokens, batch_size=500, verbose=0)

    def retrieval(self, images, tokens):
        """Return the share of images (N, H, W, C) whose own caption has the largest product.

        Chance is 1/N. `tokens` (N, length) are the captions in the images' order.
        """
        images = check_images(images)
        if len(images) != len(tokens):
            raise ValueError(
                f"tokens must hold one caption for each of the {len(images)} images, "
                f"got {len(tokens)}"
            )
        seen = self.image_encoder.predict(images, batch_size=500, verbose=0)
        nearest = np.argmax(seen @ self.encode(tokens).T, axis=1)
        return float(np.mean(nearest == np.arange(len(images))))
