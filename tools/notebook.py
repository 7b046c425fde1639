"""Lessons as plain text while they are written, and running them with a time for each cell.

python tools/notebook.py to-ipynb draft.txt notebooks/NN_name.ipynb
python tools/notebook.py to-text notebooks/NN_name.ipynb draft.txt
python tools/notebook.py run notebooks/NN_name.ipynb --budget laptop --out executed.ipynb
python tools/notebook.py store-outputs notebooks/NN_name.ipynb   (of nbval-check-output cells)
python tools/notebook.py strip notebooks/NN_name.ipynb           (of what running left in it)
"""

import argparse
import json
import os
import re
import shlex
import sys
import time
from datetime import datetime
from pathlib import Path

import nbformat
import setup_cell
from grading.form import ROLES, role

CHECKED = "nbval-check-output"
OPTIONS = ("tags", "alt", "caption", "name", "width", "meta", "points")
DELIMITER = re.compile(r"^#%% (md|code|setup)\b(.*)$")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# What editors and kernels write into a cell's metadata; nbstripout's own command drops the same.
TRACES = [
    *("collapsed", "editable", "ExecuteTime", "execution", "heading_collapsed", "hidden"),
    *("scrolled", "slideshow", "vscode"),
]


def parse_options(text, line_number):
    """Return cell metadata from `tags=a,b alt="..." caption="..." name=fig-x meta='{...}'`.

    In an assignment also `answer=ID`, `test=ID points=2`, `written=ID points=4`, `locked=ID`.
    """
    options = {}
    for word in shlex.split(text):
        key, equals, value = word.partition("=")
        if not equals or key not in (*OPTIONS, *ROLES):
            raise ValueError(
                f"line {line_number}: {word!r} is not an option of a cell; expected "
                f"{'=, '.join((*OPTIONS, *ROLES))}=, with quotes around spaces"
            )
        options[key] = value
    if "name" in options and "caption" not in options:
        raise ValueError(f"line {line_number}: name= needs caption=: only a figure can be named")
    metadata = json.loads(options.get("meta", "{}"))
    if "tags" in options:
        metadata["tags"] = options["tags"].split(",")
    for kind in ROLES.keys() & options.keys():
        metadata["nbgrader"] = {"grade_id": options[kind], "schema_version": 3, "task": False}
        metadata["nbgrader"].update(ROLES[kind])
        if ROLES[kind]["grade"]:
            metadata["nbgrader"]["points"] = int(options["points"])
    image = {key: options[key] for key in ("alt", "width") if key in options}
    figure = {key: options[key] for key in ("caption", "name") if key in options}
    mystnb = {"image": image} if image else {}
    if figure:
        mystnb["figure"] = figure
    if mystnb:
        metadata["mystnb"] = {**metadata.get("mystnb", {}), **mystnb}
    return metadata


