"""The first code cell of every lesson, the repository's address and the tag: they stand here only.

All else follows: a lesson opened in Colab comes from the same tag as the package that its set-up
cell installs, so the two always fit. `python tools/setup_cell.py` writes the cell into every
notebook, and the address, the tag and the version into every file of the repository;
`--check` changes nothing and says what differs; `--address NEW` and `--tag NEW` change this file
first, and then everything else.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = "https://github.com/ganvae-lessons/ganvae-lessons"
TAG = "v0.1.0"

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENT = "ganvae_lessons @ git+{repository}@{tag}"
TEMPLATE = """\
# Installs the course's package where it is missing, as in Colab; elsewhere it does nothing.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("ganvae_lessons") is None:
    package = "{requirement}"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", package], check=True)"""
TAGS = ["setup", "hide-input"]

NAMES = {"ganvae-lessons", "ganvae_lessons"}  # a repository of such a name is this course's
END = r"(?=\.git\b|[.,;:]?(?:[^\w.-]|$))"  # of a name: no full stop after it belongs to it
COLAB = r"colab\.research\.google\.com/github"
HOSTS = rf"{COLAB}|nbviewer\.org/github|api\.github\.com/repos|github\.com|githubusercontent\.com"
# In each pattern the first group stays and the second is the value that has to agree.
ADDRESS = rf"((?:{HOSTS})[/:])([\w.-]+/[\w.-]+?){END}"
PAGES = rf"(https://)([\w-]+\.github\.io/[\w.-]+?){END}"
COLAB_REF = rf"({COLAB}/[\w.-]+/[\w.-]+/(?:blob|tree)/)([^/\s\"'<>)]+)"
INSTALLED_REF = rf"(git\+https://github\.com/[\w.-]+/[\w.-]+?@)([\w.-]+?){END}"
BOOK_BRANCH = r"(?m)(^\s*(?:repository_)?branch:\s*[\"']?)([^\s\"'#]+)"
VERSION = {
    "pyproject.toml": r"(?m)(^version\s*=\s*[\"'])([^\"']+)",
    "ganvae_lessons/__init__.py": r"(?m)(^__version__\s*=\s*[\"'])([^\"']+)",
    "CITATION.cff": r"(?m)(^version:\s*[\"']?)([^\s\"'#]+)",
}


def source(repository=REPOSITORY, tag=TAG):
    """Return the source of the set-up cell."""
    requirement = REQUIREMENT.format(repository=repository, tag=tag)
    return TEMPLATE.format(requirement=requirement)


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


def owner_and_name(address):
    """Return "owner/name" of a GitHub address."""
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?", address)
    if match is None:
        raise ValueError(f"address must look like https://github.com/OWNER/NAME, got {address!r}")
    return match[1]


def version(tag):
    """Return the package's version that a tag stands for."""
    if not re.fullmatch(r"v\d+(\.\d+)*((a|b|rc)\d+)?", tag):
        raise ValueError(f"tag must be 'v' and a version, such as v0.1.0, got {tag!r}")
    return tag[1:]


def text_files(root=ROOT):
    """Return {name: text} of the files that git tracks or would, else of all but what is made."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (root / ".git").exists():
        listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
        names = listed.decode().split("\0")
    else:
        paths = [path.relative_to(root) for path in root.rglob("*")]
        made = re.compile(r"_build|build|dist|__pycache__|\.git|\.venv.*")
        names = [p.as_posix() for p in paths if not any(map(made.fullmatch, p.parts))]
    texts = {}
    for name in sorted(set(names)):
        if (root / name).is_file():
            data = (root / name).read_bytes()
            if b"\0" not in data:
                texts[name] = data.decode("utf-8", errors="surrogateescape")
    return texts


def corrected(name, text, repository=REPOSITORY, tag=TAG, names=NAMES):
    """Return the text of the file `name` as it should be, and a line for each place that was not.

    An address is this course's if it is one of Colab, or its repository has one of the names.
    """
    owner, title = owner_and_name(repository).split("/")
    names = {*NAMES, *names, title}
    problems = []

    def agree(what, pattern, value, applies=lambda match: True):
        def put(match):
            if match[2] == value or not applies(match):
                return match[0]
            line = text.count("\n", 0, match.start(2)) + 1
            problems.append(
                f"{name}, line {line}: {what} {match[2]}, expected {value}; run 'make setup-cells'"
            )
            return match[1] + value

        return re.sub(pattern, put, text)

    def of_course(match):
        return match[1].startswith("colab") or match[2].split("/")[1] in names

    text = agree("names the repository", ADDRESS, f"{owner}/{title}", of_course)
    text = agree("names the pages", PAGES, f"{owner.lower()}.github.io/{title}", of_course)
    text = agree("opens in Colab the lesson at", COLAB_REF, tag)
    text = agree("installs", INSTALLED_REF, tag, lambda match: f"/{owner}/{title}" in match[1])
    if name == "_config.yml":
        text = agree("has the book's Colab buttons open the branch", BOOK_BRANCH, tag)
    if name in VERSION:
        text = agree("has the version", VERSION[name], version(tag))
    return text, problems


def check(root=ROOT, repository=REPOSITORY, tag=TAG):
    """Return one line for each place that disagrees with this file."""
    problems = []
    for path in notebooks(root) + assignments(root):
        problem = cell_problem(json.loads(path.read_text(encoding="utf-8")), repository, tag)
        if problem:
            problems.append(f"{path.relative_to(root).as_posix()}: {problem}")
    said = {line.split(": ")[0] for line in problems}
    for name, text in text_files(root).items():
        if name not in said:
            problems += corrected(name, text, repository, tag)[1]
    return problems


def write(root=ROOT, repository=REPOSITORY, tag=TAG, previous=REPOSITORY):
    """Write the cell, the address, the tag and the version; return the changed files' names.

    `previous` is the address until now: links to a repository of its name are rewritten too.
    """
    changed = {
        path.relative_to(root).as_posix()
        for path in notebooks(root) + assignments(root)
        if write_cell(path, repository, tag)
    }
    names = {owner_and_name(previous).split("/")[1]}
    for name, text in text_files(root).items():
        new, problems = corrected(name, text, repository, tag, names)
        if problems:
            (root / name).write_bytes(new.encode("utf-8", errors="surrogateescape"))
            changed.add(name)
    return sorted(changed)


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
    owner_and_name(options.address), version(options.tag)  # raise before anything is written
    if (options.address, options.tag) != (REPOSITORY, TAG):
        change_this_file(options.address, options.tag)
    changed = write(repository=options.address, tag=options.tag, previous=REPOSITORY)
    print("changed: " + (", ".join(changed) or "nothing"))


if __name__ == "__main__":
    main()
