"""Checked bytes: embedded files, gzip files in folders, and downloads.

Every byte that leaves this file has been compared with a known sum. Embedded files are compared
by sha256; gzip files by the md5 of their *uncompressed* content, because distributions compress
the same data anew. Pickles are never loaded. No part of this file imports Keras.
"""

import gzip
import hashlib
import http.client
import importlib.resources
import io
import lzma
import math
import os
import pathlib
import secrets
import urllib.request
import zlib
from dataclasses import dataclass

import numpy as np

FOLDER = importlib.resources.files(__package__)  # tests point it elsewhere
TIMEOUT = 20  # seconds without a byte before a download counts as failed
CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class GzipFile:
    """A gzip file's name and the md5 of what it holds when uncompressed."""

    name: str
    md5: str


def read_embedded(file, sha256):
    """Read an embedded `.npz.xz` file as a dictionary of arrays.

    Raises:
        OSError: the file is missing or is not the one that the package was released with.
        ValueError: it holds Python objects instead of numbers.
    """
    try:
        content = FOLDER.joinpath(file).read_bytes()
    except FileNotFoundError as error:
        raise OSError(
            f"the embedded file {file} is missing from {FOLDER}; "
            "reinstall the package: pip install --force-reinstall ganvae_lessons"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise OSError(
            f"the embedded file {file} is damaged: its sha256 must be {sha256}, got {found}; "
            "reinstall the package: pip install --force-reinstall ganvae_lessons"
        )
    with np.load(io.BytesIO(lzma.decompress(content)), allow_pickle=False) as arrays:
        return dict(arrays)


def parse_idx(content):
    """Read the IDX format of MNIST: two zeros, a type code, the rank, the sizes, the values.

    Args:
        content: bytes of an uncompressed IDX file of unsigned bytes (type code 8).

    Returns:
        uint8 array, read-only, of the shape that the header gives.

    Raises:
        ValueError: the header is not one of unsigned bytes, or the length does not fit it.
    """
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(
            "an IDX file of unsigned bytes must start with 00 00 08, "
            f"got {content[:3].hex(' ') or 'nothing'}; check that it is the right file"
        )
    start = 4 + 4 * content[3]
    header = content[4:start]
    if len(header) != start - 4:
        raise ValueError(
            f"an IDX header of rank {content[3]} must have {start} bytes, got {len(content)}; "
            "get the file again"
        )
    shape = tuple(int(size) for size in np.frombuffer(header, dtype=">u4"))
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise ValueError(
            f"an IDX file of shape {shape} must have {expected:,} bytes, got {len(content):,}; "
            "get the file again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def keras_cache(subfolder):
    """The folder where Keras keeps downloaded data, found without importing Keras."""
    if "KERAS_HOME" in os.environ:
        home = pathlib.Path(os.environ["KERAS_HOME"]).expanduser()
    else:
        user = pathlib.Path("~").expanduser()
        home = (user if os.access(user, os.W_OK) else pathlib.Path("/tmp")) / ".keras"
    return home / "datasets" / subfolder


def obtain(dataset, file, folders, cache, base_url):
    """Find a gzip file in a folder or the cache, else download it into the cache.

    Args:
        dataset: the set's name, for the lines that are printed.
        file: the `GzipFile` that is wanted.
        folders: folders to look in first, in this order; they are only read.
        cache: the folder that downloads go to; a damaged file in it is replaced.
        base_url: address of the folder that holds the file, with a slash at its end.

    Returns:
        (content, where): the uncompressed bytes, checked, and where they were found.

    Raises:
        FileNotFoundError: none of the places has it; the message lists what was tried.
    """
    tried = []
    for folder in dict.fromkeys((*folders, cache)):  # each once, in this order
        path = folder / file.name
        try:
            return read_gzip(path, file.md5), str(folder)
        except FileNotFoundError:
            tried.append(f"{path}: no such file")
        except OSError as error:
            tried.append(f"{path}: cannot be read ({error})")
        except ValueError as error:
            following = "downloading it again" if folder == cache else "looking elsewhere"
            print(f"{dataset}: {path} is damaged ({error}); {following}")
            tried.append(f"{path}: damaged ({error})")
    url = base_url + file.name
    try:
        print(f"{dataset}: downloading {url}")
        return download(url, cache / file.name, file.md5), url
    except (OSError, ValueError, http.client.HTTPException) as error:
        tried.append(f"{url}: {error or type(error).__name__}")
        raise FileNotFoundError(
            f"{file.name} of the full {dataset} was not found; tried\n  " + "\n  ".join(tried)
        ) from error


def download(url, target, md5):
    """Download a gzip file to `target` and return what it holds, uncompressed and checked.

    The file appears under its final name only when it is whole and right: it is written under a
    temporary name beside it, checked, then renamed. Whatever interrupts this leaves no file.

    Raises:
        OSError: the network, the server or the disk failed.
        ValueError: what came is not the file that the sum describes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        with (
            urllib.request.build_opener().open(url, timeout=TIMEOUT) as response,
            part.open("wb") as file,
        ):
            while chunk := response.read(CHUNK):
                file.write(chunk)
        expected = response.headers.get("Content-Length")
        if expected and part.stat().st_size != int(expected):
            raise ValueError(
                f"the connection ended after {part.stat().st_size:,} of {int(expected):,} bytes"
            )
        content = read_gzip(part, md5)
        part.replace(target)
        return content
    finally:  # also when the reader presses Ctrl-C
        part.unlink(missing_ok=True)


def read_gzip(path, md5):
    """Uncompress a gzip file and compare its content's md5; ValueError says how it differs."""
    compressed = path.read_bytes()
    try:
        content = gzip.decompress(compressed)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"not a whole gzip file: {error}") from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise ValueError(f"the md5 of its content must be {md5}, got {found}")
    return content
