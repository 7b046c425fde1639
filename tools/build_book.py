"""Build the book at one budget, executing only what has to be executed.

jupyter-cache keys on a notebook's code cells alone. So the package, the constraints, Python, the
versions that are installed and the budget go into a fingerprint beside the cache; where it differs,
the cache is deleted. Changed prose executes nothing, nor does a lesson that tools/run_lessons.py
ran before. Tables of the lessons' results are filled once those have run, and then the pages that
hold them are written again. The html comes to OUTPUT/_build/html.
"""

import argparse
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import fill_tables
import make_performance
import make_teaching
import make_verification
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "ganvae_lessons"
VERSIONS_SHOWN = ["tensorflow", "keras", "numpy", "matplotlib", "jupyter-book", "sphinx", "myst-nb"]
OUTPUTS = {"laptop": Path("."), "smoke": Path("_build/smoke"), "gpu": Path("_build/gpu")}


def installed_versions():
    """Return {name: version} of those of VERSIONS_SHOWN that are installed."""
    found = {}
    for name in VERSIONS_SHOWN:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def fingerprint(root, budget):
    """Return a sha256 over all that a lesson's outputs depend on, but for its own cells.

    The constraints are not enough: `make VERSIONS=lowest` and others install something else.
    """
    digest = hashlib.sha256()
    digest.update(f"{budget}\n{sys.version}\n{installed_versions()}\n".encode())
    files = [root / "constraints.txt"]
    files += sorted(
        path
        for path in (root / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    )
    for path in files:
        if path.exists():
            digest.update(str(path.relative_to(root)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def drop_stale_cache(root, build, budget):
    """Delete the execution cache where it belongs to another package, environment or budget.

    Returns one line that says what was done.
    """
    stamp = build / "fingerprint"
    current = fingerprint(root, budget)
    known = stamp.read_text(encoding="utf-8").strip() if stamp.exists() else None
    if known == current:
        return "cache: package, versions and budget unchanged; only changed lessons execute"
    for name in (".jupyter_cache", ".doctrees"):
        shutil.rmtree(build / name, ignore_errors=True)
    build.mkdir(parents=True, exist_ok=True)
    (build / "machine.md").write_text(describe_machine(budget), encoding="utf-8")
    stamp.write_text(current + "\n", encoding="utf-8")
    if known is None:
        return "cache: none yet; every lesson executes"
    return "cache: the package, the versions, Python or the budget changed; every lesson executes"


def drop_stale_pages(root, build):
    """Forget Sphinx's pages where _config.yml or _toc.yml changed: titles stand on every page."""
    stamp = build / "settings"
    texts = [(root / name).read_bytes() for name in ("_config.yml", "_toc.yml")]
    current = hashlib.sha256(b"\0".join(texts)).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8").strip() != current:
        shutil.rmtree(build / ".doctrees", ignore_errors=True)
        build.mkdir(parents=True, exist_ok=True)
        stamp.write_text(current + "\n", encoding="utf-8")


def describe_machine(budget):
    """Return a MyST table of the machine and the versions that the lessons run with."""
    rows = [
        ("Budget", budget),
        ("Processor", f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores")
        if hasattr(os, "sched_getaffinity")
        else ("Processor", f"{platform.machine()}, {os.cpu_count()} cores"),
        ("System", platform.system()),
        ("Python", platform.python_version()),
    ]
    rows += installed_versions().items()
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines) + "\n"


def copy_mathjax(root):
    """Put MathJax, one file that fetches nothing, among the book's static files."""
    target = root / "book/_static/mathjax/tex-svg-full.js"
    if target.exists():
        return
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None:
        sys.exit("MathJax is missing: install the extra [book], for example with 'make setup'")
    folder = Path(found.submodule_search_locations[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    shutil.copyfile(folder / "static/mathjax" / target.name, partial)
    partial.rename(target)


def toc_pages(root):
    """Return the pages of _toc.yml in reading order, such as "notebooks/01_distributions"."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    pages = [toc["root"]]

    def walk(node):
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            if "file" in node:
                pages.append(node["file"])
            for key in ("parts", "chapters", "sections", "subtrees", "entries"):
                walk(node.get(key))

    walk(toc)
    return pages


def remove_old_pages(html, pages):
    """Remove html that Sphinx left of pages that the table of contents no longer has."""
    wanted = {(html / f"{page}.html").resolve() for page in pages}
    for folder in ("book", "notebooks"):
        for path in (html / folder).rglob("*.html"):
            if path.resolve() not in wanted:
                path.unlink()
                print(f"removed the old page {path.relative_to(html)}")


def missing_in(html, pages):
    """Return one line for each page that is not there, or is a lesson without a picture."""
    problems = []
    for page in pages:
        path = html / f"{page}.html"
        if not path.exists():
            problems.append(f"{page}: is in _toc.yml, but there is no {path}")
        elif page.startswith("notebooks/"):
            text = path.read_text(encoding="utf-8")
            pictures = re.findall(r'<img[^>]+src="([^"]*_images/[^"]*)"', text)
            if not pictures:
                problems.append(f"{page}: is a lesson, but its page shows no picture")
            for picture in pictures:
                if not (path.parent / picture).exists():
                    problems.append(f"{page}: shows {picture}, which is not there")
    return problems


def environment(budget):
    """Return the environment that the notebooks run in."""
    variables = dict(os.environ, GANVAE_BUDGET=budget)
    variables.setdefault("KERAS_BACKEND", "tensorflow")
    variables.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    variables.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices: threads only wait
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return variables


def fail(build, html, message):
    """Forget Sphinx's state and stop.

    Sphinx would not read the pages with warnings again, and the next build would pass.
    What was executed well stays in the cache.
    """
    shutil.rmtree(build / ".doctrees", ignore_errors=True)
    for report in sorted((html / "reports").rglob("*.err.log")):
        text = re.sub(r"\x1b\[[0-9;]*m", "", report.read_text(encoding="utf-8"))  # no colours
        lines = text.splitlines()
        print(f"\n--- {report.relative_to(html)}, last lines ---", file=sys.stderr)
        print("\n".join(lines[-40:]), file=sys.stderr)
    sys.exit(f"\nThe book was not built: {message}")


def run_sphinx(root, budget, build, html, output):
    """Execute what has changed and write the changed pages; each warning is an error."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(root), "--path-output", str(root / output), "-W", "--keep-going"]
    result = subprocess.run(command, cwd=root, env=environment(budget), stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        fail(build, html, "see the warnings above; each of them counts as an error")


def build_book(root, budget, output):
    """Build; exits with a message when anything is wrong."""
    start = time.perf_counter()
    build = (root / output / "_build").resolve()
    html = build / "html"
    pages = toc_pages(root)
    absent = [
        page
        for page in pages
        if page != "book/verification"
        and not any((root / f"{page}{suffix}").exists() for suffix in (".md", ".ipynb"))
    ]
    if absent:
        sys.exit(f"_toc.yml lists pages that do not exist: {', '.join(absent)}")

    print(drop_stale_cache(root, build, budget), flush=True)
    drop_stale_pages(root, build)
    copy_mathjax(root)
    machine = (build / "machine.md").read_text(encoding="utf-8")
    fill_tables.write_if_changed(root / "book/_generated/machine.md", machine)
    fill_tables.write_if_changed(root / "book/verification.md", make_verification.page(root))
    assignments = make_teaching.page(root)
    fill_tables.write_if_changed(root / "book/_generated/assignments.md", assignments)
    make_performance.write(root, build, budget, fingerprint(root, budget))
    shutil.rmtree(html / "reports", ignore_errors=True)

    fill_tables.write(root, build)  # from the cache; where a lesson is not in it, they wait
    run_sphinx(root, budget, build, html, output)
    changed, missing = fill_tables.write(root, build)
    if missing:
        fail(build, html, "\n".join(missing))
    if changed:
        print("the lessons' results are in; writing the pages with tables of them", flush=True)
        run_sphinx(root, budget, build, html, output)
    remove_old_pages(html, pages)
    problems = missing_in(html, pages)
    if problems:
        fail(build, html, "\n".join(problems))
    seconds = time.perf_counter() - start
    where = os.path.relpath(html / "index.html", Path.cwd())
    print(f"\n{len(pages)} pages in {seconds:.0f} s at the {budget} budget: open {where}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", choices=sorted(OUTPUTS), default="laptop")
    parser.add_argument("--output", type=Path, help="the html comes to OUTPUT/_build/html")
    options = parser.parse_args()
    build_book(ROOT, options.budget, options.output or OUTPUTS[options.budget])


if __name__ == "__main__":
    main()
