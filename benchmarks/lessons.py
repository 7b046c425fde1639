"""What the lessons' own code says, read from the notebooks: nothing here is typed a second time.

A lesson's settings are expressions such as `budget.pick(smoke=…, laptop=…, gpu=…)`. They are
parsed, each choice is replaced by its gpu value, and names are looked up in the same notebook.
"""

import ast
import dataclasses
import functools
import importlib
import json
import math
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
MODELS = ("cgan", "convlstm", "dcgan", "gan", "progressive", "rnn", "stackgan", "vae", "vaegan")


@functools.cache
def _tools():
    """What the settings may call besides each other."""
    models = {name: importlib.import_module(f"ganvae_lessons.models.{name}") for name in MODELS}
    keras = importlib.import_module("keras")
    return models | {
        "keras": keras,
        "layers": keras.layers,
        "losses": importlib.import_module("ganvae_lessons.losses"),
        "math": math,
        "replace": dataclasses.replace,
        "dataclass": dataclasses.dataclass,
    }


@functools.cache
def tree(lesson):
    """Return the code of a lesson ("05" or its whole name) as one syntax tree."""
    paths = sorted(NOTEBOOKS.glob(f"{lesson}*.ipynb"))
    if len(paths) != 1:
        raise ValueError(f"lesson must begin the name of one notebook, got {lesson!r}")
    cells = json.loads(paths[0].read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = "\n".join(code).splitlines()
    return ast.parse("\n".join("" if line.startswith(("%", "!")) else line for line in lines))


class _AtGpu(ast.NodeTransformer):
    """Replaces each `budget.pick(…)` by what it picks at the gpu budget."""

    def visit_Call(self, node):
        if ast.unparse(node.func) != "budget.pick":
            return self.generic_visit(node)
        return self.visit(next(word.value for word in node.keywords if word.arg == "gpu"))


def gpu_value(lesson, name, within=None, **known):
    """Return what `name = …` is in a lesson at the gpu budget, or in the function `within` it.

    `known` holds what the expression needs and no assignment tells. KeyError names what is missing.
    """
    scope = tree(lesson) if within is None else _function(lesson, within)
    return evaluate(lesson, _assigned(lesson, name, scope), **known)


def evaluate(lesson, expression, **known):
    """Return the value at the gpu budget of an expression of a lesson, given as a syntax tree."""
    # through its text: the tree itself stays as it was
    expression = _AtGpu().visit(ast.parse(ast.unparse(expression), mode="eval"))
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    given = _tools() | known
    for name in names - given.keys() - {"dict", "int", "len", "list", "map", "tuple"}:
        given[name] = gpu_value(lesson, name, **known)
    return eval(compile(ast.fix_missing_locations(expression), lesson, "eval"), given)


def _assigned(lesson, name, scope):
    """The expression of the first `name = …` in a scope, functions inside it left out."""
    for statement in _statements(scope):
        for target in getattr(statement, "targets", ()):
            if ast.unparse(target) == name:
                return statement.value
            if not isinstance(target, ast.Tuple):
                continue
            parts = [ast.unparse(part) for part in target.elts]
            if name in parts:
                place = parts.index(name)
                if isinstance(statement.value, ast.Tuple):
                    return statement.value.elts[place]
                return ast.Subscript(statement.value, ast.Constant(place), ast.Load())
    raise KeyError(f"lesson {lesson} assigns no {name}")


def _statements(scope):
    for statement in scope.body:
        yield statement
        if isinstance(statement, ast.With | ast.For | ast.If):
            yield from _statements(statement)


def _function(lesson, name):
    for node in ast.walk(tree(lesson)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
    raise KeyError(f"lesson {lesson} defines no {name}")


def default(lesson, function, argument):
    """Return the default value of a function's argument, at the gpu budget."""
    arguments = _function(lesson, function).args
    plain = arguments.posonlyargs + arguments.args
    pairs = list(
        zip(plain[len(plain) - len(arguments.defaults) :], arguments.defaults, strict=True)
    )
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    for each, value in pairs:
        if each.arg == argument and value is not None:
            return evaluate(lesson, value)
    raise KeyError(f"{function} of lesson {lesson} has no default for {argument}")


def argument(lesson, call, first, place, within=None):
    """Return an argument, by its place or name, of the first `call(first, …)` in a lesson."""
    scope = tree(lesson) if within is None else _function(lesson, within)
    for node in ast.walk(scope):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) != call or not node.args:
            continue
        if ast.unparse(node.args[0]) == first:
            named = {word.arg: word.value for word in node.keywords}
            return evaluate(lesson, named[place] if isinstance(place, str) else node.args[place])
    raise KeyError(f"lesson {lesson} has no {call}({first}, …)")


def keys(lesson, name):
    """Return the keys of a dictionary that a lesson writes down."""
    written = _assigned(lesson, name, tree(lesson))
    return [ast.literal_eval(key) for key in written.keys]


def function(lesson, name):
    """Return a function of a lesson, made from its own code at the gpu budget."""
    written = _function(lesson, name)
    inside = {node.id for node in ast.walk(written) if isinstance(node, ast.Name)}
    given = dict(_tools())
    for used in inside - given.keys():
        try:
            given[used] = gpu_value(lesson, used)
        except KeyError:
            continue  # its own variables, and Python's names
    exec(compile(ast.Module([written], []), lesson, "exec"), given)
    return given[name]


def mixed(lesson):
    """Whether a lesson builds networks inside `with budget.mixed_precision():`."""
    return any(
        isinstance(node, ast.With) and "budget.mixed_precision()" in ast.unparse(node.items[0])
        for node in ast.walk(tree(lesson))
    )


def configs(lesson):
    """Return the value of every `gpu=…Config(…)` that a lesson gives to `budget.pick`."""
    words = [node for node in ast.walk(tree(lesson)) if isinstance(node, ast.keyword)]
    gpu = [
        word.value for word in words if word.arg == "gpu" and "Config" in ast.unparse(word.value)
    ]
    return [evaluate(lesson, value) for value in gpu]


def names():
    """Return the names of all lessons."""
    return [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
