"""Sequences of images: the convolutional LSTM, and the fully connected one it is measured against.

Shi et al., "Convolutional LSTM Network", NIPS 2015 (arXiv 1506.04214), equation 3, figure 3
and table 1; the encoder and decoder are those of Srivastava, Mansimov and Salakhutdinov,
ICML 2015 (1502.04681). Keras's `ConvLSTM2D` has no peepholes, so the cell is written here,
and serves both: a frame cut into one single patch makes every convolution a dense layer.
Differs from the papers: the forget gate's bias starts at 1, and the defaults are small.
"""

from dataclasses import dataclass

import numpy as np
from keras import layers, ops

from ganvae_lessons import losses
from ganvae_lessons.data import check_images
from ganvae_lessons.training import ObjectiveModel

__all__ = ["Config", "ConvLSTMCell", "Forecaster", "build", "to_frames", "to_patches"]


@dataclass(frozen=True)
class Config:
    """Sizes of the model. `kind` is "convlstm" or "fc_lstm", `units` one number for each layer.

    A convolutional LSTM sees frames as maps of `patch`×`patch` pixels; its units are maps, its
    kernels `kernel_size` wide. The fully connected one sees a frame as one vector and heeds
    neither. A `conditional` forecaster is told the frame before the one that it makes
    (1502.04681, section 2.3); otherwise it has nothing but its states, as in both papers' tables.
    """

    frame_shape: tuple = (32, 32, 1)
    frames_in: int = 10
    frames_out: int = 10
    kind: str = "convlstm"
    patch: int = 4
    units: tuple = (32, 32)
    kernel_size: int = 5
    conditional: bool = False

    def __post_init__(self):
        known = ("convlstm", "fc_lstm")
        if self.kind not in known:
            raise ValueError(f"kind must be one of {known}, got {self.kind!r}")
        if min(self.frames_in, self.frames_out, self.patch, self.kernel_size, *self.units) < 1:
            raise ValueError(
                "frames_in, frames_out, patch, kernel_size and units must be at least 1, got "
                f"{self.frames_in}, {self.frames_out}, {self.patch}, {self.kernel_size} and "
                f"{self.units}"
            )
        if any(side % by for side, by in zip(self.frame_shape, self.patch_shape, strict=False)):
            raise ValueError(
                f"frame_shape must be divisible by patch, {self.patch}, got {self.frame_shape}; "
                "crop the frames or choose another patch"
            )

    @classmethod
    def paper(cls, kind="convlstm"):
        """1506.04214, table 1: 5×5-128-5×5-64-5×5-64 in 4×4 patches, or FC-LSTM-2048-2048."""
        units = (128, 64, 64) if kind == "convlstm" else (2048, 2048)
        return cls(frame_shape=(64, 64, 1), kind=kind, units=units)

    @property
    def patch_shape(self):
        """(height, width) of a patch: the whole frame, where all is fully connected."""
        return (self.patch,) * 2 if self.kind == "convlstm" else tuple(self.frame_shape[:2])

    @property
    def map_shape(self):
        """(height, width, channels) of a frame cut into patches."""
        height, width = self.patch_shape
        rows, columns = self.frame_shape[0] // height, self.frame_shape[1] // width
        return rows, columns, height * width * self.frame_shape[2]


