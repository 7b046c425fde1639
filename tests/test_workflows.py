"""The workflow files, where linters do not look: what they call, whom they trust, what they keep.

`make lint` checks their form with check-jsonschema, zizmor and shellcheck.
"""

import os
import re
import tomllib
from pathlib import Path

import build_book
import lint_shell
import pick_lessons
import pytest
import setup_cell
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
PATHS = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in PATHS}
JOBS = {
    (name, job): settings
    for name, workflow in WORKFLOWS.items()
    for job, settings in workflow["jobs"].items()
}


def triggers(name):
    return WORKFLOWS[name][True]  # YAML reads the key `on` as true


def one_line(text):
    return " ".join(text.split())


def scripts():
    """Yield (where, script) for .ci/run and each step that runs something, without comments."""
    yield ".ci/run", (ROOT / ".ci/run").read_text()
    for path in PATHS:
        yield from lint_shell.steps(path)


def make_calls():
    """Yield (where, target or None, variable or None) for each word of a call of make."""
    for where, script in scripts():
        lines = [line for line in script.splitlines() if not line.lstrip().startswith("#")]
        for call in re.findall(r"\bmake((?:[ \t]+[^\s;&|<>]+)+)", "\n".join(lines)):
            for word in call.split():
                name, equals, _ = word.partition("=")
                if equals:
                    yield where, None, name
                elif not word.startswith("-"):
                    yield where, word, None


def test_each_make_target_that_ci_calls_is_there():
    called = {(where, target) for where, target, _ in make_calls() if target}
    assert {target for _, target in called} >= {"test", "book", "gpu-lessons", "colab-test"}
    missing = [
        f"{where}: make {target}"
        for where, target in sorted(called)
        if not re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE)
    ]
    assert not missing, f"the Makefile has no such target: {missing}"


def test_each_variable_that_ci_gives_to_make_is_used():
    given = {variable for _, _, variable in make_calls() if variable}
    given |= {name for name in JOBS["tests", "test"]["env"]}
    assert given >= {"LESSONS", "PYTHON", "VERSIONS"}
    unknown = sorted(name for name in given if f"$({name})" not in MAKEFILE)
    assert not unknown, f"the Makefile uses no variable of these names: {unknown}"
    for name in JOBS["tests", "test"]["env"]:  # `:=` would win over the environment
        assert re.search(rf"^{name} \?=", MAKEFILE, re.MULTILINE), f"{name} is not set by ?="


def test_each_tool_that_ci_calls_is_there():
    called = {tool for _, script in scripts() for tool in re.findall(r"\btools/\w+\.py", script)}
    assert called
    assert not [tool for tool in sorted(called) if not (ROOT / tool).exists()]


