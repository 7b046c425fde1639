"""What a teacher gets: marks.csv, written.csv, a page for each student, a summary of the class."""

import base64
import copy
import csv
import html
import importlib.util
import io
import re
import secrets
import shutil
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from .collect import Submission
from .form import grade_id, points, role
from .judge import Verdict

MARKS = [
    "student", "assignment", "status", "automatic", "of", "written", "of written", "total",
    "of all", "lost", "warnings", "file",
]  # fmt: skip
WRITTEN = ["student", "assignment", "answer", "of", "points", "comment", "text"]
MATHJAX = "tex-svg-full.js"


@dataclass
class Graded:
    """One submission's outcome; without a notebook it could not be graded, and has no marks."""

    submission: Submission
    notebook: object = None
    verdict: Verdict = field(default_factory=Verdict)
    notes: list = field(default_factory=list)  # what had to be repaired
    suspicions: list = field(default_factory=list)  # for the teacher alone
    again: bool = False
    grades: dict = field(default_factory=dict)

    @property
    def warnings(self):
        return [
            *self.submission.warnings,
            *self.notes,
            *self.suspicions,
            *self.verdict.warnings,
        ]

    @property
    def status(self):
        if self.notebook is None:
            return "not graded"
        return "check by hand" if self.warnings else "graded"

    @property
    def lost(self):
        return [name for name, message in self.verdict.tests.items() if message]

    def cells(self, kind):
        return [cell for cell in self.notebook.cells if role(cell) == kind]

    def points(self):
        """Return the automatic points and their most, from the verdict."""
        most, _ = points(self.notebook)
        return sum(p for name, p in most.items() if name not in self.lost), sum(most.values())

    def written(self):
        """Return the teacher's points, None while some are awaited, and their most."""
        _, most = points(self.notebook)
        given = [self.grades.get(name, (None, 0))[0] for name in most]
        return (None if None in given else sum(given)), sum(most.values())

    def line(self):
        """One line for the teacher who watches."""
        one = self.submission
        if self.notebook is None:
            return _printable(f"{one.student}: {one.path.name} {one.problem}")
        got, most = self.points()
        known = " (known)" if self.again else ""
        lines = [f"{one.student}, {one.assignment}: {got:g} of {most:g}{known}"]
        lines += [f"{'':17}! {_printable(warning)}" for warning in self.warnings]
        return "\n".join(lines)

    def executed(self):
        """Return the notebook with outputs and verdicts, as nbgrader reads it."""
        notebook = copy.deepcopy(self.notebook)
        for cell in notebook.cells:
            if role(cell) == "written":
                cell.source = cell.source.replace("<", "&lt;")  # text, not the page's own code
            if cell.cell_type != "code":
                continue
            outputs = self.verdict.outputs.get(cell.id, [])
            if role(cell) == "test":
                outputs = [_verdict_output(self.verdict.tests.get(grade_id(cell), "not run"))]
            cell.outputs = [nbformat.from_dict(output) for output in outputs]
        return notebook


