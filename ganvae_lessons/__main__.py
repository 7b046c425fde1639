"""What runs here, for a report: `python -m ganvae_lessons`, in Colab with a `!` before it.

Where TensorFlow cannot be imported the report says why, and the other lines are there all the
same: that is when it is needed most.
"""

import importlib.metadata
import os
import platform

from ganvae_lessons import __version__, budget

LIBRARIES = ("tensorflow", "keras", "numpy", "matplotlib", "pillow")


def version(name):
    """Return the installed version of a library, or that there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def asked(question):
    """Return the answer of a function, or the first line of the error that it raises."""
    try:
        return question()
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return f"{type(error).__name__}: {first}"


def backend():
    """Return the name of Keras's backend."""
    import keras

    return keras.config.backend()


def gpus():
    """Return the names of the GPUs that TensorFlow sees, or "none"."""
    import tensorflow as tf

    seen = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in seen]
    return ", ".join(each.get("device_name", "no name") for each in details) or "none"


def report():
    """Return the report, a line for each fact."""
    facts = {
        "ganvae_lessons": __version__,
        "Python": platform.python_version(),
        "system": f"{platform.platform()}, {os.cpu_count()} cores",
        **{name: version(name) for name in LIBRARIES},
        "Keras backend": asked(backend),
        "GPU": asked(gpus),
        "budget": asked(budget.name),
    }
    return "\n".join(f"{name}: {fact}" for name, fact in facts.items())


if __name__ == "__main__":
    print(report())
