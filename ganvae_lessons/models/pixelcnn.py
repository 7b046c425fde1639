"""What every pixel-by-pixel model shares: the likelihood, the sampler, and masked convolutions.

p(x) = Π p(x_i | x_1 … x_{i−1}), pixels row by row from the upper left, each factor a Bernoulli
or a softmax over grey levels. PixelCNN and masks: van den Oord, Kalchbrenner and Kavukcuoglu,
ICML 2016 (arXiv 1601.06759), sections 3.3 to 3.5. The recurrent layers stand in `rnn`. A masked
kernel is stored without the rows below the pixel, which its mask would hide whole.
"""

import keras
import numpy as np
from keras import ops

from ganvae_lessons import losses
from ganvae_lessons.data import check_images
from ganvae_lessons.layers import Pointwise
from ganvae_lessons.training import ObjectiveModel

__all__ = ["Causal", "ConvBlock", "MaskedConv2D", "PixelModel", "quantize"]


def quantize(images, levels=2):
    """Return `images` in [−1, 1] with each value at the nearest of `levels` equal steps, float32.

    With 2 levels: −1 up to 0, and 1 above it.
    """
    images = check_images(images)
    steps = (levels - 1) / 2
    return (np.round((images + 1) * steps) / steps - 1).astype("float32")


class Causal(keras.layers.Layer):
    """A layer whose output at a pixel depends on the rows above and on the row up to the pixel.

    A subclass defines `follow(inputs, memory)`: from the next R rows (B, R, W, C) and a memory
    of all rows above them, it makes their outputs (B, R, W, C′) and the memory for what follows.
    A whole image follows the `blank` memory; a sampler goes on row by row, and pays for one.
    """

    def blank(self, batch, width):
        """The memory above the first row: zeros, in a nest of tensors."""
        raise NotImplementedError

    def follow(self, inputs, memory):
        raise NotImplementedError

    def call(self, inputs):
        return self.follow(inputs, self.blank(ops.shape(inputs)[0], inputs.shape[2]))[0]


