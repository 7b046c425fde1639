"""The wheel, alone in an empty folder: it imports fast and brings its data.

`make wheel-test` goes further and runs each lesson with nothing but the wheel and no network.
"""

import os
import subprocess
import sys

import pytest
import wheel_test

IMPORT = """
import sys, time
start = time.perf_counter()
import ganvae_lessons
print(time.perf_counter() - start)
print(ganvae_lessons.__file__)
print([name for name in ("tensorflow", "keras", "matplotlib") if name in sys.modules])
"""
LOAD = """
from ganvae_lessons import data
images, labels, names = data.load("fashion_mnist", split="test", limit=20)
assert images.shape == (20, 28, 28, 1), images.shape
assert str(images.dtype) == "float32" and images.min() >= -1 and images.max() <= 1
assert sorted(set(labels.tolist())) == list(range(10)), labels
assert len(names) == 10
for name in ("quickdraw", "nouns", "emoji", "photos"):
    images, labels, names = data.load(name, split="test", limit=20)
    assert images.shape[0] == len(labels) == 20, name
assert len(data.photos.whole()) == 6
assert len(data.load("muybridge")[0]) == 16
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return wheel_test.install_wheel(tmp_path_factory.mktemp("wheel"))


def run(code, site, folder):
    """Run code in an empty folder, with the wheel first on the path and nowhere to load from."""
    environment = dict(os.environ, PYTHONPATH=str(site), GANVAE_DATA="", KERAS_HOME=str(folder))
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_import_is_fast_and_loads_no_framework(site, tmp_path):
    seconds = []
    for _ in range(3):
        took, place, frameworks = run(IMPORT, site, tmp_path)
        assert place.startswith(str(site)), f"imported {place}, expected the wheel in {site}"
        assert frameworks == "[]", f"import ganvae_lessons loads {frameworks}"
        seconds.append(float(took))
    assert min(seconds) < 0.3, f"import ganvae_lessons took {min(seconds):.2f} s"


def test_embedded_data_is_in_the_wheel(site, tmp_path):
    run(LOAD, site, tmp_path)


def test_notices_are_in_the_wheel(site):
    (metadata,) = site.glob("ganvae_lessons-*.dist-info")
    licenses = {
        path.relative_to(metadata / "licenses").as_posix()
        for path in (metadata / "licenses").rglob("*")
        if path.is_file()
    }
    assert {"LICENSE", "NOTICE", "ganvae_lessons/data/NOTICE"} <= licenses
    assert (site / "ganvae_lessons/data/NOTICE").exists()
