"""What git runs at a commit, on copies: `.pre-commit-config.yaml`, each hook alone, then all.

The hooks' programs are found in .venv; here .venv/bin/python is the Python that runs the tests.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import setup_cell
import yaml

ROOT = Path(__file__).resolve().parent.parent
CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = {hook["id"]: hook for repo in CONFIG["repos"] for hook in repo["hooks"]}
COPIED = [
    *("pyproject.toml", "Makefile", ".gitignore", ".pre-commit-config.yaml", "README.md"),
    *("_config.yml", "CITATION.cff", ".github", "tools"),
    "ganvae_lessons/__init__.py",  # by its folder ruff knows that imports of it are our own
    *("notebooks/03_elbo.ipynb", "assignments/source/a1_minimax/a1_minimax.ipynb"),
]
CHECKED = "nbval-check-output"
LESSON = "notebooks/03_elbo.ipynb"  # has checked cells
ASSIGNMENT = "assignments/source/a1_minimax/a1_minimax.ipynb"  # has nbgrader's metadata
FORMS = [
    *(".github/workflows/tests.yml", ".github/ISSUE_TEMPLATE/1-mistake.yml"),
    *(".github/ISSUE_TEMPLATE/config.yml", "CITATION.cff"),
]


@pytest.fixture
def project(tmp_path):
    """A folder with what the hooks work on, and an environment that is this one."""
    for name in COPIED:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "as it is")
    return tmp_path


def environment(folder):
    """An environment in which git and make know of no project but that one."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "MAKE", "PRE_COMMIT")) and name not in ("VENV", "VERSIONS")
    }
    roles, words = ("AUTHOR", "COMMITTER"), ("NAME", "EMAIL")
    person = {f"GIT_{role}_{word}": "nobody" for role in roles for word in words}
    nothing = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return {**kept, **person, **nothing, "PRE_COMMIT_HOME": str(folder / ".git/hooks-home")}


def git(folder, *words):
    return run(folder, "git", *words, check=True)


def run(folder, *command, check=False):
    result = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def hook(name, folder, *files):
    """Run a hook's command on files as pre-commit does: from the top, the names at the end."""
    return run(folder, *shlex.split(HOOKS[name]["entry"]), *files)


