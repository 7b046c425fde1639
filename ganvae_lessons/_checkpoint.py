"""Checkpoints: the whole state of a training model in one file, written whole or not at all.

No pickles: a .npz of plain arrays, so that a file from a stranger can do nothing but fail.
Part of `training`, where the public names are.
"""

import os
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np


def _state(model):
    """Every variable that a step reads or writes, numbered: Keras's names are not stable."""
    variables = list(model.variables)  # weights, and the states of the seed generators
    for optimizer in model.optimizers():
        variables += optimizer.variables
    return {f"variable_{place}": variable for place, variable in enumerate(variables)}


def save_state(model, path):
    """Write weights, optimizers, random state and step to `path` (.npz), whole or not at all.

    The file is written under a temporary name beside it and then renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: variable.numpy() for name, variable in _state(model).items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_state(model, path):
    """Read what `save_state` wrote into a built and compiled model; return its step.

    Continue with `batches(..., start=step)`. Raises FileNotFoundError, or ValueError where
    the file is damaged or was written by a model of another shape; the model then keeps
    what it had.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"{path} is not a whole checkpoint ({error}); delete it and start again"
        ) from error
    state = _state(model)
    expected = {name: tuple(variable.shape) for name, variable in state.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if found != expected:
        odd = sorted(set(found.items()) ^ set(expected.items()))[:4]
        raise ValueError(
            f"{path} belongs to another model: {len(found)} arrays came, {len(expected)} were "
            f"expected, first differences {odd}; build and compile the model as it was saved"
        )
    for name, variable in state.items():
        variable.assign(arrays[name])
    return int(model.step.numpy())


class Checkpoint(keras.callbacks.Callback):
    """Save the whole state to `path` after every `every`-th epoch (see `save_state`)."""

    def __init__(self, path, *, every=1):
        super().__init__()
        self.path, self.every = path, every

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            save_state(self.model, self.path)
