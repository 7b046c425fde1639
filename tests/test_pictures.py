"""Emoji and photos: the pictures against other copies of them, the splits, the names.

The mean colors of the emojis were computed from the npm package's own 64×64 files by a separate
script that shares no code with the package. scikit-image brings its own copies of four photos.
"""

import io
import re

import numpy as np
import pytest
import skimage
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from ganvae_lessons import data
from ganvae_lessons.data import _store, emoji, photos

MEAN_COLORS = {  # over white, red, green and blue from 0 to 255
    "grinning face": (234.3, 204.6, 121.9),
    "lion": (209.4, 182.8, 144.0),
    "frog": (209.8, 213.9, 118.0),
    "evergreen tree": (158.4, 214.2, 176.8),
    "tomato": (243.5, 145.7, 133.6),
    "carrot": (234.8, 226.0, 199.3),
    "eggplant": (212.1, 186.6, 207.9),
    "grapes": (203.4, 180.0, 209.6),
    "doughnut": (208.3, 178.7, 159.2),
    "blue heart": (127.8, 176.4, 226.8),
}


def to_bytes(images):
    return np.rint((images + 1) * 127.5).astype(np.uint8)


def all_emoji():
    """Pictures as bytes, names and groups of both splits."""
    parts = [data.load("emoji", split) for split in ("train", "test")]
    images, names = (np.concatenate([part[i] for part in parts]) for i in range(2))
    return to_bytes(images), names, np.concatenate([emoji.groups(s) for s in ("train", "test")])


@pytest.mark.verifies("data.load", against="mean colors of the npm package's 64×64 pictures")
def test_emoji_are_the_source_s():
    images, names, _ = all_emoji()
    assert images.shape == (447, 48, 48, 3)
    means = dict(zip(names.tolist(), images.mean(axis=(1, 2)), strict=True))
    for name, expected in MEAN_COLORS.items():
        np.testing.assert_allclose(means[name], expected, atol=5, err_msg=name)
    assert (images[:, 0, 0] == 255).mean() > 0.99  # the ground is white, not nearly so
    assert len(np.unique(images.reshape(-1, 3), axis=0)) <= 256


@pytest.mark.verifies("data.load", against="what its docstring promises of names")
def test_emoji_names():
    _, names, _ = all_emoji()
    assert names.dtype.kind == "U" and len(set(names.tolist())) == 447
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)*", name) for name in names.tolist())
    words = set(" ".join(names.tolist()).split())
    assert not words & {"beer", "wine", "sake", "poo", "cigarette", "gun"}
    assert {"gray heart", "t rex", "see no evil monkey"} <= set(names.tolist())


@pytest.mark.verifies("data.emoji.groups", "data.emoji.GROUPS", against="the Unicode standard")
def test_emoji_groups():
    assert len(emoji.GROUPS) == 3
    _, names, groups = all_emoji()
    group = dict(zip(names.tolist(), groups.tolist(), strict=True))
    assert np.bincount(groups).tolist() == [167, 159, 121]
    for number, members in enumerate(
        (
            ["winking face", "crying cat", "blue heart", "zzz"],
            ["monkey face", "two hump camel", "rose", "cactus", "spider web"],
            ["grapes", "pizza", "glass of milk", "chopsticks"],
        )
    ):
        assert {group[name] for name in members} == {number}, members


@pytest.mark.verifies("data.load", "data.emoji.groups", against="its own promise about limit")
@pytest.mark.parametrize("split", ["train", "test"])
def test_emoji_order(split, capsys):
    images, names, groups = data.load("emoji", split)
    assert groups == emoji.GROUPS
    assert capsys.readouterr().out.startswith(f"emoji: {len(images)} of {len(images)} ")
    some, their_names, _ = data.load("emoji", split, limit=20)
    np.testing.assert_array_equal(some, images[:20])
    assert their_names.tolist() == names[:20].tolist()
    counts = np.bincount(emoji.groups(split, limit=20))
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(emoji.groups(split)[:20], emoji.groups(split, 20))
    assert emoji.groups(split).dtype == np.int64
    with pytest.raises(ValueError, match="limit must be at most"):
        emoji.groups(split, limit=len(images) + 1)
    with pytest.raises(ValueError, match="split must be one of"):
        emoji.groups("all")


