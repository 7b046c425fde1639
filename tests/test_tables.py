"""Numbers from a lesson's run to a page: `records.publish`, tools/fill_tables.py, the build.

The build is tried in a small project of its own, whose one lesson needs no TensorFlow.
"""

import base64
import io
import re
import shutil
import time
from pathlib import Path

import fill_tables
import numpy as np
import psutil
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from test_cache import LESSON, TOC, Project

from ganvae_lessons import plots, records

ROOT = Path(__file__).resolve().parent.parent
PUBLISHING = """
#%% code
import numpy as np

from ganvae_lessons import records

results = {"two words": {"distance": np.float32(VALUE), "bound": None, "seconds": 2}}
records.publish(results, {"two words": np.zeros((3, 4, 4, 1))})
"""
TABLE = """\
| model | distance | bound | samples |
|---|---|---|---|
| two words | {{01_lesson/two words/distance:.2f}} | {{01_lesson/two words/bound:.1f}} | \
![Three gray squares.]({{01_lesson/two words/samples}}) |

At the {{01_lesson/budget}} budget in {{01_lesson/seconds:.3f}} seconds.
"""


@pytest.fixture
def displayed(monkeypatch):
    """What was handed to IPython's display, as (bundle, metadata)."""
    calls = []

    def display(bundle, *, metadata, raw):
        assert raw
        calls.append((bundle, metadata))

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setenv("GANVAE_BUDGET", "smoke")
    return calls


@pytest.mark.verifies("records.publish", against="the values given, and the PNG decoded by Pillow")
def test_publish_shows_a_line_and_keeps_the_record(displayed):
    images = np.random.default_rng(0).uniform(-1, 1, size=(9, 3, 5, 1))
    results = {"GAN": {"distance": np.float64(2.5), "bound": None}, "VAE": {"distance": 3}}
    records.publish(results, {"VAE": images})
    ((bundle, metadata),) = displayed
    assert list(bundle) == ["text/plain"] and "\n" not in bundle["text/plain"]
    assert bundle["text/plain"].endswith("at the smoke budget: GAN, VAE")
    record = metadata[fill_tables.KEY]
    assert record["budget"] == "smoke"
    assert record["results"] == {"GAN": {"distance": 2.5, "bound": None}, "VAE": {"distance": 3}}
    assert type(record["results"]["GAN"]["distance"]) is float
    (text,) = record["samples"].values()
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
    expected = np.kron(plots.montage(images[:8], 4)[..., 0], np.ones((2, 2)))
    assert np.abs(picture / 255 - expected).max() <= 0.5 / 255 + 1e-9


@pytest.mark.verifies("records.spent", against="psutil and an array of known size")
def test_what_a_run_has_taken(displayed):
    before = psutil.Process().memory_info().rss
    held = np.ones(40_000_000)  # 0.32 GB, touched
    age = time.time() - psutil.Process().create_time()
    records.spent()
    del held
    records.spent()  # the peak is remembered
    (bundle, metadata), (_, later) = displayed
    run = metadata[fill_tables.KEY]["results"]["run"]
    assert age <= run["seconds"] < age + 5
    assert before / 1e9 + 0.31 < run["gigabytes"] < 64
    assert later[fill_tables.KEY]["results"]["run"]["gigabytes"] >= run["gigabytes"]
    shown = rf"At the smoke budget: {run['seconds']:.0f} s, at most {run['gigabytes']:.1f} GB of"
    assert bundle["text/plain"].startswith(shown)


@pytest.mark.parametrize(
    ("results", "samples", "message"),
    [
        ({"GAN": {"bound": float("nan")}}, None, "GAN, bound must be finite, got nan.*put None"),
        ({"GAN": {"bound": "low"}}, None, "GAN, bound must be one number or None, got 'low'"),
        ({"GAN": {"bound": np.zeros(2)}}, None, "GAN, bound must be one number or None"),
        ({"GAN": {}}, {"VAE": np.zeros((1, 3, 3, 1))}, r"got \['VAE'\] beside \['GAN'\]"),
        ({"GAN": {}}, {"GAN": np.full((1, 3, 3, 1), 2.0)}, r"samples of GAN must be in \[-1, 1\]"),
        ({}, None, "beside"),
    ],
)
def test_publish_refuses(results, samples, message, displayed):
    with pytest.raises(ValueError, match=message):
        records.publish(results, samples)
    assert not displayed


def record(**changes):
    results = {"two words": {"distance": -1.25, "bound": None}}
    return {"budget": "smoke", "seconds": 7.4, "results": results, "samples": {}} | changes


