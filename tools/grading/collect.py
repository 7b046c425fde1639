"""Find the submissions in a folder: who sent what, however the files are named and nested.

Understood: a notebook for each student (`ada.ipynb`), a folder for each student with notebooks in
it, nbgrader's own `ada/a1_minimax/a1_minimax.ipynb`. What a file answers is read from its cells.
"""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from . import repair

DEPTH = 3
SKIPPED = {"__MACOSX", ".ipynb_checkpoints", ".git"}


@dataclass
class Submission:
    """One file of one student's; `problem` says why it cannot be graded, "" where it can."""

    student: str
    path: Path
    assignment: str = ""
    content: dict | None = None
    digest: str = ""
    problem: str = ""
    warnings: list = field(default_factory=list)


def collect(folder, sources):
    """Return the submissions in a folder, by student and assignment."""
    folder, found, students = Path(folder), [], {}
    for entry in sorted(folder.iterdir()):
        if entry.name in SKIPPED or entry.name.startswith("."):
            continue
        student = _student(entry, sources, students)
        if entry.is_dir() and not entry.is_symlink():
            files = _files(entry)
            group = [_submission(student, path, sources) for path in files]
            named = [one for one in group if one.path.suffix == ".ipynb" or one.assignment]
            found += named or [_nothing(student, entry)]
        else:
            found.append(_submission(student, entry, sources))
    found = _newest(found)
    _compare(found)
    return found


def _student(entry, sources, taken):
    """A name that can be a folder's: the entry's, without the assignment's; no two alike."""
    name = entry.name if entry.is_dir() else entry.name.split(".")[0]
    for assignment in sources:
        name = re.sub(rf"[ _-]*{assignment}[ _-]*", "", name) or name
    name = re.sub(r"[^\w-]+", "-", name).strip("-") or "student"
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    taken[unique] = entry
    return unique


def _files(folder):
    found = []
    for place, folders, files in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(set(folders) - SKIPPED) if depth < DEPTH else []
        found += [Path(place) / name for name in sorted(files) if not name.startswith(".")]
    return found


def _submission(student, path, sources):
    one = Submission(student, path)
    try:
        one.content = repair.read(path)
    except repair.Unreadable as error:
        one.problem = str(error)
        return one
    except OSError as error:
        one.problem = f"cannot be read: {error.strerror}"
        return one
    except Exception as error:  # whatever is wrong with one file, the others are read
        one.problem = f"cannot be read: {type(error).__name__}: {error}"
        return one
    one.digest = hashlib.sha256(path.read_bytes()).hexdigest()
    one.assignment = repair.identify(one.content, sources) or ""
    if not one.assignment:
        one.problem = f"is none of the assignments {', '.join(sources)}"
    elif path.name != f"{one.assignment}.ipynb" and path.stem != student:
        one.warnings.append(f"the file was renamed to {path.name!r}")
    return one


def _nothing(student, folder):
    return Submission(student, folder, problem="holds no notebook")


def _compare(found):
    """Tell of files that two students sent alike."""
    alike = {}
    for one in found:
        alike.setdefault(one.digest, []).append(one)
    for one in found:
        others = [other.student for other in alike[one.digest] if other is not one]
        if one.digest and others:
            one.warnings.append(f"the same file as that of {', '.join(others)}")


def _newest(found):
    """Of several files for one assignment by one student, keep the one changed last."""
    kept = {}
    for one in sorted(found, key=lambda one: one.path.lstat().st_mtime):
        key = (one.student, one.assignment or str(one.path))
        if key in kept:
            one.warnings.append(f"{kept[key].path.name!r} is older and was left out")
        kept[key] = one
    return [kept[key] for key in sorted(kept)]
