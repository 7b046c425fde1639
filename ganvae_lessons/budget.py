"""How much to train: seconds of smoke, minutes on a laptop, or a GPU's hours.

A lesson writes its three settings side by side, `budget.pick(smoke=…, laptop=…, gpu=…)`,
and the environment variable GANVAE_BUDGET, or the hardware, chooses. Budgets count
steps, not seconds, so that a run repeats.
"""

import os

__all__ = ["name", "pick"]

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
