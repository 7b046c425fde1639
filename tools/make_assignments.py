"""Write the students' versions of the assignments: `make assignments`, or with `--out FOLDER`.

The sources hold the solutions and the hidden tests; nbgrader takes both out. What is written runs
alone, in Colab too: the first cell installs the package where it is missing.
"""

import argparse
import tempfile
from pathlib import Path

import nbformat
from grading import course
from grading.form import points


def release(sources=course.SOURCES):
    """Return {name: notebook} of the students' versions."""
    with tempfile.TemporaryDirectory() as folder:
        return course.Course(folder, sources).release()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=course.ROOT / "_build/assignments")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, notebook in release().items():
        path = options.out / f"{name}.ipynb"
        nbformat.write(notebook, path)
        automatic, written = (sum(each.values()) for each in points(notebook))
        print(f"{path}: {automatic:g} points by tests, {written:g} by you")


if __name__ == "__main__":
    main()
