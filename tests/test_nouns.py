"""Nouns: the pictures against the source's own code, the captions, what training must not see.

The run-length strings below are four parts as the npm package has them. Here they are painted
pixel by pixel, which shares nothing with the tool that made the embedded file.
"""

import itertools
import re

import numpy as np
import pytest
from skimage.color import rgb2lab

from ganvae_lessons import data
from ganvae_lessons.data import nouns

SIZES = {"background": 2, "body": 20, "accessory": 40, "head": 120, "glasses": 20}
PARTS = {
    "sea green": "0015171f093a1e01000d1e01000d1e01000d1e01000d1e01000d1e01000d1e01000b1e",
    "a red bird": "0017131c0d040001250400022501000425012401260100042503000325020001250400",
    "shark": (
        "00031c14030a0004ec160005ec150005ec140005ec080001ec0b0006ec080001ec08000b44050002ec05000e"
        "44040003ec02001144040003ec01001244030004ec1344030003ec1344030003ec104401ec0144040003ec10"
        "4401ec0144030003ec01001144040002ec02001144040001ec0300034401ec014401ec0244023d0102013d01"
        "02013d0102013d040001ec0400024401ec014401ec0244023d0102013d0102013d0102023d09000644093d04"
        "00"
    ),
    "red glasses": (
        "000b17100703000625010006250300012502020224012501000125020202240525020202240325020202240225"
        "020001250202022401250100012502020224022502000125020202240125010001250202022401250300062501"
        "000625"
    ),
}
PALETTE = {
    **{0x02: "ffffff", 0x1E: "34ac80", 0x24: "000000", 0x25: "f3322c", 0x26: "ffae1a"},
    **{0x3D: "7cc4f2", 0x44: "2b83f6", 0xEC: "395ed1"},
}


def to_labels(**phrases):
    """One row of labels from phrases, such as head="shark"."""
    return [[nouns.names()[name].index(phrases[name]) for name in nouns.ATTRIBUTES]]


def paint(image, code):
    _, top, right, _, left, *runs = bytes.fromhex(code)
    row, column = top, left
    for length, index in zip(runs[::2], runs[1::2], strict=True):
        for _ in range(length):
            if index:
                image[row, column] = tuple(bytes.fromhex(PALETTE[index]))
            column += 1
            if column == right:
                row, column = row + 1, left


def to_bytes(images):
    return np.rint((images + 1) * 127.5).astype(np.uint8)


def grid(count, seed=0):
    """Combinations drawn without regard to the splits."""
    return np.random.default_rng(seed).integers(list(SIZES.values()), size=(count, 5))


@pytest.mark.verifies(
    "data.nouns.render", against="the npm package's run-length codes, painted pixel by pixel"
)
@pytest.mark.parametrize(("background", "hex_color"), [("cool", "d5d7e1"), ("warm", "e1d7d5")])
def test_picture_is_the_source_s(background, hex_color):
    body, accessory, head, glasses = PARTS
    expected = np.empty((32, 32, 3), np.uint8)
    expected[:] = tuple(bytes.fromhex(hex_color))
    for code in PARTS.values():
        paint(expected, code)
    labels = to_labels(
        background=background, body=body, accessory=accessory, head=head, glasses=glasses
    )
    (image,) = nouns.render(labels)
    assert image.dtype == np.float32 and image.shape == (32, 32, 3)
    np.testing.assert_array_equal(to_bytes(image), expected)


@pytest.mark.verifies("data.nouns.names", "data.nouns.ATTRIBUTES", against="the counts we promise")
def test_names():
    names = nouns.names()
    assert tuple(names) == nouns.ATTRIBUTES
    assert {name: len(phrases) for name, phrases in names.items()} == SIZES
    for phrases in names.values():
        assert len(set(phrases)) == len(phrases)
        for phrase in phrases:
            assert re.fullmatch(r"[a-z]+( [a-z]+)*", phrase), phrase
    accessory_words = set(" ".join(names["accessory"]).split())
    assert not accessory_words & set(names["head"])


