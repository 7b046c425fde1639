"""Run lessons with nbval, and keep what they show for the book of the same budget.

python tools/run_lessons.py --budget smoke --nbval-lax --nbval-current-env notebooks

All but --budget and --jobs goes to pytest. With --jobs 2 each lesson has a process of its own, two
at a time: at the smoke budget most of a lesson keeps one core busy. A notebook whose cells all
passed is put into the execution cache that build_book.py uses, so the book is built from this run
and executes nothing again. A notebook with a failed, skipped or deselected cell is not. The
notebooks themselves are only read.

With --keep FOLDER each lesson leaves there NAME.ipynb, with the outputs of the cells that ran, also
where one failed, and NAME.xml, pytest's report in the form of JUnit.

nbval drops `clear_output` and updates of displays; a lesson that used them would look different
here and in `make book`. It reads what a cell shows after the cell's end, and the kernel holds some
thousand messages: a cell that shows far more fails with "waiting for output".
"""

import argparse
import copy
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import build_book
import nbformat
import pytest
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbval.plugin import IPyNbCell, coalesce_streams


def executed(notebook, items):
    """Return a notebook with the outputs that nbval got from `items`, in nbclient's form.

    The other cells have none: what their sources store is no output of this run.
    """
    made = copy.deepcopy(notebook.nb)
    cells = [cell for cell in made.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    for number, item in enumerate(items, start=1):
        cell = cells[item.cell_num]
        cell.outputs = nbformat.from_dict(coalesce_streams(item.test_outputs))
        for counted in (cell, *cell.outputs):
            if "execution_count" in counted:
                counted.execution_count = number
    nbformat.validate(made)
    return made


class BookCache:
    """A pytest plugin that puts each notebook into the book's cache once all its cells passed."""

    def __init__(self, root, build):
        self.root, self.build = root, build
        self.passed = {}  # notebook -> its cells that passed, in order
        self.seconds = {}  # notebook -> how long they and the kernel's start took
        self.stored = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item):
        report = yield
        if isinstance(item, IPyNbCell):
            notebook = item.parent
            passed = self.passed.setdefault(notebook, [])
            self.seconds[notebook] = self.seconds.get(notebook, 0) + report.duration
            if report.when == "call" and report.passed:
                passed.append(item)
                if len(passed) == sum(cell.cell_type == "code" for cell in notebook.nb.cells):
                    self.store(notebook)
        return report

    def pytest_terminal_summary(self, terminalreporter):
        for notebook in self.passed:
            if notebook not in self.stored:
                terminalreporter.line(f"{notebook.name}: not all cells passed; not for the book")

    def store(self, notebook):
        """Cache a notebook with the outputs that nbval got."""
        made = executed(notebook, self.passed[notebook])
        info = notebook.kernel.kc.kernel_info(reply=True, timeout=60)
        made.metadata.language_info = info["content"]["language_info"]  # names the highlighter
        get_cache(self.build / ".jupyter_cache").cache_notebook_bundle(
            CacheBundleIn(made, notebook.path, data={"execution_seconds": self.seconds[notebook]}),
            overwrite=True,
        )
        # Sphinx goes by the notebook's file, which is the same: have it read the page again.
        page = notebook.path.resolve().relative_to(self.root).with_suffix(".doctree")
        (self.build / ".doctrees" / page).unlink(missing_ok=True)
        self.stored.add(notebook)


class Keeper:
    """A pytest plugin that writes each notebook, as far as it has run, into a folder.

    It writes at the end, and after each cell that failed or was long: a run that is stopped from
    outside leaves the outputs of its hours.
    """

    def __init__(self, folder):
        self.folder = folder
        self.ran = {}  # notebook -> its cells that ran, in order

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item):
        report = yield
        if isinstance(item, IPyNbCell) and report.when == "call":
            ran = self.ran.setdefault(item.parent, [])
            if item.test_outputs is not None:  # None: skipped, or the kernel had died
                ran.append(item)
            if not report.passed or report.duration > 5:
                self.write(item.parent)
        return report

    def pytest_sessionfinish(self):
        for notebook in self.ran:
            self.write(notebook)

    def write(self, notebook):
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{notebook.path.stem}.partial"
        nbformat.write(executed(notebook, self.ran[notebook]), partial)
        partial.rename(partial.with_suffix(".ipynb"))


def run_apart(jobs, budget, keep, arguments):
    """Run each notebook in a process of its own, `jobs` at a time; return 0 if all passed.

    One at a time shows all that pytest prints as it comes; several show it of those that failed.
    """
    paths = [Path(argument) for argument in arguments if Path(argument).exists()]
    options = [argument for argument in arguments if not Path(argument).exists()]
    lessons = [n for p in paths for n in (sorted(p.glob("*.ipynb")) if p.is_dir() else [p])]
    command = [sys.executable, __file__, "--budget", budget, "--keep-cache", *options]
    failed = []

    def run(path):
        start = time.perf_counter()
        left = []
        if keep:
            report = keep / f"{path.stem}.xml"
            for old in (report, report.with_suffix(".ipynb")):  # of an earlier run
                old.unlink(missing_ok=True)
            left = ["--keep", str(keep), "--junitxml", str(report)]
        result = subprocess.run([*command, *left, str(path)], capture_output=jobs > 1, text=True)
        return path, result, time.perf_counter() - start

    # the largest files first, so that the last ones to end are short
    lessons.sort(key=lambda path: -path.stat().st_size)
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(run, path) for path in lessons]):
            path, result, seconds = done.result()
            last = "passed" if result.returncode == 0 else "failed"
            if jobs > 1:
                last = (result.stdout.strip().splitlines() or ["no output"])[-1]
            if result.returncode != 0:
                failed.append(path.stem)
                if jobs > 1:
                    print(result.stdout + result.stderr)
            print(f"{path.stem}: {last} ({seconds:.0f} s with the start)", flush=True)
    print(f"{len(lessons) - len(failed)} of {len(lessons)} lessons passed")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed or not lessons else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", choices=sorted(build_book.OUTPUTS), default="smoke")
    parser.add_argument("--jobs", type=int, default=1, help="lessons at a time")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="executed notebooks, reports")
    parser.add_argument("--keep-cache", action="store_true", help=argparse.SUPPRESS)
    options, arguments = parser.parse_known_args()
    root = build_book.ROOT
    build = root / build_book.OUTPUTS[options.budget] / "_build"
    os.environ.update(build_book.environment(options.budget))
    if not options.keep_cache:
        build_book.drop_stale_cache(root, build, options.budget)  # before anything runs
    if options.jobs > 1 or (options.keep and not options.keep_cache):
        sys.exit(run_apart(options.jobs, options.budget, options.keep, arguments))
    plugins = [BookCache(root, build), *([Keeper(options.keep)] if options.keep else [])]
    sys.exit(pytest.main(arguments, plugins=plugins))


if __name__ == "__main__":
    main()
