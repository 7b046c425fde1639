"""Grade a folder of submissions: `python tools/grade.py FOLDER [--results FOLDER] [--jobs N]`.

Each submission runs in a sandbox (grading/sandbox.py). The results: marks.csv, a page of feedback
for each student, summary.html for the class, written.csv to fill in for the answers that a person
reads; run the command again to enter those. What was graded once is not run again while neither
the submission nor the assignment changed, so an interrupted run goes on where it stopped.
"""

import argparse
import hashlib
import json
import os
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from grading import collect, course, judge, repair, report, sandbox

HERE = Path(__file__).resolve().parent


def code_digest(root=course.ROOT):
    """A digest of the code that decides a mark: the grader's and the package's."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("grading/*.py"), *(root / "ganvae_lessons").rglob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def key(submission, source, code):
    text = json.dumps([submission.digest, json.dumps(source, sort_keys=True), code])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def grade_one(submission, source, release, store, limits=None):
    """Repair and judge a submission, or return what an earlier run found; keep it in `store`."""
    notebook, notes = repair.repair(submission.content, source, release)
    if store.exists():
        verdict = judge.Verdict(**json.loads(store.read_text(encoding="utf-8")))
        again = True
    else:
        verdict, again = judge.run(notebook, limits), False
        partial = store.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(verdict)), encoding="utf-8")
        partial.rename(store)
    suspicions = repair.suspicions(notebook, source)
    return report.Graded(submission, notebook, verdict, notes, suspicions, again)


def enter(book, one, marks, feedback):
    """Put one outcome, and the teacher's marks for it, into nbgrader's book; make its page."""
    student, name = one.submission.student, one.submission.assignment
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy's, of nbgrader's own queries
        book.grade(student, name, one.executed())
        for answer, (points, comment) in report.still_good(one, marks).items():
            book.set_mark(student, name, answer, points, comment)
        one.grades = book.grades(student, name)
        for answer, (points, _) in one.grades.items():
            if points is None:
                book.comment(student, name, answer, "Not read yet: this score will change.")
        page = book.feedback(student, name)
    report.write_feedback(page, feedback, one)


def run(folder, results, *, jobs=2, limits=None, sources=course.SOURCES, say=print):
    """Grade a folder of submissions into a folder of results; return the list of outcomes."""
    if problem := sandbox.missing():
        raise RuntimeError(f"no submission is run without a sandbox: {problem}")
    loaded = course.load_sources(sources)
    found = collect.collect(folder, loaded)
    if not found:
        raise ValueError(f"{folder} holds no submissions; expected notebooks or students' folders")
    results = Path(results)
    marks = report.read_written(results / "written.csv")  # says at once what is wrong in it
    kept = results / "judged"
    kept.mkdir(parents=True, exist_ok=True)
    book = course.Course(results / "course", sources)
    releases = book.release()
    code = code_digest()
    graded, start = [], time.monotonic()
    pool, waiting = ThreadPoolExecutor(jobs), {}
    try:
        for one in found:
            if one.problem:
                graded.append(report.Graded(one))
                continue
            source, release = loaded[one.assignment], releases[one.assignment]
            store = kept / f"{key(one, source, code)}.json"
            waiting[pool.submit(grade_one, one, source, release, store, limits)] = one
        for number, done in enumerate(as_completed(waiting), 1):
            outcome = (
                report.failed(waiting[done], done.exception())
                if done.exception()
                else done.result()
            )
            graded.append(outcome)
            seconds = time.monotonic() - start
            say(f"[{number:3d}/{len(waiting)}] {seconds:4.0f} s  {outcome.line()}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    graded.sort(key=lambda one: (one.submission.assignment, one.submission.student))

    for index, one in enumerate(graded):
        if one.notebook is not None:
            try:
                enter(book, one, marks, results / "feedback")
            except Exception as error:
                graded[index] = report.failed(one.submission, error)
                say(graded[index].line())
    report.write_marks(results / "marks.csv", graded)
    report.write_written(results / "written.csv", graded, marks)
    report.write_summary(results / "summary.html", graded, loaded)
    return graded


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of submissions")
    parser.add_argument("--results", type=Path, help="default: the folder's name with -graded")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8))
    options = parser.parse_args()
    folder = options.folder.resolve()
    if not folder.is_dir():
        sys.exit(f"{folder} is no folder; name one with 'make grade SUBMISSIONS=folder'")
    results = options.results or folder.with_name(folder.name + "-graded")
    start = time.monotonic()
    try:
        graded = run(folder, results, jobs=options.jobs)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", flush=True)
        os._exit(130)  # the sandboxes end with this process
    except (RuntimeError, ValueError) as error:
        sys.exit(f"{error}")
    print(report.closing(graded, results, time.monotonic() - start))


if __name__ == "__main__":
    main()
