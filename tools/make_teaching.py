"""The part of the book's Teaching page that the assignments' own files say.

For each: its tasks with their points, and the usual mistakes with what each costs. The tests grade
a submission with every one of these mistakes, so that the page cannot say what is not so.
"""

import json
import re

import setup_cell
from grading import form

# "## Task 2 (3 points): the bound" or "**Task 2 (3 points, written): the bound.** Write …"
TASK = re.compile(r"^(?:#+ |\*\*)Task (\d+) \((\d+) points?[^)]*\)[:,]? (.*?)\.?(?:\*\*|$)", re.M)


def page(root):
    """Return the text that book/teaching.md includes."""
    return "\n\n".join(_assignment(root, path) for path in setup_cell.assignments(root))


def _assignment(root, path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = notebook["cells"]
    text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    (title,) = re.findall(r"^# (.+)$", text, re.M)
    tasks = TASK.findall(text)
    tests, texts = form.points(notebook)
    written = sum(texts.values())
    lines = [f"### {title}", ""]
    lines += [
        f"| task | points (written: {written} of {sum(tests.values()) + written}) |",
        "|---|---|",
    ]
    lines += [f"| {number}: {what} | {worth} |" for number, worth, what in tasks]
    lines += ["", "| usual mistake | what the student thought | costs |", "|---|---|---|"]
    for mistake in form.mistakes(root, path.stem):
        lost = sum(tests[test] for test in mistake["loses"])
        why = " ".join(mistake["why"].split())
        lines.append(f"| {mistake['name'].replace('-', ' ')} | {why} | {lost} |")
    return "\n".join(lines)
