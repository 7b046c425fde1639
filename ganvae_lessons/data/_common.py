"""What the loaders share: checked arguments, the order of the rows, the range of the pixels."""

import operator

import numpy as np

from ganvae_lessons.data._catalog import SPLITS

ADJECTIVES = {"train": "training", "test": "test"}


def check_split(split):
    """Return `split` if it is "train" or "test", else raise ValueError."""
    if not isinstance(split, str) or split not in SPLITS:
        raise ValueError(f"split must be one of {listed(SPLITS)}, got {split!r}; choose one")
    return split


def check_limit(limit, entry, split, full=False):
    """Return `limit` as an int or None, or raise ValueError where the set has fewer images."""
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


def interleave(labels):
    """Indices that take the classes in turn: all first ones by class, all second ones, …"""
    rank = np.empty(len(labels), dtype="int64")  # how many of the same class stand before it
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return np.lexsort((labels, rank))


def to_floats(images):
    """Bytes 0 to 255 as float32 in [-1, 1]."""
    return images.astype("float32") / np.float32(127.5) - np.float32(1)


def listed(names):
    return ", ".join(repr(name) for name in names)
