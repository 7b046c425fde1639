"""Training: the only file that takes gradients with respect to weights.

`ObjectiveModel` minimizes one objective (the VAEs), `AdversarialModel` plays a game of
two (the GANs), in a `PlayersModel` each of several networks minimizes a loss of its own (the
VAE-GAN); all go through Keras's `compile` and `fit`. Data stay in memory and are
drawn by a stateless shuffle, so that a step depends on its number alone and an
interrupted run resumes exactly. An update whose loss or gradient is not finite is not
made, and training stops there. Algorithm 1 of Goodfellow et al. (arXiv 1406.2661).
"""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from ganvae_lessons import losses
from ganvae_lessons._checkpoint import Checkpoint, load_state, save_state
from ganvae_lessons.data import check_images

__all__ = [
    "AdversarialModel",
    "Checkpoint",
    "DivergedError",
    "ObjectiveModel",
    "PlayersModel",
    "ShowSamples",
    "batches",
    "load_state",
    "save_state",
]

# Newer GPUs round the factors of float32 products to 10 bits (TensorFloat-32), unless told not to.
# Training bears it, and `fit` lets them; a lesson's checks by hand, to five digits, do not.
tf.config.experimental.enable_tensor_float_32_execution(False)


@contextlib.contextmanager
def _rounded_factors():
    """Let float32 products inside the `with` round their factors, where a GPU gains by it."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


class DivergedError(RuntimeError):
    """Training met a loss or a gradient that is not finite; `.step` says at which step."""

    def __init__(self, step):
        self.step = step
        super().__init__(
            f"training diverged: a loss or gradient was not finite at step {step}. The model "
            f"keeps its last good weights, those after step {step - 1}; lower the learning rate "
            "or add a penalty, and build the model anew"
        )


def batches(samples, batch_size, *, conditions=None, seed=0, start=0):
    """Return an endless `tf.data.Dataset` of batches (batch_size, ...) of `samples`.

    With `conditions`, an array (N, ...) of class labels or text codes, it yields pairs
    (samples, conditions) instead. Each pass over the data visits every sample at most once
    in a fresh order (a last incomplete batch is left out). Batch number k depends on `seed`
    and k alone, so `start=k` continues a run that was stopped after k steps. `samples` is an
    array (N, ...): finite float32, and in [−1, 1] where it holds images (N, H, W, C).
    """
    samples = np.asarray(samples)
    if samples.ndim == 4:
        samples = check_images(samples, "samples")
    if samples.ndim < 2 or samples.dtype.kind != "f" or not np.isfinite(samples).all():
        raise ValueError(
            "samples must be a finite float array (N, ...), got "
            f"dtype {samples.dtype}, shape {samples.shape}"
        )
    if not 1 <= batch_size <= len(samples):
        raise ValueError(
            f"batch_size must be from 1 to the number of samples, {len(samples)}, got {batch_size}"
        )
    memory = (tf.constant(samples, tf.float32),)
    if conditions is not None:
        conditions = np.asarray(conditions)
        if len(conditions) != len(samples) or conditions.dtype.kind not in "iuf":
            raise ValueError(
                f"conditions must be {len(samples)} labels or codes, one for each sample, "
                f"got dtype {conditions.dtype}, shape {conditions.shape}"
            )
        memory += (tf.constant(conditions),)
    per_epoch = len(samples) // batch_size

    def draw(step):
        epoch, place = step // per_epoch, step % per_epoch
        positions = place * batch_size + tf.range(batch_size, dtype=tf.int64)
        key = tf.stack([tf.cast(seed, tf.uint32), tf.cast(epoch, tf.uint32)])
        rows = tf.random.experimental.index_shuffle(positions, key, len(samples) - 1)
        drawn = tuple(tf.gather(array, rows) for array in memory)
        return drawn if conditions is not None else drawn[0]

    steps = tf.data.Dataset.counter(start=start)
    return steps.map(draw).prefetch(2)


class _Guarded(keras.Model):
    """A Model that makes no update with numbers that are not finite, and stops there."""

    def __init__(self, *, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.step = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="step"
        )
        self.first_bad_step = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="first_bad_step"
        )

    def optimizers(self):
        """Return the optimizers of a compiled model, as a list."""
        raise NotImplementedError

    def _start_step(self):
        self.step.assign_add(1)

    def _update(self, *moves):
        """Make all moves (optimizer, loss, gradients, variables), or none if one is not finite."""
        finite = tf.equal(self.first_bad_step, 0)
        for _, loss, gradients, _ in moves:
            finite &= tf.math.is_finite(loss) & tf.math.is_finite(tf.linalg.global_norm(gradients))

        def apply_all():
            for optimizer, _, gradients, variables in moves:
                optimizer.apply(gradients, variables)

        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            apply_all()  # a strategy forbids updates inside a branch
        else:
            tf.cond(finite, apply_all, lambda: None)
        bad_now = tf.logical_not(finite) & tf.equal(self.first_bad_step, 0)
        self.first_bad_step.assign(tf.where(bad_now, self.step, self.first_bad_step))

    def _report(self, values):
        if not hasattr(self, "_trackers"):
            self._trackers = {name: keras.metrics.Mean(name=name) for name in values}
        for name, value in values.items():
            self._trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def fit(self, *args, callbacks=None, **kwargs):
        """Keras's `fit`, which in addition raises `DivergedError` at a non-finite loss."""
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [_StopAtNonFinite(), *(callbacks or [])]
        kwargs.setdefault("shuffle", False)  # `batches` has shuffled already
        with _rounded_factors():
            return super().fit(*args, callbacks=callbacks, **kwargs)