def format_options(metadata):
    """Return the options text of a cell's metadata; the inverse of `parse_options`."""
    rest = {k: v for k, v in metadata.items() if k not in ("tags", "mystnb", "nbgrader")}
    mystnb = dict(metadata.get("mystnb", {}))
    options = {"tags": ",".join(metadata.get("tags", []))}
    if "nbgrader" in metadata:
        options[role({"metadata": metadata})] = metadata["nbgrader"]["grade_id"]
        options["points"] = str(metadata["nbgrader"].get("points", ""))
    options.update(mystnb.pop("image", {}))
    options.update(mystnb.pop("figure", {}))
    if mystnb:
        rest["mystnb"] = mystnb
    if rest:
        options["meta"] = json.dumps(rest, ensure_ascii=False)
    words = []
    for key, value in options.items():
        if not value:
            continue
        if re.fullmatch(r"[\w,.%-]+", value):
            words.append(f"{key}={value}")
        else:
            words.append(f'{key}="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return "".join(" " + word for word in words)


def from_text(text, prefix):
    """Return the notebook that a plain text describes; `prefix` begins its cells' ids."""
    cells, lines = [], None
    for number, line in enumerate(text.splitlines(), 1):
        delimiter = DELIMITER.match(line)
        if delimiter is None:
            if lines is None:
                if line.strip():
                    raise ValueError(
                        f"line {number}: text before the first cell: {line!r}; "
                        "begin with '#%% md', '#%% code' or '#%% setup'"
                    )
                continue
            lines.append(line)
            continue
        kind, options = delimiter.groups()
        metadata = parse_options(options, number)
        lines = []
        if kind == "setup":
            metadata["tags"] = list(setup_cell.TAGS)
        cells.append((kind, metadata, lines))

    notebook = nbformat.v4.new_notebook(metadata=METADATA)
    for index, (kind, metadata, lines) in enumerate(cells, 1):
        source = "\n".join(lines).strip("\n").rstrip()
        if kind == "setup":
            if source:
                raise ValueError("'#%% setup' takes no text: the template fills it")
            source = setup_cell.source()
        if not source:
            raise ValueError(f"cell {index} is empty; remove its '#%%' line")
        new = nbformat.v4.new_markdown_cell if kind == "md" else nbformat.v4.new_code_cell
        notebook.cells.append(new(source, metadata=metadata, id=f"{prefix}-{index:03d}"))
    marks = [
        cell.metadata.nbgrader.grade_id for cell in notebook.cells if "nbgrader" in cell.metadata
    ]
    if twice := sorted({mark for mark in marks if marks.count(mark) > 1}):
        raise ValueError(f"two cells are called {', '.join(twice)}; answers and tests need names")
    return notebook


def to_text(notebook):
    """Return the plain text of a notebook, without outputs."""
    parts = []
    for cell in notebook.cells:
        if "setup" in cell.metadata.get("tags", []):
            parts.append("#%% setup\n")
            continue
        kind = "code" if cell.cell_type == "code" else "md"
        parts.append(f"#%% {kind}{format_options(cell.metadata)}\n{cell.source}\n")
    return "\n".join(parts)


def keep_outputs(notebook, earlier):
    """Copy the outputs of checked cells from an earlier notebook where the source is the same."""
    outputs = {cell.source: cell.outputs for cell in earlier.cells if is_checked(cell)}
    for cell in notebook.cells:
        if is_checked(cell):
            cell.outputs = outputs.get(cell.source, [])
            cell.execution_count = 1 if cell.outputs else None


def in_fixed_form(notebook):
    """Return a notebook's file, in one form, so that a difference in git is a difference in it."""
    nbformat.validate(notebook)
    text = json.dumps(
        json.loads(nbformat.writes(notebook)), indent=1, ensure_ascii=False, sort_keys=True
    )
    return text + "\n"


def write(notebook, path):
    """Write a notebook in its fixed form."""
    Path(path).write_text(in_fixed_form(notebook), encoding="utf-8")


def execute(notebook, folder, budget, timeout=1200):
    """Execute a notebook in place, in `folder`, and print each cell that took over a second."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    os.environ["GANVAE_BUDGET"] = budget
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    start = time.perf_counter()
    try:
        client.execute()
    except CellExecutionError as error:
        sys.exit(f"{error}\nfailed after {time.perf_counter() - start:.0f} s")
    finally:
        for index, cell in enumerate(notebook.cells, 1):
            seconds = cell_seconds(cell)
            if seconds > 1:
                first = next((line for line in cell.source.splitlines() if line.strip()), "")
                print(f"{seconds:7.1f} s  cell {index:3d}  {first[:70]}")
    print(f"{time.perf_counter() - start:7.1f} s  in all, at the {budget} budget")


def cell_seconds(cell):
    """Return how long a cell ran, from the times that nbclient recorded; 0 if it did not run."""
    times = cell.metadata.get("execution", {})
    if "shell.execute_reply" not in times or "iopub.status.busy" not in times:
        return 0.0
    begin, end = (
        datetime.fromisoformat(times[key].replace("Z", "+00:00"))
        for key in ("iopub.status.busy", "shell.execute_reply")
    )
    return (end - begin).total_seconds()


def is_checked(cell):
    """Whether a cell's output is stored and compared."""
    return cell.cell_type == "code" and CHECKED in cell.metadata.get("tags", [])


def count_as_first(cell):
    """Leave of a checked cell's outputs what is compared, and count the cell as the first one.

    nbval takes a cell without a count for one that never ran.
    """
    cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    for output in cell.outputs:
        if "execution_count" in output:
            output["execution_count"] = 1
    cell.execution_count = 1 if cell.outputs else None


def strip(notebook):
    """Take out, in place, all that running a notebook left in it, but for its checked outputs.

    nbstripout does it. It keeps an output where the cell says `keep_output`, so the checked cells
    say so for as long as it works; it drops every count, so theirs are put back.
    """
    from nbstripout import strip_output

    checked = [cell for cell in notebook.cells if is_checked(cell)]
    for cell in checked:
        cell.metadata["keep_output"] = True
    keys = [f"cell.metadata.{key}" for key in TRACES]
    strip_output(notebook, keep_output=False, keep_count=False, keep_id=True, extra_keys=keys)
    for cell in checked:
        del cell.metadata["keep_output"]
        count_as_first(cell)
    notebook.metadata = nbformat.from_dict(METADATA)


def strip_files(paths):
    """Strip notebooks where they lie; one that holds nothing to strip is not written."""
    for path in paths:
        before = path.read_text(encoding="utf-8")
        try:
            notebook = nbformat.reads(before, as_version=4)
        except ValueError as error:
            sys.exit(f"{path}: is no notebook that can be read: {str(error)[:200]}")
        strip(notebook)
        after = in_fixed_form(notebook)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path}: stripped")