def test_every_tenth_emoji_is_a_test():
    train, test = (data.load("emoji", split)[1].tolist() for split in ("train", "test"))
    assert len(train) == 403 and len(test) == 44 and not set(train) & set(test)
    arrays = _store.read_embedded(emoji.ENTRY.file, emoji.ENTRY.sha256)
    assert set(arrays["names"].tolist()[9::10]) == set(test)


@pytest.mark.verifies("data.photos.whole", against="scikit-image's own copies of four photos")
def test_whole_photos():
    whole = photos.whole()
    assert tuple(whole) == photos.ENTRY.class_names
    for title, name in (("astronaut",) * 2, ("cat", "chelsea"), ("coffee",) * 2, ("rocket",) * 2):
        original = getattr(skimage.data, name)()
        assert whole[title].dtype == np.uint8 and whole[title].shape == original.shape
        assert peak_signal_noise_ratio(original, whole[title]) > 33, title  # dB
    for title, ratio in (("raccoon", 1024 / 768), ("dandelion", 5312 / 2988)):
        height, width, channels = whole[title].shape
        assert (width, channels) == (743, 3) and abs(width / height - ratio) < 0.002
        assert whole[title].std() > 30


@pytest.mark.verifies("data.load", against="the whole photographs, square by square")
def test_photo_squares_do_not_overlap():
    whole = photos.whole()
    covered = {title: np.zeros(photo.shape[:2], int) for title, photo in whole.items()}
    first_test_column = {}
    for split, count in (("train", 284), ("test", 76)):
        images, labels, titles = data.load("photos", split)
        assert images.shape == (count, 64, 64, 3) and images.dtype == np.float32
        assert labels.dtype == np.int64 and titles == tuple(whole)
        for image, label in zip(to_bytes(images), labels, strict=True):
            title = titles[label]
            places = [
                (row, column)
                for row in range(0, whole[title].shape[0] - 63, 64)
                for column in range(0, whole[title].shape[1] - 63, 64)
                if np.array_equal(whole[title][row : row + 64, column : column + 64], image)
            ]
            ((row, column),) = places
            covered[title][row : row + 64, column : column + 64] += 1
            if split == "test":
                first_test_column[title] = min(column, first_test_column.get(title, column))
            else:
                assert column + 64 <= 0.8 * whole[title].shape[1]
    for title, times in covered.items():
        rows, columns = (size // 64 * 64 for size in times.shape)
        assert (times[:rows, :columns] == 1).all(), title
        assert first_test_column[title] + 64 > 0.8 * times.shape[1]


@pytest.mark.verifies("data.load", against="its own promise about limit")
def test_photo_order():
    images, labels, _ = data.load("photos", limit=30)
    assert np.bincount(labels).tolist() == [5] * 6
    np.testing.assert_array_equal(images, data.load("photos")[0][:30])
    again = data.load("photos", limit=30)[0]
    np.testing.assert_array_equal(images, again)


def test_damaged_photos(monkeypatch, tmp_path):
    (tmp_path / photos.ENTRY.file).write_bytes(b"not it")
    monkeypatch.setattr(_store, "FOLDER", tmp_path)
    with pytest.raises(OSError, match=r"photos.npz.xz is damaged.*reinstall the package"):
        photos.whole()


def test_photos_are_webp_that_others_can_read():
    arrays = _store.read_embedded(photos.ENTRY.file, photos.ENTRY.sha256)
    for title in photos.ENTRY.class_names:
        assert Image.open(io.BytesIO(arrays[title].tobytes())).format == "WEBP"