def _printable(text):
    """Names of files may hold what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _verdict_output(message):
    if not message:
        return {"output_type": "stream", "name": "stdout", "text": "passed"}
    return {
        "output_type": "error",
        "ename": "Not yet",
        "evalue": message,
        "traceback": [f"Not yet: {message}"],
    }


def failed(submission, error):
    """Return the outcome of a submission at which the grader itself stumbled; others go on."""
    submission.problem = f"stopped the grader with {type(error).__name__}: {error}"
    return Graded(submission)


def closing(graded, results, seconds):
    """Return the last lines that the teacher sees."""
    done = [one for one in graded if one.notebook is not None]
    attention = [one for one in graded if one.status != "graded"]
    waiting = sum(one.written()[0] is None for one in done)
    lines = [
        f"{len(done)} of {len(graded)} submissions graded in {seconds:.0f} s; "
        f"{len(attention)} want a look",
        f"marks:    {results / 'marks.csv'}",
        f"summary:  {results / 'summary.html'}",
        f"feedback: {results / 'feedback'}",
    ]
    if waiting:
        lines.append(
            f"written:  {waiting} wait for your points in {results / 'written.csv'}; "
            "fill the column 'points' and run the command again"
        )
    return "\n".join(lines)


def _plain(value):
    """A spreadsheet takes a text that begins so for a formula."""
    text = str(value)
    formula = text.startswith(("=", "+", "-", "@", "\t", "\r"))
    return "'" + text if formula and not isinstance(value, int | float) else text


def _write_csv(path, header, rows):
    partial = path.with_suffix(".partial")
    with open(partial, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_plain(value) for value in row] for row in rows)
    partial.replace(path)


def _number(value):
    return "" if value is None else f"{value:g}"


def write_marks(path, graded):
    """Write a row for each submission; one that could not be graded has no points, not 0."""
    rows = []
    for one in graded:
        sent = one.submission
        if one.notebook is None:
            row = [sent.student, sent.assignment, one.status, *[""] * 7, sent.problem, sent.path]
        else:
            (got, most), (given, of) = one.points(), one.written()
            total = None if given is None else got + given
            row = [sent.student, sent.assignment, one.status, got, most, _number(given), of]
            row += [_number(total), most + of, " ".join(one.lost), "; ".join(one.warnings)]
            row.append(sent.path)
        rows.append(row)
    _write_csv(path, MARKS, rows)


def read_written(path):
    """Return {(student, assignment, answer): row} of the answers that the teacher gave points."""
    marks = {}
    if not path.exists():
        return marks
    with open(path, newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            if not (row.get("points") or "").strip():
                continue
            try:
                points, most = float(row["points"].replace(",", ".")), float(row["of"])
            except (KeyError, TypeError, ValueError):
                raise ValueError(
                    f"{path.name}, line {number}: points are {row['points']!r}, expected a number"
                ) from None
            if not 0 <= points <= most:
                raise ValueError(
                    f"{path.name}, line {number}: {points:g} points, expected 0 to {most:g}"
                )
            marks[row["student"], row["assignment"], row["answer"]] = row | {"points": points}
    return marks


def still_good(one, marks):
    """Return {answer: (points, comment)} of the marks whose answer still reads as it did."""
    found = {}
    for cell in one.cells("written"):
        name = grade_id(cell)
        row = marks.get((one.submission.student, one.submission.assignment, name))
        if row and (row.get("text") or "").split() == _plain(cell.source).split():
            found[name] = (row["points"], row.get("comment") or "")
    return found


def write_written(path, graded, marks):
    """Write the answers that a person reads; what the teacher filled in stands."""
    rows, seen = [], set()
    for one in graded:
        if one.notebook is None:
            continue
        sent, good = one.submission, still_good(one, marks)
        for cell in one.cells("written"):
            name = grade_id(cell)
            place = (sent.student, sent.assignment, name)
            seen.add(place)
            points, comment = good.get(name, (None, ""))
            if points is None and one.grades.get(name, (None,))[0] == 0:
                points, comment = 0, "no answer"  # nbgrader saw that nothing was written
            elif points is None and place in marks:
                comment = f"the answer changed since it had {marks[place]['points']:g} points"
            of = cell.metadata["nbgrader"]["points"]
            rows.append([*place, of, _number(points), comment, cell.source])
    for place, row in marks.items():  # of a student whose file cannot be read now
        if place not in seen:
            rows.append([row.get(name) or "" for name in WRITTEN])
    _write_csv(path, WRITTEN, rows)


def write_feedback(page, folder, one):
    """Copy nbgrader's page, closed to the network, with mathematics that is typeset offline."""
    text = page.read_text(encoding="utf-8")
    nonce = secrets.token_urlsafe(16)
    text = re.sub(r"<script\b.*?</script>", "", text, flags=re.S)
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; "
        f"script-src 'nonce-{nonce}'"
    )
    settings = "MathJax = {tex: {inlineMath: [['$', '$']], tags: 'ams'}}"
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<script nonce="{nonce}">{settings}</script>'
        f'<script nonce="{nonce}" src="mathjax/{MATHJAX}"></script>'
    )
    text = text.replace("<head>", f"<head>{head}", 1)
    text = re.sub(r'<a href="#([\w-]+)">Test cell</a>', r'<a href="#\1">\1</a>', text)
    text = re.sub(
        r'<a href="#([\w-]+)">Written response</a>', r'<a href="#\1">\1, written</a>', text
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in one.notes + one.verdict.warnings)
    if notes:
        text = re.sub("<body[^>]*>", lambda match: f"{match[0]}<ul>{notes}</ul>", text, count=1)
    target = folder / "mathjax" / MATHJAX
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        place = importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations[0]
        shutil.copyfile(Path(place) / "static/mathjax" / MATHJAX, target)
    name = f"{one.submission.student}-{one.submission.assignment}.html"
    (folder / name).write_text(text, encoding="utf-8")


STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; padding: .25rem .8rem; border-bottom: 1px solid #8886; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.bar { background: #0072b2; height: .7rem; }
.track { background: #8883; width: 10rem; }
img { background: white; max-width: 100%; }
"""


def write_summary(path, graded, sources):
    """Write the page of the class: points, what was hard, what went wrong, who wants a look."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Class summary</title>',
        f"<style>{STYLE}</style></head><body><h1>Class summary</h1>",
    ]
    attention = [one for one in graded if one.status != "graded"]
    if attention:
        parts.append("<h2>Wants a look</h2><table><tr><th>Student</th><th>Why</th></tr>")
        for one in attention:
            why = one.submission.problem or "; ".join(one.warnings)
            parts.append(_row(one.submission.student, f"{one.submission.path.name}: {why}"))
        parts.append("</table>")
    for name in sources:
        ours = [one for one in graded if one.submission.assignment == name and one.notebook]
        if ours:
            parts += _assignment(name, ours)
    parts.append("</body></html>")
    path.write_text("".join(parts), encoding="utf-8")


def _row(*values):
    cells = (
        f'<td class="n">{value:g}</td>'
        if isinstance(value, int | float)
        else f"<td>{html.escape(str(value))}</td>"
        for value in values
    )
    return f"<tr>{''.join(cells)}</tr>"


def _assignment(name, ours):
    points = [one.points()[0] for one in ours]
    most = ours[0].points()[1]
    yield f"<h2>{html.escape(name)}</h2><p>{len(ours)} submissions; automatic points: median "
    yield f"{statistics.median(points):g}, from {min(points):g} to {max(points):g} of {most:g}.</p>"
    alt = f"Histogram of the automatic points of {len(ours)} submissions, 0 to {most:g}"
    yield f'<img alt="{alt}" src="data:image/svg+xml;base64,{_histogram(points, most)}">'
    yield "<table><tr><th>Test</th><th>Points</th><th>Passed</th><th></th><th>Failures</th></tr>"
    for cell in ours[0].cells("test"):
        test = grade_id(cell)
        messages = [one.verdict.tests.get(test, "not run") for one in ours]
        passed = sum(not message for message in messages)
        usual = Counter(_kind(message) for message in messages if message).most_common(3)
        share = 100 * passed / len(ours)
        said = "<br>".join(f"{count} × {html.escape(text)}" for text, count in usual)
        yield (
            f'<tr><td>{html.escape(test)}</td><td class="n">{cell.metadata.nbgrader.points:g}</td>'
            f'<td class="n">{passed} of {len(ours)}</td><td><div class="track">'
            f'<div class="bar" style="width:{share:.0f}%"></div></div></td><td>{said}</td></tr>'
        )
    yield "</table><table><tr><th>Student</th><th>Automatic</th><th>Written</th><th>Lost</th></tr>"
    for one in ours:
        given = one.written()[0]
        lost = ", ".join(one.lost)
        shown = "awaited" if given is None else given
        yield _row(one.submission.student, one.points()[0], shown, lost)
    yield "</table>"


def _kind(message):
    """Make alike what differs in numbers only; the diagnosis of a usual mistake stands for all."""
    if "That is what comes out with" in message:
        return message[message.index("That is what comes out with") :]
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "…", message)[:160]


def _histogram(points, most):
    """Return an SVG, in base64: how many submissions reached how many points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2.4), layout="constrained")
    axis = figure.subplots()
    edges = [n - 0.5 for n in range(int(most) + 2)]
    axis.hist(points, bins=edges, color="#0072B2", rwidth=0.85)
    axis.set(xlabel="automatic points", ylabel="submissions", xlim=(-0.6, most + 0.6))
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.spines[["top", "right"]].set_visible(False)
    file = io.StringIO()
    figure.savefig(file, format="svg")
    return base64.b64encode(file.getvalue().encode()).decode()