def executed(path):
    """Make a notebook what a person's editor saves after a run, and return its text from before."""
    before = path.read_text(encoding="utf-8")
    notebook = json.loads(before)
    notebook["metadata"]["language_info"].update(version="3.12.1", file_extension=".py")
    notebook["metadata"]["widgets"] = {"state": {}}
    picture = {"output_type": "display_data", "data": {"image/png": "AAAA"}, "metadata": {}}
    answer = {"output_type": "execute_result", "data": {"text/plain": "1"}, "metadata": {}}
    warning = {"output_type": "stream", "name": "stderr", "text": ["a warning\n"]}
    for number, cell in enumerate(notebook["cells"], 1):
        cell["metadata"]["collapsed"] = False
        if cell["cell_type"] != "code":
            continue
        cell["metadata"]["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
        cell["execution_count"] = number
        if CHECKED in cell["metadata"].get("tags", []):
            cell["outputs"].append(warning)
        else:
            cell["outputs"] = [warning, picture, {**answer, "execution_count": number}]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return before


def test_hooks_need_no_network():
    """Each is a command of the project's own; pre-commit fetches nothing and builds nothing."""
    assert [repo["repo"] for repo in CONFIG["repos"]] == ["local"]
    assert {hook["language"] for hook in HOOKS.values()} == {"system"}


@pytest.mark.parametrize("name", [LESSON, ASSIGNMENT])
def test_executed_notebook_is_what_it_was(name, project):
    """Outputs go but for the checked cells'; those keep count 1; ids and metadata stay."""
    before = executed(project / name)
    assert hook("strip", project, name).stdout == f"{name}: stripped\n"
    assert (project / name).read_text(encoding="utf-8") == before
    assert (f'"{CHECKED}"' in before) == (name == LESSON)
    assert hook("strip", project, name).stdout == ""


def test_checked_result_keeps_its_count(project):
    """An `Out[7]` of a checked cell is stored as the first, as store-outputs does."""
    notebook = json.loads((project / LESSON).read_text(encoding="utf-8"))
    cell = next(
        c for c in notebook["cells"] if "nbval-check-output" in c["metadata"].get("tags", [])
    )
    answer = {"output_type": "execute_result", "data": {"text/plain": "7"}, "metadata": {}}
    cell["outputs"] = [{**answer, "execution_count": 7}]
    (project / LESSON).write_text(json.dumps(notebook), encoding="utf-8")
    hook("strip", project, LESSON)
    after = json.loads((project / LESSON).read_text(encoding="utf-8"))
    (cell,) = (c for c in after["cells"] if c["id"] == cell["id"])
    assert cell["execution_count"] == cell["outputs"][0]["execution_count"] == 1


def test_broken_notebook_is_named(project):
    (project / LESSON).write_text("{")
    result = hook("strip", project, LESSON)
    assert result.returncode == 1
    assert result.stderr.startswith(f"{LESSON}: is no notebook that can be read")


def test_bad_style_is_mended_or_refused(project):
    script = project / "tools/new.py"
    script.write_text("import sys\nimport os\nprint( os.sep,sys.path )\n")
    assert hook("ruff-check", project, "tools/new.py").returncode == 0
    assert hook("ruff-format", project, "tools/new.py").returncode == 0
    assert script.read_text() == "import os\nimport sys\n\nprint(os.sep, sys.path)\n"
    script.write_text("print(undefined)\n")
    assert hook("ruff-check", project, "tools/new.py").returncode == 1


def test_bad_style_in_a_notebook_is_mended(project):
    path = project / LESSON
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace("import numpy as np\\n", "import numpy  as   np\\n", 1))
    assert path.read_text(encoding="utf-8") != before
    for name in ("ruff-check", "ruff-format", "strip"):
        assert hook(name, project, LESSON).returncode == 0
    assert path.read_text(encoding="utf-8") == before


def test_changed_set_up_cell_is_refused(project):
    assert hook("setup-cell", project).returncode == 0
    path = project / LESSON
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(f"@{setup_cell.TAG}", "@main", 1), encoding="utf-8")
    result = hook("setup-cell", project)
    assert result.returncode == 1
    assert f"{LESSON}: its set-up cell differs from the template" in result.stdout


def test_wrong_form_is_refused(project):
    """Each file has its schema, and one error is enough. (`make lint` passes the right ones.)"""
    for name in FORMS:
        assert re.search(HOOKS["forms"]["files"], name)
        with (project / name).open("a") as file:
            file.write("nonsense: 1\n")
    assert hook("forms", project).returncode != 0
    every = hook("forms", project, "--ignore-errors").stdout
    for name in FORMS:
        assert f"{name}::" in every


def test_commit(project):
    """As after `make hooks`: git refuses a bad commit and mends it; the second try succeeds."""
    run(project, sys.executable, "-m", "pre_commit", "install", check=True)
    before = executed(project / LESSON)
    (project / "tools/new.py").write_text("x  =  1\n")
    git(project, "add", "--all")
    refused = run(project, "git", "commit", "--message", "bad")
    assert refused.returncode == 1
    assert refused.stderr.count("files were modified by this hook") == 2, refused.stderr
    assert (project / LESSON).read_text(encoding="utf-8") == before
    assert (project / "tools/new.py").read_text() == "x = 1\n"
    git(project, "add", "--all")
    git(project, "commit", "--message", "good")
    assert "tools/new.py" in git(project, "show", "--stat").stdout
    assert LESSON not in git(project, "show", "--stat").stdout


def test_the_tree_is_as_the_hooks_want_it():
    """No notebook holds anything to strip; what the other hooks see, `make lint` sees too."""
    notebooks = setup_cell.notebooks(ROOT) + setup_cell.assignments(ROOT)
    before = {path: path.read_bytes() for path in notebooks}
    command = shlex.split(HOOKS["strip"]["entry"])[1:]
    copies = run(ROOT, sys.executable, *command, *map(str, notebooks), check=True)
    assert copies.stdout == ""
    assert before == {path: path.read_bytes() for path in notebooks}