class _StopAtNonFinite(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.first_bad_step.numpy())
        if step:
            raise DivergedError(step)


class ObjectiveModel(_Guarded):
    """A Model that minimizes `objective(batch, training)["loss"]`.

    A subclass defines `objective`, which returns a dictionary of scalars; all of them
    are averaged over an epoch and reported, in training and in `evaluate`.
    """

    def objective(self, batch, training):
        raise NotImplementedError

    def optimizers(self):
        return [self.optimizer]

    def train_step(self, batch):
        self._start_step()
        with tf.GradientTape() as tape:
            values = self.objective(batch, training=True)
        gradients = tape.gradient(values["loss"], self.trainable_variables)
        self._update((self.optimizer, values["loss"], gradients, self.trainable_variables))
        return self._report(values)

    def test_step(self, batch):
        return self._report(self.objective(batch, training=False))


_PENALTIES = {
    "gradient_penalty": lambda discriminator, real, fake, seed: losses.gradient_penalty(
        discriminator, real, fake, seed=seed
    ),
    "r1": lambda discriminator, real, fake, seed: losses.r1_penalty(discriminator, real),
}


class AdversarialModel(_Guarded):
    """A generator (B, latent_dim) → samples and a discriminator samples → logits, at play.

    `fit` takes batches of real samples. After training, `sample` draws from the
    generator, or from its moving average where `compile` was given an `ema_decay`.

    A generator with a second input, the condition, makes the game conditional: `fit` then
    takes pairs (samples, conditions), and each real sample's condition is asked of one fake.
    The discriminator sees the condition as its own second input, or names it: with a second
    output, class logits (B, classes), it is the AC-GAN's (Odena et al., arXiv 1610.09585),
    and both players also minimize that output's cross-entropy.

    Losses that the generator's layers add (a regularizer, a KL) count among the generator's.
    """

    def __init__(self, generator, discriminator, *, seed=0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        made, taken = generator.output_shape[1:], tuple(discriminator.inputs[0].shape[1:])
        if made != taken:
            raise ValueError(
                "the discriminator must take what the generator makes, "
                f"got {made} made and {taken} taken"
            )
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = generator.inputs[0].shape[-1]
        self.conditional = len(generator.inputs) == 2
        self.auxiliary = len(discriminator.outputs) == 2
        self.told = len(discriminator.inputs) == 2
        if self.conditional != (self.told or self.auxiliary):
            raise ValueError(
                "both players or neither must know the condition, got a generator with "
                f"{len(generator.inputs)} inputs and a discriminator with "
                f"{len(discriminator.inputs)} inputs and {len(discriminator.outputs)} outputs"
            )
        self.ema_generator = None
        self._trackers = {
            name: keras.metrics.Mean(name=name) for name in ("d_loss", "g_loss", "d_accuracy")
        }
        self.built = True  # both networks are

    def call(self, inputs, training=False):
        """Return the generator's samples for latents (B, latent_dim), or [latents, conditions]."""
        return self.generator(inputs, training=training)

    def compile(
        self,
        g_optimizer,
        d_optimizer,
        loss="non_saturating",
        *,
        penalty=None,
        penalty_weight=10.0,
        drift=0.0,
        d_steps=1,
        simultaneous=True,
        ema_decay=None,
        **kwargs,
    ):
        """Choose the rules of the game.

        `loss` is a name for `losses.get` or an `AdversarialLoss`. `penalty`, times
        `penalty_weight`, is added to the discriminator's loss: "gradient_penalty", "r1", or
        a function of (discriminator, real, fake, seed). So is `drift` times the mean square of
        the real logits, which holds a Wasserstein critic near 0. With `d_steps` = n the
        discriminator moves n times a step, each time on its own n-th part of the batch and on
        new fakes. With `simultaneous` both players move from the same point, on one shared
        generator pass; otherwise the discriminator moves first, and the generator answers it
        with new fakes. `ema_decay` (say 0.999) keeps a moving average of the generator.
        `kwargs` go to Keras (`steps_per_execution`, `jit_compile`, …).
        """
        kwargs.setdefault("jit_compile", False)
        super().compile(**kwargs)
        if simultaneous and d_steps != 1:
            raise ValueError(f"simultaneous steps have d_steps=1, got {d_steps}")
        if penalty is not None and not callable(penalty) and penalty not in _PENALTIES:
            raise ValueError(
                f"penalty must be None, a function or one of {', '.join(_PENALTIES)}, "
                f"got {penalty!r}"
            )
        self.game = loss if isinstance(loss, losses.AdversarialLoss) else losses.get(loss)
        self.penalty = _PENALTIES.get(penalty, penalty)
        self.penalty_weight = penalty_weight
        self.drift = drift
        self.d_steps = d_steps
        self.simultaneous = simultaneous
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer
        g_optimizer.build(self.generator.trainable_variables)
        d_optimizer.build(self.discriminator.trainable_variables)
        self.ema_decay = ema_decay
        if ema_decay is not None:
            self.ema_generator = _new_average(self.generator)

    def optimizers(self):
        return [self.g_optimizer, self.d_optimizer]

    def _generate(self, count, conditions):
        latents = keras.random.normal((count, self.latent_dim), seed=self.seed_generator)
        return self.generator([latents, conditions] if self.conditional else latents, training=True)

    def _judge(self, samples, conditions):
        """Return (logits, the auxiliary classifier's cross-entropy; 0 without one)."""
        inputs = [samples, conditions] if self.told else samples
        outputs = self.discriminator(inputs, training=True)
        if not self.auxiliary:
            return outputs, 0.0
        logits, class_logits = outputs
        surprise = keras.losses.sparse_categorical_crossentropy(
            conditions, class_logits, from_logits=True
        )
        return logits, tf.reduce_mean(surprise)

    def judge_both(self, real, fake, conditions):
        """Return the discriminator's (loss, real logits, fake logits, the fakes' cross-entropy).

        The loss without drift and penalty; the cross-entropy is the auxiliary classifier's.
        """
        real_logits, real_surprise = self._judge(real, conditions)
        fake_logits, fake_surprise = self._judge(fake, conditions)
        loss = self.game.discriminator(real_logits, fake_logits) + real_surprise + fake_surprise
        return loss, real_logits, fake_logits, fake_surprise

    def charge(self, real, fake, conditions):
        """Return what the generator pays outside the game, for these samples: nothing here."""
        return 0.0

    def _discriminator_loss(self, real, fake, conditions):
        loss, real_logits, fake_logits, surprise = self.judge_both(real, fake, conditions)
        if self.drift:
            loss += self.drift * tf.reduce_mean(tf.square(real_logits))
        if self.penalty is not None:
            critic = lambda points: self._judge(points, conditions)[0]  # noqa: E731
            points = real, tf.stop_gradient(fake)
            loss += self.penalty_weight * self.penalty(critic, *points, self.seed_generator)
        return loss, real_logits, fake_logits, surprise

    def train_step(self, batch):
        self._start_step()
        real, conditions = batch if isinstance(batch, tuple) else (batch, None)
        if (conditions is not None) != self.conditional:
            raise ValueError(
                "a conditional game takes batches (samples, conditions) and a plain one samples, "
                f"got {'a pair' if conditions is not None else 'samples'} for a generator with "
                f"{len(self.generator.inputs)} inputs"
            )
        if self.simultaneous:
            values = self._simultaneous_step(real, conditions)
        else:
            parts = lambda array: tf.split(array, self.d_steps)  # noqa: E731
            told = parts(conditions) if self.conditional else [None] * self.d_steps
            for part, condition in zip(parts(real), told, strict=True):
                values = self._discriminator_step(part, condition)
            values["g_loss"] = self._generator_step(part, condition)
        self._average_generator()
        return self._report(values)

    def _simultaneous_step(self, real, conditions):
        """Both gradients at the same point: one generator pass serves both players."""
        g_variables = self.generator.trainable_variables
        d_variables = self.discriminator.trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            fake = self._generate(tf.shape(real)[0], conditions)
            d_loss, real_logits, fake_logits, surprise = self._discriminator_loss(
                real, fake, conditions
            )
            g_loss = self.game.generator(fake_logits) + surprise
            g_loss += self.charge(real, fake, conditions) + sum(self.generator.losses)
        d_gradients = tape.gradient(d_loss, d_variables)
        g_gradients = tape.gradient(g_loss, g_variables)
        self._update(
            (self.d_optimizer, d_loss, d_gradients, d_variables),
            (self.g_optimizer, g_loss, g_gradients, g_variables),
        )
        accuracy = _accuracy(real_logits, fake_logits)
        return {"d_loss": d_loss, "g_loss": g_loss, "d_accuracy": accuracy}

    def _discriminator_step(self, real, conditions):
        fake = self._generate(tf.shape(real)[0], conditions)
        variables = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            loss, real_logits, fake_logits, _ = self._discriminator_loss(real, fake, conditions)
        gradients = tape.gradient(loss, variables)
        self._update((self.d_optimizer, loss, gradients, variables))
        return {"d_loss": loss, "d_accuracy": _accuracy(real_logits, fake_logits)}

    def _generator_step(self, real, conditions):
        variables = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            fake = self._generate(tf.shape(real)[0], conditions)
            logits, surprise = self._judge(fake, conditions)
            loss = self.game.generator(logits) + surprise
            loss += self.charge(real, fake, conditions) + sum(self.generator.losses)
        self._update((self.g_optimizer, loss, tape.gradient(loss, variables), variables))
        return loss

    def _average_generator(self):
        """Move the averaged generator towards the present one."""
        if self.ema_generator is not None:
            _move_average(self.ema_generator, self.generator, self.ema_decay, self.step)

    def sample(self, count, *, seed=0, conditions=None):
        """Return `count` samples as a NumPy array, the same for the same weights and seed.

        A conditional generator needs `conditions` (count, ...), one for each sample.
        """
        latents = keras.random.normal((count, self.latent_dim), seed=seed)
        if (conditions is not None) != self.conditional:
            wanted = f"{count} conditions, one for each sample" if self.conditional else "None"
            raise ValueError(f"conditions must be {wanted}, got {conditions!r}")
        inputs = [latents, np.asarray(conditions)] if self.conditional else latents
        generator = self.generator if self.ema_generator is None else self.ema_generator
        return generator.predict(inputs, batch_size=250, verbose=0)


def _accuracy(real_logits, fake_logits):
    """The share of samples on the right side of the logit 0."""
    right_real = tf.reduce_mean(tf.cast(real_logits > 0, tf.float32))
    right_fake = tf.reduce_mean(tf.cast(fake_logits < 0, tf.float32))
    return (right_real + right_fake) / 2


class PlayersModel(_Guarded):
    """A Model of several networks, each of which minimizes a loss of its own.

    A subclass defines `players`, a dictionary of networks, and `objectives`, a dictionary of
    scalars that holds a loss for each of them under the same name. All move at once, from the
    same point, each down the slope of its own loss with respect to its own weights: nothing of
    a loss reaches another's weights, whatever networks it was computed with. All the scalars are
    averaged over an epoch and reported, in training and in `evaluate`.

    `averaged` names the players of which `compile`'s `ema_decay` keeps a moving average.
    """

    averaged = ()

    def players(self):
        raise NotImplementedError

    def objectives(self, batch, training):
        raise NotImplementedError

    def compile(self, optimizers, *, ema_decay=None, **kwargs):
        """Give each player an optimizer, {name: optimizer}; `ema_decay` is say 0.999 or None.

        `kwargs` go to Keras (`steps_per_execution`, `jit_compile`, …).
        """
        players = self.players()
        if set(optimizers) != set(players):
            raise ValueError(
                f"optimizers must have one for each of {', '.join(players)}, "
                f"got {', '.join(optimizers) or 'none'}"
            )
        kwargs.setdefault("jit_compile", False)
        super().compile(**kwargs)
        self._own_optimizers = dict(optimizers)
        for name, network in players.items():
            optimizers[name].build(network.trainable_variables)
        self.ema_decay = ema_decay
        averaged = self.averaged if ema_decay is not None else ()
        self._averages = {name: _new_average(players[name]) for name in averaged}

    def optimizers(self):
        return list(self._own_optimizers.values())

    def best(self, name):
        """Return the moving average of a player where there is one, else the player."""
        return getattr(self, "_averages", {}).get(name, self.players()[name])

    def train_step(self, batch):
        self._start_step()
        # a player whose `trainable` was set to False has no weights to move
        movable = {name: network.trainable_variables for name, network in self.players().items()}
        movable = {name: variables for name, variables in movable.items() if variables}
        with tf.GradientTape(persistent=True) as tape:
            values = self.objectives(batch, training=True)
        self._update(
            *(
                (
                    self._own_optimizers[name],
                    values[name],
                    tape.gradient(values[name], variables),
                    variables,
                )
                for name, variables in movable.items()
            )
        )
        for name, average in self._averages.items():
            _move_average(average, self.players()[name], self.ema_decay, self.step)
        return self._report(values)

    def test_step(self, batch):
        return self._report(self.objectives(batch, training=False))


def _new_average(network):
    """A copy of a network that no optimizer moves, with its weights, to begin an average."""
    average = keras.models.clone_model(network)
    average.trainable = False
    average.set_weights(network.get_weights())
    return average


def _move_average(average, network, decay, step):
    """Move the weights of `average` towards those of `network`; faster while it is young."""
    step = tf.cast(step, tf.float32)
    keep = tf.minimum(decay, (1.0 + step) / (10.0 + step))
    # batch normalization's statistics too: the present ones belong to other weights
    for old, new in zip(average.weights, network.weights, strict=True):
        old.assign(keep * old + (1 - keep) * new)


class ShowSamples(keras.callbacks.Callback):
    """Keep a batch of samples, from the same latents each time, after every `every`-th epoch.

    `.frames` holds one array (count, ...) for each; `show` also draws image samples at once.
    A conditional game needs the `conditions` (count, ...) to draw.
    """

    def __init__(self, count=40, *, every=1, seed=0, show=False, conditions=None):
        super().__init__()
        self.count, self.every, self.seed, self.show = count, every, seed, show
        self.conditions = conditions
        self.frames = []

    def on_train_begin(self, logs=None):
        self._keep("before training")

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            self._keep(f"after epoch {epoch + 1}")

    def _keep(self, title):
        asked = {} if self.conditions is None else {"conditions": self.conditions}
        self.frames.append(self.model.sample(self.count, seed=self.seed, **asked))
        if self.show:
            from ganvae_lessons import plots  # matplotlib is wanted only where figures are drawn

            plots.image_grid(self.frames[-1], title=title)
