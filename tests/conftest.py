"""What all tests share: the marker that names what a test verifies, the tools, the smoke book.

`@pytest.mark.verifies("losses.get", against="…")` names public names of the package and something
outside this project; tools/make_verification.py reads it without importing the test.
"""

import gc
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]  # ROOT for the benchmarks
os.environ.setdefault("GANVAE_BUDGET", "smoke")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "verifies(*names, against): the public names that this test verifies, and against what "
        "outside this project",
    )


def trainable(model):
    """The number of a model's trainable weights, which the papers' tables count."""
    return sum(math.prod(weight.shape) for weight in model.trainable_variables)


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind():
    """Drop a module's models, and keep what Keras holds on to out of later collections.

    Late in the suite these walked through all that earlier tests had left: one test of 6 s took 56.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def book_html():
    """The folder of a built book: GANVAE_BOOK_HTML, else the smoke book, built where missing."""
    if os.environ.get("GANVAE_BOOK_HTML"):
        html = Path(os.environ["GANVAE_BOOK_HTML"]).resolve()
        assert html.is_dir(), f"GANVAE_BOOK_HTML names {html}, which is not a folder"
        return html
    html = ROOT / "_build/smoke/_build/html"
    if not (html / "index.html").exists():
        command = [sys.executable, str(ROOT / "tools/build_book.py"), "--budget", "smoke"]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    return html
