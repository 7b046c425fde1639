"""Images as sequences: a row-by-row LSTM, and PixelRNN with Row LSTM and Diagonal BiLSTM.

PixelRNN: van den Oord, Kalchbrenner and Kavukcuoglu, ICML 2016 (arXiv 1601.06759), whose MNIST
network is `Config.paper()`. Each kind gives an exact log-likelihood: see `pixelcnn`, where the
likelihood, the sampler, masks and PixelCNN stand. Grey images only, so that a mask has no colors
to order; forget gates get 1 added, which the paper does not tell.
"""

from dataclasses import dataclass

import keras
from keras import layers, ops

from ganvae_lessons.layers import Pointwise
from ganvae_lessons.models.pixelcnn import Causal, ConvBlock, MaskedConv2D, PixelModel

__all__ = [
    "Config",
    "DiagonalBiLSTM",
    "DiagonalLSTM",
    "RowByRow",
    "RowLSTM",
    "build_model",
    "build_network",
    "skew",
    "unskew",
]

KINDS = ("rows", "row_lstm", "diagonal_bilstm", "pixelcnn")


@dataclass(frozen=True)
class Config:
    """Sizes of a network. `kind` is "rows", "row_lstm", "diagonal_bilstm" or "pixelcnn".

    `units` is the paper's h; `layers` counts recurrent layers or residual blocks; `head` is the
    number of maps of the two 1×1 layers before the logits; `levels` the number of grey levels.
    """

    kind: str = "diagonal_bilstm"
    image_shape: tuple = (28, 28, 1)
    units: int = 16
    layers: int = 3
    head: int = 32
    levels: int = 2

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {self.kind!r}")
        if len(self.image_shape) != 3 or self.image_shape[-1] != 1:
            raise ValueError(
                f"image_shape must be (height, width, 1), got {self.image_shape}; "
                "the masks know one channel only, so make the images grey"
            )
        if min(self.units, self.layers, self.head) < 1 or self.levels < 2:
            raise ValueError(
                "units, layers and head must be >= 1 and levels >= 2, got "
                f"{self.units}, {self.layers}, {self.head} and {self.levels}"
            )

    @classmethod
    def paper(cls):
        """Section 5.3, binarized MNIST: Diagonal BiLSTM, 7 layers, h = 16, two 1×1 layers of 32."""
        return cls(kind="diagonal_bilstm", units=16, layers=7, head=32)


def lstm(gates, cell):
    """One LSTM update: gates (…, 4h) before their nonlinearities → (hidden, cell), each (…, h).

    Equation 3 of the paper, with 1 added to the forget gate. Zero gates keep a zero state zero.
    """
    output, forget, enter, content = ops.split(gates, 4, axis=-1)
    cell = ops.sigmoid(forget + 1) * cell + ops.sigmoid(enter) * ops.tanh(content)
    return ops.sigmoid(output) * ops.tanh(cell), cell


def scan(step, state, *inputs):
    """Return (the last state, all hidden states (T, …)) of `step(state, *inputs)` along axis 0.

    TensorFlow's own loop: `keras.ops.scan` cannot be differentiated under XLA, and is slower.
    """
    import tensorflow as tf

    length = inputs[0].shape[0]
    arrays = [tf.TensorArray(array.dtype, length).unstack(array) for array in inputs]

    def body(place, state, hidden):
        state = step(state, *(array.read(place) for array in arrays))
        return place + 1, state, hidden.write(place, state[0])

    loop = (0, state, tf.TensorArray(state[0].dtype, length))
    _, state, hidden = tf.while_loop(
        lambda place, *_: place < length, body, loop, maximum_iterations=length
    )
    return state, hidden.stack()


