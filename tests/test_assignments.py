"""The assignments: their form, what is handed out, and what each usual mistake costs.

Every version is judged as a class would be, in the sandbox; here the versions of one assignment
share one sandbox, emptied between them, so that TensorFlow is loaded once.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import example_class
import make_assignments
import make_teaching
import nbformat
import pytest
import setup_cell
from grading import course, form, judge, remote, repair, sandbox

ROOT = Path(__file__).resolve().parent.parent
SOURCES = course.load_sources()
NAMES = list(SOURCES)
problem = sandbox.missing()
needs_sandbox = pytest.mark.skipif(
    problem is not None and os.environ.get("CI") != "true", reason=str(problem)
)


@pytest.fixture(scope="module")
def releases():
    return make_assignments.release()


def grading_cells(source):
    return [form.grade_id(cell) for cell in source.cells if form.role(cell) == "test"]


def text_of(notebook, kind=None):
    cells = (cell for cell in notebook.cells if kind is None or cell.cell_type == kind)
    return "\n\n".join(cell.source for cell in cells)


# ---- form ----------------------------------------------------------------------------------------


def test_there_are_six():
    assert len(NAMES) >= 6
    assert [name[:2] for name in NAMES] == [f"a{n}" for n in range(1, len(NAMES) + 1)]


@pytest.mark.parametrize("name", NAMES)
def test_form(name):
    source = SOURCES[name]
    assert setup_cell.cell_problem(json.loads(json.dumps(source))) is None
    automatic, written = (sum(each.values()) for each in form.points(source))
    assert automatic + written == 20
    assert 4 <= written <= 6
    tasks = make_teaching.TASK.findall(text_of(source, "markdown"))
    assert [int(number) for number, *_ in tasks] == list(range(1, len(tasks) + 1))
    assert 5 <= len(tasks) <= 8
    assert sum(int(points) for _, points, _ in tasks) == 20
    ids = [form.grade_id(cell) for cell in source.cells if form.role(cell)]
    assert not [name for name, count in Counter(ids).items() if count > 1]
    assert len({cell.id for cell in source.cells}) == len(source.cells)
    for cell in source.cells:
        if cell.cell_type != "code":
            continue
        assert not cell.outputs and cell.execution_count is None
        assert not re.search(r"^\s*[%!]", cell.source, re.M), "no magics"
        if form.role(cell) == "answer":
            assert cell.source.count("### BEGIN SOLUTION") >= 1
            assert '"""' in cell.source, "an answer begins with a signature and a docstring"
    assert (ROOT / f"assignments/rubrics/{name}.md").exists()


@pytest.mark.parametrize("name", NAMES)
def test_tests_ask_only_for_what_the_notebook_defines(name):
    """A test is executed outside of the notebook: what it names must be there to be asked for."""
    source, made = SOURCES[name], set()
    for cell in source.cells:
        if cell.cell_type != "code":
            continue
        if form.role(cell) == "test":
            unknown = set(judge.foreign_names(cell.source)) - made
            assert not unknown, f"{form.grade_id(cell)} names {unknown}"
            continue
        made |= repair.names_made(cell.source)


@pytest.mark.parametrize("name", NAMES)
def test_students_version_holds_no_solution(name, releases):
    release, source = releases[name], SOURCES[name]
    text = text_of(release)
    assert not re.search("BEGIN SOLUTION|END SOLUTION|HIDDEN TESTS", json.dumps(release))
    for cell, given in zip(source.cells, release.cells, strict=True):
        assert cell.id == given.id  # what a submission is matched by
        if form.role(cell) == "written":
            assert given.source == course.TEXT_STUB
        secret = re.findall(
            r"### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)### END", cell.source, flags=re.S
        )
        visible = re.sub(r"### BEGIN .*?### END", "", cell.source, flags=re.S)
        for line in {line.strip() for part in secret for line in part.splitlines()}:
            if len(line) > 30 and line not in visible:
                assert line not in given.source
        if form.role(cell) == "answer":
            assert "raise NotImplementedError" in given.source
    assert "Task 1" in text


