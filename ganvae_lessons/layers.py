"""The few layers that Keras lacks.

Maxout: Goodfellow et al., ICML 2013 (arXiv 1302.4389), which the first GAN's
discriminator is made of. Batch normalization: Ioffe and Szegedy, ICML 2015 (1502.03167);
Keras has it, but on two cores a third of a DCGAN's step went into its separate sums.
"""

import keras
from keras import ops

__all__ = ["BatchNorm", "Maxout"]


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
