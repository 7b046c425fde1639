"""The front door: `load` one set by name, `catalog` them all.

Checks the arguments, asks the set's own module for its bytes, puts the images into the order that
makes every `limit` balanced, and scales them to [-1, 1].
"""

from ganvae_lessons.data import emoji, fashion_mnist, muybridge, nouns, photos, quickdraw
from ganvae_lessons.data._catalog import Catalog
from ganvae_lessons.data._common import (
    ADJECTIVES,
    check_limit,
    check_split,
    interleave,
    listed,
    to_floats,
)

MODULES = {
    module.ENTRY.name: module
    for module in (fashion_mnist, quickdraw, nouns, emoji, photos, muybridge)
}


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
    Fashion-MNIST equals the first images of the full one. Shuffle before training. Where
    classes differ in size, as in "photos", the small ones run out first. Captioned sets take other
    things in turn: "nouns" its heads, "emoji" its groups. "muybridge" is a clip, in time's order.

    Args:
        name: "fashion_mnist", "quickdraw", "nouns", "emoji", "photos" or "muybridge"; see
            `catalog()`.
        split: "train" or "test".
        limit: how many images to take; None for all.
        full: whether to take the full set instead of the embedded part. It is looked for in the
            folder that the environment variable `GANVAE_DATA` names, in Debian's package and in
            the Keras cache, and at last downloaded.

    Returns:
        (images, labels, class_names): float32 (N, height, width, channels) in [-1, 1], int64 (N,)
        that index into `class_names`, and a tuple of strings. For "nouns" and "emoji" the second
        is an array of N captions (strings); the third is `nouns.names()`, {attribute: phrases},
        and `emoji.GROUPS`.

    Raises:
        ValueError: an unknown name or split, a limit that is not a whole number from 1 to the
            number of images, or `full` for a set that has no full version.
        OSError: the embedded file is damaged, or (as FileNotFoundError) the full set cannot be had.
    """
    if not isinstance(name, str) or name not in MODULES:
        raise ValueError(
            f"name must be one of {listed(MODULES)}, got {name!r}; data.catalog() describes them"
        )
    module = MODULES[name]
    entry = module.ENTRY
    check_split(split)
    if full and entry.full(split) is None:
        raise ValueError(
            f"full must be False for {name}, got {full!r}: there is no larger version of it here; "
            f"leave it out for the {entry.embedded(split):,} embedded {ADJECTIVES[split]} images"
        )
    limit = check_limit(limit, entry, split, full)

    if hasattr(module, "take"):  # a set with an order and labels of its own kind
        images, labels, class_names = module.take(split, limit)
    else:
        images, labels, *where = module.read_full(split) if full else module.read(split)
        order = interleave(labels)[:limit]
        images, labels, class_names = images[order], labels[order], entry.class_names
        labels = labels.astype("int64")
    total = entry.full(split) or entry.embedded(split)
    print(
        f"{name}: {len(images):,} of {total:,} {ADJECTIVES[split]} images, "
        + (f"full set, from {where[0]}" if full else "embedded")
    )
    return to_floats(images), labels, class_names
