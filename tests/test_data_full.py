"""The full Fashion-MNIST: found in a folder, in a cache or on a server, and never read unchecked.

Everything here runs on a tiny set whose sums take the place of the real ones, and on servers on
127.0.0.1. One test compares with the real files where they are installed, and one imports Keras,
in a process of its own.
"""

import gzip
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

from ganvae_lessons import data
from ganvae_lessons.data import _store, fashion_mnist


def to_bytes(images):
    """Back from [-1, 1] to the bytes that they were made from."""
    return np.rint((images + 1) * 127.5).astype(np.uint8)


@pytest.mark.verifies("data.load", against="Debian's dataset-fashion-mnist, row by row")
@pytest.mark.parametrize("split", ["train", "test"])
def test_embedded_rows_are_the_first_of_the_full_set(split, monkeypatch, tmp_path):
    folders = [folder for folder in fashion_mnist.local_folders() if folder.is_dir()]
    names = [file.name for file in fashion_mnist.FILES[split]]
    if not any((folder / name).is_file() for folder in folders for name in names):
        pytest.skip("needs the full set: apt-get install dataset-fashion-mnist")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "BASE_URL", "http://127.0.0.1:9/")
    images, labels, _ = data.load("fashion_mnist", split)
    full_images, full_labels, _ = data.load("fashion_mnist", split, limit=len(images), full=True)
    np.testing.assert_array_equal(images, full_images)
    np.testing.assert_array_equal(labels, full_labels)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 5)])
