"""How much to train: seconds of smoke, minutes on a laptop, or a GPU's hours.

A lesson writes its three settings side by side, `budget.pick(smoke=…, laptop=…, gpu=…)`,
and the environment variable GANVAE_BUDGET, or the hardware, chooses. Budgets count
steps, not seconds, so that a run repeats.
"""

import contextlib
import os

__all__ = ["mixed_precision", "name", "pick"]

NAMES = ("smoke", "laptop", "gpu")


def name():
    """Return the budget in force: "smoke", "laptop" or "gpu".

    GANVAE_BUDGET decides where it is set; otherwise "gpu" where TensorFlow sees a
    GPU, else "laptop". Raises ValueError where the variable holds anything else.
    """
    chosen = os.environ.get("GANVAE_BUDGET", "")
    if not chosen:
        import tensorflow as tf  # slow to load, and needed only for this question

        return "gpu" if tf.config.list_physical_devices("GPU") else "laptop"
    if chosen not in NAMES:
        raise ValueError(f"GANVAE_BUDGET must be one of {', '.join(NAMES)}, got {chosen!r}")
    return chosen


def pick(*, smoke, laptop, gpu):
    """Return the argument whose name is the budget in force (see `name`)."""
    return {"smoke": smoke, "laptop": laptop, "gpu": gpu}[name()]


@contextlib.contextmanager
def mixed_precision():
    """Networks built inside the `with` compute in bfloat16, if this run's GPU is made for it.

    That is at the gpu budget, on a GPU of compute capability 8.0 (Ampere) or newer. Weights, logits
    and images stay float32, and bfloat16 has float32's range, so that no loss has to be scaled
    (Kalamkar et al., arXiv 1905.12322). Elsewhere nothing changes. Yields the policy's name.
    """
    if name() != "gpu" or not _made_for_bfloat16():
        yield "float32"
        return
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)


def _made_for_bfloat16():
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in found]
    return bool(details) and all(d.get("compute_capability", (0,)) >= (8, 0) for d in details)
