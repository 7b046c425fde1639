"""The book's execution cache, in a small project of its own: what executes a lesson, what does not.

Each execution of its one lesson appends a line to a file outside. Failed builds are tested here
too: a warning must not be forgotten by the next build.
"""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import notebook as notebook_tool
import pytest

ROOT = Path(__file__).resolve().parent.parent
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63"
        "f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
    )
).decode()
LESSON = f"""\
#%% md
# A lesson

#%% setup

#%% code
import os
from pathlib import Path

with Path(os.environ["EXECUTION_LOG"]).open("a") as log:
    log.write(os.environ["GANVAE_BUDGET"] + "\\n")

#%% code alt="One white pixel"
from base64 import b64decode

from IPython.display import Image

Image(b64decode("{PIXEL}"))
"""
TOC = "format: jb-book\nroot: book/introduction\nchapters:\n- file: notebooks/01_lesson\n"


class Project:
    """A copy of the tools and the settings around one lesson."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "executions"
        for name in ("book", "notebooks", "ganvae_lessons", "tests"):
            (folder / name).mkdir()
        shutil.copytree(ROOT / "tools", folder / "tools")
        shutil.copytree(ROOT / "book/_static", folder / "book/_static")
        shutil.copy(ROOT / "_config.yml", folder)
        (folder / "_toc.yml").write_text(TOC)
        (folder / "constraints.txt").write_text("numpy==2.0\n")
        (folder / "ganvae_lessons/__init__.py").write_text("")
        (folder / "book/references.bib").write_text("")
        self.page("Some prose.")
        self.lesson(LESSON)

    def page(self, text):
        (self.folder / "book/introduction.md").write_text(f"# Introduction\n\n{text}\n")

    def lesson(self, text):
        made = notebook_tool.from_text(text, "01")
        notebook_tool.write(made, self.folder / "notebooks/01_lesson.ipynb")

    def build(self, budget="smoke", output="out"):
        environment = dict(
            os.environ, EXECUTION_LOG=str(self.log), PYTHONPATH=str(self.folder), NO_COLOR="1"
        )
        return subprocess.run(
            [sys.executable, "tools/build_book.py", "--budget", budget, "--output", output],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    def executions(self, **options):
        """Build and return how often the lesson was executed by that."""
        before = len(self.log.read_text().splitlines()) if self.log.exists() else 0
        result = self.build(**options)
        assert result.returncode == 0, result.stdout + result.stderr
        return len(self.log.read_text().splitlines()) - before


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("book"))


def test_what_executes_a_lesson(project):
    html = project.folder / "out/_build/html"
    assert project.executions() == 1
    assert (html / "notebooks/01_lesson.html").exists()
    assert project.executions() == 0, "nothing changed"

    project.page("Other prose.")
    project.lesson(LESSON.replace("# A lesson", "# A lesson\n\nWith more prose."))
    assert project.executions() == 0, "only prose changed"
    assert "With more prose" in (html / "notebooks/01_lesson.html").read_text()
    assert "Other prose" in (html / "book/introduction.html").read_text()

    (project.folder / "ganvae_lessons/losses.py").write_text("sign = -1\n")
    assert project.executions() == 1, "the package changed"
    (project.folder / "constraints.txt").write_text("numpy==2.1\n")
    assert project.executions() == 1, "the constraints changed"
    assert project.executions(budget="laptop") == 1, "the budget changed"
    assert project.log.read_text().splitlines()[-1] == "laptop"
    project.lesson(LESSON.replace("import os", "import os  # changed"))
    assert project.executions(budget="laptop") == 1, "the code changed"


def test_a_failed_lesson_fails_every_build_and_shows_why(project):
    project.lesson(LESSON + '\n#%% code\nraise RuntimeError("the lesson broke")\n')
    for _ in range(2):
        result = project.build()
        assert result.returncode != 0
        assert "RuntimeError: the lesson broke" in result.stderr
        assert "The book was not built" in result.stderr
    project.lesson(LESSON)
    assert project.build().returncode == 0


def test_a_warning_fails_every_build(project):
    project.page("See {cite:t}`nobody1999`.")
    for _ in range(2):
        assert project.build().returncode != 0
    project.page("No citation.")
    assert project.build().returncode == 0


def test_pages_without_pictures_and_missing_pages_fail(project):
    project.lesson(LESSON.split("#%% code alt")[0])
    result = project.build()
    assert result.returncode != 0
    assert "is a lesson, but its page shows no picture" in result.stderr
    project.lesson(LESSON)
    (project.folder / "_toc.yml").write_text(TOC + "- file: book/missing\n")
    result = project.build()
    assert result.returncode != 0
    assert "lists pages that do not exist: book/missing" in result.stderr
    (project.folder / "_toc.yml").write_text(TOC)


def test_an_old_page_is_removed(project):
    (project.folder / "_toc.yml").write_text(TOC + "- file: book/extra\n")
    (project.folder / "book/extra.md").write_text("# Extra\n")
    assert project.build().returncode == 0
    page = project.folder / "out/_build/html/book/extra.html"
    assert page.exists()
    (project.folder / "_toc.yml").write_text(TOC)
    assert project.build().returncode == 0
    assert not page.exists()


def test_changed_settings_make_the_pages_anew_and_execute_nothing(tmp_path):
    import build_book

    build = tmp_path / "_build"
    settings = [tmp_path / "_config.yml", tmp_path / "_toc.yml"]

    def survives():
        for name in (".doctrees", ".jupyter_cache"):
            (build / name).mkdir(parents=True, exist_ok=True)
        build_book.drop_stale_pages(tmp_path, build)
        return [(build / name).exists() for name in (".doctrees", ".jupyter_cache")]

    for path in settings:
        path.write_text("title: one")
    assert survives() == [False, True]
    assert survives() == [True, True]
    for path in settings:
        path.write_text("title: two")
        assert survives() == [False, True]
