"""Run notebooks as the runner does: each alone in an empty folder, with only the wheel.

Builds the wheel from a copy of the sources, installs it into a folder of its own and executes each
notebook at the smoke budget with that folder first on Python's path, without a network where the
system allows it. `python tools/wheel_test.py [NOTEBOOK …]`; without names, all lessons and, with
their solutions, all assignments.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import setup_cell

ROOT = Path(__file__).resolve().parent.parent
BUILT_FROM = ["pyproject.toml", "README.md", "LICENSE", "NOTICE", "ganvae_lessons"]


def copy_sources(folder, root=ROOT):
    """Copy what the package is built from into a new folder."""
    folder.mkdir(parents=True)
    for name in BUILT_FROM:
        path = root / name
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copy(path, folder)


def install_wheel(folder, root=ROOT):
    """Build the wheel and install it without its needs into folder/site; return that path."""
    source, dist, site = folder / "source", folder / "dist", folder / "site"
    copy_sources(source, root)
    build = ["build", "--wheel", "--no-isolation", "--outdir", str(dist), str(source)]
    _run([sys.executable, "-m", *build])
    (wheel,) = dist.glob("*.whl")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    _run([sys.executable, "-m", "pip", *install])
    return site


def _run(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout}\n{result.stderr}")


def without_network():
    """Return the words before a command that take its network away, or none where that fails."""
    words = ["unshare", "--map-root-user", "--net"]
    if (
        shutil.which(words[0])
        and subprocess.run([*words, "true"], capture_output=True).returncode == 0
    ):
        return words
    return []


def execute(path, site):
    """Execute a notebook where it lies; the kernel is reached through files, not the network."""
    import nbformat
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    check = (
        "import ganvae_lessons\n"
        f"assert ganvae_lessons.__file__.startswith({str(site)!r}), ganvae_lessons.__file__"
    )
    notebook.cells.insert(0, nbformat.v4.new_code_cell(check))
    manager = AsyncKernelManager(kernel_name="python3", transport="ipc")
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, km=manager, timeout=300, resources=resources).execute()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--site", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.site:
        execute(options.notebooks[0], options.site)
        return

    isolation = without_network()
    if not isolation:
        print("unshare is not available: the notebooks run with whatever network there is")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        site = install_wheel(Path(folder) / "wheel")
        environment = dict(os.environ, PYTHONPATH=str(site), GANVAE_BUDGET="smoke")
        everything = setup_cell.notebooks(ROOT) + setup_cell.assignments(ROOT)
        for path in options.notebooks or everything:
            alone = Path(folder) / path.stem
            alone.mkdir()
            copy = Path(shutil.copy(path, alone))
            command = [sys.executable, __file__, str(copy), "--site", str(site)]
            result = subprocess.run(
                [*isolation, *command],
                cwd=alone,
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            print(f"{path.stem}: {'runs' if result.returncode == 0 else 'FAILED'}", flush=True)
            if result.returncode != 0:
                failed.append(path.stem)
                print(result.stderr[-3000:])
    if failed:
        sys.exit(f"{len(failed)} notebooks failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
