"""Write a class of submissions to try the grading on: `python tools/example_class.py FOLDER`.

For each assignment a student who has everything right, one who sent the blank notebook, and one who
makes a usual mistake (`--all`: one for each of assignments/mistakes); and those that a grader must
survive (`HOSTILE`, and files damaged on the way). FOLDER-deserved.json says what each is to lose.
"""

import argparse
import copy
import json
import re
from pathlib import Path

import make_assignments
import nbformat
from grading import course
from grading.form import grade_id, mistakes, role

# What a submission does in its first cell, to the machine or to the marks; the rest is blank.
HOSTILE = {
    "crash": "raise RuntimeError('crash')",
    "exit": "import os\nos._exit(0)",
    "endless-loop": "while True:\n    pass",
    "stubborn-loop": (
        "while True:\n    try:\n        while True:\n            pass\n"
        "    except BaseException:\n        pass"
    ),
    "memory-hog": "hoard = [bytearray(10**9) for _ in range(1000)]",
    "memory-hog-in-pieces": (
        "import os, time\nfor _ in range(40):\n    if os.fork() == 0:\n"
        "        hoard = bytearray(3 * 10**8)\n        hoard[::4096] = b'x' * len(hoard[::4096])\n"
        "        time.sleep(60)\n        os._exit(0)\ntime.sleep(60)"
    ),
    "fork-bomb": "import os\nwhile True:\n    os.fork()",
    "flood": "while True:\n    print('x' * 10**6)",
    "writes-outside": (
        "import pathlib\nfor place in ('/usr', '/package', '/home', '/etc', '/', '..'):\n"
        "    try:\n        pathlib.Path(place, 'was-here').write_text('x')\n"
        "    except OSError as error:\n        print(error)"
    ),
    "connection": (
        "import socket\ntry:\n"
        "    socket.create_connection(('127.0.0.1', {port}), 2).send(b'marks')\n"
        "except OSError as error:\n    print(error)"
    ),
    "patches-checks": (
        "from ganvae_lessons import checks\n"
        "for name in ('close', 'true', 'shape', 'equal', 'within', 'moved', 'unmoved', 'raises'):\n"
        "    setattr(checks, name, lambda *a, **k: None)"
    ),
    "patches-numpy": (
        "import numpy as np\nnp.allclose = lambda *a, **k: True\n"
        "np.testing.assert_allclose = lambda *a, **k: None"
    ),
    "drops-asserts": (
        "import ast\n\nclass Drop(ast.NodeTransformer):\n"
        "    def visit_Assert(self, node):\n        return None\n"
        "    def visit_Expr(self, node):\n        return None\n\n"
        "get_ipython().ast_transformers.append(Drop())"
    ),
    "agrees-with-all": (
        "class Yes:\n    dtype, shape = float, ()\n"
        "    def __eq__(self, other):\n        return True\n"
        "    def __array__(self, *a, **k):\n        raise AssertionError\n"
        "    def __bool__(self):\n        return True\n"
        "def answer(*a, **k):\n    return Yes()\n{names}"
    ),
    "forged-replies": (
        "import gc, json, os\nfor number in range(3, 64):\n    for n in range(1, 400):\n"
        "        try:\n            os.write(number, (json.dumps({{'id': n, 'value': []}})"
        " + '\\n').encode())\n        except OSError:\n            break"
    ),
    "reads-the-solution": (
        "import os, re\nfound = [\n    name\n    for place, _, names in os.walk('/')\n"
        "    if not place.startswith(('/usr', '/proc', '/dev'))\n"
        "    for name in names\n    if re.match(r'a\\d_.*ipynb', name)\n]\nassert not found, found"
    ),
}


def answers(source):
    """Return {grade id: the right answer} of an assignment's source."""
    return {
        grade_id(cell): re.sub(r"^ *### (BEGIN|END) SOLUTION *\n?", "", cell.source, flags=re.M)
        for cell in source.cells
        if role(cell) in ("answer", "written")
    }


