"""Nouns: 32×32 color pictures put together from five parts, with captions in plain English.

The art is the Nouns project's (CC0, 2021 and later), the phrases are ours. Embedded are the parts;
a picture is painted when it is asked for, so all 3,840,000 combinations are at hand. Training
never sees certain pairs of parts: whether a model *composes* is measured on those.
"""

import functools
import operator

import numpy as np

from ganvae_lessons.data import _nouns_words as words
from ganvae_lessons.data import _store
from ganvae_lessons.data._catalog import Entry
from ganvae_lessons.data._common import check_limit, check_split, interleave, to_floats

__all__ = [
    "ATTRIBUTES",
    "PHRASINGS",
    "UNSEEN_PHRASINGS",
    "attributes",
    "caption",
    "held_out",
    "names",
    "render",
]

ENTRY = Entry(
    name="nouns",
    shape=(32, 32, 3),
    class_names=(),
    embedded_train=10_000,
    embedded_test=2_000,
    full_train=None,
    full_test=None,
    source="the Nouns project, npm @nouns/assets 0.10.0",
    license="CC0 1.0",
    file="nouns.npz.xz",
    sha256="259a0be566565b6dedfc33d78c8ec67e601cee519c82bdd9ad04e0ec64f2c698",
    captions=True,
)

ATTRIBUTES = ("background", "body", "accessory", "head", "glasses")  # from back to front

# No commas, so that the words of a caption are what stands between its spaces.
PHRASINGS = (
    "{head} head with {glasses} on {body} body with {accessory} against {background} background",
    "{glasses} on {head} head above {body} body with {accessory} on {background} background",
    "{background} background behind {body} body with {accessory} and {head} head with {glasses}",
    "on {background} background there is {head} head wearing {glasses} above {body} body "
    "wearing {accessory}",
    "{body} body with {accessory} below {head} head wearing {glasses} against {background} "
    "background",
    "{accessory} on {body} body and {glasses} on {head} head and {background} background behind",
)
# Only words of the phrasings above, in other orders.
UNSEEN_PHRASINGS = (
    "{accessory} on {body} body below {glasses} on {head} head on {background} background",
    "against {background} background {body} body wearing {accessory} and {head} head "
    "wearing {glasses}",
    "{head} head and {body} body with {glasses} above and {accessory} below and behind is "
    "{background} background",
    "there is {background} background behind {head} head with {glasses} above {body} body "
    "with {accessory}",
)

DRAWN = 30_000  # combinations, of which the splits take the first that they may have
NEED_ARTICLE = ("background", "body", "head")  # "teal", "shark"; accessories bring their own


@functools.cache
def _tables():
    """(palette, parts): uint8 (colors, 3); {attribute: uint8 (values, 32, 32)}, palette indices.

    Index 0 is transparent. A background is a whole picture of one of the palette's last colors.
    """
    arrays = _store.read_embedded(ENTRY.file, ENTRY.sha256)
    palette = np.concatenate([arrays["palette"], arrays["backgrounds"]])  # fewer than 256
    parts = {}
    for attribute, kind, chosen in (
        ("body", "bodies", words.BODIES),
        ("accessory", "accessories", words.ACCESSORIES),
        ("head", "heads", words.HEADS),
        ("glasses", "glasses", words.GLASSES),
    ):
        rows = {name: row for row, name in enumerate(arrays[f"{kind}_names"].tolist())}
        parts[attribute] = arrays[kind][[rows[name] for name in chosen]]
    colors = [bytes(color).hex() for color in arrays["backgrounds"]]
    first = len(arrays["palette"])
    indices = np.array([first + colors.index(name) for name in words.BACKGROUNDS], np.uint8)
    parts["background"] = np.broadcast_to(indices[:, None, None], (len(indices), 32, 32))
    return palette, parts


def names():
    """What the labels mean.

    Returns:
        {attribute: phrases}: for each of `ATTRIBUTES` a tuple of strings, one for each label. The
        phrases of one attribute differ; two attributes may share words ("red", "red glasses").
    """
    tables = (words.BACKGROUNDS, words.BODIES, words.ACCESSORIES, words.HEADS, words.GLASSES)
    return {
        attribute: tuple(table.values())
        for attribute, table in zip(ATTRIBUTES, tables, strict=True)
    }


def held_out(attributes):
    """Which combinations training must not contain.

    A tenth of all pairs of a head and a body, and a tenth of all pairs of a head and glasses, are
    held out, by their labels: head + body ≡ 0 and head + 3 glasses ≡ 5 (mod 10). So each head
    misses 2 of 20 bodies and 2 of 20 glasses, and each part still occurs often.

    Args:
        attributes: integers (N, 5), labels in the order of `ATTRIBUTES`.

    Returns:
        bool (N, 2): whether the pair (head, body), and the pair (head, glasses), is held out.

    Raises:
        ValueError: as in `render`.
    """
    _, body, _, head, glasses = _check(attributes).T
    return np.stack([(head + body) % 10 == 0, (head + 3 * glasses) % 10 == 5], axis=1)