@pytest.mark.parametrize("name", NAMES)
def test_usual_mistakes_are_described(name):
    found = form.mistakes(ROOT, name)
    assert len(found) >= 7
    tests = grading_cells(SOURCES[name])
    for mistake in found:
        assert mistake["why"].strip() and set(mistake["loses"]) <= set(tests)
    assert len({mistake["name"] for mistake in found}) == len(found)
    lost = {test for mistake in found for test in mistake["loses"]}
    assert len(lost) >= len(tests) / 2, f"no mistake loses {set(tests) - lost}"


# ---- marks ---------------------------------------------------------------------------------------


class Desk:
    """One assignment, answered right, open in a sandbox; answers can be exchanged and judged.

    A class is graded with a sandbox for each submission (test_grading.py). Here one serves all
    versions of an assignment: a version differs in its answers, and tests call those by name.
    """

    def __init__(self):
        self.name, self.session = None, None

    def open(self, name, releases):
        """Return the outputs of the right version's cells where it had to be opened, else {}."""
        if self.name == name and self.session.process.poll() is None:
            return {}
        self.close()
        self.name, self.session = name, remote.Session()
        content = json.loads(json.dumps(right_version(name, releases)))
        notebook, warnings = repair.repair(content, SOURCES[name], releases[name])
        assert not warnings + repair.suspicions(notebook, SOURCES[name])
        self.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        return {
            cell.id: self.session.run(cell.source)
            for cell in self.cells
            if form.role(cell) != "test"
        }

    def answer(self, given):
        for cell in self.cells:
            if form.role(cell) == "answer" and form.grade_id(cell) in given:
                self.session.run(given[form.grade_id(cell)])

    def lost(self):
        """Return {test: message} of the tests that fail."""
        messages = {
            form.grade_id(cell): judge.judge(cell.source, self.session)
            for cell in self.cells
            if form.role(cell) == "test"
        }
        return {test: message for test, message in messages.items() if message}

    def close(self):
        if self.session is not None:
            self.session.close()


@pytest.fixture(scope="module")
def desk():
    one = Desk()
    yield one
    one.close()


def right_version(name, releases):
    return example_class.filled(releases[name], example_class.answers(SOURCES[name]))


# by assignment, so that each is opened once
VERSIONS = [(name, one) for name in NAMES for one in (None, *form.mistakes(ROOT, name))]


@needs_sandbox
@pytest.mark.parametrize(
    ("name", "mistake"),
    VERSIONS,
    ids=[f"{name}-{one['name'] if one else 'right and blank'}" for name, one in VERSIONS],
)
def test_version_loses_exactly_what_it_deserves(name, mistake, releases, desk):
    outputs, right = desk.open(name, releases), example_class.answers(SOURCES[name])
    if mistake is not None:
        cell = mistake["cell"]
        desk.answer({cell: example_class.mistaken(SOURCES[name], mistake)[cell]})
        lost = desk.lost()
        desk.answer({cell: right[cell]})
        assert sorted(lost) == sorted(mistake["loses"]), lost
        return
    errors = [o for cell in outputs.values() for o in cell if o["output_type"] == "error"]
    assert not errors
    assert desk.lost() == {}
    stubs = {form.grade_id(c): c.source for c in releases[name].cells if form.role(c) == "answer"}
    desk.answer(stubs)
    everything = dict.fromkeys(grading_cells(SOURCES[name]), "there is no answer here yet")
    assert desk.lost() == everything
    desk.answer(right)


def test_nbval_passes_on_the_source_and_fails_on_the_release(releases, tmp_path):
    name = NAMES[0]
    nbformat.write(SOURCES[name], tmp_path / "source.ipynb")
    nbformat.write(releases[name], tmp_path / "release.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax"]
    command += ["--nbval-current-env", "--nbval-cell-timeout=120"]
    for notebook, passes in (("source", True), ("release", False)):
        result = subprocess.run(
            [*command, f"{notebook}.ipynb"],
            cwd=tmp_path,
            env=dict(os.environ, GANVAE_BUDGET="smoke"),
            capture_output=True,
            text=True,
        )
        assert (result.returncode == 0) == passes, result.stdout[-3000:]
        assert result.returncode in (0, 1), result.stdout[-3000:]
