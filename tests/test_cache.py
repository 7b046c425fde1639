"""The book's execution cache, in a small project of its own: what executes a lesson, what does not.

Each execution of its one lesson appends a line to a file outside. Failed builds are tested here
too: a warning must not be forgotten by the next build. tools/run_lessons.py fills the same cache.
"""

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import notebook as notebook_tool
import pytest
from jupyter_cache import get_cache

ROOT = Path(__file__).resolve().parent.parent
PIXEL = b64encode(
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

log = Path(os.environ["EXECUTION_LOG"])
with log.open("a") as file:
    file.write(os.environ["GANVAE_BUDGET"] + "\\n")
print("execution number", len(log.read_text().splitlines()))

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
        self.html = folder / "_build/smoke/_build/html"
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

    def tool(self, name, *arguments):
        environment = dict(
            os.environ, EXECUTION_LOG=str(self.log), PYTHONPATH=str(self.folder), NO_COLOR="1"
        )
        return subprocess.run(
            [sys.executable, f"tools/{name}.py", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    def build(self, budget="smoke"):
        arguments = ["--budget", budget, "--output", "_build/smoke"]
        return self.tool("build_book", *arguments)

    def logged(self):
        """The budget of each execution so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def executions(self, **options):
        """Build and return how often the lesson was executed by that."""
        before = len(self.logged())
        result = self.build(**options)
        assert result.returncode == 0, result.stdout + result.stderr
        return len(self.logged()) - before


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("book"))


def test_what_executes_a_lesson(project):
    assert project.executions(budget="laptop") == 1
    assert (project.html / "notebooks/01_lesson.html").exists()

    project.page("Other prose.")
    project.lesson(LESSON.replace("# A lesson", "# A lesson\n\nWith more prose."))
    assert project.executions(budget="laptop") == 0, "only prose changed"
    assert "With more prose" in (project.html / "notebooks/01_lesson.html").read_text()
    assert "Other prose" in (project.html / "book/introduction.html").read_text()

    (project.folder / "ganvae_lessons/losses.py").write_text("sign = -1\n")
    assert project.executions() == 1, "the package and the budget changed"
    assert project.logged() == ["laptop", "smoke"]


def test_what_makes_the_cache_stale(tmp_path, monkeypatch):
    import build_book

    build = tmp_path / "_build"
    folders = [build / ".jupyter_cache", build / ".doctrees"]

    def survives(budget="smoke"):
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        build_book.drop_stale_cache(tmp_path, build, budget)
        return [folder.exists() for folder in folders]

    assert survives() == [False, False], "a cache of unknown origin"
    assert survives() == [True, True], "nothing changed"
    (tmp_path / "ganvae_lessons/models").mkdir(parents=True)
    for text in ("sign = 1\n", "sign = -1\n"):
        (tmp_path / "ganvae_lessons/models/gan.py").write_text(text)
        assert survives() == [False, False], "the package changed"
        assert survives() == [True, True]
    (tmp_path / "constraints.txt").write_text("numpy==2.1\n")
    assert survives() == [False, False], "the constraints changed"
    assert survives("laptop") == [False, False], "the budget changed"
    assert survives("laptop") == [True, True]
    found = build_book.installed_versions()
    assert found["tensorflow"] == importlib.metadata.version("tensorflow")
    for other in ({**found, "tensorflow": "2.0"}, {**found, "keras": "3.0"}):
        monkeypatch.setattr(build_book, "installed_versions", lambda other=other: other)
        assert survives("laptop") == [False, False], "another version is installed"
        assert survives("laptop") == [True, True]


def test_the_book_takes_what_nbval_executed(project):
    """A lesson that passes in nbval is not executed again, and its page shows that run."""
    lesson = project.folder / "notebooks/01_lesson.ipynb"
    source, before = lesson.read_bytes(), project.logged()
    project.page("```{nb-exec-table}\n```")
    other = notebook_tool.from_text(
        "#%% code\n1\n\n#%% code tags=nbval-check-output\nprint(2)\n", "02"
    )
    other.cells[1].execution_count = 1
    other.cells[1].outputs = [nbformat.v4.new_output("stream", text="3\n")]
    path = project.folder / "notebooks/02_other.ipynb"  # in no book
    notebook_tool.write(other, path)

    options = ["--budget", "smoke", "--nbval-lax", "--nbval-current-env"]
    ran = project.tool("run_lessons", *options, "notebooks")
    path.unlink()
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "Cell outputs differ" in ran.stdout
    assert "1 failed, 4 passed" in ran.stdout
    assert "02_other.ipynb: not all cells passed; not for the book" in ran.stdout
    assert "01_lesson.ipynb: not all" not in ran.stdout
    assert project.logged() == [*before, "smoke"]
    assert lesson.read_bytes() == source
    cached = get_cache(project.html.parent / ".jupyter_cache").list_cache_records()
    assert [Path(record.uri).name for record in cached] == ["01_lesson.ipynb"]

    assert project.executions() == 0
    page = (project.html / "notebooks/01_lesson.html").read_text()
    assert f"execution number {len(before) + 1}\n" in page
    assert "highlight-ipython3" in page
    (picture,) = re.findall(r'src="\.\./(_images/[^"]*\.png)"', page)
    assert (project.html / picture).read_bytes() == b64decode(PIXEL)
    table = (project.html / "book/introduction.html").read_text()
    assert re.search(r"<p>\d+\.\d+</p>", table), "no execution time"


def texts(cell):
    """What a cell shows: each output's text, or its error."""
    return [output.get("text") or output.get("evalue") for output in cell.outputs]


def test_executed_notebooks_are_kept_where_they_fail_too(tmp_path):
    project = Project(tmp_path)
    other = "print('one')", "raise RuntimeError('two broke')", "3"
    made = notebook_tool.from_text("".join(f"#%% code\n{code}\n\n" for code in other), "02")
    made.cells.append(nbformat.v4.new_code_cell("4", metadata={"tags": ["nbval-skip"]}))
    made.cells[3].outputs = [nbformat.v4.new_output("stream", text="stored, not run")]
    notebook_tool.write(made, tmp_path / "notebooks/02_other.ipynb")

    options = ["--budget", "gpu", "--keep", "kept", "--nbval-lax", "--nbval-current-env"]
    ran = project.tool("run_lessons", *options, "notebooks")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "failed: 02_other" in ran.stdout
    assert project.logged() == ["gpu"]
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert kept == ["01_lesson.ipynb", "01_lesson.xml", "02_other.ipynb", "02_other.xml"]

    lesson = nbformat.read(tmp_path / "kept/01_lesson.ipynb", as_version=4)
    code = [cell for cell in lesson.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3]
    assert texts(code[1]) == ["execution number 1\n"]
    assert code[2].outputs[0].data["image/png"].strip() == PIXEL
    broken = nbformat.read(tmp_path / "kept/02_other.ipynb", as_version=4)
    assert [texts(cell) for cell in broken.cells] == [["one\n"], ["two broke"], [None], []]
    assert [cell.execution_count for cell in broken.cells] == [1, 2, 3, None]
    assert broken.cells[2].outputs[0].data["text/plain"] == "3"
    (report,) = ElementTree.parse(tmp_path / "kept/02_other.xml").getroot()
    counts = [report.get(key) for key in ("tests", "failures", "errors", "skipped")]
    assert counts == ["4", "1", "0", "1"]
    cached = get_cache(tmp_path / "_build/gpu/_build/.jupyter_cache").list_cache_records()
    assert [Path(record.uri).name for record in cached] == ["01_lesson.ipynb"]


def test_a_run_that_is_stopped_leaves_what_it_had(tmp_path):
    project = Project(tmp_path)
    project.lesson("#%% code\nprint('early')\n1 / 0\n\n#%% code\nimport time; time.sleep(300)\n")
    command = [sys.executable, "tools/run_lessons.py", "--keep", "kept", "--nbval-lax"]
    running = subprocess.Popen(
        [*command, "--nbval-current-env", "notebooks"],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(tmp_path)),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    kept = tmp_path / "kept/01_lesson.ipynb"
    try:
        for _ in range(600):
            if kept.exists() or running.poll() is not None:
                break
            time.sleep(0.1)
        assert running.poll() is None, "the run ended by itself"
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    first, second = nbformat.read(kept, as_version=4).cells
    assert texts(first) == ["early\n", "division by zero"]
    assert second.outputs == []


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
    page = project.html / "book/extra.html"
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
