"""Color pictures for `make_data.py`: reads the npm packages and returns the arrays to embed.

Each archive is compared with its sha256 before anything in it is read, and only pictures and names
are taken, none of the packages' code.
"""

import hashlib
import json
import tarfile

import numpy as np

NOUNS_PACKAGE = "@nouns/assets@0.10.0"
NOUNS_SHA256 = "60ed1040e399e10113bd3e4a5c47b1618517c3bba082790b8bd5588af6ca3551"
# What has no place in a classroom, and accessories that are writing or trademarks.
NOUNS_LEFT_OUT = {
    *("head-weed", "head-peyote", "head-pipe", "head-pill", "head-bomb", "head-chainsaw"),
    *("head-beer", "head-wine", "head-wine-barrel", "head-undead", "accessory-axe"),
    *("accessory-1n", "accessory-eth", "accessory-tee-yo", "accessory-gnars"),
    *("accessory-dollar-bling", "accessory-none"),
}
NOUNS_TEXT = ("accessory-txt-", "accessory-text-")


def open_archive(archive, sha256):
    """Open an .npm package (.tgz) that has the expected sum, or stop."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{archive} must have the sha256 {sha256}, got {found}")
    return tarfile.open(archive)


def make_nouns(archive):
    """All parts that suit a classroom, as palette indices (N, 32, 32), with their names."""
    with open_archive(archive, NOUNS_SHA256) as package:
        content = json.load(package.extractfile("package/dist/image-data.json"))
    arrays = {
        # color 0 is transparent, and written as an empty string
        "palette": np.array([to_rgb(color or "000000") for color in content["palette"]]),
        "backgrounds": np.array([to_rgb(color) for color in content["bgcolors"]]),
    }
    for kind in ("bodies", "accessories", "heads", "glasses"):
        chosen = [
            part
            for part in content["images"][kind]
            if part["filename"] not in NOUNS_LEFT_OUT
            and not part["filename"].startswith(NOUNS_TEXT)
        ]
        arrays[kind] = np.array([to_picture(part["data"]) for part in chosen])
        arrays[f"{kind}_names"] = np.array([part["filename"] for part in chosen])
    return arrays


def to_rgb(color):
    return np.frombuffer(bytes.fromhex(color), np.uint8)


def to_picture(code):
    """Decode a run-length coded part into palette indices, uint8 (32, 32).

    The bytes are: the palette's number; the top row, the column after the last, the last row, the
    first column; then pairs of a run's length and its color. Runs go on from row to row.
    """
    _, top, right, bottom, left, *runs = bytes.fromhex(code.removeprefix("0x"))
    rows, columns = bottom + 1 - top, right - left
    picture = np.zeros((32, 32), np.uint8)
    box = np.repeat(np.array(runs[1::2], np.uint8), runs[0::2])
    picture[top : bottom + 1, left:right] = box.reshape(rows, columns)
    return picture