def store_outputs(path, budget="smoke"):
    """Execute a notebook and store, in place, the outputs of its checked cells alone."""
    path = Path(path)
    notebook = nbformat.read(path, as_version=4)
    executed = nbformat.read(path, as_version=4)
    execute(executed, path.parent, budget)
    stored = 0
    for cell, ran in zip(notebook.cells, executed.cells, strict=True):
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.outputs = []
        if is_checked(cell):
            cell.outputs = ran.outputs
            count_as_first(cell)
            kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
            if any(kind.startswith("image/") for kind in kinds):
                raise ValueError(
                    f"{path.name}, cell {cell.id}: tagged {CHECKED} but shows a picture; "
                    "pictures are never compared: remove the tag"
                )
            if not cell.outputs:
                raise ValueError(f"{path.name}, cell {cell.id}: tagged {CHECKED}, shows nothing")
            stored += 1
    write(notebook, path)
    print(f"stored the outputs of {stored} cells in {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("to-ipynb", "to-text"):
        command = commands.add_parser(name)
        command.add_argument("source", type=Path)
        command.add_argument("target", type=Path)
    command = commands.add_parser("run")
    command.add_argument("notebook", type=Path)
    command.add_argument("--budget", default="smoke", choices=["smoke", "laptop", "gpu"])
    command.add_argument("--out", type=Path)
    for name in ("store-outputs", "strip"):
        command = commands.add_parser(name)
        command.add_argument("notebook", type=Path, nargs="+")
    options = parser.parse_args()

    if options.command == "to-ipynb":
        prefix = options.target.stem.split("_")[0]
        try:
            notebook = from_text(options.source.read_text(encoding="utf-8"), prefix)
        except ValueError as error:
            sys.exit(f"{options.source}: {error}")
        if options.target.exists():
            keep_outputs(notebook, nbformat.read(options.target, as_version=4))
        write(notebook, options.target)
        print(f"{options.target}: {len(notebook.cells)} cells")
    elif options.command == "to-text":
        text = to_text(nbformat.read(options.source, as_version=4))
        options.target.write_text(text, encoding="utf-8")
    elif options.command == "run":
        notebook = nbformat.read(options.notebook, as_version=4)
        if options.out:  # now, not after minutes
            options.out.parent.mkdir(parents=True, exist_ok=True)
        try:
            execute(notebook, options.notebook.resolve().parent, options.budget)
        finally:
            if options.out:
                nbformat.write(notebook, options.out)
    elif options.command == "strip":
        strip_files(options.notebook)
    else:
        for path in options.notebook:
            store_outputs(path)


if __name__ == "__main__":
    main()
