"""What nbgrader does for us: students' versions, the book of grades, the pages of feedback.

A course folder is thrown together where it is needed: the assignments' sources, nbgrader's
database, the students' folders. Nothing is executed here: `judge` has written the outputs before.
"""

import json
import logging
import os
import shutil
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "assignments/source"
CODE_STUB = "# Write your answer here.\nraise NotImplementedError"
TEXT_STUB = "Write your answer here."


def names(sources=SOURCES):
    """Return the assignments' names, in order."""
    return sorted(path.stem for path in Path(sources).glob("*/*.ipynb"))


def load_sources(sources=SOURCES):
    """Return {name: notebook} of the assignments with their solutions and hidden tests."""
    return {
        name: nbformat.read(Path(sources) / name / f"{name}.ipynb", as_version=4)
        for name in names(sources)
    }


class Course:
    """nbgrader's course folder at `folder`; made with the sources in it where there is none."""

    def __init__(self, folder, sources=SOURCES):
        from nbgrader.apps import NbGraderAPI
        from traitlets.config import Config

        self.folder = Path(folder).resolve()
        self.names = names(sources)
        for name in self.names:
            target = self.folder / "source" / name
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            shutil.copy(Path(sources) / name / f"{name}.ipynb", target)
        programs = str(Path(sys.prefix) / "bin")  # nbgrader calls alembic by name
        if programs not in os.environ.get("PATH", "").split(os.pathsep):
            os.environ["PATH"] = programs + os.pathsep + os.environ.get("PATH", os.defpath)
        config = Config()
        config.CourseDirectory.root = str(self.folder)
        config.Exchange.root = str(self.folder)  # unused; its default is a folder of the system's
        config.ClearSolutions.code_stub = {"python": CODE_STUB}
        config.ClearSolutions.text_stub = TEXT_STUB
        config.Execute.enabled = False
        config.ClearOutput.enabled = False
        config.NbGrader.log_level = logging.ERROR
        config.GenerateFeedback.preprocessors = [
            "nbgrader.preprocessors.GetGrades",
            "nbgrader.preprocessors.ClearHiddenTests",
            "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
        ]
        config.HTMLExporter.sanitize_html = True
        self.api = NbGraderAPI(config=config)

    def release(self):
        """Make every student's version; return {name: notebook}."""
        for name in self.names:
            self._must(self.api.generate_assignment(name, force=True, create=True), name)
        return {
            name: nbformat.read(self.folder / "release" / name / f"{name}.ipynb", as_version=4)
            for name in self.names
        }

    def grade(self, student, name, notebook):
        """Enter a judged notebook into nbgrader's book of grades."""
        folder = self.folder / "submitted" / student / name
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(notebook, ensure_ascii=False, indent=1)
        (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")
        self._must(self.api.autograde(name, student, force=True, create=True), f"{student}, {name}")

    def set_mark(self, student, name, grade_id, points, comment):
        """Enter what the teacher gave for a written answer, and the comment."""
        with self.api.gradebook as book:
            grade = book.find_grade(grade_id, name, name, student)
            grade.manual_score = points
            grade.needs_manual_grade = False
            book.db.commit()
        self.comment(student, name, grade_id, comment)

    def comment(self, student, name, grade_id, comment):
        """Set what the page of feedback says beside an answer."""
        with self.api.gradebook as book:
            book.find_comment(grade_id, name, name, student).manual_comment = comment or None
            book.db.commit()

    def grades(self, student, name):
        """Return {grade id: (points or None where the teacher's are awaited, most)}."""
        with self.api.gradebook as book:
            submission = book.find_submission_notebook(name, name, student)
            return {
                grade.name: (None if grade.needs_manual_grade else grade.score, grade.max_score)
                for grade in submission.grades
            }

    def feedback(self, student, name):
        """Make the page of feedback and return its path."""
        self._must(
            self.api.generate_feedback(name, student, force=True), f"feedback for {student}, {name}"
        )
        return self.folder / "feedback" / student / name / f"{name}.html"

    @staticmethod
    def _must(result, what):
        if not result["success"]:
            log = (result["log"] or result["error"] or "")[-2000:]
            raise RuntimeError(f"nbgrader failed at {what}:\n{log}")