def attributes(split="train", limit=None):
    """The labels of a split's pictures, in the order of `data.load("nouns", split)`.

    The combinations are drawn uniformly, once and for all, without repetition. Those with no
    held-out pair may train; those with at least one are for testing. Heads come in turn, so that
    any `limit` holds each equally often, give or take one; the other parts are balanced by chance.

    Args:
        split: "train" or "test".
        limit: how many rows to take; None for all, 10,000 or 2,000.

    Returns:
        int64 (N, 5), labels in the order of `ATTRIBUTES`.

    Raises:
        ValueError: an unknown split, or a limit that is not a whole number from 1 to all.
    """
    limit = check_limit(limit, ENTRY, check_split(split))
    return _drawn(split)[:limit].copy()


@functools.cache
def _drawn(split):
    generator = np.random.RandomState(2021)  # NumPy promises that its numbers never change
    sizes = [len(phrases) for phrases in names().values()]
    rows = generator.randint(sizes, size=(DRAWN, len(sizes)), dtype=np.int64)
    _, first = np.unique(rows, axis=0, return_index=True)
    rows = rows[np.sort(first)]
    rows = rows[held_out(rows).any(axis=1) == (split == "test")]
    return rows[interleave(rows[:, ATTRIBUTES.index("head")])][: ENTRY.embedded(split)]


def render(attributes):
    """Paint combinations of parts: body, accessory, head and glasses over the background.

    Args:
        attributes: integers (N, 5), labels in the order of `ATTRIBUTES`.

    Returns:
        float32 (N, 32, 32, 3) in [-1, 1].

    Raises:
        ValueError: not integers, another shape than (N, 5), or a label that does not exist.
    """
    return to_floats(_paint(_check(attributes)))


def _paint(rows):
    palette, parts = _tables()
    canvas = parts["background"][rows[:, 0]]  # (N, 32, 32), palette indices
    for column, attribute in enumerate(ATTRIBUTES[1:], start=1):
        layer = parts[attribute][rows[:, column]]
        np.copyto(canvas, layer, where=layer > 0)
    return palette.take(canvas, axis=0)  # (N, 32, 32, 3)


def caption(attributes, phrasing=None, *, seed=0):
    """Describe combinations in plain English; each caption names all five attributes.

    Args:
        attributes: integers (N, 5), labels in the order of `ATTRIBUTES`.
        phrasing: None draws one of `PHRASINGS` for each row, "unseen" one of `UNSEEN_PHRASINGS`,
            which training never uses; a number takes that one of `PHRASINGS` for all rows.
        seed: of the draw. The first captions are the same however many rows follow.

    Returns:
        list of N strings of lowercase words, single spaces between them, no punctuation.

    Raises:
        ValueError: as in `render`, or an unknown phrasing.
    """
    rows = _check(attributes)
    if phrasing is None or (isinstance(phrasing, str) and phrasing == "unseen"):
        patterns = PHRASINGS if phrasing is None else UNSEEN_PHRASINGS
        drawn = np.random.RandomState(seed).randint(len(patterns), size=len(rows))
    else:
        patterns = PHRASINGS
        drawn = np.full(len(rows), _check_phrasing(phrasing))
    phrases = {
        attribute: [_with_article(phrase) for phrase in values]
        if attribute in NEED_ARTICLE
        else values
        for attribute, values in names().items()
    }
    return [
        patterns[pattern].format(
            **{name: phrases[name][label] for name, label in zip(ATTRIBUTES, row, strict=True)}
        )
        for pattern, row in zip(drawn.tolist(), rows.tolist(), strict=True)
    ]


def take(split, limit):
    """Bytes (N, 32, 32, 3), captions (N,) and `names()` for `data.load`."""
    rows = attributes(split, limit)
    return _paint(rows), np.array(caption(rows)), names()


def _with_article(phrase):
    vowel = phrase[0] in "aeiou" and not phrase.startswith("uni")  # a unicorn
    return f"{'an' if vowel else 'a'} {phrase}"


def _check(attributes):
    """Return labels as int64 (N, 5), or say what is wrong with them."""
    rows = np.asarray(attributes)
    if rows.ndim != 2 or rows.shape[1] != len(ATTRIBUTES):
        raise ValueError(
            f"attributes must have the shape (N, {len(ATTRIBUTES)}), one column for each of "
            f"{', '.join(ATTRIBUTES)}, got {rows.shape}; for one picture write [[…]]"
        )
    if rows.dtype.kind not in "iu":
        raise ValueError(
            f"attributes must be integers, labels of nouns.names(), got dtype {rows.dtype}; "
            "convert them with .astype('int64')"
        )
    for column, (attribute, phrases) in zip(rows.T, names().items(), strict=True):
        wrong = column[(column < 0) | (column >= len(phrases))]
        if len(wrong):
            raise ValueError(
                f"labels of {attribute} must be from 0 to {len(phrases) - 1}, got {wrong[0]}; "
                "nouns.names() lists them"
            )
    return rows.astype("int64")


def _check_phrasing(phrasing):
    try:
        if isinstance(phrasing, bool):
            raise TypeError
        number = operator.index(phrasing)
        if not 0 <= number < len(PHRASINGS):
            raise TypeError
    except TypeError:
        raise ValueError(
            f"phrasing must be None, 'unseen' or a number from 0 to {len(PHRASINGS) - 1}, "
            f"got {phrasing!r}; nouns.PHRASINGS lists them"
        ) from None
    return number
