"""The few layers that Keras lacks.

Maxout: Goodfellow et al., ICML 2013 (arXiv 1302.4389), which the first GAN's
discriminator is made of. Batch normalization: Ioffe and Szegedy, ICML 2015 (1502.03167);
Keras has it, but on two cores a third of a DCGAN's step went into its separate sums.
Conditioning augmentation is StackGAN's: Zhang et al., ICCV 2017 (1612.03242). The others
are the progressive GAN's: Karras et al., ICLR 2018 (1710.10196), sections 2 to 4.
"""

import math

import keras
from keras import ops

from ganvae_lessons import losses

__all__ = [
    "BatchNorm",
    "ConditioningAugmentation",
    "EqualizedConv2D",
    "EqualizedDense",
    "FadeIn",
    "Maxout",
    "MinibatchStddev",
    "PixelNorm",
    "Pointwise",
]

_HE = math.sqrt(2)  # rectifiers halve the mean square, this gain restores it


@keras.saving.register_keras_serializable("ganvae_lessons")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras's batch normalization of maps (B, H, W, C), in training by TensorFlow's one kernel.

    It differs in the moving variance, which averages the unbiased estimate (m/(m − 1) times
    the batch's variance, m = B·H·W), as the paper asks for. Other shapes, other backends and
    inference are Keras's own.
    """

    def call(self, inputs, training=None, mask=None):
        fused = training and self.trainable and len(inputs.shape) == 4 and self.axis in (-1, 3)
        if not fused or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
        )
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(self.momentum * moving + (1 - self.momentum) * batch)
        return outputs


@keras.saving.register_keras_serializable("ganvae_lessons")
class Pointwise(keras.layers.Dense):
    """Keras's `Dense` on the last axis, (B, …, C) → (B, …, units), as one product of two matrices.

    Keras takes a batched product where there are more than two axes; on maps one row high, that
    one corrupts memory in TensorFlow 2.20, which Colab has (2026-08).
    """

    def call(self, inputs, training=None):
        flat = super().call(ops.reshape(inputs, (-1, inputs.shape[-1])), training=training)
        return ops.reshape(flat, (-1, *ops.shape(inputs)[1:-1], self.units))


@keras.saving.register_keras_serializable("ganvae_lessons")
class ConditioningAugmentation(keras.layers.Layer):
    """c = μ(t) + σ(t)·ε for a text code t and noise ε: [(B, text), (B, c)] → (B, c).

    One dense layer gives μ and log σ − `initial_log_std`. It adds `kl_weight` times
    KL(N(μ, σ²) ‖ N(0, I)), summed over c and averaged over the batch, to its model's losses.
    Without noise c = μ, and no KL. The authors put a leaky rectifier behind the dense layer
    (`rectified`), which makes it five times as hard to bring σ below its beginning.
    """

    def __init__(
        self,
        condition_dim,
        kl_weight,
        *,
        noisy=True,
        initial_log_std=0.0,
        rectified=False,
        initial_stddev=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.condition_dim, self.kl_weight, self.noisy = condition_dim, kl_weight, noisy
        self.initial_log_std, self.rectified = initial_log_std, rectified
        self.initial_stddev = initial_stddev
        stddev = initial_stddev
        initial = keras.initializers.TruncatedNormal(stddev=stddev) if stddev else "glorot_uniform"
        self.dense = keras.layers.Dense(
            2 * condition_dim, kernel_initializer=initial, dtype=self.dtype_policy
        )

    def build(self, input_shape):
        self.dense.build(input_shape[0])

    def moments(self, codes):
        """Return (μ, log σ), each (B, c)."""
        hidden = self.dense(codes)
        if self.rectified:
            hidden = ops.leaky_relu(hidden, negative_slope=0.2)
        mean, log_std = ops.split(hidden, 2, axis=-1)
        return mean, log_std + self.initial_log_std

    def call(self, inputs):
        codes, noise = inputs
        mean, log_std = self.moments(codes)
        if not self.noisy:
            return mean
        if self.trainable:  # the frozen stage's is a constant
            self.add_loss(self.kl_weight * ops.mean(losses.gaussian_kl(mean, 2 * log_std)))
        return mean + ops.exp(log_std) * noise

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.condition_dim)

    def get_config(self):
        names = ("condition_dim", "kl_weight", "noisy", "initial_log_std", "rectified")
        own = {name: getattr(self, name) for name in (*names, "initial_stddev")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("ganvae_lessons")
class Maxout(keras.layers.Layer):
    """max over `pieces` dense maps: (B, dims) → (B, units); dims·units·pieces weights + biases."""

    def __init__(self, units, pieces, **kwargs):
        super().__init__(**kwargs)
        if units < 1 or pieces < 1:
            raise ValueError(f"units and pieces must be >= 1, got {units} and {pieces}")
        self.units, self.pieces = units, pieces
        self.dense = keras.layers.Dense(units * pieces)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs):
        maps = ops.reshape(self.dense(inputs), (-1, self.units, self.pieces))
        return ops.max(maps, axis=-1)  # (B, units)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "pieces": self.pieces}


class _Equalized(keras.layers.Layer):
    """What the two layers below share: a kernel N(0, 1), times gain/√fan_in whenever it is used.

    That scale is He's initialization. Adam's steps are as large for every weight, so weights
    of one size all learn at one rate. With `equalized=False` the kernel itself is drawn at
    that scale and used as it is: the same function to begin with, another one to train.
    """

    def __init__(self, shape, gain=_HE, equalized=True, **kwargs):
        super().__init__(**kwargs)
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if min(self.shape) < 1:
            raise ValueError(f"units, filters and sizes must be >= 1, got {shape}")
        self.gain, self.equalized = gain, equalized

    def _add_weights(self, kernel_shape, fan_in):
        scale = self.gain / math.sqrt(fan_in)
        self.scale = scale if self.equalized else 1.0
        self.kernel = self.add_weight(
            shape=kernel_shape,
            initializer=keras.initializers.RandomNormal(stddev=scale / self.scale),
            name="kernel",
        )
        self.bias = self.add_weight(shape=kernel_shape[-1:], initializer="zeros", name="bias")


@keras.saving.register_keras_serializable("ganvae_lessons")
class EqualizedDense(_Equalized):
    """(B, dims) → (B, units), or, where `units` is a shape (H, W, C), maps (B, H, W, C).

    Maps have one bias each, not one per unit.
    """

    def __init__(self, units, gain=_HE, equalized=True, **kwargs):
        super().__init__(units, gain, equalized, **kwargs)
        self.units = units if isinstance(units, int) else tuple(units)  # JSON makes it a list

    def build(self, input_shape):
        self._add_weights((input_shape[-1], *self.shape), fan_in=input_shape[-1])

    def call(self, inputs):
        return ops.tensordot(inputs, self.kernel * self.scale, axes=1) + self.bias

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.shape)

    def get_config(self):
        own = {"units": self.units, "gain": self.gain, "equalized": self.equalized}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("ganvae_lessons")
class EqualizedConv2D(_Equalized):
    """(B, H, W, C) → (B, H, W, filters): stride 1, zeros around the image."""

    def __init__(self, filters, kernel_size, gain=_HE, equalized=True, **kwargs):
        super().__init__((kernel_size, kernel_size, filters), gain, equalized, **kwargs)
        self.filters, self.kernel_size = filters, kernel_size

    def build(self, input_shape):
        size, maps = self.kernel_size, input_shape[-1]
        self._add_weights((size, size, maps, self.filters), fan_in=size * size * maps)

    def call(self, inputs):
        return ops.conv(inputs, self.kernel * self.scale, padding="same") + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        own = {"filters": self.filters, "kernel_size": self.kernel_size}
        own |= {"gain": self.gain, "equalized": self.equalized}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("ganvae_lessons")
class PixelNorm(keras.layers.Layer):
    """x / √(mean of x² over the channels + 1e-8): each pixel's vector gets the length √C."""

    def call(self, inputs):
        return inputs * ops.rsqrt(ops.mean(ops.square(inputs), axis=-1, keepdims=True) + 1e-8)


@keras.saving.register_keras_serializable("ganvae_lessons")
class MinibatchStddev(keras.layers.Layer):
    """Show each image how much its group varies: (B, H, W, C) → (B, H, W, C + 1).

    The added map holds one number for each group of `group` images: the standard deviation
    over the group, √(variance + 1e-8), averaged over pixels and maps. Where `group` does not
    divide the batch, groups have the largest size below it that does.
    """

    def __init__(self, group=4, **kwargs):
        super().__init__(**kwargs)
        if group < 1:
            raise ValueError(f"group must be >= 1, got {group}")
        self.group = group

    def call(self, inputs):
        batch, height, width, maps = ops.shape(inputs)
        sizes = ops.arange(1, self.group + 1)
        group = ops.max(ops.where(batch % sizes == 0, sizes, 1))
        grouped = ops.reshape(inputs, (group, -1, height, width, maps))  # (G, B/G, H, W, C)
        stddev = ops.sqrt(ops.var(grouped, axis=0) + 1e-8)
        number = ops.mean(stddev, axis=(1, 2, 3))  # (B/G,)
        column = ops.reshape(ops.tile(number, (group,)), (-1, 1, 1, 1))  # (B, 1, 1, 1)
        added = ops.broadcast_to(column, (batch, height, width, 1))
        return ops.concatenate([inputs, added], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "group": self.group}


@keras.saving.register_keras_serializable("ganvae_lessons")
class FadeIn(keras.layers.Layer):
    """(1 − α)·old + α·new of [old, new]; `alpha` is a weight that training sets, at first 0."""

    def build(self, input_shape):
        self.alpha = self.add_weight(shape=(), initializer="zeros", trainable=False, name="alpha")

    def call(self, inputs):
        old, new = inputs
        return (1 - self.alpha) * old + self.alpha * new  # exact at both ends

    def compute_output_shape(self, input_shape):
        return input_shape[0]
