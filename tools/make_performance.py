"""The measurements on the page "How fast, and at what price".

`python tools/make_performance.py` runs the benchmarks anew and prints them; tools/build_book.py
runs them only where their results are of other code, another budget or other versions. What a
lesson takes comes from the lessons' own runs, wherever a book of them has been built.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fill_tables

ROOT = Path(__file__).resolve().parent.parent


def key(root, lessons):
    """Return a sha256 of what the results depend on: the benchmarks, and what the lessons do."""
    digest = hashlib.sha256(lessons.encode())
    for path in sorted((root / "benchmarks").glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def measure(root, build, budget, lessons):
    """Run the benchmarks into build/bench; `lessons` is the lessons' fingerprint."""
    folder = build / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks", "--budget", budget, "--output", str(folder)]
    result = subprocess.run(command, cwd=root, env=dict(os.environ, GANVAE_BUDGET=budget))
    if result.returncode != 0:
        sys.exit("the benchmarks failed: see above")
    (folder / "key").write_text(key(root, lessons), encoding="utf-8")


def write(root, build, budget, lessons):
    """Put the tables and plots into book/_generated/bench, measuring first where need be."""
    if not (root / "benchmarks").is_dir():
        return
    folder, target = build / "bench", root / "book/_generated/bench"
    known = folder / "key"
    if not known.exists() or known.read_text(encoding="utf-8") != key(root, lessons):
        print("benchmarks: no results of this code yet; measuring", flush=True)
        measure(root, build, budget, lessons)
    made = [path for path in folder.iterdir() if path.suffix in (".md", ".svg")]
    target.mkdir(parents=True, exist_ok=True)
    for path in made:
        fill_tables.write_if_changed(target / path.name, path.read_text(encoding="utf-8"))
    for old in target.iterdir():
        if old.name not in {path.name for path in made}:
            old.unlink()


def lessons_table(root, outputs):
    """Return a table of what each lesson took in the books that were built last."""
    import setup_cell

    rows = []
    for path in setup_cell.notebooks(root):
        row = [path.stem]
        for output in outputs.values():
            record = fill_tables.read_record(root, root / output / "_build", path.stem)
            spent = {} if isinstance(record, str) else record["results"].get("run", {})
            row += [
                f"{spent['seconds']:.0f}" if spent else "—",
                f"{spent['gigabytes']:.1f}" if spent else "—",
            ]
        rows.append(row)
    head = ["lesson"] + [f"{budget}, {what}" for budget in outputs for what in ("s", "GB")]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def main():
    import build_book

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", choices=sorted(build_book.OUTPUTS), default="laptop")
    options = parser.parse_args()
    build = ROOT / build_book.OUTPUTS[options.budget] / "_build"
    os.environ.update(build_book.environment(options.budget))
    measure(ROOT, build, options.budget, build_book.fingerprint(ROOT, options.budget))
    print("\nWhat each lesson took, in the last runs of `make book` and `make test`\n")
    print(lessons_table(ROOT, build_book.OUTPUTS))


if __name__ == "__main__":
    main()