@keras.saving.register_keras_serializable("ganvae_lessons")
class RowByRow(Causal):
    """(B, H, W, 1) → (B, H, W, maps): LSTMs that read a row at a time tell each pixel of the next
    row what is above, and a masked kernel (A) as wide as the row shows it all that is left of it.

    Nothing within the row is taken to be independent. At a pixel, the two are added.
    """

    def __init__(self, units, depth, maps, **kwargs):
        super().__init__(**kwargs)
        self.units, self.depth, self.maps = units, depth, maps
        self.lstms = [
            layers.LSTM(units, return_sequences=True, return_state=True) for _ in range(depth)
        ]

    def build(self, input_shape):
        width = input_shape[2]
        self.spread = Pointwise(width * self.maps, use_bias=False, name="spread")
        self.left = MaskedConv2D(self.maps, (1, 2 * width - 1), "A", name="left")
        for place, layer in enumerate(self.lstms):
            layer.build((None, None, self.units if place else width))
        self.spread.build((None, None, self.units))
        self.left.build(input_shape)

    def blank(self, batch, width):
        return [[ops.zeros((batch, self.units))] * 2 for _ in self.lstms]

    def follow(self, inputs, memory):
        rows, width = ops.shape(inputs)[1], inputs.shape[2]
        hidden = ops.reshape(inputs, (-1, rows, width))
        first = memory[-1][0]  # the upper LSTM's, after the row above
        memory = list(memory)
        for place, layer in enumerate(self.lstms):
            hidden, *memory[place] = layer(hidden, initial_state=memory[place])
        above = ops.concatenate([first[:, None], hidden[:, :-1]], axis=1)  # (B, R, units)
        above = ops.reshape(self.spread(above), (-1, rows, width, self.maps))
        return above + self.left(inputs), memory

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.maps)


@keras.saving.register_keras_serializable("ganvae_lessons")
class RowLSTM(Causal):
    """(B, H, W, 2h) → the same. All pixels of a row at once, the rows one after the other.

    A pixel's gates see its row by a masked 1×3 kernel (B) and the states above by an unmasked one:
    a triangle that opens upwards (section 3.1). 1×1 to 2h maps, added to the input.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.input_to_state = MaskedConv2D(4 * units, (1, 3), "B", name="input_to_state")
        self.state_to_state = layers.Conv1D(
            4 * units, 3, padding="same", use_bias=False, name="state_to_state"
        )
        self.widen = Pointwise(2 * units, name="widen")

    def build(self, input_shape):
        self.input_to_state.build(input_shape)
        for layer in (self.state_to_state, self.widen):
            layer.build((None, input_shape[2], self.units))

    def blank(self, batch, width):
        return (ops.zeros((batch, width, self.units)),) * 2

    def follow(self, inputs, memory):
        def step(state, gates):
            hidden, cell = state  # (B, W, h), of the row above
            return lstm(gates + self.state_to_state(hidden), cell)

        gates = ops.moveaxis(self.input_to_state(inputs), 1, 0)  # (R, B, W, 4h)
        memory, hidden = scan(step, memory, gates)
        return inputs + self.widen(ops.moveaxis(hidden, 0, 1)), memory


def skew(maps):
    """(B, H, W, C) → (B, H, W + H − 1, C): row r moves r places to the right, zeros around it.

    Columns then hold diagonals: a pixel's left and upper neighbors are both one column before.
    """
    _, height, width, channels = ops.shape(maps)
    maps = ops.pad(maps, [[0, 0], [0, 0], [0, height], [0, 0]])
    maps = ops.reshape(maps, (-1, height * (width + height), channels))
    # cut into rows shorter by one, each begins one place further left than the one above it
    return ops.reshape(maps[:, :-height], (-1, height, width + height - 1, channels))


def unskew(maps):
    """Undo `skew`: (B, H, W + H − 1, C) → (B, H, W, C)."""
    _, height, skewed, channels = ops.shape(maps)
    maps = ops.reshape(maps, (-1, height * skewed, channels))
    maps = ops.pad(maps, [[0, 0], [0, height], [0, 0]])
    return ops.reshape(maps, (-1, height, skewed + 1, channels))[:, :, : skewed + 1 - height]


@keras.saving.register_keras_serializable("ganvae_lessons")
class DiagonalLSTM(Causal):
    """(B, H, W, C) → (B, H, W, h): a state at each pixel from its left and its upper neighbor's.

    One diagonal of the image at a time. Only the input has a bias, which is added before the
    skewing: outside the image, zero states stay zero.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.input_to_state = Pointwise(4 * units, name="input_to_state")
        self.state_to_state = Pointwise(4 * units, use_bias=False, name="state_to_state")

    def build(self, input_shape):
        self.input_to_state.build(input_shape)
        self.state_to_state.build((None, None, 2 * self.units))

    def blank(self, batch, width):
        return ops.zeros((batch, width, self.units))  # hidden states of the row above

    def follow(self, inputs, memory):
        def step(state, gates, top):
            left, cell = state  # (B, R, h), of the diagonal before
            above = ops.concatenate([top[:, None], left[:, :-1]], axis=1)
            both = ops.concatenate([left, above], axis=-1)
            return lstm(gates + self.state_to_state(both), cell)

        batch, rows = ops.shape(inputs)[:2]
        gates = ops.moveaxis(skew(self.input_to_state(inputs)), 2, 0)  # (W + R − 1, B, R, 4h)
        top = ops.moveaxis(ops.pad(memory, [[0, 0], [0, rows - 1], [0, 0]]), 1, 0)
        state = (ops.zeros((batch, rows, self.units)),) * 2
        _, hidden = scan(step, state, gates, top)
        hidden = unskew(ops.moveaxis(hidden, 0, 2))
        return hidden, hidden[:, -1]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)


