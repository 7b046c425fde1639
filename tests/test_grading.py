"""Grading a class: what a submission may not do, what it must not lose, what the teacher gets.

The toy assignment needs no TensorFlow, so that a sandbox starts in a second; the course's own
assignments are graded in test_assignments.py.
"""

import csv
import http.server
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import example_class
import grade
import nbformat
import notebook as notebook_tool
import numpy as np
import pytest
from grading import collect, course, form, judge, remote, repair, report, sandbox

ROOT = Path(__file__).resolve().parent.parent
TOY = """\
#%% md
# Assignment 0: a toy

#%% setup

#%% code
import numpy as np

from ganvae_lessons import checks

#%% md
Task 1: a loss $\\\\ell$.

#%% code answer=double
def double(x):
    ### BEGIN SOLUTION
    return 2 * np.asarray(x)
    ### END SOLUTION

#%% code test=double-value points=2
checks.close(double(2.0), 4.0, "double(2)")
### BEGIN HIDDEN TESTS
x = np.arange(6.0).reshape(2, 3)
checks.close(double(x), 2 * x, "double(x)", mistakes={"the square": x**2})
### END HIDDEN TESTS

#%% code locked=helper
def scaled(x, factor):
    return factor * np.asarray(x)

#%% code answer=total
def total(x, factor):
    ### BEGIN SOLUTION
    return np.sum(scaled(x, factor))
    ### END SOLUTION

#%% code test=total-value points=1
checks.close(total([1.0, 2.0], 1.0), 3.0, "total([1, 2], 1)")

#%% code test=total-factor points=3
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(0)
for size in (1, 5):
    x = rng.normal(size=size)
    checks.close(total(x, 3.0), 3 * x.sum(), f"total(x, 3), {size} numbers")
### END HIDDEN TESTS

#%% md
Why?

#%% md written=why points=4
Because.
"""
TESTS = ["double-value", "total-factor", "total-value"]
FAST = sandbox.Limits(cell_seconds=2, test_seconds=2, memory=2**30)