def test_fill_puts_numbers_into_places():
    png = base64.b64encode(b"a picture").decode()
    text = "{{01_a/two words/distance:.1f}}, {{ 01_a/two words/bound:.1f }}, {{01_a/budget}} in "
    text += "{{01_a/seconds:.0f}} s ![x]({{01_a/two words/samples}})"
    filled, missing, pictures = fill_tables.fill(text, {"01_a": record(samples={"two words": png})})
    assert not missing
    (name,) = pictures
    assert pictures[name] == b"a picture"
    assert filled == f"−1.2, —, smoke in 7 s ![x](_generated/tables/{name})"


@pytest.mark.parametrize(
    ("place", "found", "message"),
    [
        ("{{01_a/VAE/distance}}", record(), "publishes no 'VAE/distance'; it publishes two words"),
        (
            "{{01_a/two words/speed}}",
            record(),
            "no 'two words/speed'; it publishes bound, distance",
        ),
        ("{{01_a/two words/samples}}", record(), "publishes no samples of 'two words'"),
        ("{{01_a/two words/distance:.1q}}", record(), "Unknown format|Invalid format"),
        ("{{distance}}", record(), "is no place of the form"),
        ("{{01_a/two words/distance}}", "01_a publishes nothing", "01_a publishes nothing"),
    ],
)
def test_fill_says_what_is_missing(place, found, message):
    _, (line,), _ = fill_tables.fill(f"a {place} b", {"01_a": found})
    assert re.search(message, line) and place in line


def test_a_lesson_that_is_not_there_or_has_not_run(tmp_path):
    assert "there is no notebooks/01_a" in fill_tables.read_record(tmp_path, tmp_path, "01_a")
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks/01_distributions.ipynb", tmp_path / "notebooks/01_a.ipynb")
    assert fill_tables.read_record(tmp_path, tmp_path, "01_a") == "01_a has not been executed"


def test_the_courses_tables_ask_lessons_of_the_book():
    """Each place has its form, and names a lesson that _toc.yml lists."""
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    for template in (ROOT / "book/tables").glob("*.md"):
        text = template.read_text(encoding="utf-8")
        assert "{{" not in fill_tables.PLACE.sub("", text)
        for lesson in {place[1] for place in fill_tables.PLACE.finditer(text)}:
            assert f"notebooks/{lesson}\n" in toc, f"{template.name} asks {lesson}"
        page = ROOT / "book" / template.name
        assert f"{{include}} _generated/{template.name}" in page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("tables"))
    shutil.rmtree(project.folder / "ganvae_lessons")
    shutil.copytree(ROOT / "ganvae_lessons", project.folder / "ganvae_lessons")
    (project.folder / "_toc.yml").write_text(TOC + "- file: book/page\n")
    (project.folder / "book/page.md").write_text("# Page\n\n```{include} _generated/page.md\n```\n")
    (project.folder / "book/tables").mkdir()
    (project.folder / "book/tables/page.md").write_text(TABLE)
    return project


def cells(project):
    html = project.html / "book/page.html"
    soup = BeautifulSoup(html.read_text(encoding="utf-8"), "html.parser")
    row = soup.select("article table tbody td")
    picture = html.parent / row[3].find("img")["src"]
    assert Image.open(picture).size == (28, 8)  # three tiles of 4 and two gaps, in squares of 2
    return [cell.get_text().strip() for cell in row[:3]], soup.find("article").get_text()


@pytest.mark.verifies("records.publish", against="the number on a page, after a kernel ran it")
def test_a_published_value_arrives_in_the_page(project):
    project.lesson(LESSON + PUBLISHING.replace("VALUE", "12.344"))
    result = project.build()
    assert result.returncode == 0, result.stdout + result.stderr
    row, text = cells(project)
    assert row == ["two words", "12.34", "—"]
    assert re.search(r"At the smoke budget in \d+\.\d{3} seconds", text)
    lesson = (project.html / "notebooks/01_lesson.html").read_text()
    assert "at the smoke budget: two words" in lesson
    assert "results are in" in result.stdout  # the pages with tables were written twice

    project.lesson(LESSON + PUBLISHING.replace("VALUE", "-0.5"))  # and executed by nbval
    options = ["--budget", "smoke", "--nbval-lax", "--nbval-current-env", "notebooks"]
    ran = project.tool("run_lessons", *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = project.build()
    assert result.returncode == 0, result.stdout + result.stderr
    assert cells(project)[0] == ["two words", "−0.50", "—"]
    assert "results are in" not in result.stdout  # all in the cache: filled before any page is read


def test_a_lesson_that_stops_publishing_fails_the_build(project):
    project.lesson(LESSON)
    result = project.build()
    assert result.returncode != 0
    assert "book/tables/page.md" in result.stderr
    assert "01_lesson publishes nothing: it has no cell with records.publish" in result.stderr