@keras.saving.register_keras_serializable("ganvae_lessons")
class DiagonalBiLSTM(Causal):
    """(B, H, W, 2h) → the same: one `DiagonalLSTM` from the left, one from the right, which sees
    pixels that are still to come, so its output moves down by a row. Together they see all maps
    before (section 3.2). The sum, 1×1 to 2h maps, is added to the input.

    Behind a first layer with mask A one pixel stays unseen, the last of the row above: no map of
    its own row knows it, and only those of the next row that are near the right edge do."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.from_left = DiagonalLSTM(units, name="from_left")
        self.from_right = DiagonalLSTM(units, name="from_right")
        self.widen = Pointwise(2 * units, name="widen")

    def build(self, input_shape):
        self.from_left.build(input_shape)
        self.from_right.build(input_shape)
        self.widen.build((None, None, None, self.units))

    def blank(self, batch, width):
        return self.from_left.blank(batch, width), self.from_right.blank(batch, width)

    def follow(self, inputs, memory):
        left, left_memory = self.from_left.follow(inputs, memory[0])
        mirrored, right_memory = self.from_right.follow(ops.flip(inputs, 2), memory[1])
        mirrored = ops.concatenate([memory[1][:, None], mirrored[:, :-1]], axis=1)
        hidden = left + ops.flip(mirrored, 2)
        return inputs + self.widen(hidden), (left_memory, right_memory)


def build_network(config):
    """Return the model images (B, H, W, 1) in [−1, 1] → logits (B, H, W, 1 or levels)."""
    images = keras.Input(config.image_shape, name="image")
    if config.kind == "rows":
        hidden = RowByRow(config.units, config.layers, config.head, name="rows")(images)
    else:
        block = {"row_lstm": RowLSTM, "diagonal_bilstm": DiagonalBiLSTM, "pixelcnn": ConvBlock}
        hidden = MaskedConv2D(2 * config.units, (7, 7), "A", name="first")(images)
        for place in range(config.layers):
            hidden = block[config.kind](config.units, name=f"{config.kind}_{place + 1}")(hidden)
    for place in (1, 2):  # 1×1 convolutions: each pixel alone
        hidden = layers.ReLU()(hidden)
        hidden = Pointwise(config.head, name=f"head_{place}")(hidden)
    hidden = layers.ReLU()(hidden)
    logits = Pointwise(1 if config.levels == 2 else config.levels, name="logits")(hidden)
    return keras.Model(images, logits, name=config.kind)


def build_model(config, **kwargs):
    """Return an untrained `PixelModel` of `config`; `kwargs` (seed) go to it."""
    return PixelModel(build_network(config), levels=config.levels, **kwargs)