problem = sandbox.missing()
needs_sandbox = pytest.mark.skipif(
    problem is not None and os.environ.get("CI") != "true", reason=str(problem)
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The toy's source, release and the folder of sources."""
    sources = tmp_path_factory.mktemp("sources")
    (sources / "a0_toy").mkdir()
    made = notebook_tool.from_text(TOY, "a0")
    notebook_tool.write(made, sources / "a0_toy/a0_toy.ipynb")
    release = course.Course(tmp_path_factory.mktemp("course"), sources).release()["a0_toy"]
    return course.load_sources(sources)["a0_toy"], release, sources


def right(toy):
    return example_class.filled(toy[1], example_class.answers(toy[0]))


def lost(notebook, toy, limits=FAST):
    """Repair and judge a student's notebook; return the tests it lost, and all warnings."""
    made, warnings = repair.repair(json.loads(json.dumps(notebook)), toy[0], toy[1])
    verdict = judge.run(made, limits)
    failed = sorted(name for name, message in verdict.tests.items() if message)
    assert sorted(verdict.tests) == TESTS
    return failed, warnings + repair.suspicions(made, toy[0]) + verdict.warnings


def with_answer(notebook, name, text):
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    for cell in notebook.cells:
        if form.role(cell) == "answer" and form.grade_id(cell) == name:
            cell.source = text
    return notebook


# ---- the students' version -----------------------------------------------------------------------


def test_release_holds_no_solution_and_no_hidden_test(toy):
    text = json.dumps(toy[1])
    for secret in (
        "2 * np.asarray",
        "np.sum",
        "rng",
        "the square",
        "Because",
        "HIDDEN",
        "SOLUTION",
    ):
        assert secret in TOY
        assert secret not in text
    assert "raise NotImplementedError" in text
    assert "double(2)" in text  # the visible check stays


# ---- the sandbox ---------------------------------------------------------------------------------


@needs_sandbox
def test_right_and_blank(toy):
    assert lost(right(toy), toy) == ([], [])
    assert lost(toy[1], toy) == (TESTS, [])


@needs_sandbox
@pytest.mark.parametrize("kind", sorted(example_class.HOSTILE))
def test_hostile_code_gets_nothing_and_leaves_nothing(kind, toy, tmp_path):
    before = {path: path.stat().st_mtime for path in Path("/").iterdir() if path.name != "proc"}
    reached = []
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.verify_request = lambda *_: reached.append(1)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        notebook = example_class.hostile(toy[1], kind, server.server_address[1])
        start = time.monotonic()
        failed, warnings = lost(notebook, toy)
        seconds = time.monotonic() - start
        server.shutdown()
    assert failed == TESTS
    assert seconds < 40
    assert not reached
    after = {path: path.stat().st_mtime for path in Path("/").iterdir() if path.name != "proc"}
    assert after.keys() == before.keys()
    assert not list(ROOT.glob("was-here")) and not Path("/tmp/was-here").exists()
    if kind not in (
        "crash",
        "endless-loop",
        "flood",
        "memory-hog",
        "agrees-with-all",
        "reads-the-solution",
    ):
        assert warnings, "the teacher is told where to look"


@needs_sandbox
def test_right_answers_survive_what_a_cell_of_their_own_breaks(toy):
    """A cell that hangs or ends Python costs what rests on it, not the rest."""
    for text in ("while True:\n    pass", "import os\nos._exit(0)", "1 / 0"):
        notebook = with_answer(right(toy), "double", text)
        failed, _ = lost(notebook, toy)
        assert failed == ["double-value"], text


@needs_sandbox
def test_function_that_hangs_loses_its_own_tests(toy):
    notebook = with_answer(right(toy), "double", "def double(x):\n    while True:\n        pass")
    failed, _ = lost(notebook, toy)
    assert failed == ["double-value"]


@needs_sandbox
def test_sandbox_shows_no_file_and_no_secret_of_the_teacher(toy, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_TOKEN", "teacher")
    (tmp_path / "marks").write_text("private")
    with remote.Session(FAST) as session:
        for code, expected in {
            "import os; print('SECRET_TOKEN' in os.environ)": "False",
            f"print(os.path.exists({str(tmp_path)!r}), os.path.exists({str(ROOT / 'tests')!r}))": (
                "False False"
            ),
            "print(sum(name.isdigit() for name in os.listdir('/proc')) < 6)": "True",
            "print(os.access('/', os.W_OK), os.access('/package', os.W_OK))": "False False",
            "print(open('/proc/self/status').read().split('CapEff:')[1].split()[0])": "0" * 16,
            "print(open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0])": "1",
        }.items():
            (output,) = session.run(code)
            assert output["text"].strip() == expected, code
    with remote.Session() as session:  # looks at every file for the assignments' notebooks
        assert session.run(example_class.HOSTILE["reads-the-solution"]) == []


@needs_sandbox
def test_limits_on_processes_and_memory():
    with remote.Session(sandbox.Limits(processes=50)) as session:
        session.run("import subprocess")
        output = session.run("for _ in range(60):\n    subprocess.Popen(['sleep', '60'])")[-1]
        assert output["ename"] == "BlockingIOError"
    limits = sandbox.Limits(memory=2**30)
    with remote.Session(limits) as session:
        assert session.run("x = b'x' * 2**31")[-1]["ename"] == "MemoryError"
    with (
        remote.Session(limits) as session,
        pytest.raises(remote.Dead, match="used more than 1 GiB"),
    ):
        session.run(example_class.HOSTILE["memory-hog-in-pieces"])


@needs_sandbox
def test_values_travel_both_ways():
    with remote.Session(FAST) as session:
        session.run("import numpy as np\ndef same(x): return x\nclass Thing:\n    size = 3")
        same = session.get("same")
        for value in (None, True, 3, 2.5, "ß", [1, (2, "a")], {"a": [1], 2: None}, math.inf):
            assert same(value) == value
            assert type(same(value)) is type(value)
        array = np.arange(6, dtype="float32").reshape(2, 3)
        np.testing.assert_array_equal(same(array), array)
        assert same(array).dtype == array.dtype
        assert same(np.float64(2)) == 2 and isinstance(same(np.float64(2)), np.floating)
        thing = session.get("Thing")()
        assert thing.size == 3
        assert isinstance(same(thing), remote.Reference)
        with pytest.raises(TypeError, match="neither true nor false"):
            bool(thing)
        with pytest.raises(TypeError, match="cannot hand a function"):
            same(lambda: 0)
        with pytest.raises(remote.RemoteError, match="nothing is not defined"):
            session.get("nothing")
        with pytest.raises(remote.RemoteError) as caught:
            same()
        assert caught.value.type_name == "TypeError"


@pytest.mark.parametrize(
    "answer",
    [
        {"array": ["|O", [1], "AAAAAAAAAAA="]},
        {"array": ["<f8", [3], "AAAA"]},
        {"array": ["f8,i4", [1], "AAAA"]},
        {"pickle": "gASVAAAA"},
        {"list": [{"a": 1, "b": 2}]},
        [1],
    ],
)
def test_answers_that_are_not_of_the_agreed_form_are_refused(answer):
    with pytest.raises((ValueError, TypeError)):
        remote.Session.decode(None, answer) if not isinstance(answer, dict) else (
            remote.Session.decode(_Decoder(), answer)
        )


class _Decoder:
    decode = remote.Session.decode


def test_outputs_are_shown_as_text_and_pictures_only():
    shown = judge.clean(
        {
            "output_type": "display_data",
            "data": {"text/html": "<script>", "image/png": '"><script>', "text/plain": "<b>"},
        }
    )
    assert shown["data"] == {"text/plain": "<b>"}


def test_names_that_a_test_asks_of_the_student():
    names = judge.foreign_names(
        "import os\nfor i in range(3):\n    y = f(i, np.ones(2))\n"
        "checks.close(y, [g(z) for z in y], 'x')"
    )
    assert names == ["f", "g"]


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "apt-get install bubblewrap" in sandbox.missing()
    with pytest.raises(RuntimeError, match="no submission is run without a sandbox"):
        grade.run("x", "y")
    monkeypatch.undo()
    monkeypatch.setattr(sandbox, "command", lambda: ["false", os.path.abspath(sys.executable)])
    assert "bubblewrap cannot make a sandbox here" in (sandbox.missing() or "")


# ---- the submission's form -----------------------------------------------------------------------


@needs_sandbox
def test_deleted_and_edited_tests_are_put_back(toy):
    failed, warnings = lost(example_class.without_tests(right(toy)), toy)
    assert failed == [] and "deleted tests (they were put back): double-value, tot" in warnings[0]
    failed, warnings = lost(example_class.with_tests_edited(toy[1]), toy)
    assert (
        failed == TESTS
        and "edited tests or helpers (the originals were used): double" in warnings[0]
    )


@needs_sandbox
@pytest.mark.parametrize("ids", [True, False])
def test_lost_metadata_is_a_warning_not_a_zero(ids, toy):
    notebook = example_class.without_metadata(right(toy), ids)
    failed, warnings = lost(notebook, toy)
    assert failed == []
    assert any("lost nbgrader's metadata" in warning for warning in warnings)
    repaired, _ = repair.repair(json.loads(json.dumps(notebook)), toy[0], toy[1])
    (written,) = [cell for cell in repaired.cells if form.role(cell) == "written"]
    assert written.source == "Because."


def test_added_cells_keep_their_place_and_missing_answers_are_named(toy):
    notebook = right(toy)
    index = next(n for n, c in enumerate(notebook.cells) if form.role(c) == "answer")
    notebook.cells.insert(index, nbformat.v4.new_code_cell("two = 2"))
    notebook.cells[-1].source = "Because, says\nthe student."
    del notebook.cells[index + 4]  # the second answer
    repaired, warnings = repair.repair(json.loads(json.dumps(notebook)), toy[0], toy[1])
    sources = [cell.source for cell in repaired.cells]
    assert sources.index("two = 2") == index
    assert "def total(x, factor):\n    # Write your answer here." in "\n".join(sources)
    assert any("missing answers (look for them by hand): total" in warning for warning in warnings)
    assert sources[-1] == "Because, says\nthe student."


def test_an_answer_twice(toy):
    notebook = right(toy)
    index = next(n for n, c in enumerate(notebook.cells) if form.role(c) == "answer")
    wrong = nbformat.from_dict(json.loads(json.dumps(notebook.cells[index])))
    wrong.source = "def double(x):\n    return x"
    notebook.cells.insert(index, wrong)
    repaired, warnings = repair.repair(json.loads(json.dumps(notebook)), toy[0], toy[1])
    answers = [cell.source for cell in repaired.cells if form.role(cell) == "answer"]
    assert "return 2 *" in answers[0]
    assert any("stand there twice (the last counts): double" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("from ganvae_lessons import losses", "finished losses"),
        ("import ganvae_lessons.models.gan as g", "finished models"),
        ("answer = losses.get('minimax')", "finished losses.get"),
        ("def scaled(x, factor): return 0", "redefines scaled, which tests rely on"),
        ("scaled = sum", "redefines scaled"),
        ("globals()['scaled'] = sum", "calls globals"),
        ("checks.close = print", "changes checks.close"),
        ("import socket", "imports socket"),
        ("import os\nos.system('ls')", "calls os.system"),
        ("open('x', 'w')", "calls open"),
    ],
)
def test_suspicions(code, what, toy):
    notebook = with_answer(right(toy), "double", code + "\ndef double(x): return 2 * np.asarray(x)")
    made, warnings = repair.repair(json.loads(json.dumps(notebook)), toy[0], toy[1])
    assert not warnings
    warnings = repair.suspicions(made, toy[0])
    assert any(what in warning for warning in warnings)


def test_no_suspicion_without_reason(toy):
    text = (
        "import math\nfrom ganvae_lessons import data, checks\n"
        "def double(x, training=None):\n    scaled = 2 * x\n    return scaled or training.T"
    )
    notebook = with_answer(right(toy), "double", text)
    assert repair.suspicions(repair.repair(notebook, toy[0], toy[1])[0], toy[0]) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"cells": [', "is not valid JSON: .* at line 1, column 12"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"[" * 100_000, "is not a notebook"),
        (b'{"worksheets": []}', "format 4"),
        (b'{"cells": [3]}', "a cell has no text"),
        (b'{"cells": [{"source": 3}]}', "a cell has no text"),
    ],
)
def test_unreadable_files_are_described(content, message, tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_bytes(content)
    with pytest.raises(repair.Unreadable, match=message):
        repair.read(path)


def test_metadata_of_the_wrong_kind_stops_nobody(toy, tmp_path):
    notebook = json.loads(json.dumps(right(toy)))
    for cell, strange in zip(notebook["cells"], ([1], {"a": 1}, None, 3, "x"), strict=False):
        cell["id"] = strange
        cell["metadata"] = strange if isinstance(strange, list) else {"nbgrader": strange}
    notebook["cells"][5]["metadata"]["nbgrader"]["grade_id"] = ["double"]
    notebook["cells"][-1]["source"] = "\ud800 why"
    (tmp_path / "ada.ipynb").write_text(json.dumps(notebook))
    (one,) = collect.collect(tmp_path, {"a0_toy": toy[0]})
    assert not one.problem
    made, _ = repair.repair(one.content, toy[0], toy[1])
    assert made.cells[-1].source == "? why"


def test_a_terminal_obeys_no_file_name(toy, tmp_path):
    (tmp_path / "\x1b[2Jada.ipynb").write_text("{")
    (one,) = collect.collect(tmp_path, {"a0_toy": toy[0]})
    assert "\x1b" not in report.Graded(one).line()


def test_memory_of_a_family():
    script = "import os, time\nx = b'x' * 10**8\nos.fork()\ntime.sleep(20)"
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        time.sleep(1)
        used = remote.memory_of(process.pid)
        process.kill()
    assert 1e8 < used < 4e8


def test_links_and_pipes_are_not_read(tmp_path):
    (tmp_path / "link.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.ipynb")
    for name in ("link.ipynb", "pipe.ipynb"):
        with pytest.raises(repair.Unreadable, match="is not a plain file"):
            repair.read(tmp_path / name)


def test_submissions_are_found_however_they_are_named(toy, tmp_path):
    text = json.dumps(right(toy))
    for name in (
        "ada.ipynb", "bob/a0_toy.ipynb", "cy/a0_toy/a0_toy.ipynb", "dan_a0_toy.ipynb",
        "eve/my work (2).ipynb", "fay/work.txt", "gus/old.ipynb", "gus/new.ipynb",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    os.utime(tmp_path / "gus/old.ipynb", (1, 1))
    (tmp_path / "bob/a0_toy.ipynb").write_text(text + " ")
    (tmp_path / "hal").mkdir()
    (tmp_path / "ida").mkdir()
    (tmp_path / "ida/x.ipynb").write_text("{")
    (tmp_path / ".DS_Store").write_text("x")
    found = {one.student: one for one in collect.collect(tmp_path, {"a0_toy": toy[0]})}
    assert sorted(found) == ["ada", "bob", "cy", "dan", "eve", "fay", "gus", "hal", "ida"]
    graded = [name for name, one in found.items() if not one.problem]
    assert graded == ["ada", "bob", "cy", "dan", "eve", "fay", "gus"]
    assert "renamed" in found["eve"].warnings[0] and "renamed" in found["fay"].warnings[0]
    assert found["gus"].path.name == "new.ipynb"
    assert "'old.ipynb' is older" in found["gus"].warnings[1]
    assert any("same file as that of cy, dan" in warning for warning in found["ada"].warnings)
    assert not any("same file" in warning for warning in found["bob"].warnings)
    assert found["hal"].problem == "holds no notebook"
    assert "not valid JSON" in found["ida"].problem


# ---- the whole -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graded(toy, tmp_path_factory):
    """A class graded into a folder of results; one submission stopped the grader once."""
    folder = tmp_path_factory.mktemp("class") / "submissions"
    folder.mkdir()
    for student, notebook in {
        "right": right(toy),
        "blank": toy[1],
        "half": with_answer(right(toy), "total", "def total(x, factor):\n    return x"),
        "=evil": with_answer(right(toy), "double", "def double(x):\n    return np.asarray(x) ** 2"),
    }.items():
        if student == "=evil":
            notebook.cells[-1].source = "=SUM(1) <img src=x onerror=alert(1)> $a < b$"
        (folder / f"{student}.ipynb").write_text(json.dumps(notebook))
    (folder / "broken.ipynb").write_text("{")
    said = []
    results = folder.parent / "results"
    outcomes = grade.run(folder, results, limits=FAST, sources=toy[2], say=said.append)
    return folder, results, outcomes, said


def rows(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


@needs_sandbox
def test_marks(graded):
    _, results, _, said = graded
    marks = rows(results / "marks.csv")
    assert {name: row["automatic"] for name, row in marks.items()} == {
        "right": "6", "blank": "0", "half": "2", "evil": "4", "broken": "",
    }  # fmt: skip
    assert marks["broken"]["status"] == "not graded"
    assert "not valid JSON" in marks["broken"]["warnings"]
    assert marks["half"]["lost"].split() == ["total-value", "total-factor"]
    assert marks["right"]["total"] == "" and marks["blank"]["total"] == "0"
    assert len(said) == 4 and "[  4/4]" in said[-1]


@needs_sandbox
def test_feedback_page(graded):
    _, results, _, _ = graded
    page = (results / "feedback/half-a0_toy.html").read_text()
    assert "Not read yet" in page
    assert '<a href="#double-value">double-value</a>' in page
    assert '<a href="#why">why, written</a>' in page
    assert "total([1, 2], 1) has shape (2,), expected ()" in page
    assert "rng" not in page and "HIDDEN" not in page  # hidden tests stay hidden
    assert "https://cdn" not in page
    assert "default-src 'none'" in page
    evil = (results / "feedback/evil-a0_toy.html").read_text()
    assert "That is what comes out with the square" in evil
    assert "onerror" in evil and not re.search("<img[^>]*onerror", evil)  # text, not an image
    assert rows(results / "written.csv")["evil"]["text"].startswith("'=SUM(1) <img")


@needs_sandbox
def test_summary(graded):
    _, results, _, _ = graded
    page = (results / "summary.html").read_text()
    assert "4 submissions; automatic points: median 3, from 0 to 6 of 6" in page
    assert "data:image/svg+xml;base64," in page
    assert "1 × That is what comes out with the square" in page
    assert "broken.ipynb: is not valid JSON" in page


@needs_sandbox
def test_written_marks_are_entered_and_kept(graded, toy):
    folder, results, _, _ = graded
    path = results / "written.csv"
    written = rows(path)
    assert written["blank"]["points"] == "0"  # nothing was written
    assert written["right"]["points"] == "" and written["right"]["text"] == "Because."
    path.write_text(
        path.read_text().replace("right,a0_toy,why,4,,,", "right,a0_toy,why,4,3.5,neat,")
    )
    grade.run(folder, results, limits=FAST, sources=toy[2], say=lambda line: None)
    assert rows(results / "marks.csv")["right"]["total"] == "9.5"
    assert rows(path)["right"]["comment"] == "neat"
    assert "neat" in (results / "feedback/right-a0_toy.html").read_text()
    path.write_text(path.read_text().replace("4,3.5,neat", "4,5,neat"))
    with pytest.raises(ValueError, match=r"line .: 5 points, expected 0 to 4"):
        report.read_written(path)
    path.write_text(path.read_text().replace("4,5,neat", "4,3.5,neat"))

    submission = folder / "right.ipynb"
    kept = submission.read_text()
    submission.write_text("{")  # unreadable for a day: the teacher's work is not lost
    grade.run(folder, results, limits=FAST, sources=toy[2], say=lambda line: None)
    assert rows(path)["right"]["points"] == "3.5" and rows(path)["right"]["comment"] == "neat"
    submission.write_text(kept.replace("Because.", "Because, on second thoughts."))
    grade.run(folder, results, limits=FAST, sources=toy[2], say=lambda line: None)
    assert rows(results / "marks.csv")["right"]["total"] == ""
    assert rows(path)["right"]["points"] == ""
    assert rows(path)["right"]["comment"] == "the answer changed since it had 3.5 points"
    submission.write_text(kept)


@needs_sandbox
def test_second_run_runs_nothing_again_unless_something_changed(graded, toy, monkeypatch):
    folder, results, _, _ = graded
    ran = []
    run = judge.run
    monkeypatch.setattr(judge, "run", lambda *a: ran.append(1) or run(*a))
    said = []
    grade.run(folder, results, limits=FAST, sources=toy[2], say=said.append)
    assert not ran and all("(known)" in line for line in said)
    path = folder / "half.ipynb"
    path.write_text(json.dumps(right(toy)) + " ")
    grade.run(folder, results, limits=FAST, sources=toy[2], say=said.append)
    assert len(ran) == 1
    assert rows(results / "marks.csv")["half"]["automatic"] == "6"


@needs_sandbox
def test_grader_that_stumbles_goes_on(toy, tmp_path, monkeypatch):
    folder = tmp_path / "class"
    folder.mkdir()
    for name in ("ada", "bob"):
        (folder / f"{name}.ipynb").write_text(json.dumps(right(toy)) + " " * (name == "bob"))
    repaired = repair.repair

    def stumble(content, *rest):
        if not stumbled:
            stumbled.append(1)
            raise KeyError("surprise")
        return repaired(content, *rest)

    stumbled = []
    monkeypatch.setattr(repair, "repair", stumble)
    results = tmp_path / "results"
    grade.run(folder, results, limits=FAST, sources=toy[2], jobs=1, say=lambda line: None)
    marks = rows(results / "marks.csv")
    assert sorted(row["automatic"] for row in marks.values()) == ["", "6"]
    assert any("KeyError: 'surprise'" in row["warnings"] for row in marks.values())


@needs_sandbox
def test_interrupted_run_leaves_nothing_running_and_goes_on(toy, tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "ada.ipynb").write_text(json.dumps(right(toy)))
    slow = with_answer(right(toy), "double", "import time\ntime.sleep(1000)")
    (folder / "bob.ipynb").write_text(json.dumps(slow))
    code = (
        "import sys; from pathlib import Path\nimport grade\n"
        f"grade.run.__kwdefaults__['sources'] = Path({str(toy[2])!r})\n"
        f"sys.argv = ['grade', {str(folder)!r}, '--jobs', '1']; grade.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=dict(os.environ, PYTHONPATH=str(ROOT / "tools")),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "ada" in process.stdout.readline()
    time.sleep(1)
    children = ["pgrep", "--parent", str(process.pid), "bwrap"]
    (sandboxed,) = subprocess.run(children, capture_output=True, text=True).stdout.split()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130 and "goes on from here" in out
    time.sleep(0.5)
    status = Path(f"/proc/{sandboxed}/status")  # gone, or dead and not yet buried
    assert not status.exists() or "State:\tZ" in status.read_text()
    kept = list((tmp_path / "class-graded/judged").glob("*.json"))
    assert len(kept) == 1
