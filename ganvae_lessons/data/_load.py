"""The front door: `load` one set by name, `catalog` them all.

Checks the arguments, asks the set's own module for its bytes, puts the images into the order that
makes every `limit` balanced, and scales them to [-1, 1].
"""

import operator

import numpy as np

from ganvae_lessons.data import fashion_mnist, quickdraw
from ganvae_lessons.data._catalog import SPLITS, Catalog

MODULES = {module.ENTRY.name: module for module in (fashion_mnist, quickdraw)}
ADJECTIVES = {"train": "training", "test": "test"}


def catalog():
    """The data sets as a table: name, shape, counts, source, license, checksum.

    Returns:
        A tuple of `Entry`, one for each set, that prints as text and shows as an HTML table.
    """
    return Catalog(module.ENTRY for module in MODULES.values())


def load(name, split="train", limit=None, *, full=False):
    """Load the images of one data set, and print one line that says what was loaded.

    The order is fixed: the first image of each class, in the order of the classes, then the
    second of each, and so on. So the first `limit` images hold every class equally often, give or
    take one, `load(name, limit=n)` equals the first n of `load(name)`, and the embedded
    Fashion-MNIST equals the first images of the full one. Shuffle before training.

    Args:
        name: "fashion_mnist" or "quickdraw"; see `catalog()`.
        split: "train" or "test".
        limit: how many images to take; None for all.
        full: whether to take the full set instead of the embedded part. It is looked for in the
            folder that the environment variable `GANVAE_DATA` names, in Debian's package and in
            the Keras cache, and at last downloaded.

    Returns:
        (images, labels, class_names): float32 (N, height, width, channels) in [-1, 1], int64 (N,)
        that index into `class_names`, and a tuple of strings.

    Raises:
        ValueError: an unknown name or split, a limit that is not a whole number from 1 to the
            number of images, or `full` for a set that has no full version.
        OSError: the embedded file is damaged, or (as FileNotFoundError) the full set cannot be had.
    """
    if not isinstance(name, str) or name not in MODULES:
        raise ValueError(
            f"name must be one of {_listed(MODULES)}, got {name!r}; data.catalog() describes them"
        )
    module = MODULES[name]
    entry = module.ENTRY
    if not isinstance(split, str) or split not in SPLITS:
        raise ValueError(f"split must be one of {_listed(SPLITS)}, got {split!r}; choose one")
    if full and entry.full(split) is None:
        raise ValueError(
            f"full must be False for {name}, got {full!r}: there is no larger version of it here; "
            f"leave it out for the {entry.embedded(split):,} embedded {ADJECTIVES[split]} images"
        )
    limit = _check_limit(limit, entry, split, full)

    if full:
        images, labels, where = module.read_full(split)
    else:
        (images, labels), where = module.read(split), None
    order = _interleave(labels)[:limit]
    images = images[order].astype("float32") / np.float32(127.5) - np.float32(1)
    total = entry.full(split) or entry.embedded(split)
    print(
        f"{name}: {len(order):,} of {total:,} {ADJECTIVES[split]} images, "
        + (f"full set, from {where}" if full else "embedded")
    )
    return images, labels[order].astype("int64"), entry.class_names


def _interleave(labels):
    """Indices that take the classes in turn: all first ones by class, all second ones, …"""
    rank = np.empty(len(labels), dtype="int64")  # how many of the same class stand before it
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return np.lexsort((labels, rank))


def _check_limit(limit, entry, split, full):
    if limit is None:
        return None
    try:
        if isinstance(limit, bool):  # True would pass for 1
            raise TypeError
        limit = operator.index(limit)
    except TypeError:
        raise ValueError(
            f"limit must be a whole number or None, got {limit!r}; "
            "give the number of images, or None for all"
        ) from None
    available = entry.full(split) if full else entry.embedded(split)
    if limit < 1:
        raise ValueError(
            f"limit must be at least 1, got {limit}; give the number of images, or None for all"
        )
    if limit > available:
        larger = None if full else entry.full(split)
        remedy = f"use full=True for up to {larger:,}" if larger else "use limit=None for all"
        raise ValueError(
            f"limit must be at most {available:,}, the number of "
            f"{'full' if full else 'embedded'} {ADJECTIVES[split]} images of {entry.name}, "
            f"got {limit:,}; {remedy}"
        )
    return limit


def _listed(names):
    return ", ".join(repr(name) for name in names)