def filled(release, given):
    """Return a student's notebook: the release with these answers in it."""
    notebook = copy.deepcopy(release)
    for cell in notebook.cells:
        if role(cell) in ("answer", "written"):
            cell.source = given.get(grade_id(cell), cell.source)
    return notebook


def mistaken(source, mistake):
    """Return the answers of a student who makes one mistake."""
    given = answers(source)
    right = given[mistake["cell"]]
    if mistake["replace"] not in right:
        raise ValueError(f"{mistake['name']}: {mistake['replace']!r} is not in {mistake['cell']!r}")
    given[mistake["cell"]] = right.replace(mistake["replace"], mistake["with"])
    return given


def hostile(release, name, port=9):
    """Return a blank notebook that begins with one of HOSTILE."""
    notebook = copy.deepcopy(release)
    stubs = [cell for cell in notebook.cells if role(cell) == "answer"]
    code = HOSTILE[name]
    if name == "agrees-with-all":
        defined = re.findall(r"^def (\w+)", "\n".join(cell.source for cell in stubs), flags=re.M)
        for cell in stubs:
            cell.source = "# see above"
        code = code.format(names="\n".join(f"{other} = answer" for other in defined))
    elif name in ("connection", "forged-replies"):
        code = code.format(port=port)
    notebook.cells.insert(1, nbformat.v4.new_code_cell(code))
    return notebook


def without_tests(notebook):
    """Return the notebook with its tests deleted."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if role(cell) != "test"]
    return notebook


def with_tests_edited(notebook):
    """Return the notebook with tests that pass whatever the answers are, and are worth more."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if role(cell) == "test":
            cell.source = "print('passed')"
            cell.metadata["nbgrader"]["points"] = 100
    return notebook


def without_metadata(notebook, ids=True):
    """Return the notebook as tools leave it that know nothing of nbgrader."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.metadata = {}
        if not ids:
            del cell["id"]
    if not ids:
        notebook.nbformat_minor = 4
    return notebook


def write_class(folder, releases, sources, everything=False):
    """Write the example class; return {student: the tests to lose, or None: cannot be graded}."""
    deserved = {}

    def put(student, name, notebook, lost, file=None):
        path = Path(folder) / student / (file or f"{name}.ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = notebook if isinstance(notebook, str) else json.dumps(notebook, indent=1)
        path.write_text(text, encoding="utf-8")
        deserved[student] = lost if lost is None else sorted(lost)

    for name, source in sources.items():
        short, release = name.split("_")[0], releases[name]
        tests = [grade_id(cell) for cell in source.cells if role(cell) == "test"]
        put(f"{short}-right", name, filled(release, answers(source)), [])
        put(f"{short}-blank", name, release, tests)
        for mistake in mistakes(course.ROOT, name)[: None if everything else 1]:
            made = filled(release, mistaken(source, mistake))
            put(f"{short}-{mistake['name']}", name, made, mistake["loses"])

    name = next(iter(sources))
    release, right = releases[name], filled(releases[name], answers(sources[name]))
    tests = [grade_id(cell) for cell in release.cells if role(cell) == "test"]
    for kind in HOSTILE:
        put(kind, name, hostile(release, kind), tests)
    put("tests-deleted", name, without_tests(right), [])
    put("tests-edited", name, with_tests_edited(release), tests)
    put("metadata-lost", name, without_metadata(right), [])
    put("metadata-and-ids-lost", name, without_metadata(right, ids=False), [])
    put("broken-json", name, json.dumps(right)[:-100], None)
    put("renamed", name, right, [], file="my homework (final).ipynb")
    return deserved


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="a student for every usual mistake")
    options = parser.parse_args()
    releases, sources = make_assignments.release(), course.load_sources()
    deserved = write_class(options.folder, releases, sources, options.all)
    text = json.dumps(deserved, indent=1)
    options.folder.with_name(options.folder.name + "-deserved.json").write_text(text)
    print(f"{len(deserved)} submissions in {options.folder}")


if __name__ == "__main__":
    main()
