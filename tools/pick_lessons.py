"""Print the lessons that somebody asked for: `python tools/pick_lessons.py 05 10`, or none for all.

Each word is a lesson's number or name ("05", "05_dcgan"), or "all". Prints paths, with --json a
list of names, which a workflow makes a matrix of. This runs before anything is installed, so it
needs Python alone.
"""

import argparse
import json
import sys

import setup_cell


def pick(words, root=setup_cell.ROOT):
    """Return the paths of the lessons that `words` name, in reading order.

    Raises ValueError at a word that names no lesson.
    """
    lessons = setup_cell.notebooks(root)
    picked = set()
    for word in words or ["all"]:
        found = [p for p in lessons if word in ("all", p.stem, p.stem.split("_")[0])]
        if not found:
            names = ", ".join(path.stem for path in lessons)
            raise ValueError(f"no lesson is called {word!r}; give a number or a name of {names}")
        picked.update(found)
    return sorted(picked)


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
