"""The sets of versions that the course is run with, as lines of a constraint file for pip.

`python tools/versions.py pinned|lowest|newest|colab` prints one set: pinned is constraints.txt;
lowest has the lower bounds of the package's own needs in pyproject.toml; newest pins nothing;
colab is Google Colab's runtime. This runs before anything is installed, so it needs Python alone.
"""

import argparse
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETS = ["pinned", "lowest", "newest", "colab"]
COLAB_DATE = "2026-08"  # when the runtime had these; the weekly job in its image says what differs
COLAB = {
    "python": "3.13",
    "tensorflow": "2.20.0",
    "keras": "3.13.2",
    "numpy": "2.1.3",
    "matplotlib": "3.10.0",
    "scipy": "1.16.3",
}


def lowest(root=ROOT):
    """Return "name==bound" for each of the package's own needs, in pyproject.toml's order.

    The extras' needs are left out: they serve this repository, not those who install the package.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = []
    for need in project["dependencies"]:
        match = re.match(r"\s*([\w.-]+)\s*(?:\[[^]]*\])?[^;]*?>=\s*([\w.]+)", need)
        if match is None:
            raise ValueError(
                f"pyproject.toml: the need {need!r} has no lower bound, expected 'name>=bound'"
            )
        lines.append(f"{match[1]}=={match[2]}")
    return lines


def lines(name, root=ROOT):
    """Return the constraint lines of the set `name`."""
    if name == "pinned":
        return (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if name == "lowest":
        return lowest(root)
    if name == "newest":
        return []
    if name == "colab":
        return [
            f"{package}=={version}" for package, version in COLAB.items() if package != "python"
        ]
    raise ValueError(f"the set of versions must be one of {', '.join(SETS)}, got {name!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SETS, metavar="|".join(SETS))
    for line in lines(parser.parse_args().name):
        print(line)


if __name__ == "__main__":
    main()
