"""How lessons are tried as in Colab: whose turn it is, what may be installed, from where.

`make colab-test` runs the lessons themselves; here only the package is installed, as they do it.
"""

import datetime
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import colab_test
import pytest
import setup_cell
import versions

ROOT = Path(__file__).resolve().parent.parent
PARTS = colab_test.parts(ROOT)
LESSONS = [path.stem for path in setup_cell.notebooks(ROOT)]


def test_every_lesson_belongs_to_one_part():
    assert sorted(lesson for part in PARTS for lesson in part) == LESSONS
    assert all(PARTS)


def test_each_week_has_one_lesson_of_each_part_and_every_lesson_its_turn():
    today = datetime.date(2026, 12, 1)
    seen = set()
    for weeks in range(max(map(len, PARTS))):
        week = colab_test.week_number(today + datetime.timedelta(weeks=weeks))
        chosen = colab_test.choose([], PARTS, week)
        assert [lesson in part for lesson, part in zip(chosen, PARTS, strict=True)] == [True] * len(
            PARTS
        )
        seen |= set(chosen)
    assert seen == set(LESSONS)


def test_weeks_are_those_of_the_calendar_and_go_on_at_new_year():
    days = [datetime.date(2026, 1, 1) + datetime.timedelta(days=n) for n in range(800)]
    for one, other in itertools.pairwise(days):
        step = colab_test.week_number(other) - colab_test.week_number(one)
        assert step == (one.isocalendar()[:2] != other.isocalendar()[:2])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["all"], LESSONS),
        (["02"], ["02_minimax"]),
        (["05", "notebooks/02_minimax.ipynb"], ["05_dcgan", "02_minimax"]),
    ],
)
def test_lessons_are_chosen_by_name(names, expected):
    assert colab_test.choose(names, PARTS, 0) == expected


@pytest.mark.parametrize("name", ["2", "99", "minimax", ""])
def test_an_unknown_lesson_is_refused(name):
    with pytest.raises(colab_test.Problem, match=r"no lesson is named .*01_distributions"):
        colab_test.choose([name], PARTS, 0)


def test_what_an_installation_changed_is_listed():
    before = {"numpy": "2.1.3", "keras": "3.13.2", "scipy": "1.16.3"}
    assert colab_test.differences(before, dict(before)) == []
    after = {"numpy": "2.1.3", "keras": "3.15.1", "ganvae_lessons": "0.1.0"}
    assert colab_test.differences(before, after) == [
        "ganvae_lessons 0.1.0 is new",
        "keras was 3.13.2 and is 3.15.1",
        "scipy 1.16.3 is gone",
    ]


def test_what_is_not_colabs_version_is_listed(monkeypatch):
    colab = {name: version for name, version in versions.COLAB.items() if name != "python"}
    monkeypatch.setattr("platform.python_version", lambda: versions.COLAB["python"] + ".7")
    assert colab_test.version_differences({**colab, "other": "1"}) == []
    del colab["scipy"]
    said = colab_test.version_differences({**colab, "keras": "3.15.1"})
    assert [line.split(",")[0] for line in said] == ["keras is 3.15.1", "scipy is missing"]


def test_the_set_up_cell_installs_the_working_tree_from_its_address_at_its_tag(tmp_path):
    """git takes the address from a throw-away repository; pip must not notice."""
    commit = colab_test.make_repository(tmp_path / "repository", ROOT)
    environment = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "a.b", "GIT_CONFIG_VALUE_0": "c"}
    environment = colab_test.redirected(
        {**os.environ, **environment, "GIT_DIR": "/nowhere"},
        setup_cell.REPOSITORY,
        tmp_path / "repository",
    )
    assert environment["GIT_CONFIG_COUNT"] == "2", "what others told git stays"
    assert environment["GIT_CONFIG_KEY_0"] == "a.b" and "GIT_DIR" not in environment
    cell = setup_cell.find_cell(json.loads(setup_cell.notebooks(ROOT)[0].read_text("utf-8")))
    (requirement,) = re.findall(r'package = "(.*)"', "".join(cell["source"]))
    site = tmp_path / "site"
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site)]
    command = [sys.executable, "-m", "pip", *install, requirement]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (text,) = [path.read_text("utf-8") for path in site.glob("*.dist-info/direct_url.json")]
    expected = (setup_cell.REPOSITORY, setup_cell.TAG, commit)
    assert colab_test.record_problem(json.loads(text), *expected) is None
    for wrong in [("https://github.com/a/b", *expected[1:]), (*expected[:2], "0" * 40)]:
        assert "pip recorded" in colab_test.record_problem(json.loads(text), *wrong)
    for path in (ROOT / "ganvae_lessons").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = site / path.relative_to(ROOT)
            assert copy.read_bytes() == path.read_bytes(), f"{path.name} differs"

    # where the package is there, the set-up cell starts nothing
    environment["PYTHONPATH"] = str(site)
    source = "".join(cell["source"])
    assert colab_test.second_run_problem(source, environment, tmp_path) is None
    forgetful = source.replace("is None", "is not None")
    said = colab_test.second_run_problem(forgetful, environment, tmp_path)
    assert said.startswith("run a second time, the set-up cell should do nothing, but it runs")
    assert requirement in said


