"""The companion package of a course on generative image models.

Each name below is a module that loads when it is first used, so that
`import ganvae_lessons` costs almost nothing: TensorFlow takes seconds, and
the parts that need only NumPy must not wait for it.
"""

import importlib

__version__ = "0.1.0"

_MODULES = (
    "budget",
    "checks",
    "data",
    "latent",
    "layers",
    "losses",
    "metrics",
    "models",
    "plots",
    "records",
    "theory",
    "training",
)

__all__ = ["__version__", *_MODULES]


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {_MODULES}")


def __dir__():
    return sorted(__all__)