@pytest.mark.verifies("data.nouns.render", against="CIE Lab color differences by scikit-image")
def test_every_attribute_can_be_seen():
    """Two pictures that differ in one attribute differ visibly (ΔE > 10) in at least 6 pixels."""
    _, parts = nouns._tables()
    lab = rgb2lab(nouns._tables()[0][None] / 255.0)[0]
    flat = {name: array.reshape(len(array), -1) for name, array in parts.items()}
    behind_glasses = flat["glasses"].any(axis=0)
    inside = flat["body"][0] > 0  # all bodies have one outline
    assert ((flat["body"] > 0) == inside).all()
    showing = ((flat["head"] == 0) & ~behind_glasses).astype(int)  # (120, 1024), head lets through

    def visibly(a, b):
        return np.linalg.norm(lab[a] - lab[b], axis=-1) > 10

    least = {}
    bare = (flat["accessory"] == 0) & inside
    least["body"] = (bare.astype(int) @ showing.T).min()
    colors = flat["body"].max(axis=1)
    assert all(visibly(a, b) for a, b in itertools.combinations(colors, 2))
    counts = []
    for tone in colors:
        dressed = np.where(flat["accessory"] > 0, flat["accessory"], tone)[:, inside]  # (40, 147)
        for i, row in enumerate(dressed):
            differ = visibly(row, np.delete(dressed, i, axis=0)).astype(int)
            counts.append((differ @ showing[:, inside].T).min())
            counts.append((visibly(row, tone) @ showing[:, inside].T).min())  # seen at all
    least["accessory"] = min(counts)
    outside = ~inside & ~behind_glasses
    counts = []
    for ground in parts["background"][:, 0, 0]:
        shown = np.where(flat["head"] > 0, flat["head"], ground)[:, outside]
        counts += [
            visibly(row, np.delete(shown, i, axis=0)).sum(axis=1).min()
            for i, row in enumerate(shown)
        ]
    least["head"] = min(counts)
    least["glasses"] = min(
        ((a > 0) & (b > 0) & visibly(a, b)).sum()
        for a, b in itertools.combinations(flat["glasses"], 2)
    )
    least["background"] = (showing[:, ~inside]).sum(axis=1).min()
    assert {name: int(count) for name, count in least.items() if count < 6} == {}
    assert len(least) == 5


@pytest.mark.verifies("data.nouns.render", against="each other: no two parts look the same")
def test_pictures_differ_where_labels_differ():
    rows = grid(300)
    images = nouns.render(rows)
    for column, size in enumerate(SIZES.values()):
        changed = rows.copy()
        changed[:, column] = (changed[:, column] + 1) % size
        pixels = (images != nouns.render(changed)).any(axis=-1).sum(axis=(1, 2))
        assert pixels.min() >= 6, nouns.ATTRIBUTES[column]
    (row,) = to_labels(
        background="cool", body="red", accessory="a red bird", head="shark", glasses="red glasses"
    )
    every = nouns.render([[*row[:1], body, *row[2:]] for body in range(20)])
    corners = to_bytes(every[:, 31, 20])  # (20, 3), body and nothing else
    assert not (corners == tuple(bytes.fromhex("d5d7e1"))).all(axis=1).any()
    assert len(np.unique(corners, axis=0)) == 20