def test_idx(shape):
    values = bytes(range(int(np.prod(shape))))
    header = bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape)
    array = _store.parse_idx(header + values)
    assert array.shape == shape and array.dtype == np.uint8 and array.tobytes() == values
    for wrong, message in [
        (header + values + b"\0", "must have .* bytes"),
        ((header + values)[:-1], "must have .* bytes"),
        (header[:6], "header of rank"),
        (b"\0\0\x0d" + header[3:], "must start with 00 00 08, got 00 00 0d"),
        (b"", "got nothing"),
    ]:
        with pytest.raises(ValueError, match=message):
            _store.parse_idx(wrong)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder with a tiny Fashion-MNIST whose sums are the expected ones; everything else off."""
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.repeat(np.arange(10, dtype=np.uint8), 3))
    images = generator.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    folder = tmp_path / "origin"
    folder.mkdir()
    files = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        files[split] = ()
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = b"".join(struct.pack(">I", n) for n in array.shape)
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
            name = f"{prefix}-{kind}-ubyte.gz"
            (folder / name).write_bytes(gzip.compress(content))
            files[split] += (_store.GzipFile(name, hashlib.md5(content).hexdigest()),)
    monkeypatch.setattr(fashion_mnist, "FILES", files)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "no-debian")
    monkeypatch.setattr(fashion_mnist, "BASE_URL", "http://127.0.0.1:9/")  # nobody listens
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("GANVAE_DATA", raising=False)
    for variable in ("http_proxy", "HTTP_PROXY"):  # a proxy that must not be asked
        monkeypatch.setenv(variable, "http://127.0.0.1:9/")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "127.0.0.1")
    order = [i for k in range(3) for c in range(10) for i in [np.flatnonzero(labels == c)[k]]]
    return folder, images[order], labels[order]


@pytest.fixture
def serve(monkeypatch):
    """Serve a folder on 127.0.0.1; `fault` damages, cuts short or refuses what is sent."""
    servers = []

    def start(folder, fault=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                body = (folder / self.path.lstrip("/")).read_bytes()
                self.send_response(503 if fault == "refused" else 200)
                if fault != "no length":
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if fault in ("cut short", "no length"):
                    body = body[: len(body) // 2]
                if fault == "damaged":
                    body = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        requests = []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(fashion_mnist, "BASE_URL", f"http://127.0.0.1:{server.server_port}/")
        return requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def cache_files(tmp_path):
    return sorted(p.name for p in (tmp_path / "keras").rglob("*") if p.is_file())


@pytest.mark.verifies("data.load", against="hand-made IDX files")
@pytest.mark.parametrize("place", ["folder", "subfolder", "debian", "keras"])
def test_full_from_a_folder(place, small, tmp_path, monkeypatch, capsys):
    origin, images, labels = small
    target = {
        "folder": tmp_path / "mine",
        "subfolder": tmp_path / "mine" / "fashion-mnist",
        "debian": fashion_mnist.DEBIAN_FOLDER,
        "keras": tmp_path / "keras" / "datasets" / "fashion-mnist",
    }[place]
    target.parent.mkdir(parents=True, exist_ok=True)
    origin.rename(target)
    if place in ("folder", "subfolder"):
        monkeypatch.setenv("GANVAE_DATA", str(tmp_path / "mine"))
    found, found_labels, _ = data.load("fashion_mnist", full=True)
    np.testing.assert_array_equal(to_bytes(found)[..., 0], images)
    np.testing.assert_array_equal(found_labels, labels)
    out = capsys.readouterr().out
    assert out == f"fashion_mnist: 30 of 60,000 training images, full set, from {target}\n"


@pytest.mark.verifies("data.load", against="the order that its docstring promises")
def test_places_in_order(small, serve, tmp_path, monkeypatch):
    origin, _, _ = small
    requests = serve(origin)
    mine = tmp_path / "mine"
    monkeypatch.setenv("GANVAE_DATA", str(mine))
    cache = _store.keras_cache("fashion-mnist")
    places = [mine, mine / "fashion-mnist", fashion_mnist.DEBIAN_FOLDER, cache]
    for place in places:
        shutil.copytree(origin, place, dirs_exist_ok=True)
    name = fashion_mnist.FILES["train"][0].name
    for place in places:
        assert fashion_mnist.read_full("train")[2] == str(place)
        (place / name).unlink()
    assert requests == []
    assert fashion_mnist.read_full("train")[2] == fashion_mnist.BASE_URL + name
    assert requests == [f"/{name}"]


@pytest.mark.verifies("data.load", against="an http.server of the standard library")
def test_download_once(small, serve, tmp_path, capsys):
    origin, images, _ = small
    requests = serve(origin)
    found, _, _ = data.load("fashion_mnist", "test", full=True)
    np.testing.assert_array_equal(to_bytes(found)[..., 0], images)
    names = sorted(file.name for file in fashion_mnist.FILES["test"])
    assert cache_files(tmp_path) == names and sorted(requests) == [f"/{n}" for n in names]
    assert capsys.readouterr().out.count("downloading http://127.0.0.1") == 2
    data.load("fashion_mnist", "test", full=True)
    assert len(requests) == 2  # the second time comes from the cache


@pytest.mark.parametrize("fault", ["cut short", "no length", "damaged", "refused"])
def test_bad_download_leaves_nothing(fault, small, serve, tmp_path):
    serve(small[0], fault)
    expected = {
        "cut short": "connection ended after",
        "no length": "not a whole gzip file",
        "damaged": "not a whole gzip file|the md5 of its content must be",
        "refused": "503",
    }[fault]
    with pytest.raises(FileNotFoundError, match=expected):
        data.load("fashion_mnist", full=True)
    assert cache_files(tmp_path) == []


def test_interrupted_download_leaves_nothing(small, serve, tmp_path, monkeypatch):
    serve(small[0])
    whole = _store.read_gzip

    def interrupt(path, md5):
        if path.suffix == ".part":
            raise KeyboardInterrupt
        return whole(path, md5)

    monkeypatch.setattr(_store, "read_gzip", interrupt)
    with pytest.raises(KeyboardInterrupt):
        data.load("fashion_mnist", full=True)
    assert cache_files(tmp_path) == []


@pytest.mark.parametrize("damage", ["truncated", "other content", "empty"])
def test_damaged_cache_is_reported_and_replaced(damage, small, serve, tmp_path, capsys):
    origin, images, _ = small
    name = fashion_mnist.FILES["train"][0].name
    cached = tmp_path / "keras" / "datasets" / "fashion-mnist" / name
    cached.parent.mkdir(parents=True)
    right = (origin / name).read_bytes()
    wrong = {"truncated": right[:-100], "other content": gzip.compress(b"no"), "empty": b""}[damage]
    cached.write_bytes(wrong)
    with pytest.raises(FileNotFoundError, match="damaged"):  # offline: never read, left alone
        data.load("fashion_mnist", full=True)
    assert cached.read_bytes() == wrong
    capsys.readouterr()
    serve(origin)
    found, _, _ = data.load("fashion_mnist", full=True)
    np.testing.assert_array_equal(to_bytes(found)[..., 0], images)
    reports = [line for line in capsys.readouterr().out.splitlines() if "is damaged" in line]
    assert len(reports) == 1 and name in reports[0] and "downloading it again" in reports[0]
    assert cached.read_bytes() == right


def test_offline_says_what_to_do(small, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        data.load("fashion_mnist", full=True)
    places = [tmp_path, tmp_path / "fashion-mnist", tmp_path / "no-debian", tmp_path / "keras"]
    for text in (*map(str, places), "http://127.0.0.1:9/", "apt-get install", "full=False"):
        assert text in str(caught.value)
    monkeypatch.setenv("GANVAE_DATA", str(tmp_path / "typo"))
    with pytest.raises(ValueError, match="GANVAE_DATA must name an existing folder, got"):
        data.load("fashion_mnist", full=True)


@pytest.mark.verifies("data.load", against="keras.datasets.fashion_mnist, on the same files")
def test_keras_reads_the_same(small, tmp_path):
    origin, _, _ = small
    base_url = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
    assert f'BASE_URL = "{base_url}"' in pathlib.Path(fashion_mnist.__file__).read_text()
    cache = _store.keras_cache("fashion-mnist")
    cache.parent.mkdir(parents=True)
    origin.rename(cache)
    script = """if True:
        import json
        from keras.src.datasets import fashion_mnist
        get_file, origins = fashion_mnist.get_file, []
        def spy(name, origin, **options):
            origins.append(origin)
            return get_file(name, origin=origin, **options)
        fashion_mnist.get_file = spy
        (images, labels), _ = fashion_mnist.load_data()
        print(json.dumps([images.tolist(), labels.tolist(), origins]))
    """
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    output = subprocess.check_output([sys.executable, "-c", script], env=environment)
    images, labels, origins = json.loads(output.splitlines()[-1])
    found, found_labels, _ = fashion_mnist.read_full("train")
    np.testing.assert_array_equal(found[..., 0], images)
    np.testing.assert_array_equal(found_labels, labels)
    names = [file.name for pair in fashion_mnist.FILES.values() for file in pair]
    assert sorted(origins) == sorted(base_url + name for name in names)