@keras.saving.register_keras_serializable("ganvae_lessons")
class MaskedConv2D(Causal):
    """(B, H, W, C) → (B, H, W, filters): a convolution that sees only what comes before.

    Mask "A" hides the pixel itself, as the first layer must, whose input is the image. Mask "B"
    shows it: in later layers, the maps at a pixel are made of the pixels before it.
    `kernel_size` (height, width) is that of the whole kernel, both odd; weights has the shape
    (height//2 + 1, width, C, filters). Zeros surround the image.
    """

    def __init__(self, filters, kernel_size, mask, **kwargs):
        super().__init__(**kwargs)
        if mask not in ("A", "B"):
            raise ValueError(f'mask must be "A" or "B", got {mask!r}')
        if any(size % 2 == 0 for size in kernel_size):
            raise ValueError(f"kernel_size must be two odd numbers, got {kernel_size}")
        self.filters, self.kernel_size, self.mask = filters, tuple(kernel_size), mask

    def build(self, input_shape):
        above, left = (size // 2 for size in self.kernel_size)
        shape = (above + 1, 2 * left + 1, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias")
        self.seen = np.ones((*shape[:2], 1, 1), "float32")
        self.seen[-1, left + (self.mask == "B") :] = 0

    def blank(self, batch, width):
        return ops.zeros((batch, self.kernel_size[0] // 2, width, self.kernel.shape[2]))

    def follow(self, inputs, memory):
        above, left = (size // 2 for size in self.kernel_size)
        rows = ops.concatenate([memory, inputs], axis=1)  # (B, above + R, W, C)
        padded = ops.pad(rows, [[0, 0], [0, 0], [left, left], [0, 0]])
        maps = ops.conv(padded, self.kernel * self.seen, padding="valid") + self.bias
        return maps, rows[:, ops.shape(rows)[1] - above :]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)


@keras.saving.register_keras_serializable("ganvae_lessons")
class ConvBlock(Causal):
    """PixelCNN's residual block (figure 5, left), (B, H, W, 2h) → the same: ReLU before each
    of 1×1 to h maps, masked 3×3 (B), 1×1 back to 2h; the input is added."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.narrow = Pointwise(units, name="narrow")
        self.conv = MaskedConv2D(units, (3, 3), "B", name="conv")
        self.widen = Pointwise(2 * units, name="widen")

    def build(self, input_shape):
        self.narrow.build(input_shape)
        for layer in (self.conv, self.widen):
            layer.build((*input_shape[:-1], self.units))

    def blank(self, batch, width):
        return self.conv.blank(batch, width)

    def follow(self, inputs, memory):
        hidden = ops.relu(self.narrow(ops.relu(inputs)))
        hidden, memory = self.conv.follow(hidden, memory)
        return inputs + self.widen(ops.relu(hidden)), memory


class PixelModel(ObjectiveModel):
    """The likelihood of images and samples, from a network images (B, H, W, 1) → logits.

    The network is one chain of layers, each of which is `Causal` or works on every pixel alone.
    Its logits are (B, H, W, 1), of the upper of two levels, or (B, H, W, levels). Whatever
    comes in is first rounded to the levels, so that network and likelihood see the same image.
    Reported: "loss", −log p(x) in nats for each image, exact, the mean over the batch.
    """

    def __init__(self, network, *, levels=2, **kwargs):
        super().__init__(**kwargs)
        made, wanted = network.output_shape[-1], 1 if levels == 2 else levels
        if made != wanted:
            raise ValueError(
                f"for {levels} levels, the network must make {wanted} logits, got {made}"
            )
        self.network, self.levels = network, levels
        self.built = True  # the network is
        import tensorflow as tf

        self._score = tf.function(lambda batch: self.score(batch, self(batch)))
        self._next_row = tf.function(self.next_row)

    def call(self, images, training=False):
        """Return the logits for images (B, H, W, 1) in [−1, 1]."""
        return self.network(self.values(self.indices(images)), training=training)

    def indices(self, images):
        """The level of each pixel, 0 to levels − 1, as floats."""
        return ops.round((images + 1) * ((self.levels - 1) / 2))

    def values(self, indices):
        """The pixel in [−1, 1] at each level."""
        return indices * (2 / (self.levels - 1)) - 1

    def score(self, images, logits):
        """log p(x) = Σ log p(x_i | before) of each image: (B,), nats."""
        indices = self.indices(images)
        if self.levels == 2:
            return losses.bernoulli_log_likelihood(indices, logits)
        surprise = keras.losses.sparse_categorical_crossentropy(
            indices[..., 0], logits, from_logits=True
        )  # (B, H, W)
        return -ops.sum(surprise, axis=(1, 2))

    def objective(self, batch, training):
        return {"loss": -ops.mean(self.score(batch, self(batch, training=training)))}

    def log_likelihood(self, images, *, batch_size=250):
        """Return log p(x) of each image, in nats, as a NumPy array (N,): exact, not a bound."""
        images = check_images(images)
        starts = range(0, len(images), batch_size)
        return np.concatenate([self._score(images[at : at + batch_size]) for at in starts])

    # --- sampling --------------------------------------------------------------------------

    def follow(self, rows, memories):
        """Return the logits of the next rows (B, R, W, 1), and each causal layer's new memory."""
        memories, kept = iter(memories), []
        for layer in self.network.layers[1:]:
            if isinstance(layer, Causal):
                rows, memory = layer.follow(rows, next(memories))
                kept.append(memory)
            else:
                rows = layer(rows)
        return rows, kept

    def quantile(self, logits, uniforms):
        """The pixels (…, 1) at which the distribution functions pass `uniforms` (…, 1)."""
        if self.levels == 2:
            below = ops.sigmoid(-logits)
        else:
            below = ops.cumsum(ops.softmax(logits), axis=-1)[..., :-1]  # P(index <= 0, 1, …)
        passed = ops.cast(uniforms >= below, "float32")
        return self.values(ops.sum(passed, axis=-1, keepdims=True))

    def next_row(self, row, start, memories, uniforms):
        """Draw the columns of row (B, 1, W, 1) from `start` on; return it and the new memories."""
        width = row.shape[2]
        columns = ops.reshape(ops.arange(width), (1, 1, width, 1))

        def draw(column, row):
            drawn = self.quantile(self.follow(row, memories)[0], uniforms)
            return ops.where(columns == column, drawn, row)

        row = ops.fori_loop(start, width, draw, row)
        return row, self.follow(row, memories)[1]

    def sample(self, count, *, seed=0, given=None, rows=None):
        """Return `count` images (count, H, W, 1), the same for the same weights and seed.

        With `given` images (count, H, W, 1), their upper `rows` rows (half, by default) are kept
        and the rest is drawn from p(lower | upper). Pixel (r, c) of image n is the quantile at
        the number [n, r, c, 0] of keras.random.uniform((count, H, W, 1), seed=seed). For each
        pixel one row is computed, not the image: what lies above is in the layers' memories.
        """
        shape = (count, *self.network.input_shape[1:])
        images = np.zeros(shape, "float32")
        kept = 0
        if given is not None:
            given = check_images(given, "given")
            kept = shape[1] // 2 if rows is None else rows
            if given.shape != shape or not 0 <= kept <= shape[1]:
                raise ValueError(
                    f"given must be {count} images {shape[1:]} and rows from 0 to {shape[1]}, "
                    f"got the shape {given.shape} and rows={rows}"
                )
            images[:, :kept] = quantize(given, self.levels)[:, :kept]
        elif rows is not None:
            raise ValueError(f"rows must be None where no images are given, got {rows}")
        uniforms = keras.random.uniform(shape, seed=seed)
        causal = [layer for layer in self.network.layers if isinstance(layer, Causal)]
        memories = [layer.blank(count, shape[2]) for layer in causal]
        for place in range(shape[1]):
            row = ops.convert_to_tensor(images[:, place : place + 1])
            start = ops.convert_to_tensor(shape[2] if place < kept else 0)
            row, memories = self._next_row(row, start, memories, uniforms[:, place : place + 1])
            images[:, place] = row[:, 0]
        return images
