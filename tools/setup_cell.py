"""The first code cell of every lesson, and the repository's address: both stand here only.

`python tools/setup_cell.py` writes the cell into every notebook and the address into README.md,
_config.yml and pyproject.toml; `--check` changes nothing and says what differs;
`--address NEW` and `--tag NEW` change this file first, and then everything else.
"""

import argparse
import json
import re
import sys
from pathlib import Path

REPOSITORY = "https://github.com/ganvae-lessons/ganvae-lessons"
TAG = "v0.1.0"

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = """\
# Installs the course's package where it is missing, as in Colab; elsewhere it does nothing.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("ganvae_lessons") is None:
    package = "ganvae_lessons @ git+{repository}@{tag}"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", package], check=True)"""
TAGS = ["setup", "hide-input"]
FILES_WITH_ADDRESS = ["README.md", "_config.yml", "pyproject.toml", "CITATION.cff"]


def source(repository=REPOSITORY, tag=TAG):
    """Return the source of the set-up cell."""
    return TEMPLATE.format(repository=repository, tag=tag)


def notebooks(root=ROOT):
    """Return the lessons' paths in reading order."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def assignments(root=ROOT):
    """Return the paths of the assignments' sources, in order."""
    return sorted((root / "assignments/source").glob("*/*.ipynb"))


def find_cell(notebook):
    """Return the first code cell of a notebook (a dictionary), or None."""
    return next((cell for cell in notebook["cells"] if cell["cell_type"] == "code"), None)


def cell_problem(notebook, repository=REPOSITORY, tag=TAG):
    """Return what is wrong with a notebook's set-up cell in one line, or None."""
    cell = find_cell(notebook)
    if cell is None:
        return "has no code cell; the first one must be the set-up cell"
    if "setup" not in cell["metadata"].get("tags", []):
        return "its first code cell is not tagged 'setup'; add one with '#%% setup'"
    if cell["metadata"]["tags"] != TAGS:
        return f"its set-up cell's tags are {cell['metadata']['tags']}, expected {TAGS}"
    if "".join(cell["source"]) != source(repository, tag):
        return "its set-up cell differs from the template; run 'make setup-cells'"
    return None


def write_cell(path, repository, tag):
    """Put the template into a notebook that has a cell tagged 'setup'; True if it changed."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    if cell_problem(notebook, repository, tag) is None:
        return False
    cell = find_cell(notebook)
    if cell is None or "setup" not in cell["metadata"].get("tags", []):
        cell = {"cell_type": "code", "execution_count": None, "id": "setup", "outputs": []}
        cells = notebook["cells"]
        place = next((i for i, c in enumerate(cells) if c["cell_type"] == "code"), len(cells))
        cells.insert(place, cell)
    cell["metadata"] = {"tags": TAGS}
    cell["source"] = source(repository, tag).splitlines(keepends=True)
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8")
    return True


def other_addresses(text, expected):
    """Return the repositories "owner/name" in a text that stand where this course's should.

    That is any repository in an address of Colab, and any of GitHub that has this course's name.
    """
    name = r"([\w.-]+/[\w.-]+?)(?=\.git\b|[/\s\"'<>)#@?]|$)"
    found = set(re.findall(rf"https://colab\.research\.google\.com/github/{name}", text))
    for other in re.findall(rf"https://github\.com/{name}", text):
        if other.split("/")[1] in ("ganvae-lessons", expected.split("/")[1]):
            found.add(other)
    return sorted(found - {expected})


def owner_and_name(address):
    """Return "owner/name" of a GitHub address."""
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?", address)
    if match is None:
        raise ValueError(f"address must look like https://github.com/OWNER/NAME, got {address!r}")
    return match[1]


def check(root=ROOT, repository=REPOSITORY, tag=TAG):
    """Return one line for each notebook or file that disagrees with this file."""
    problems = []
    for path in notebooks(root) + assignments(root):
        problem = cell_problem(json.loads(path.read_text(encoding="utf-8")), repository, tag)
        if problem:
            problems.append(f"{path.relative_to(root)}: {problem}")
    expected = owner_and_name(repository)
    for name in FILES_WITH_ADDRESS:
        if (root / name).exists():
            for other in other_addresses((root / name).read_text(encoding="utf-8"), expected):
                problems.append(
                    f"{name}: names the repository {other}, expected {expected}; "
                    "run 'make setup-cells'"
                )
    return problems


def write(root=ROOT, repository=REPOSITORY, tag=TAG, previous=None):
    """Write the cell and the address everywhere; return the names of the changed files."""
    changed = [
        path.name
        for path in notebooks(root) + assignments(root)
        if write_cell(path, repository, tag)
    ]
    old, new = owner_and_name(previous or REPOSITORY), owner_and_name(repository)
    for name in FILES_WITH_ADDRESS:
        path = root / name
        if old != new and path.exists():
            text = path.read_text(encoding="utf-8")
            pattern = (
                rf"(https://(?:colab\.research\.google\.com/)?github(?:\.com)?/){old}(?![\w-])"
            )
            replaced = re.sub(pattern, rf"\g<1>{new}", text)
            if replaced != text:
                path.write_text(replaced, encoding="utf-8")
                changed.append(name)
    return changed


def change_this_file(repository, tag, path=Path(__file__)):
    """Replace the two constants at the top of this file."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'^REPOSITORY = ".*"$', f'REPOSITORY = "{repository}"', text, flags=re.M)
    text = re.sub(r'^TAG = ".*"$', f'TAG = "{tag}"', text, flags=re.M)
    path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, report differences")
    parser.add_argument("--address", default=REPOSITORY, help="the repository's new address")
    parser.add_argument("--tag", default=TAG, help="the tag that Colab installs")
    options = parser.parse_args()
    if options.check:
        problems = check()
        print("\n".join(problems) or "set-up cells and addresses agree")
        sys.exit(1 if problems else 0)
    owner_and_name(options.address)
    if (options.address, options.tag) != (REPOSITORY, TAG):
        change_this_file(options.address, options.tag)
    changed = write(repository=options.address, tag=options.tag, previous=REPOSITORY)
    print("changed: " + (", ".join(changed) or "nothing"))


if __name__ == "__main__":
    main()