def test_lowest_versions_are_the_lower_bounds_of_the_packages_own_needs(tmp_path):
    assert [line.split("==")[0] for line in versions.lowest(ROOT)] == [
        "tensorflow",
        "keras",
        "numpy",
        "matplotlib",
        "pillow",
    ]
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\ndependencies = ["a>=1.2", "b_c[d] >= 3,<4", "e<2,>=1.0.1; extra == 0"]\n'
        '[project.optional-dependencies]\ntest = ["pytest>=8"]\n'
    )
    assert versions.lowest(tmp_path) == ["a==1.2", "b_c==3", "e==1.0.1"]
    project.write_text('[project]\ndependencies = ["a>=1", "b<3; python_version>=\'3.11\'"]\n')
    with pytest.raises(ValueError, match=r"the need .b<3.* has no lower bound, expected"):
        versions.lowest(tmp_path)


def test_colabs_versions_satisfy_what_the_package_needs():
    """Otherwise the set-up cell would replace Colab's own TensorFlow."""
    numbers = {name: [int(n) for n in v.split(".")] for name, v in versions.COLAB.items()}
    for line in versions.lowest(ROOT):
        name, bound = line.split("==")
        if name in numbers:
            assert numbers[name] >= [int(n) for n in bound.split(".")], f"Colab has not {line}"


@pytest.mark.parametrize("name", versions.SETS)
def test_a_set_of_versions_is_printed_as_constraints(name, tmp_path):
    """By a Python without any package: the environments are made with it."""
    command = [sys.executable, "-S", "-I", str(ROOT / "tools/versions.py"), name]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = printed.stdout.splitlines()
    assert lines == versions.lines(name)
    assert all(re.match(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert (lines == []) == (name == "newest")
    assert not any(line.startswith("python==") for line in lines)


def make(*arguments):
    """What make would do, without doing it, and not as a part of the make that runs the tests."""
    outer = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "VERSIONS", "PYTHON", "LESSONS")
    return subprocess.run(
        ["make", "--dry-run", "--always-make", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in outer},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", versions.SETS)
def test_each_set_of_versions_has_its_environment_and_its_constraints(name):
    printed = make("setup", "assignments", f"VERSIONS={name}").stdout
    folder = ".venv" if name == "pinned" else f".venv-{name}"
    constraints = "constraints.txt" if name == "pinned" else f"{folder}/constraints.txt"
    installs = [line for line in printed.splitlines() if "-m pip install" in line]
    assert len(installs) == 2
    for line in installs:
        assert line.startswith(f"{folder}/bin/python -m pip install")
        assert f"--constraint {constraints} " in line
    written = f"{folder}/bin/python tools/versions.py {name} > {constraints}"
    assert (written in printed) == (name != "pinned")
    tried = re.findall(r"for python in (.*?); do", printed)
    assert tried == ["python3.13" if name == "colab" else "python3.11 python3"]


def test_an_unknown_set_of_versions_is_refused():
    result = make("setup", "VERSIONS=oldest")
    assert result.returncode != 0
    assert "VERSIONS is 'oldest', expected pinned, lowest, newest or colab" in result.stderr


def test_colabs_runtime_gets_its_versions_and_not_the_package():
    printed = make("colab-test", "LESSONS=02 05", "PYTHON=python9").stdout
    assert ".venv-colab-runtime/bin/python tools/colab_test.py 02 05" in printed
    (install,) = re.findall(r"-m pip install (.*)", printed.replace("\\\n", " "))
    assert "--requirement .venv-colab-runtime/constraints.txt" in install
    assert "editable" not in install and "ganvae" not in install
    assert re.findall(r"for python in (.*?); do", printed) == ["python9"]
