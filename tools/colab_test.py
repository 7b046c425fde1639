"""Run lessons as Colab runs them: each alone in an empty folder, its set-up cell as it stands.

`make colab-test` does it in an environment with Colab's versions (tools/versions.py), which must
be exactly those; `python tools/colab_test.py --here` does it in the present environment, such as
Colab's own runtime image, whatever versions it has. Either needs pip, git, ipykernel, nbclient and
PyYAML, and must not have ganvae_lessons. Lessons are named by their numbers, `all` means all;
without a name, one lesson of each part runs, in turn with the weeks.

The set-up cell installs the package from the repository's address at the tag. Here git is told to
fetch that address from a throw-away repository, made of the working tree and tagged, so that the
next release is tried before it is out. After a lesson only ganvae_lessons may be new, and it goes.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import setup_cell
import versions
import wheel_test
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "ganvae_lessons"
CELL_TIMEOUT = 600  # seconds; at the smoke budget a whole lesson takes one to two minutes
# The Makefile or a person may have set these; Colab does not.
NOT_IN_COLAB = ["KERAS_BACKEND", "OPENBLAS_NUM_THREADS", "GANVAE_DATA", "PIP_CONSTRAINT"]
# A git hook would have git commands here work on the repository that is being committed to.
OF_GIT_HOOKS = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"]
LIST_INSTALLED = """
import importlib.metadata, json
print(json.dumps({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}))
"""
READ_RECORD = """
import importlib.metadata
print(importlib.metadata.distribution("ganvae_lessons").read_text("direct_url.json"))
"""
FIND_PACKAGE = """
import importlib.util
spec = importlib.util.find_spec("ganvae_lessons")
print(spec.origin if spec else "")
"""
REFUSE = """
import subprocess
def refuse(*arguments, **options):
    raise SystemExit(f"it runs {arguments}")
subprocess.run = subprocess.Popen = refuse
"""


class Problem(Exception):
    """Something that a reader in Colab would stumble over, in one line or a few."""


def parts(root=ROOT):
    """Return the lessons' names by part of the table of contents, [["01_distributions", …], …]."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found = []
    for part in toc.get("parts", []):
        files = [Path(chapter["file"]) for chapter in part.get("chapters", [])]
        lessons = [path.name for path in files if path.parent.name == "notebooks"]
        if lessons:
            found.append(lessons)
    if not found:
        raise Problem("_toc.yml: no part lists a lesson as 'file: notebooks/NAME'")
    return found


def week_number(day):
    """Return the number of weeks until a day's own, Monday to Sunday as in ISO 8601.

    Unlike the week's number in its year, this one goes on at New Year, so no lesson is left out.
    """
    return (day.toordinal() - 1) // 7


def due(lessons_by_part, week):
    """Return one lesson of each part; as the weeks pass, each lesson of a part has its turn."""
    return [lessons[week % len(lessons)] for lessons in lessons_by_part]


def choose(names, lessons_by_part, week):
    """Return the lessons that the names mean: numbers such as "02", whole names, or "all"."""
    every = [lesson for lessons in lessons_by_part for lesson in lessons]
    if not names:
        return due(lessons_by_part, week)
    if names == ["all"]:
        return every
    chosen = []
    for name in names:
        stem = Path(name).stem
        matches = [lesson for lesson in every if stem in (lesson, lesson.split("_")[0])]
        if len(matches) != 1:
            raise Problem(
                f"no lesson is named {name!r}; expected 'all' or some of: {' '.join(every)}"
            )
        chosen += matches
    return chosen


def make_repository(folder, root=ROOT, tag=setup_cell.TAG):
    """Make a git repository of the package's sources with one tagged commit; return that one."""
    wheel_test.copy_sources(folder, root)
    environment = {key: value for key, value in os.environ.items() if key not in OF_GIT_HOOKS}

    def git(*arguments):
        settings = ["core.autocrlf=false", "commit.gpgsign=false", "tag.gpgsign=false"]
        settings += ["core.hooksPath=none", "user.name=colab-test", "user.email=none@example.org"]
        options = [word for setting in settings for word in ("-c", setting)]
        command = ["git", *options, *arguments]
        result = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True
        )
        if result.returncode != 0:
            raise Problem(f"git {' '.join(arguments)} failed: {result.stdout}{result.stderr}")
        return result.stdout.strip()

    git("init", "--quiet", "--template=")
    git("add", "--force", ".")
    git("commit", "--quiet", "--message", f"The working tree as {tag}")
    git("tag", tag)
    return git("rev-parse", "HEAD")


def redirected(environment, address, repository):
    """Return the environment with git taking what the address holds from a local repository."""
    number = int(environment.get("GIT_CONFIG_COUNT", "0"))
    kept = {key: value for key, value in environment.items() if key not in OF_GIT_HOOKS}
    return {
        **kept,
        "GIT_CONFIG_COUNT": str(number + 1),
        f"GIT_CONFIG_KEY_{number}": f"url.{repository.resolve().as_uri()}.insteadOf",
        f"GIT_CONFIG_VALUE_{number}": address,
        "GIT_TERMINAL_PROMPT": "0",
    }


