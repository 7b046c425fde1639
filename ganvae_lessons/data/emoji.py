"""Noto emoji: 48×48 color pictures of faces, animals, plants and food, each with its name.

Google's Noto Emoji (Apache 2.0), by way of the npm package emoji-datasource-google 16.0.0; the
names are those of emojibase-data 17.0.0 (MIT). Transparency was laid on white, and all pictures
share 256 colors. There is one picture for each name, so a model that knows the names by heart has
learned the set: good for color and for exercises, not for measuring generalization.
"""

import numpy as np

from ganvae_lessons.data import _store
from ganvae_lessons.data._catalog import Entry
from ganvae_lessons.data._common import check_limit, check_split, interleave

__all__ = ["GROUPS", "groups"]

GROUPS = ("smileys and emotion", "animals and nature", "food and drink")
TEST_EVERY = 10

ENTRY = Entry(
    name="emoji",
    shape=(48, 48, 3),
    class_names=GROUPS,
    embedded_train=403,
    embedded_test=44,
    full_train=None,
    full_test=None,
    source="Google, Noto Emoji, npm emoji-datasource-google 16.0.0 and emojibase-data 17.0.0",
    license="Apache 2.0",
    file="emoji.npz.xz",
    sha256="60c1d8400e38697dd157989fbbdd6915f53482847f0264703b6eec9c4f935f41",
    captions=True,
)


def groups(split="train", limit=None):
    """Which group each picture belongs to, in the order of `data.load("emoji", split)`.

    Args:
        split: "train" or "test".
        limit: how many pictures; None for all.

    Returns:
        int64 (N,), labels that index into `GROUPS`.

    Raises:
        ValueError: an unknown split, or a limit that is not a whole number from 1 to all.
        OSError: the embedded file is damaged.
    """
    limit = check_limit(limit, ENTRY, check_split(split))
    arrays = _store.read_embedded(ENTRY.file, ENTRY.sha256)
    return arrays["groups"][_rows(arrays, split)[:limit]].astype("int64")


def take(split, limit):
    """Bytes (N, 48, 48, 3), captions (N,) and `GROUPS` for `data.load`."""
    arrays = _store.read_embedded(ENTRY.file, ENTRY.sha256)
    rows = _rows(arrays, split)[:limit]
    images = arrays["palette"].take(arrays["pictures"][rows], axis=0)
    return images, arrays["names"][rows], GROUPS


def _rows(arrays, split):
    """Rows of a split, the groups in turn. Every tenth picture, in Unicode's order, is a test."""
    numbers = np.arange(len(arrays["names"]))
    rows = numbers[(numbers % TEST_EVERY == TEST_EVERY - 1) == (split == "test")]
    return rows[interleave(arrays["groups"][rows])]
