"""What the documents at the top say of the project is so: targets, files, lessons, versions."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import setup_cell

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "book/setup.md", "book/teaching.md"]
DOCUMENTS += [".github/PULL_REQUEST_TEMPLATE.md"]
MADE = {"_build", "book/_generated", "book/verification.md"}
FOLDERS = {".ci", ".github", "assignments", "benchmarks", "book", "ganvae_lessons", "notebooks"}
FOLDERS |= {"tests", "tools"}


def code(text):
    """The pieces of a page that are code: between backticks, and the lines of fenced blocks."""
    fenced = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.M | re.S)
    rest = re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.M | re.S)
    lines = [line.split(" # ")[0].strip() for block in fenced for line in block.splitlines()]
    return lines + [" ".join(piece.split()) for piece in re.findall(r"`([^`]+)`", rest)]


def targets():
    """{target: its line} as `make` alone lists them."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    listed = subprocess.check_output(["make", "help"], cwd=ROOT, env=clean, text=True)
    return dict(re.findall(r"^  make ([a-z-]+) +(.+)$", listed, re.M))


def test_make_lists_every_target():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (help .*)$", text, re.M)[1].split())
    defined = set(re.findall(r"^([a-z-]+):(?!=)", text, re.M))
    assert set(targets()) == phony == defined


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_targets_exist(document):
    named = set()
    for piece in code((ROOT / document).read_text(encoding="utf-8")):
        if piece.startswith(("make ", "sudo make ")):
            named |= {word for word in piece.split("make ", 1)[1].split()[:1] if "=" not in word}
    assert named - set(targets()) == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_files_exist(document):
    """Paths in this repository's folders, but for what is made and for examples of names."""
    missing = []
    for piece in code((ROOT / document).read_text(encoding="utf-8")):
        for word in re.findall(r"(?<![\w/.=-])\.?[\w-]+/[\w./-]+", piece):
            ours = word.split("/")[0] in FOLDERS
            made = any(word.startswith(name) for name in MADE)
            example = re.search(r"NN_|N\.md|NAME|16_name", word)
            if ours and not made and not example and not (ROOT / word).exists():
                missing.append(word)
    assert not missing


@pytest.mark.parametrize("document", ["README.md", "book/introduction.md"])
def test_every_lesson_is_named(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    assert [p.name for p in setup_cell.notebooks(ROOT) if f"notebooks/{p.name})" not in text] == []


def test_changelog_has_the_version():
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert f"v{newest[1]}" == setup_cell.TAG