def test_ci_runs_one_script():
    commands = [step["run"] for step in JOBS["tests", "test"]["steps"] if "run" in step]
    assert commands == [".ci/run"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert {"push", "pull_request"} <= set(triggers("tests"))


def test_the_matrix_covers_what_pyproject_promises():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = SpecifierSet(project["requires-python"])
    (lowest,) = (Version(part.version) for part in allowed if part.operator == ">=")
    strategy = JOBS["tests", "test"]["strategy"]
    assert strategy["fail-fast"] is False
    pairs = [(Version(pair["python"]), pair["versions"]) for pair in strategy["matrix"]["include"]]
    pythons = {python for python, _ in pairs}
    assert all(allowed.contains(python) for python in pythons), f"{pythons}, not in {allowed}"
    assert min(pythons) == lowest, f"the lowest of {pythons} is not pyproject's {lowest}"
    minors = range(min(pythons).minor, max(pythons).minor + 1)
    assert pythons == {Version(f"3.{minor}") for minor in minors}, "a Python between is left out"
    assert {python for python, versions in pairs if versions == "pinned"} == pythons
    assert (lowest, "lowest") in pairs
    assert (max(pythons), "newest") in pairs


def test_only_this_repository_reaches_the_gpu_runner():
    """Every job on a runner of one's own waits for the variable and refuses forks."""
    own = {key: job for key, job in JOBS.items() if job["runs-on"] != "ubuntu-latest"}
    assert set(own) == {("gpu", "gpu")}
    for job in own.values():
        assert job["runs-on"] == "${{ fromJSON(vars.GPU_RUNNER) }}"
        assert one_line(job["if"]) == (
            "vars.GPU_RUNNER != '' && (github.event_name != 'pull_request' || "
            "(github.event.label.name == 'gpu' && "
            "github.event.pull_request.head.repo.full_name == github.repository))"
        )
    assert JOBS["gpu", "lessons"]["if"] == JOBS["gpu", "gpu"]["if"]
    assert set(triggers("gpu")) == {"schedule", "pull_request", "workflow_dispatch"}
    assert triggers("gpu")["pull_request"] == {"types": ["labeled"]}


def test_no_workflow_runs_a_fork_with_the_rights_of_this_repository():
    for name in WORKFLOWS:
        assert not {"pull_request_target", "workflow_run"} & set(triggers(name)), name
        assert WORKFLOWS[name]["permissions"] == {"contents": "read"}, name
    rights = {key: job["permissions"] for key, job in JOBS.items() if "permissions" in job}
    assert rights == {("book", "deploy"): {"pages": "write", "id-token": "write"}}
    assert JOBS["book", "deploy"]["environment"]["name"] == "github-pages"
    assert JOBS["book", "deploy"]["if"] == "github.ref == 'refs/heads/main'"


def test_the_image_is_named_by_a_variable_alone():
    job = JOBS["colab", "image"]
    assert job["if"] == "vars.COLAB_IMAGE != ''"
    assert job["env"]["IMAGE"] == "${{ vars.COLAB_IMAGE }}"
    assert not [key for key, job in JOBS.items() if {"container", "services"} & set(job)]
    for call in re.findall(r"docker (?:pull|run)\b(?:\\\n|.)*", "\n".join(s for _, s in scripts())):
        assert '"$IMAGE"' in call, call


def test_actions_are_pinned():
    """GitHub's own at a version's tag, all others by hash, as .github/zizmor.yml says."""
    policies = yaml.safe_load((ROOT / ".github/zizmor.yml").read_text())
    assert policies["rules"]["unpinned-uses"]["config"]["policies"] == {
        "actions/*": "ref-pin",
        "*": "hash-pin",
    }
    used = {step["uses"] for job in JOBS.values() for step in job["steps"] if "uses" in step}
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[\w-]+@v\d+|[\w./-]+@[0-9a-f]{40}", action), action


def test_checkouts_leave_no_token_behind():
    for key, job in JOBS.items():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, key


def test_what_is_published_comes_from_no_cache():
    """A run of another branch could have put something there."""
    for step in JOBS["book", "build"]["steps"]:
        assert not step.get("uses", "").startswith("actions/cache"), step
        assert "cache" not in step.get("with", {}), step


def test_scheduled_workflows_start_by_hand_too():
    scheduled = {name for name in WORKFLOWS if "schedule" in triggers(name)}
    assert scheduled == {"gpu", "colab"}
    for name in WORKFLOWS:
        assert "workflow_dispatch" in triggers(name), name
    for name in scheduled:
        (schedule,) = triggers(name)["schedule"]
        assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", schedule["cron"]), f"{name}: not weekly"


def test_jobs_end():
    for key, job in JOBS.items():
        limit = job["timeout-minutes"]
        assert 0 < limit < 24 * 60, f"{key}: {limit} minutes"
        for step in job["steps"]:
            if "timeout-minutes" in step:
                assert step["timeout-minutes"] < limit, f"{key}: what follows would not run"


def test_what_is_kept_is_where_it_is_made():
    kept, keeps = {}, ("actions/upload-artifact@", "actions/upload-pages-artifact@")
    for key, job in JOBS.items():
        for step in job["steps"]:
            if step.get("uses", "").startswith(keeps):
                kept.setdefault(key, []).append((step.get("if"), step["with"]["path"].split()))
    smoke = build_book.OUTPUTS["smoke"]
    gpu = build_book.OUTPUTS["gpu"]
    assert kept == {
        ("book", "build"): [("failure()", ["_build/html/reports"]), (None, ["_build/html"])],
        ("gpu", "gpu"): [("always()", [f"{gpu}/executed"])],
        ("tests", "test"): [
            ("failure()", [f"{smoke}/executed", f"{smoke}/_build/html/reports"]),
        ],
    }
    for budget, folder in (("smoke", smoke), ("gpu", gpu)):
        assert f"--budget {budget}" in MAKEFILE
        assert f"--keep {folder}/executed" in MAKEFILE


def test_lessons_are_picked_by_number_or_name():
    every = [path.stem for path in setup_cell.notebooks(ROOT)]

    def names(*words):
        return [path.stem for path in pick_lessons.pick(list(words))]

    assert names() == names("all") == names(*reversed(every)) == every
    assert names("10", "02_minimax", "02") == ["02_minimax", "10_progressive"]
    with pytest.raises(ValueError, match=r"no lesson is called '2'; give .* 02_minimax"):
        names("2")


def test_shell_mistakes_are_found(tmp_path):
    """In .ci/run and in a step; an expression of GitHub's is a word."""
    workflows = tmp_path / ".github/workflows"
    workflows.mkdir(parents=True)
    (tmp_path / ".ci").mkdir()
    script, workflow = tmp_path / ".ci/run", workflows / "one.yml"
    script.write_text("#!/usr/bin/env bash\necho fine\n")
    workflow.write_text("jobs: {a: {steps: [{uses: b}, {run: 'echo \"${{ c[''d e''] }}\"'}]}}\n")
    assert lint_shell.check(tmp_path) == ([], 2)
    workflow.write_text("jobs: {a: {steps: [{uses: b}, {run: 'rm -r $FOLDER'}]}}\n")
    (complaint,), _ = lint_shell.check(tmp_path)
    assert complaint.startswith("one.yml, job a, step 2, line 1:")
    assert "SC2086" in complaint
    script.write_text("#!/usr/bin/env bash\ncd somewhere\n")
    assert "SC2164" in lint_shell.check(tmp_path)[0][0]
