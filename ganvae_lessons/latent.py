"""Tools of the latent space: walking on its sphere, and finding the latents of given images.

Latents of many dimensions drawn from N(0, I) lie near a sphere of radius √dims, which a straight
walk between two of them leaves: White, "Sampling Generative Networks", 2016 (arXiv 1609.04468).
A GAN has no encoder; its generator is inverted by descent on the latents (Zhu et al., ECCV 2016,
1609.03552), and on the visible pixels alone it paints in the rest (Yeh et al., CVPR 2017,
1607.07539, here without their term of the discriminator). The slopes below are taken with respect
to latents; no weight moves.
"""

import keras
import numpy as np

from ganvae_lessons.data import check_images

__all__ = ["invert", "slerp"]


def slerp(start, end, fractions):
    """Return the great-circle walk [sin((1−t)Ω)·start + sin(tΩ)·end] / sin Ω, Ω the angle between.

    `start` and `end` are (..., dims), `fractions` t is (T,), 0 at the start and 1 at the end;
    the result is (T, ..., dims), float64. Ends of one length keep that length on the way
    (Shoemake, SIGGRAPH 1985). Where they point the same way the walk is straight. ValueError
    where one is 0 or they are opposite: no great circle, or too many, join them then.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    fractions = np.asarray(fractions, np.float64)
    if start.shape != end.shape or start.ndim < 1 or fractions.ndim != 1:
        raise ValueError(
            "start and end must have one shape (..., dims) and fractions be (T,), "
            f"got {start.shape}, {end.shape} and {fractions.shape}"
        )
    lengths = [np.linalg.norm(ends, axis=-1, keepdims=True) for ends in (start, end)]
    if min(length.min() for length in lengths) == 0:
        raise ValueError("start and end must not be 0, got a latent of length 0")
    one, other = start / lengths[0], end / lengths[1]
    apart, together = (
        np.linalg.norm(ends, axis=-1, keepdims=True) for ends in (one - other, one + other)
    )
    if together.min() < 1e-9:
        raise ValueError("start and end must not be opposite, got an angle of 180°; move one")
    angle = 2 * np.arctan2(apart, together)  # (..., 1); exact at small angles too
    t = fractions.reshape(-1, *(1,) * start.ndim)
    # sin(tΩ)/sin Ω by way of sinc, whose limit at Ω = 0 is t
    share = lambda t: t * np.sinc(t * angle / np.pi) / np.sinc(angle / np.pi)  # noqa: E731
    return share(1 - t) * start + share(t) * end


def invert(
    generator,
    images,
    *,
    mask=None,
    prior_weight=0.0,
    starts=1,
    steps=200,
    learning_rate=0.1,
    seed=0,
):
    """Return (latents, errors): for each image, the latent z whose G(z) comes nearest to it.

    Adam descends Σ mask·(G(z) − image)² + `prior_weight`·‖z‖² of each image on its own, its rate
    falling from `learning_rate` to 0 along a cosine, from `starts` draws of N(0, I), of which the
    one with the lowest end is kept. `generator` is a model latents (B, dims) → images (B, H, W, C)
    in [−1, 1], used as in sampling; `images` (N, H, W, C). `mask`, of 0 and 1, broadcasts to the
    images, (H, W, 1) say; where it is 0 a pixel is unknown, and z comes from the others. With
    `prior_weight` = σ² it is the likeliest latent under pixel noise of variance σ². `latents` is
    (N, dims), `errors` (N,) the mean square over the known pixels. ValueError where images do not
    fit the generator, or the mask hides all of one.
    """
    import tensorflow as tf  # keras.ops has no gradient

    images = check_images(images, "images")
    made = generator.output_shape[1:]
    if images.shape[1:] != made:
        raise ValueError(f"images must be such as the generator makes, {made}, got {images.shape}")
    if starts < 1 or steps < 1:
        raise ValueError(f"starts and steps must be at least 1, got {starts} and {steps}")
    mask = np.broadcast_to(np.float32(1.0 if mask is None else mask), images.shape)
    known = mask.sum(axis=(1, 2, 3))  # (N,)
    if not np.isin(mask, (0, 1)).all() or known.min() == 0:
        raise ValueError("mask must hold 0 and 1, with a 1 for each image, got something else")
    goal, weight = (tf.constant(np.repeat(array, starts, axis=0)) for array in (images, mask))
    shape = (len(goal), generator.input_shape[-1])
    latents = tf.Variable(keras.random.normal(shape, seed=seed))  # (N·starts, dims)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build([latents])

    def costs():
        """The misfit and the whole price of each latent, both (N·starts,)."""
        square = weight * tf.square(generator(latents, training=False) - goal)
        misfit = tf.reduce_sum(square, axis=(1, 2, 3))
        return misfit, misfit + prior_weight * tf.reduce_sum(tf.square(latents), axis=1)

    @tf.function
    def descend():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(latents)
            total = tf.reduce_sum(costs()[1])  # images do not mix: each has its own slope
        optimizer.apply([tape.gradient(total, latents)], [latents])

    for _ in range(steps):
        descend()
    misfit, price = (cost.numpy().reshape(-1, starts) for cost in costs())
    chosen = price.argmin(axis=1), np.arange(len(images))
    found = latents.numpy().reshape(len(images), starts, -1)
    return found[chosen[1], chosen[0]], misfit[chosen[1], chosen[0]] / known
