"""One readable file for each architecture, and the classifier that judges their images.

Each holds a frozen `Config`, functions that build its networks as Keras models,
and a `Model` where the standard training step will not do.
"""

import importlib

__all__ = [
    "cgan",
    "classifier",
    "convlstm",
    "dcgan",
    "gan",
    "pixelcnn",
    "progressive",
    "rnn",
    "stackgan",
    "text_encoder",
    "vae",
    "vaegan",
]


def __getattr__(name):
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}")