@pytest.mark.verifies(
    "data.nouns.attributes", "data.nouns.held_out", against="a count of all pairs, one by one"
)
def test_training_never_sees_held_out_pairs():
    train, test = nouns.attributes(), nouns.attributes("test")
    assert train.shape == (10_000, 5) and test.shape == (2_000, 5)
    assert train.dtype == test.dtype == np.int64
    assert not nouns.held_out(train).any() and nouns.held_out(test).any(axis=1).all()
    assert len(np.unique(np.concatenate([train, test]), axis=0)) == 12_000
    for rows, least in ((train, 200), (test, 30)):
        for name, column, size in zip(SIZES, rows.T, SIZES.values(), strict=True):
            counts = np.bincount(column, minlength=size)
            assert counts.min() >= (rows.shape[0] // 120 if name == "head" else least), name
    # the rule again, pair by pair, and only these pairs
    for partner, index, factor, rest in (("body", 0, 1, 0), ("glasses", 1, 3, 5)):
        column = nouns.ATTRIBUTES.index(partner)
        seen = {(int(row[3]), int(row[column])) for row in train}
        tested = {(int(r[3]), int(r[column])) for r in test[nouns.held_out(test)[:, index]]}
        forbidden = {
            (head, value)
            for head, value in itertools.product(range(120), range(20))
            if (head + factor * value) % 10 == rest
        }
        assert len(forbidden) == 120 * 20 // 10
        assert not seen & forbidden and tested <= forbidden
        assert len(seen) > 0.95 * (120 * 20 - len(forbidden))  # nearly all others do occur
        assert len(tested) > 0.9 * len(forbidden)


@pytest.mark.verifies("data.nouns.attributes", against="its own promise about limit")
@pytest.mark.parametrize("split", ["train", "test"])
def test_limit_is_balanced_and_a_prefix(split, capsys):
    rows = nouns.attributes(split, limit=250)
    counts = np.bincount(rows[:, 3], minlength=120)
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(rows, nouns.attributes(split)[:250])
    rows[:] = 0  # the caller's own copy
    assert nouns.attributes(split, limit=250)[:, 3].max() == 119
    images, captions, names = data.load("nouns", split, limit=250)
    adjective, total = {"train": ("training", "10,000"), "test": ("test", "2,000")}[split]
    assert capsys.readouterr().out == f"nouns: 250 of {total} {adjective} images, embedded\n"
    rows = nouns.attributes(split, limit=250)
    np.testing.assert_array_equal(images, nouns.render(rows))
    assert captions.shape == (250,) and captions.dtype.kind == "U"
    assert captions.tolist() == nouns.caption(rows) and names == nouns.names()
    assert captions[:100].tolist() == nouns.caption(rows[:100])


@pytest.mark.verifies("data.load", against="the form that DATA.md promises")
def test_load_all():
    images, captions, _ = data.load("nouns")
    assert images.shape == (10_000, 32, 32, 3) and images.dtype == np.float32
    assert images.min() == -1 and images.max() == 1
    assert len(captions) == 10_000
    (entry,) = (entry for entry in data.catalog() if entry.name == "nouns")
    assert entry.class_names == () and "captions" in repr(data.catalog())


@pytest.mark.verifies(
    "data.nouns.caption",
    "data.nouns.PHRASINGS",
    "data.nouns.UNSEEN_PHRASINGS",
    against="a reader that parses captions back into labels",
)
@pytest.mark.parametrize("pattern", [*nouns.PHRASINGS, *nouns.UNSEEN_PHRASINGS])
def test_captions_can_be_read_back(pattern, monkeypatch):
    monkeypatch.setattr(nouns, "PHRASINGS", (pattern,))
    rows = grid(2_000)
    labels = {
        name: {re.sub("^an? ", "", phrase): label for label, phrase in enumerate(phrases)}
        for name, phrases in nouns.names().items()
    }
    choices = {name: f"(?:an? )?(?P<{name}>{'|'.join(labels[name])})" for name in labels}
    expression = re.compile(pattern.format(**choices))
    for row, text in zip(rows.tolist(), nouns.caption(rows, 0), strict=True):
        found = expression.fullmatch(text)
        assert [labels[name][found[name]] for name in nouns.ATTRIBUTES] == row, text


@pytest.mark.verifies("data.nouns.caption", against="the words of the training captions")
def test_unseen_phrasings_need_no_new_word():
    assert len(nouns.PHRASINGS) >= 6 and len(nouns.UNSEEN_PHRASINGS) >= 3
    assert not set(nouns.PHRASINGS) & set(nouns.UNSEEN_PHRASINGS)
    rows = nouns.attributes("test")
    known = set(" ".join(nouns.caption(nouns.attributes())).split())
    for seed in range(3):
        assert set(" ".join(nouns.caption(rows, "unseen", seed=seed)).split()) <= known
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)*", text) for text in nouns.caption(rows))
    each = [set(nouns.caption(rows, number)) for number in range(len(nouns.PHRASINGS))]
    assert all(len(texts) == len(rows) for texts in each)  # no two combinations share a caption
    assert len(set.union(*each)) == len(rows) * len(each)
    assert not set(nouns.caption(rows, "unseen")) & set.union(*each)


@pytest.mark.verifies("data.nouns.caption", against="English: articles, and its own seed")
def test_caption_wording():
    labels = to_labels(
        background="warm", body="olive", accessory="a light bulb", head="owl", glasses="tan glasses"
    )
    assert nouns.caption(labels, 0) == [
        "an owl head with tan glasses on an olive body with a light bulb against a warm background"
    ]
    labels[0][3] = nouns.names()["head"].index("unicorn")
    assert nouns.caption(labels, 0)[0].startswith("a unicorn head")
    rows = nouns.attributes(limit=600)
    drawn = [nouns.caption(rows, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for number in range(len(nouns.PHRASINGS)):  # each phrasing about as often as the others
        same = sum(map(str.__eq__, drawn[0], nouns.caption(rows, number)))
        assert 60 < same < 140


@pytest.mark.verifies("data.nouns.render", "data.nouns.caption", against="the wording of STYLE.md")
@pytest.mark.parametrize("function", [nouns.render, nouns.caption, nouns.held_out])
@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ([0, 0, 0, 0, 0], r"must have the shape (N, 5), .* got (5,); for one picture"),
        (np.zeros((3, 4), int), r"one column for each of background, body, .* got (3, 4)"),
        (np.zeros((3, 5)), "attributes must be integers, .* got dtype float64"),
        ([[0, 20, 0, 0, 0]], "labels of body must be from 0 to 19, got 20; nouns.names"),
        ([[0, 0, 0, -1, 0]], "labels of head must be from 0 to 119, got -1"),
    ],
)
def test_bad_attributes(function, attributes, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        function(attributes)


@pytest.mark.parametrize("phrasing", [6, -1, 1.0, True, "other", "0"])
def test_bad_phrasing(phrasing):
    with pytest.raises(ValueError, match="phrasing must be None, 'unseen' or a number from 0 to 5"):
        nouns.caption(grid(2), phrasing)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["valid"], "split must be one of"),
        (["test", 2_001], "limit must be at most 2,000"),
        (["train", 0], "limit must be at least 1"),
    ],
)
def test_bad_split_or_limit(arguments, message):
    with pytest.raises(ValueError, match=message):
        nouns.attributes(*arguments)
