"""Fill the tables of book/tables with what the executed lessons published.

`{{13_vaegan/VAE/distance:.1f}}` stands for a number that notebooks/13_vaegan.ipynb handed to
`records.publish`, `{{13_vaegan/VAE/samples}}` for its picture, `{{13_vaegan/budget}}` and
`{{13_vaegan/seconds:.0f}}` for the run's own. The record is read from the execution cache, where a
lesson is found by its present code: an old record cannot be taken for a new one. What is filled
comes to book/_generated, and a page includes it.
"""

import base64
import hashlib
import re

import nbformat

KEY = "ganvae_lessons"  # as in ganvae_lessons/records.py
PLACE = re.compile(r"\{\{\s*([^{}/]+)/([^{}:]+?)(?::([^{}]+?))?\s*\}\}")
UNFILLED = "*The lessons whose runs fill this table have not been executed yet.*\n"


def write_if_changed(path, text):
    """Write a generated file only when its content changes: Sphinx goes by the file's time."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def write(root, build):
    """Write each table to book/_generated; return (changed files, lines of what is missing).

    Where anything is missing, a table says that it is not filled.
    """
    changed, missing, pictures = [], [], set()
    records = {}
    for template in sorted((root / "book/tables").glob("*.md")):
        text = template.read_text(encoding="utf-8")
        for lesson in sorted({place[1] for place in PLACE.finditer(text)} - set(records)):
            records[lesson] = read_record(root, build, lesson)
        filled, wrong, made = fill(text, records)
        missing += [f"book/tables/{template.name}: {line}" for line in wrong]
        for name, content in made.items():
            target = root / "book/_generated/tables" / name
            pictures.add(target)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        target = root / "book/_generated" / template.name
        if write_if_changed(target, UNFILLED if wrong else filled):
            changed.append(target)
    for old in set((root / "book/_generated/tables").glob("*.png")) - pictures:
        old.unlink()
    return changed, missing


def read_record(root, build, lesson):
    """Return a lesson's record with the seconds of its run, or a line that says why there is none.

    A lesson may publish in several cells; they are taken together.
    """
    from jupyter_cache import get_cache

    path = root / f"notebooks/{lesson}.ipynb"
    if not path.exists():
        return f"there is no notebooks/{lesson}.ipynb"
    folder = build / ".jupyter_cache"
    if not folder.exists():
        return f"{lesson} has not been executed"
    cache = get_cache(str(folder))
    try:
        found = cache.match_cache_notebook(nbformat.read(path, as_version=4))
        executed = cache.get_cache_bundle(found.pk).nb
    except KeyError:
        return f"{lesson} has not been executed"
    record = {"seconds": found.data.get("execution_seconds"), "results": {}, "samples": {}}
    published = [
        output["metadata"][KEY]
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if KEY in output.get("metadata", {})
    ]
    if not published:
        return f"{lesson} publishes nothing: it has no cell with records.publish(...)"
    for part in published:
        record["budget"] = part["budget"]
        for kind in ("results", "samples"):
            record[kind].update(part[kind])
    return record


def fill(text, records):
    """Return (the text with its places filled, lines of what is missing, {file: PNG})."""
    missing, pictures = [], {}

    def value(place):
        lesson, rest, form = place[1], place[2], place[3]
        record = records[lesson]
        if isinstance(record, str):
            raise LookupError(record)
        if rest in ("budget", "seconds"):
            return shown(record[rest], form)
        model, _, what = rest.rpartition("/")
        if what == "samples":
            if model not in record["samples"]:
                raise LookupError(f"{lesson} publishes no samples of {model!r}")
            content = base64.b64decode(record["samples"][model])
            name = f"{lesson}-{hashlib.sha256(content).hexdigest()[:12]}.png"
            pictures[name] = content
            return f"_generated/tables/{name}"  # from book/, where the page is
        row = record["results"].get(model)
        if row is None or what not in row:
            known = sorted(record["results"]) if row is None else sorted(row)
            raise LookupError(f"{lesson} publishes no {rest!r}; it publishes {', '.join(known)}")
        return shown(row[what], form)

    def replace(place):
        try:
            return value(place)
        except (LookupError, ValueError, TypeError) as error:
            missing.append(f"{place[0]}: {error.args[0]}")
            return place[0]

    filled = PLACE.sub(replace, text)
    missing += [
        f"{left} is no place of the form {{{{lesson/model/what}}}}"
        for left in re.findall(r"\{\{.*?\}\}", PLACE.sub("", text))
    ]
    return filled, missing, pictures


def shown(value, form):
    """A number as it is printed, with a minus sign; a dash for None."""
    if value is None:
        return "—"
    return format(value, form or "").replace("-", "−") if not isinstance(value, str) else value
