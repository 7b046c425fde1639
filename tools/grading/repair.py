"""Put a submission into the form that was handed out, and say what had to be done.

The student's code is kept in its order; what was not the student's to change comes from the source:
tests, helpers, points. A cell that lost its metadata is found again by its id or by what it says.
"""

import ast
import copy
import json
import os
import re
import stat

import nbformat

from .form import grade_id, role

SIZE = 20 * 2**20  # bytes of a submission
SUSPICIOUS_CALLS = re.compile(
    r"setattr|exec|eval|__import__|open|get_ipython|globals|vars"
    r"|os\.(system|popen|fork|exec\w*|spawn\w*|kill|_exit|remove)|.*\.write_(text|bytes)"
)
SUSPICIOUS_MODULES = {
    "socket", "subprocess", "ctypes", "urllib", "requests", "http", "gc", "inspect", "importlib",
    "multiprocessing", "signal", "shutil",
}  # fmt: skip
FINISHED_MODULES = {"losses", "models", "training", "metrics", "latent", "theory"}


class Unreadable(Exception):
    """A submission that no notebook can be read from; the text says why."""


def read(path):
    """Return the notebook in a file that a student sent; Unreadable says what is wrong with it."""
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("is not a plain file")
    if status.st_size > SIZE:
        raise Unreadable(
            f"holds {status.st_size:,} bytes, expected at most {SIZE:,}; clear its outputs"
        )
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Unreadable(
            f"is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except (RecursionError, ValueError) as error:
        raise Unreadable(f"is not a notebook: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        raise Unreadable("is not a notebook of format 4: it has no list of cells")
    for cell in content["cells"]:
        if not isinstance(cell, dict) or not isinstance(cell.get("source", ""), str | list):
            raise Unreadable("is not a notebook of format 4: a cell has no text")
        text = cell.get("source", "")
        text = "".join(str(line) for line in text) if isinstance(text, list) else text
        cell["source"] = text.encode("utf-8", "replace").decode("utf-8")  # no lone surrogates
        if "id" in cell:
            cell["id"] = str(cell["id"])
        if not isinstance(cell.get("metadata"), dict):
            cell["metadata"] = {}
        marks = cell["metadata"].get("nbgrader")
        if isinstance(marks, dict):
            marks["grade_id"] = str(marks.get("grade_id"))
        else:
            cell["metadata"].pop("nbgrader", None)
    return content


def identify(content, sources):
    """Return the name of the assignment that a submission answers, or None."""
    counts = {}
    for name, source in sources.items():
        ours = {cell["id"] for cell in source.cells}
        marks = {grade_id(cell) for cell in source.cells if role(cell)}
        texts = {cell.source.strip() for cell in source.cells}
        counts[name] = sum(
            cell.get("id") in ours
            or cell["metadata"].get("nbgrader", {}).get("grade_id") in marks
            or cell["source"].strip() in texts
            for cell in content["cells"]
        )
    best = max(counts, key=counts.get)
    return best if counts[best] >= 3 else None


def repair(content, source, release):
    """Return (notebook, warnings): the source's notebook with the student's answers in it.

    `source` holds the tests, hidden ones included; `release` is what the student was given.
    Cells that the student added stand, as code, behind the cell that they followed.
    """
    warnings = []
    theirs = content["cells"]
    place = _match(theirs, release, warnings)
    result = copy.deepcopy(source)
    added = {}  # index in the source → cells of the student's that follow it
    position = -1
    for index, cell in enumerate(theirs):
        if index in place:
            position = place[index]
        elif cell.get("cell_type") == "code" and cell["source"].strip():
            if role(cell) == "test":
                continue  # a copy of a test, or one of the student's making
            added.setdefault(position, []).append(cell["source"])
    answered = {}
    for index, ours in place.items():
        answered.setdefault(ours, []).append(theirs[index]["source"])
    cells, changed = [], {}
    for number, (cell, given) in enumerate(zip(result.cells, release.cells, strict=True)):
        if what := _fill(cell, given, answered.get(number, [])):
            changed.setdefault(what, []).append(grade_id(cell))
        cells.append(cell)
        for extra, text in enumerate(added.get(number, [])):
            identity = f"{cell.id}-extra-{extra}"
            cells.append(nbformat.v4.new_code_cell(text, id=identity, metadata={}))
    for extra, text in enumerate(added.get(-1, [])):
        cells.insert(extra, nbformat.v4.new_code_cell(text, id=f"extra-{extra}", metadata={}))
    result.cells = cells
    warnings += [what.format(", ".join(marks)) for what, marks in changed.items()]
    return result, warnings


def _fill(cell, given, texts):
    """Put the student's version of a handed-out cell into the source's, where that is theirs.

    Return what the teacher should know, with a place for the cell's name, or None.
    """
    kind, what = role(cell), None
    own = [text for text in texts if text.strip() != given.source.strip()]
    if kind in ("answer", "written"):
        cell.source = own[-1] if own else given.source
        if not texts:
            what = "missing answers (look for them by hand): {}"
        elif len(own) > 1:
            what = "answers that stand there twice (the last counts): {}"
    elif kind == "test" and not texts:
        what = "deleted tests (they were put back): {}"
    elif kind and own:
        what = "edited tests or helpers (the originals were used): {}"
    elif not kind and own and cell.cell_type == "code" and not _is_setup(cell):
        cell.source = own[-1]
    return what


def _is_setup(cell):
    return "setup" in cell.metadata.get("tags", [])


def _match(theirs, release, warnings):
    """Return {index of a student's cell: index of the handed-out cell that it is}."""
    by_mark = {grade_id(cell): n for n, cell in enumerate(release.cells) if role(cell)}
    by_id = {cell.id: n for n, cell in enumerate(release.cells)}
    by_text = {cell.source.strip(): n for n, cell in enumerate(release.cells)}
    by_names = {
        names: n
        for n, cell in enumerate(release.cells)
        if role(cell) == "answer" and (names := _defined(cell.source))
    }
    after = {n - 1: n for n, cell in enumerate(release.cells) if role(cell) == "written"}
    place, lost = {}, []
    for index, cell in enumerate(theirs):
        mark = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if mark in by_mark:
            place[index] = by_mark[mark]
            continue
        text = cell["source"].strip()
        ours = by_id.get(cell.get("id"), by_text.get(text))
        if ours is None and cell.get("cell_type") == "code":
            ours = by_names.get(_defined(text))
        if ours is None and cell.get("cell_type") == "markdown":
            ours = after.get(place.get(index - 1))
        if ours is not None:
            place[index] = ours
            if role(release.cells[ours]) in ("answer", "written", "test"):
                lost.append(grade_id(release.cells[ours]))
    if lost:
        warnings.append(
            f"{len(lost)} cells had lost nbgrader's metadata and were found by their ids or texts"
        )
    return place


def _defined(source):
    """The names of the functions and classes that a cell defines, in order."""
    kinds = ast.FunctionDef | ast.ClassDef
    return tuple(node.name for node in _parse(source).body if isinstance(node, kinds))


def suspicions(notebook, source):
    """Return what a teacher should look at: reaching for the system, the checker, the solution.

    `notebook` is a repaired one; what the assignment's own cells do is no matter.
    """
    ours = {cell.id: cell.source for cell in source.cells}
    helpers = {
        name for cell in source.cells if role(cell) == "locked" for name in names_made(cell.source)
    }
    found = []
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code" or cell.source == ours.get(cell.id):
            continue
        allowed = set(_reaches(ours.get(cell.id, "")))
        for what in _reaches(cell.source):
            if what not in allowed:
                found.append(f"cell {number} {what}: look at it")
        if taken := sorted(names_made(cell.source) & helpers):
            found.append(f"cell {number} redefines {', '.join(taken)}, which tests rely on")
    return found


def names_made(source):
    """The names that a cell gives a meaning to, what is inside of functions left out."""
    made, waiting = set(), [_parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            made.add(node.id)
        elif isinstance(node, ast.alias):
            made.add((node.asname or node.name).split(".")[0])
        if not isinstance(node, ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.DictComp):
            waiting += ast.iter_child_nodes(node)
    return made


def _parse(source):
    """A cell's syntax tree, magics left out; an empty one where it is no Python."""
    try:
        return ast.parse(re.sub(r"^\s*[%!].*$", "pass", source, flags=re.M))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _reaches(source):
    tree, found = _parse(source), []
    own = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} | names_made(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            module = getattr(node, "module", "") or ""
            roots = {module.split(".")[0]} if module else {name.split(".")[0] for name in names}
            if bad := sorted(roots & SUSPICIOUS_MODULES):
                found.append(f"imports {', '.join(bad)}")
            parts = {part for name in [module, *names] for part in name.split(".")}
            if "ganvae_lessons" in parts and (bad := sorted(parts & FINISHED_MODULES)):
                found.append(f"imports the package's finished {', '.join(bad)}")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in FINISHED_MODULES - own:
                found.append(f"uses the package's finished {ast.unparse(node)}")
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
            targets = node.targets if hasattr(node, "targets") else [node.target]
            for target in targets:
                text = ast.unparse(target)
                if re.match(r"(checks|np|numpy|ganvae_lessons|sys\.modules)[.\[]", text):
                    found.append(f"changes {text}")
        elif isinstance(node, ast.Call):
            text = ast.unparse(node.func)
            if SUSPICIOUS_CALLS.fullmatch(text):
                found.append(f"calls {text}")
    return sorted(set(found))