def run_python(code, environment, folder):
    """Run code in a fresh process of this Python and return its output."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    if result.returncode != 0:
        raise Problem(f"{result.stdout}{result.stderr}".strip())
    return result.stdout.strip()


def installed(environment, folder):
    """Return {name: version} of the distributions that a fresh process finds."""
    found = json.loads(run_python(LIST_INSTALLED, environment, folder))
    return {re.sub(r"[-_.]+", "_", name).lower(): version for name, version in found.items()}


def differences(before, after):
    """Return one line for each distribution that came, went or changed its version."""
    lines = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None:
            lines.append(f"{name} {new} is new")
        elif new is None:
            lines.append(f"{name} {old} is gone")
        elif old != new:
            lines.append(f"{name} was {old} and is {new}")
    return lines


def record_problem(record, address, tag, commit):
    """Return what pip's record of where the package came from says amiss, or None."""
    expected = {
        "url": address,
        "vcs_info": {"commit_id": commit, "requested_revision": tag, "vcs": "git"},
    }
    if record == expected:
        return None
    return f"pip recorded that it installed from {record}, expected {expected}"


def version_differences(found):
    """Return one line for each version that is not Colab's as tools/versions.py has it."""
    here = {**found, "python": platform.python_version()}
    lines = []
    for name, expected in versions.COLAB.items():
        version = here.get(name, "missing")
        if name == "python":
            version = ".".join(version.split(".")[:2])
        if version != expected:
            lines.append(f"{name} is {version}, Colab of {versions.COLAB_DATE} has {expected}")
    return lines


def execute(path, environment):
    """Run a notebook where it lies, with a kernel of this Python; return the set-up's seconds."""
    import nbformat
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name=kernel_name, language="python")

    notebook = nbformat.read(path, as_version=4)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, km=manager, timeout=CELL_TIMEOUT, resources=resources)
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # no colors
        raise Problem("\n".join(text.strip().splitlines()[-25:])) from None
    except (TimeoutError, RuntimeError) as error:  # the kernel hangs, died or did not start
        last = next((c for c in reversed(notebook.cells) if "execution" in c.metadata), None)
        where = f", in the cell\n{last.source}" if last else ""
        raise Problem(f"{error}{where}") from None
    times = setup_cell.find_cell(notebook)["metadata"]["execution"]
    begin, end = (
        datetime.datetime.fromisoformat(times[key].replace("Z", "+00:00"))
        for key in ("iopub.execute_input", "shell.execute_reply")
    )
    return (end - begin).total_seconds()


def second_run_problem(source, environment, folder):
    """Run the set-up cell in a fresh process that starts no program; return what is wrong."""
    try:
        run_python(REFUSE + source, environment, folder)
    except Problem as problem:
        return f"run a second time, the set-up cell should do nothing, but {problem}"
    return None


def uninstall(names, environment, folder):
    """Remove distributions."""
    if names:
        command = [sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", *names]
        subprocess.run(command, cwd=folder, env=environment)


def try_lesson(path, folder, environment, commit):
    """Run one lesson as Colab does; return the seconds of the whole and of the set-up cell.

    Whatever is new afterwards is uninstalled, so that each lesson begins with the same.
    """
    start = time.perf_counter()
    alone = Path(shutil.copy(path, folder))
    before = installed(environment, folder)
    origin = run_python(FIND_PACKAGE, environment, folder)
    if origin:
        raise Problem(
            f"{PACKAGE} is there before the set-up cell runs, at {origin}; "
            "uninstall it, or take it off PYTHONPATH"
        )
    try:
        seconds = execute(alone, environment)
        expected = {**before, PACKAGE: setup_cell.version(setup_cell.TAG)}
        wrong = differences(expected, installed(environment, folder))
        if wrong:
            raise Problem(f"the set-up cell did more than install {PACKAGE}: {'; '.join(wrong)}")
        record = json.loads(run_python(READ_RECORD, environment, folder))
        problem = record_problem(record, setup_cell.REPOSITORY, setup_cell.TAG, commit)
        cell = setup_cell.find_cell(json.loads(alone.read_text(encoding="utf-8")))
        problem = problem or second_run_problem("".join(cell["source"]), environment, folder)
        if problem:
            raise Problem(problem)
    finally:
        uninstall(sorted(installed(environment, folder).keys() - before), environment, folder)
    left = differences(before, installed(environment, folder))
    if left:
        raise Problem(f"after uninstalling {PACKAGE}: {'; '.join(left)}")
    return time.perf_counter() - start, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="numbers or names of lessons, or 'all'")
    parser.add_argument("--here", action="store_true", help="whatever versions this Python has")
    options = parser.parse_args()
    week = week_number(datetime.date.today())
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {key: v for key, v in os.environ.items() if key not in NOT_IN_COLAB}
        environment["GANVAE_BUDGET"] = "smoke"
        try:
            chosen = choose(options.lessons, parts(), week)
            commit = make_repository(folder / "repository")
            environment = redirected(environment, setup_cell.REPOSITORY, folder / "repository")
            other = version_differences(installed(environment, folder))
            if other and not options.here:
                raise Problem("; ".join(other) + "; run 'make colab-test', or give --here")
        except Problem as problem:
            sys.exit(str(problem))
        print("\n".join(other) or f"the versions are Colab's of {versions.COLAB_DATE}", flush=True)
        for lesson in chosen:
            (folder / lesson).mkdir()
            path = ROOT / "notebooks" / f"{lesson}.ipynb"
            try:
                seconds, setting_up = try_lesson(path, folder / lesson, environment, commit)
            except Problem as problem:
                failed.append(lesson)
                print(f"{lesson}: FAILED\n{problem}", flush=True)
            else:
                print(
                    f"{lesson}: runs, {seconds:.0f} s, of which the set-up cell {setting_up:.0f} s",
                    flush=True,
                )
    if failed:
        sys.exit(f"{len(failed)} of {len(chosen)} lessons failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
