"""Run a notebook's cells in the sandbox and its tests here, against what the sandbox answers.

A test cell is code of the teacher's that calls the student's functions. It is executed in this
process, where `np`, `math` and `checks` are what they are; every other name in it is asked of the
sandbox. So a submission decides what its functions return, and nothing else.
"""

import ast
import builtins
import math
import re
import time
from dataclasses import dataclass, field

import numpy as np

from ganvae_lessons import checks

from . import remote, sandbox
from .form import grade_id, role

TRUSTED = {"np": np, "math": math, "checks": checks}
RESTARTS = 2


@dataclass
class Verdict:
    """What became of one submission: for each test a message ("" passed), for each cell outputs."""

    tests: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    warnings: list = field(default_factory=list)


def foreign_names(source):
    """Return the names that a test uses and neither defines nor shares with this process."""
    used, made = set(), set(TRUSTED) | set(dir(builtins))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else made).add(node.id)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.alias):
            made.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            made.add(node.name)
    return sorted(used - made)


def judge(source, session):
    """Execute a test against a session; return what the student reads: "" if it passed."""
    try:
        space = dict(TRUSTED, __name__="test", print=lambda *words, **options: None)
        for name in foreign_names(source):
            space[name] = session.get(name)
        with np.errstate(all="ignore"):
            exec(compile(source, "test", "exec"), space)
    except checks.Failure as failure:
        return str(failure)
    except remote.RemoteError as error:
        if error.type_name == "NotImplementedError":
            return "there is no answer here yet"
        return f"your code raised {error.type_name}: {error}".rstrip(": ")
    except AssertionError as error:
        return str(error) or "an assertion does not hold"
    except (remote.Dead, MemoryError):
        raise
    except Exception as error:  # what came could not be used: no number, a wrong nesting
        return f"the check could not use what came ({type(error).__name__}: {error})"
    return ""


def run(notebook, limits=None):
    """Execute a repaired notebook, cell by cell; return its Verdict.

    Where Python dies or hangs in a cell, a new one runs the cells before it and goes on after it.
    """
    limits = limits or sandbox.Limits()
    verdict = Verdict()
    deadline = time.monotonic() + limits.total_seconds
    cells = notebook["cells"]
    guilty, session, restarts = set(), None, 0
    try:
        for number, cell in enumerate(cells):
            if cell["cell_type"] != "code":
                continue
            test = role(cell) == "test"
            why = ""
            if restarts > RESTARTS:
                why = f"Python had ended {restarts} times"
            elif time.monotonic() > deadline:
                why = f"the notebook took over {limits.total_seconds:.0f} s"
            if why:
                if test:
                    verdict.tests[grade_id(cell)] = f"not run: {why}"
                if f"stopped: {why}" not in verdict.warnings:
                    verdict.warnings.append(f"stopped: {why}")
                continue
            try:
                if session is None:
                    session = remote.Session(limits)
                    _replay(session, cells[:number], guilty)
                if test:
                    verdict.tests[grade_id(cell)] = judge(cell["source"], session)
                else:
                    verdict.outputs[cell["id"]] = _run_cell(session, cell)
            except remote.Dead as death:
                session, restarts = None, restarts + 1
                guilty.add(cell["id"])
                if test:
                    verdict.tests[grade_id(cell)] = f"your code was stopped: {death}"
                else:
                    verdict.outputs[cell["id"]] = [_stopped(death)]
                verdict.warnings.append(f"cell {number + 1} was stopped: {death}")
    finally:
        if session is not None:
            session.close()
    return verdict


def _replay(session, cells, guilty):
    for cell in cells:
        code = cell["cell_type"] == "code" and role(cell) != "test"
        if code and cell["id"] not in guilty:
            _run_cell(session, cell)


def _run_cell(session, cell):
    try:
        return [clean(output) for output in session.run(cell["source"])]
    except remote.RemoteError as error:
        return [_stopped(error)]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []  # the agent was tampered with; its outputs are only for show


def clean(output):
    """Return an output as a page may show it: text and pictures, nothing that a browser runs."""
    kind = output["output_type"]
    if kind == "stream":
        name = "stderr" if output["name"] == "stderr" else "stdout"
        return {"output_type": kind, "name": name, "text": str(output["text"])}
    if kind == "error":
        return {
            "output_type": kind,
            "ename": str(output["ename"]),
            "evalue": str(output["evalue"]),
            "traceback": [str(line) for line in output["traceback"]],
        }
    data = {}
    if "text/plain" in output["data"]:
        data["text/plain"] = str(output["data"]["text/plain"])
    picture = output["data"].get("image/png")
    if isinstance(picture, str) and re.fullmatch(r"[A-Za-z0-9+/=\n]+", picture):
        data["image/png"] = picture
    return {"output_type": "display_data", "data": data, "metadata": {}}


def _stopped(error):
    text = str(error)
    return {"output_type": "error", "ename": "Stopped", "evalue": text, "traceback": [text]}