def to_patches(frames, patch_shape):
    """Cut frames (B, T, H, W, C) into patches (p, q): (B, T, H/p, W/q, p·q·C), pixels in rows."""
    (p, q), (time, height, width, channels) = patch_shape, frames.shape[1:]
    cut = ops.reshape(frames, (-1, time, height // p, p, width // q, q, channels))
    cut = ops.transpose(cut, (0, 1, 2, 4, 3, 5, 6))  # (B, T, H/p, W/q, p, q, C)
    return ops.reshape(cut, (-1, time, height // p, width // q, p * q * channels))


def to_frames(patches, patch_shape):
    """Undo `to_patches`: (B, T, H/p, W/q, p·q·C) → (B, T, H, W, C)."""
    (p, q), (time, rows, columns, depth) = patch_shape, patches.shape[1:]
    cut = ops.reshape(patches, (-1, time, rows, columns, p, q, depth // (p * q)))
    cut = ops.transpose(cut, (0, 1, 2, 4, 3, 5, 6))  # (B, T, H/p, p, W/q, q, C)
    return ops.reshape(cut, (-1, time, rows * p, columns * q, depth // (p * q)))


class ConvLSTMCell(layers.Layer):
    """One step of a convolutional LSTM with peepholes, one for each map and gate (equation 3).

        i  = σ(W_i ∗ [X, H] + w_i ∘ C  + b_i)        f = σ(W_f ∗ [X, H] + w_f ∘ C + b_f)
        C' = f ∘ C + i ∘ tanh(W_c ∗ [X, H] + b_c)
        o  = σ(W_o ∗ [X, H] + w_o ∘ C' + b_o)        H' = o ∘ tanh(C')

    `kernel` (k, k, channels + filters, 4·filters) and `bias` hold the gates in Keras's order,
    i f c o; `peepholes` is (3, filters): i f o. With `channels=0` the cell has no input X.
    """

    def __init__(self, filters, kernel_size, channels, **kwargs):
        super().__init__(**kwargs)
        shape = (kernel_size, kernel_size, channels + filters, 4 * filters)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(4 * filters,), initializer="zeros", name="bias")
        forget_less = np.repeat([0.0, 1.0, 0.0, 0.0], filters)
        self.bias.assign(forget_less)
        self.peepholes = self.add_weight(shape=(3, filters), initializer="zeros", name="peepholes")
        self.filters = filters
        self.built = True

    def call(self, hidden, memory, inputs=None):
        """Return the next (hidden, memory), maps (B, h, w, filters); inputs (B, h, w, channels)."""
        seen = hidden if inputs is None else ops.concatenate([inputs, hidden], axis=-1)
        gates = ops.conv(seen, self.kernel, padding="same") + self.bias
        write, forget, candidate, output = ops.split(gates, 4, axis=-1)
        write = ops.sigmoid(write + self.peepholes[0] * memory)
        forget = ops.sigmoid(forget + self.peepholes[1] * memory)
        memory = forget * memory + write * ops.tanh(candidate)
        output = ops.sigmoid(output + self.peepholes[2] * memory)
        return output * ops.tanh(memory), memory


class Forecaster(ObjectiveModel):
    """An encoder reads `frames_in` frames, a forecaster goes on from its states.

    `fit` takes clips (B, frames_in + frames_out, H, W, C) in [−1, 1] and minimizes the
    cross-entropy −Σ x log s + (1 − x) log(1 − s) of the later frames, x = (frame + 1)/2 and
    s = sigmoid(logits): nats for each *frame*, summed over its pixels ("loss"). The paper's
    table 1 gives it for each sequence, `frames_out` times as much.

    With `teacher_forcing`, `fit` tells a conditional forecaster the true frame before each
    frame that it makes. `evaluate` and `forecast` never do: there it reads its own.
    """

    def __init__(self, config, *, teacher_forcing=False, **kwargs):
        super().__init__(**kwargs)
        if teacher_forcing and not config.conditional:
            raise ValueError(
                "teacher_forcing needs a forecaster that is told frames, got Config("
                "conditional=False); set conditional=True"
            )
        self.config, self.teacher_forcing = config, teacher_forcing
        *_, depth = config.map_shape
        kernel_size = config.kernel_size if config.kind == "convlstm" else 1
        below = (depth, *config.units[:-1])  # what each layer reads
        above = (depth if config.conditional else 0, *config.units[:-1])
        self.encoder, self.decoder = (
            [
                ConvLSTMCell(filters, kernel_size, channels, name=f"{name}_{place}")
                for place, (filters, channels) in enumerate(zip(config.units, reads, strict=True))
            ]
            for name, reads in (("encoder", below), ("decoder", above))
        )
        # 1×1: the paper reads all layers' maps, but only the top of the fully connected network
        self.readout = layers.Conv2D(depth, 1, dtype="float32", name="readout")
        read = sum(config.units) if config.kind == "convlstm" else config.units[-1]
        self.readout.build((None, None, None, read))
        self.built = True

    def _through(self, cells, states, inputs):
        """Run the stack for one step; the new states, one pair (hidden, memory) for each layer."""
        after = []
        for cell, (hidden, memory) in zip(cells, states, strict=True):
            hidden, memory = cell(hidden, memory, inputs)
            after.append((hidden, memory))
            inputs = hidden
        return after

    def call(self, frames, targets=None, training=False):
        """Return the logits (B, frames_out, H, W, C) of what follows frames (B, frames_in, …).

        `targets` (B, frames_out, H, W, C) are for teacher forcing: the frame at t is made from
        the true one at t − 1. Without them a conditional forecaster reads sigmoid(logits).
        """
        config = self.config
        cut = lambda clips: to_patches((clips + 1) / 2, config.patch_shape)  # noqa: E731
        seen = cut(frames)
        *size, _ = config.map_shape
        zeros = [ops.zeros((ops.shape(frames)[0], *size, units)) for units in config.units]
        states = list(zip(zeros, zeros, strict=True))
        for time in range(frames.shape[1]):
            states = self._through(self.encoder, states, seen[:, time])
        before = seen[:, -1]
        truth = None if targets is None else cut(targets)
        logits = []
        for time in range(config.frames_out):
            states = self._through(self.decoder, states, before if config.conditional else None)
            hidden = [state[0] for state in states]
            if config.kind == "fc_lstm":
                hidden = hidden[-1:]
            logits.append(self.readout(ops.concatenate(hidden, axis=-1)))
            before = ops.sigmoid(logits[-1]) if truth is None else truth[:, time]
        return to_frames(ops.stack(logits, axis=1), config.patch_shape)

    def objective(self, batch, training):
        frames, targets = batch[:, : self.config.frames_in], batch[:, self.config.frames_in :]
        wanted = (self.config.frames_in + self.config.frames_out, *self.config.frame_shape)
        if tuple(batch.shape[1:]) != wanted:
            raise ValueError(
                f"fit takes clips (B, {', '.join(map(str, wanted))}), frames_in + frames_out "
                f"frames each, got the shape {tuple(batch.shape)}"
            )
        told = targets if training and self.teacher_forcing else None
        logits = self(frames, told, training=training)
        log_likelihood = losses.bernoulli_log_likelihood((targets + 1) / 2, logits)
        return {"loss": -ops.mean(log_likelihood) / self.config.frames_out}

    def forecast(self, frames, targets=None, *, batch_size=50):
        """Return the mean frames (N, frames_out, H, W, C) in [−1, 1] that follow `frames`.

        With `targets` teacher forcing, as in `call`; without, the model runs freely.
        """
        frames = self._check(frames, self.config.frames_in, "frames")
        if targets is not None:
            targets = self._check(targets, self.config.frames_out, "targets")
            if not self.config.conditional or len(targets) != len(frames):
                raise ValueError(
                    "targets must be one clip for each of the frames, for a conditional model, got "
                    f"{len(targets)} for {len(frames)} and conditional={self.config.conditional}"
                )
        made = []
        for start in range(0, len(frames), batch_size):
            part = slice(start, start + batch_size)
            logits = self(frames[part], None if targets is None else targets[part])
            made.append(np.tanh(ops.convert_to_numpy(logits) / 2))  # 2·sigmoid − 1
        return np.concatenate(made)

    def _check(self, clips, count, name):
        clips, shape = np.asarray(clips), (count, *self.config.frame_shape)
        if clips.ndim != 5 or clips.shape[1:] != shape:
            raise ValueError(
                f"{name} must have the shape (N, {', '.join(map(str, shape))}), got {clips.shape}; "
                "the model's config sets it"
            )
        return check_images(clips.reshape(-1, *shape[1:]), name).reshape(clips.shape)


def build(config, **kwargs):
    """Return an untrained `Forecaster`; `kwargs` (teacher_forcing, seed) go to it."""
    return Forecaster(config, **kwargs)
