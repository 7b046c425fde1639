"""Print the lessons that somebody asked for: `python tools/pick_lessons.py 05 10`, or none for all.

Each word is a lesson's number or name ("05", "05_dcgan"), or "all". Prints paths, with --json a
list of names, which a workflow makes a matrix of. This runs before anything is installed, so it
needs Python alone.
"""

import argparse
import json
import sys

import setup_cell


def match(words, names):
    """Return those of `names`, in their order, that words mean: numbers, whole names, or "all".

    Raises ValueError at a word that names no lesson.
    """
    for word in words:
        if word != "all" and not any(word in (name, name.split("_")[0]) for name in names):
            every = ", ".join(names)
            raise ValueError(f"no lesson is called {word!r}; give a number or a name of {every}")
    return [n for n in names if not {"all", n, n.split("_")[0]}.isdisjoint(words)]


def pick(words, root=setup_cell.ROOT):
    """Return the paths of the lessons that words mean, in reading order; without words, of all."""
    paths = {path.stem: path for path in setup_cell.notebooks(root)}
    return [paths[name] for name in match(words or ["all"], list(paths))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="such as 05 or 05_dcgan; none: all")
    parser.add_argument("--json", action="store_true", help="print the names as one JSON list")
    options = parser.parse_args()
    try:
        lessons = pick(options.lessons)
    except ValueError as error:
        sys.exit(str(error))
    if options.json:
        print(json.dumps([path.stem for path in lessons]))
    else:
        print("\n".join(str(path.relative_to(setup_cell.ROOT)) for path in lessons))


if __name__ == "__main__":
    main()
