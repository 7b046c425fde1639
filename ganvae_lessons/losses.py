"""Losses: pure functions of logits, and the penalties on a discriminator's slope.

Every loss is to be *minimized* and returns a scalar. Logits, not probabilities: with
D = sigmoid(a), −log D = softplus(−a) and −log(1 − D) = softplus(a), which never overflow.
The weights' gradients are taken in `training.py` alone; the penalties below need the
gradient with respect to the discriminator's *input*, because it is part of their value.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from keras import ops

__all__ = [
    "AdversarialLoss",
    "bernoulli_log_likelihood",
    "gaussian_kl",
    "gaussian_log_likelihood",
    "get",
    "gradient_penalty",
    "matching",
    "r1_penalty",
]


class AdversarialLoss(NamedTuple):
    """A game: `.discriminator(real_logits, fake_logits)` and `.generator(fake_logits)`."""

    name: str
    discriminator: Callable
    generator: Callable


def _cross_entropy_discriminator(real_logits, fake_logits):
    """−E log D(x) − E log(1 − D(G(z))): minus the value V of the minimax game."""
    return ops.mean(ops.softplus(-real_logits)) + ops.mean(ops.softplus(fake_logits))


def _minimax_generator(fake_logits):
    """E log(1 − D(G(z))): the generator's part of V, whose gradient fades as D(G(z)) → 0."""
    return -ops.mean(ops.softplus(fake_logits))


def _non_saturating_generator(fake_logits):
    """−E log D(G(z)) (1406.2661, section 3)."""
    return ops.mean(ops.softplus(-fake_logits))


def _least_squares_discriminator(real_logits, fake_logits):
    """½ E(D(x) − 1)² + ½ E D(G(z))² (1611.04076, equation 9)."""
    return ops.mean(ops.square(real_logits - 1)) / 2 + ops.mean(ops.square(fake_logits)) / 2


def _least_squares_generator(fake_logits):
    """½ E(D(G(z)) − 1)²."""
    return ops.mean(ops.square(fake_logits - 1)) / 2


def _wasserstein_discriminator(real_logits, fake_logits):
    """E D(G(z)) − E D(x) (1701.07875): minus the critic's estimate of the distance."""
    return ops.mean(fake_logits) - ops.mean(real_logits)


def _critic_generator(fake_logits):
    """−E D(G(z)), the generator's loss against a Wasserstein or hinge critic."""
    return -ops.mean(fake_logits)


def _hinge_discriminator(real_logits, fake_logits):
    """E max(0, 1 − D(x)) + E max(0, 1 + D(G(z))) (1705.02894)."""
    return ops.mean(ops.relu(1 - real_logits)) + ops.mean(ops.relu(1 + fake_logits))


_LOSSES = {
    loss.name: loss
    for loss in (
        AdversarialLoss("minimax", _cross_entropy_discriminator, _minimax_generator),
        AdversarialLoss("non_saturating", _cross_entropy_discriminator, _non_saturating_generator),
        AdversarialLoss("least_squares", _least_squares_discriminator, _least_squares_generator),
        AdversarialLoss("wasserstein", _wasserstein_discriminator, _critic_generator),
        AdversarialLoss("hinge", _hinge_discriminator, _critic_generator),
    )
}


def get(name):
    """Return the `AdversarialLoss` called `name`; ValueError lists the names there are.

    "minimax" and "non_saturating" (1406.2661), "least_squares" (1611.04076, with its ½),
    "wasserstein" (1701.07875), "hinge" (1705.02894).
    """
    if name not in _LOSSES:
        raise ValueError(f"loss must be one of {', '.join(_LOSSES)}, got {name!r}")
    return _LOSSES[name]


def _squared_slope(function, points):
    """‖∇ₓ function(x)‖² of each sample of `points` (B, ...), shape (B,)."""
    import tensorflow as tf  # keras.ops has no gradient

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(points)
        total = ops.sum(function(points))  # samples do not mix, so this gives each its own slope
    slope = tape.gradient(total, points)
    return ops.sum(ops.square(slope), axis=tuple(range(1, len(points.shape))))


def gradient_penalty(critic, real, fake, *, target=1.0, seed=None):
    """E(‖∇D(x̂)‖ − target)², unweighted, at random points x̂ between real and fake samples.

    x̂ = ε·real + (1 − ε)·fake with one *uniform* ε per sample (1704.00028, Algorithm 1,
    where it is weighted by λ = 10). `critic` maps (B, ...) to logits (B, 1) or (B,), one
    sample's logit independent of the others: no batch normalization. `seed` is an int or a
    `keras.random.SeedGenerator`. Raises ValueError where real and fake differ in shape.
    """
    from keras import random

    real, fake = ops.convert_to_tensor(real), ops.convert_to_tensor(fake)
    if tuple(real.shape[1:]) != tuple(fake.shape[1:]):
        raise ValueError(
            f"real and fake must hold samples of one shape, got {real.shape} and {fake.shape}"
        )
    batch = ops.shape(real)[0]
    weight_shape = (batch,) + (1,) * (len(real.shape) - 1)
    weight = random.uniform(weight_shape, dtype=real.dtype, seed=seed)
    points = weight * real + (1 - weight) * fake
    # the square root's own slope is infinite at 0; the small constant keeps it finite
    norm = ops.sqrt(_squared_slope(critic, points) + 1e-12)
    return ops.mean(ops.square(norm - target))


def r1_penalty(discriminator, real):
    """E‖∇D(x)‖² over real samples (B, ...), unweighted (1801.04406, equation 9: γ/2 of it)."""
    return ops.mean(_squared_slope(discriminator, ops.convert_to_tensor(real)))


def _sum_over_sample(values):
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


def bernoulli_log_likelihood(images, logits):
    """log p(x|z) = Σ x log s + (1 − x) log(1 − s), s = sigmoid(logits), in nats, shape (B,).

    A *sum* over pixels and channels. `images` in [0, 1] (B, ...), `logits` of that shape.
    For grey values between 0 and 1 this is the usual cross-entropy, a score but not a
    normalized density (Loaiza-Ganem and Cunningham, 1907.06845).
    """
    return -_sum_over_sample(ops.softplus(logits) - images * logits)


def gaussian_log_likelihood(images, mean, log_var=0.0):
    """log N(images; mean, exp(log_var) I) of each image, in nats, summed over pixels: (B,).

    `log_var` is log σ², a number or a tensor that broadcasts to the images.
    """
    log_var = ops.convert_to_tensor(log_var, dtype=mean.dtype)
    square = ops.square(images - mean) * ops.exp(-log_var)
    return -0.5 * _sum_over_sample(square + log_var + math.log(2 * math.pi))


def gaussian_kl(mean, log_var):
    """KL(N(mean, diag exp(log_var)) ‖ N(0, I)) of each sample, in nats, shape (B,).

    The tensor twin of `theory.gaussian_kl` (1312.6114, Appendix B); `log_var` is log σ².
    """
    return 0.5 * ops.sum(ops.square(mean) + ops.exp(log_var) - 1 - log_var, axis=-1)


def matching(products):
    """−½ E log softmax of the diagonal, by rows and by columns, of products (B, B).

    Row i holds the scores of picture i with every caption of the batch, column j those of
    caption j with every picture; pair i belongs together. log B if all scores are equal
    (2103.00020, figure 3).
    """
    right = ops.diagonal(products)
    by_row = ops.logsumexp(products, axis=1) - right
    by_column = ops.logsumexp(products, axis=0) - right
    return ops.mean(by_row + by_column) / 2
