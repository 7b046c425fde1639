"""The repository's address and the tag: what tools/setup_cell.py finds, and what it rewrites.

Addresses are put together here, so that this file names none that a change would have to reach.
"""

import json
import subprocess
from pathlib import Path

import notebook as notebook_tool
import pytest
import setup_cell

ROOT = Path(__file__).resolve().parent.parent
OLD, NEW = setup_cell.REPOSITORY, "https://github.com/me/course"
OLD_NAME = setup_cell.owner_and_name(OLD)
TAG = setup_cell.TAG
COLAB = "https://colab.research.google.com/github/"
LESSON = "#%% md\n# Title\n\n#%% setup\n\n#%% code\n1 + 1\n"
CONFIG = """\
repository:
  url: {address}
  branch: {tag}
sphinx:
  html_theme_options:
    repository_branch: "{tag}"  # Colab's buttons
    repository_url: {address}
"""


def project(folder, address=OLD, tag=TAG):
    """Write a small project in which everything agrees."""
    name = setup_cell.owner_and_name(address)
    version = setup_cell.version(tag)
    files = {
        "README.md": f"[a]({COLAB}{name}/blob/{tag}/notebooks/07_x.ipynb), {address}.\n"
        f"`pip install git+{address}@{tag}`; https://github.com/keras-team/keras\n",
        "book/part.md": f"git clone {address}.git\ngit clone git@github.com:{name}.git\n",
        ".github/ISSUE_TEMPLATE/bug.yml": f"url: {address}/issues\n",
        "_config.yml": CONFIG.format(address=address, tag=tag),
        "pyproject.toml": f'[project]\nname = "x"\nversion = "{version}"\n',
        "CITATION.cff": f"cff-version: 1.2.0\nversion: {version}\nrepository-code: '{address}'\n",
        "ganvae_lessons/__init__.py": f'__version__ = "{version}"\n',
    }
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    (folder / "notebooks").mkdir()
    notebook = notebook_tool.from_text(LESSON, "07")
    setup = setup_cell.find_cell(notebook)
    setup["source"] = setup_cell.source(address, tag)
    notebook_tool.write(notebook, folder / "notebooks/07_x.ipynb")
    return {*files, "notebooks/07_x.ipynb"}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def test_everything_agrees():
    assert setup_cell.check(ROOT) == []


def test_a_change_of_address_reaches_every_file_that_names_it():
    files = {n: text for n, text in setup_cell.text_files(ROOT).items() if OLD_NAME in text}
    assert {"README.md", "_config.yml", "book/setup.md", "LICENSE-text.md"} <= set(files)
    assert {f"notebooks/{path.name}" for path in setup_cell.notebooks(ROOT)} <= set(files)
    for name, text in files.items():
        new, _ = setup_cell.corrected(name, text, NEW, "v9.8.7")
        assert OLD_NAME not in new, f"{name} names {OLD_NAME} in a form that would stay"


@pytest.mark.parametrize("with_git", [True, False])
def test_changing_the_address_and_the_tag_changes_them_everywhere(tmp_path, with_git):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    files = project(tmp_path / "a")
    project(tmp_path / "b", NEW, "v9.8.7rc1")
    if with_git:
        subprocess.run(["git", "init", "-q"], cwd=tmp_path / "a", check=True)
    assert setup_cell.check(tmp_path / "a") == []
    said = setup_cell.check(tmp_path / "a", NEW, "v9.8.7rc1")
    assert {line.split(":")[0].split(",")[0] for line in said} == files
    assert set(setup_cell.write(tmp_path / "a", NEW, "v9.8.7rc1", previous=OLD)) == files
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert setup_cell.check(tmp_path / "a", NEW, "v9.8.7rc1") == []
    assert setup_cell.write(tmp_path / "a", NEW, "v9.8.7rc1", previous=NEW) == []
    # and to a third name, which says nothing of this course
    third = "https://github.com/me/lectures"
    assert set(setup_cell.write(tmp_path / "a", third, TAG, previous=NEW)) == files
    assert b"me/course" not in b"".join(contents(tmp_path / "a").values())


