"""The few layers that Keras lacks.

Maxout: Goodfellow et al., ICML 2013 (arXiv 1302.4389), which the first GAN's
discriminator is made of.
"""

import keras
from keras import ops

__all__ = ["Maxout"]


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
