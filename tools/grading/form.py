"""What an assignment's own files say: what each cell is for, the points, the usual mistakes.

Standard library alone: the book is built with this, and the notebooks' text form, too.
"""

import tomllib

# What a cell is for, in nbgrader's words.
ROLES = {
    "answer": {"grade": False, "locked": False, "solution": True},  # code that the student writes
    "test": {"grade": True, "locked": True, "solution": False},  # code that grades it
    "written": {"grade": True, "locked": False, "solution": True},  # text, graded by the teacher
    "locked": {"grade": False, "locked": True, "solution": False},  # code that tests rely on
}


def role(cell):
    """Return which of ROLES a cell has, or "": also of a cell that a student damaged."""
    marks = cell.get("metadata", {}).get("nbgrader", {})
    if marks.get("grade"):
        return "written" if marks.get("solution") else "test"
    if marks.get("solution"):
        return "answer"
    return "locked" if marks.get("locked") else ""


def grade_id(cell):
    """Return the name of a cell that has a role."""
    return cell["metadata"]["nbgrader"]["grade_id"]


def points(notebook):
    """Return {grade id: points} of an assignment's tests, and of its written answers."""
    found = {"test": {}, "written": {}}
    for cell in notebook["cells"]:
        if role(cell) in found:
            found[role(cell)][grade_id(cell)] = cell["metadata"]["nbgrader"]["points"]
    return found["test"], found["written"]


def mistakes(root, name):
    """Return the usual mistakes of an assignment: dictionaries with cell, replace, with, loses."""
    path = root / f"assignments/mistakes/{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))["mistake"]