def test_files_that_git_ignores_are_left_alone(tmp_path):
    text = f"{COLAB}somebody/else/blob/main/x.ipynb"
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("/made/\n")
    for name in ("made/a.md", "new.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "picture.png").write_bytes(b"\0" + text.encode())
    assert [line.split(",")[0] for line in setup_cell.check(tmp_path)] == ["new.md", "new.md"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.md", f"{COLAB}other/fork/blob/{TAG}/x", "repository other/fork, expected"),
        ("a.md", f"{COLAB}{OLD_NAME}/blob/main/x", "in Colab the lesson at main, expected"),
        ("a.md", "\n\nhttps://github.com/other/" + "ganvae-lessons.", "a.md, line 3: names the"),
        ("a.md", "git@github.com:other/" + "ganvae_lessons.git", "other/ganvae_lessons, expected"),
        ("a.md", "https://other.github.io/" + "ganvae-lessons/", "pages other.github.io/ganvae"),
        ("a.md", "https://raw.githubusercontent.com/o/" + "ganvae-lessons/main/x", "names the"),
        ("a.md", f"pip install git+{OLD}@v0.0.1", "installs v0.0.1, expected"),
        ("_config.yml", "  branch: main", "open the branch main, expected"),
        ("_config.yml", "   repository_branch: 'main'", "open the branch main, expected"),
        ("pyproject.toml", "[project]\nversion = '0.0.9'", "has the version 0.0.9, expected"),
        ("CITATION.cff", "cff-version: 1.2.0\nversion: 0.0.9", "line 2: has the version 0.0.9"),
        ("ganvae_lessons/__init__.py", '__version__ = "0.0.9"', "has the version 0.0.9"),
    ],
)
def test_what_disagrees_is_said_and_corrected(name, text, message):
    new, problems = setup_cell.corrected(name, text)
    assert len(problems) == 1
    assert message in problems[0]
    assert problems[0].endswith("run 'make setup-cells'")
    assert setup_cell.corrected(name, new) == (new, [])


@pytest.mark.parametrize(
    "text",
    [
        f"{OLD}",
        f"<{OLD}>, and {OLD}.git",
        f"{OLD}/blob/main/README.md",  # on GitHub itself, the newest text is meant
        f"{COLAB}{OLD_NAME}/blob/{TAG}/x",
        "https://github.com/keras-team/keras https://github.com/ganvae-lessons/other",
        "https://keras-team.github.io/keras",
        "branch: main and version = '3'",
        f"{COLAB}{{owner}}/{{name}}/blob/",
    ],
)
def test_what_is_left_alone(text):
    assert setup_cell.corrected("a.md", text) == (text, [])


@pytest.mark.parametrize(
    ("address", "tag", "message"),
    [
        ("https://github.com/me", TAG, "address must look like"),
        ("git@github.com:me/course", TAG, "address must look like"),
        (NEW, "main", "tag must be 'v' and a version, such as v0.1.0, got 'main'"),
        (NEW, "0.2.0", "tag must be 'v' and a version"),
    ],
)
def test_wrong_addresses_and_tags_are_refused(address, tag, message):
    with pytest.raises(ValueError, match=message):
        setup_cell.corrected("pyproject.toml", "version = '1'", address, tag)


def test_this_file_is_changed_first(tmp_path):
    copy = tmp_path / "setup_cell.py"
    copy.write_text((ROOT / "tools/setup_cell.py").read_text(encoding="utf-8"), encoding="utf-8")
    setup_cell.change_this_file(NEW, "v2", copy)
    text = copy.read_text(encoding="utf-8")
    assert f'REPOSITORY = "{NEW}"\nTAG = "v2"\n' in text
    assert OLD not in text


def test_a_set_up_cell_in_another_place_is_reported(tmp_path):
    project(tmp_path)
    path = tmp_path / "notebooks/07_x.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["cells"].insert(0, notebook["cells"].pop())
    path.write_text(json.dumps(notebook), encoding="utf-8")
    (line,) = setup_cell.check(tmp_path)
    assert line.startswith("notebooks/07_x.ipynb: its first code cell is not tagged 'setup'")
