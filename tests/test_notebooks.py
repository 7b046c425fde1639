"""The form of each lesson: its set-up cell, its outputs, its figures, its exercises, its end.

What the lessons compute is tested by running them: nbval over notebooks/ and the book's build.
"""

import ast
import json
import re
from pathlib import Path

import build_book
import notebook as notebook_tool
import pytest
import setup_cell

ROOT = Path(__file__).resolve().parent.parent
CHECKED = "nbval-check-output"
PATHS = setup_cell.notebooks(ROOT)


def tags(cell):
    return cell["metadata"].get("tags", [])


def source(cell):
    return "".join(cell["source"])


def makes_figure(text):
    """Whether code, outside of functions it defines, calls plt.show or something of plots."""
    lines = ["pass" if line.lstrip().startswith(("%", "!")) else line for line in text.splitlines()]
    pending = [ast.parse("\n".join(lines))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "plt.show" or called.startswith("plots."):
                return True
        pending += ast.iter_child_nodes(node)
    return False


@pytest.fixture(params=PATHS, ids=[path.stem for path in PATHS])
def lesson(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_set_up_cell_is_the_template(lesson):
    assert setup_cell.cell_problem(lesson) is None


def test_outputs(lesson):
    """Only checked cells store outputs, and those do."""
    for cell in lesson["cells"]:
        if cell["cell_type"] != "code":
            continue
        where = f"cell {cell['id']}"
        expected = 1 if CHECKED in tags(cell) else None
        assert cell["execution_count"] == expected, (
            f"{where} stores the execution count {cell['execution_count']}, expected {expected}; "
            "run 'python tools/notebook.py store-outputs NOTEBOOK'"
        )
        if CHECKED in tags(cell):
            assert cell["outputs"], (
                f"{where} is tagged {CHECKED} but stores no output; "
                "run 'python tools/notebook.py store-outputs NOTEBOOK'"
            )
            kinds = {kind for output in cell["outputs"] for kind in output.get("data", {})}
            assert not any(kind.startswith("image/") for kind in kinds), f"{where}: a picture"
        else:
            assert not cell["outputs"], f"{where} stores outputs; strip them"


def test_identity(lesson):
    assert lesson["metadata"]["kernelspec"]["name"] == "python3"
    identifiers = [cell["id"] for cell in lesson["cells"]]
    assert len(set(identifiers)) == len(identifiers)


def test_length_and_end(lesson):
    assert 25 <= len(lesson["cells"]) <= 65
    last = [cell for cell in lesson["cells"] if cell["cell_type"] == "code"][-1]
    assert re.search(r"^\s*assert\b", source(last), re.M), "the last code cell must assert"
    assert source(last).endswith("\nspent()"), "the last code cell must end in spent()"


def test_exercises_have_folded_solutions(lesson):
    text = "\n\n".join(source(c) for c in lesson["cells"] if c["cell_type"] == "markdown")
    exercises = re.findall(r"\{exercise(?:-start)?\}[^\n]*\n(?::[\w-]+:.*\n)*?:label: *(\S+)", text)
    number = len(re.findall(r"\{exercise(?:-start)?\}", text))
    solutions = re.findall(r"\{solution(?:-start)?\} *(\S+)\n((?::[\w-]+:.*\n)*)", text)
    assert number >= 1, "a lesson has at least one exercise"
    assert len(exercises) == number, "each exercise has a :label:"
    assert sorted(exercises) == sorted(name for name, _ in solutions)
    for name, options in solutions:
        assert re.search(r":class:.*\bdropdown\b", options), f"solution of {name} is not folded"


def test_figures_have_alternative_text_and_caption(lesson):
    for cell in lesson["cells"]:
        if cell["cell_type"] == "code" and makes_figure(source(cell)):
            described = cell["metadata"].get("mystnb", {})
            assert described.get("image", {}).get("alt", "").strip(), f"cell {cell['id']}: no alt="
            caption = described.get("figure", {}).get("caption", "").strip()
            assert caption, f"cell {cell['id']}: no caption="


def crowded_formulas(markdown):
    """Lines where a displayed formula opens or closes without a blank line beside it."""
    lines, found, inside = ["", *markdown.splitlines(), ""], [], False
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("$$"):
            continue
        if line.strip().count("$$") == 2:  # opens and closes on one line
            beside = lines[number - 1] + lines[number + 1]
        else:
            beside = lines[number + 1] if inside else lines[number - 1]
            inside = not inside
        if beside.strip(" :"):  # a directive's fence may follow
            found.append(number)
    return found


def test_displayed_formulas_stand_between_blank_lines(lesson):
    """Otherwise the book shows their dollars."""
    for cell in lesson["cells"]:
        if cell["cell_type"] == "markdown":
            assert crowded_formulas(source(cell)) == [], f"cell {cell['id']}"


def test_crowded_formulas():
    assert crowded_formulas("a\n\n$$\nx\n$$ (eq-1)\n\nb\n\n$$ y $$") == []
    assert crowded_formulas("a\n$$\nx\n$$\n\nb") == [2]
    assert crowded_formulas("a\n\n$$\nx\n$$\nb") == [5]
    assert crowded_formulas("$$ x $$\nb") == [1]
    assert crowded_formulas(":::{note}\n\n$$ x $$\n:::") == []


def test_every_lesson_and_page_is_in_the_table_of_contents():
    pages = set(build_book.toc_pages(ROOT))
    written = {f"notebooks/{path.stem}" for path in PATHS}
    written |= {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")}
    assert written - pages == set()


def test_makes_figure():
    assert makes_figure("%matplotlib inline\nfig = 1\nplt.show()")
    assert makes_figure("if True:\n    plots.grid(images)")
    assert not makes_figure("def f():\n    plt.show()")
    assert not makes_figure("x = plt.subplots()")


TEXT = """\
#%% md
# Title

#%% setup

#%% code tags=hide-input alt="\\"Two\\" lines: $\\\\log x$" caption="It's $\\\\log x$." name=fig-x
plt.show()

#%% code tags=nbval-check-output meta="{\\"a\\": 1}"
1 + 1
"""


def test_text_and_notebook_convert_into_each_other():
    made = notebook_tool.from_text(TEXT, "07")
    assert [cell.id for cell in made.cells] == ["07-001", "07-002", "07-003", "07-004"]
    assert made.cells[2].metadata["mystnb"] == {
        "image": {"alt": '"Two" lines: $\\log x$'},
        "figure": {"caption": "It's $\\log x$.", "name": "fig-x"},
    }
    assert notebook_tool.to_text(made) == TEXT
    assert setup_cell.cell_problem(made) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\n", "line 1: text before the first cell"),
        ("#%% code alt\nx\n", "line 1: 'alt' is not an option"),
        ("#%% code name=fig-x\nx\n", "name= needs caption="),
        ("#%% md\n\n#%% code\nx\n", "cell 1 is empty"),
    ],
)
def test_wrong_text_is_reported(text, message):
    with pytest.raises(ValueError, match=message):
        notebook_tool.from_text(text, "07")
