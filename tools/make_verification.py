"""The book's Verification page, from the markers that tests carry.

A test says `@pytest.mark.verifies("losses.get", against="TF-GAN's fixtures")`. Tests and package
are parsed, not imported, so this takes no TensorFlow and no time. A public name is one that
stands in the `__all__` of a module of the package, the package's own `__init__` left out.
"""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "ganvae_lessons"
INTRODUCTION = """\
# Verification

Each public name of the package is tested against something outside this project: a closed form, a
numerical integral, another library, a published fixture or a table of a paper. A lesson that says
"this equals the package's function" therefore rests on more than our own word. This page is
generated from the tests: each row names what was checked, what it was checked against and the test
that does it. A public name without such a test fails the test suite.
"""


@dataclass(frozen=True)
class Claim:
    """One marker: `name` is verified `against` something by `test`, at `place`."""

    name: str
    against: str
    test: str
    counts: bool = True


def public_names(root, package=PACKAGE):
    """Return {module: [names]}, such as {"losses": ["get"], "models.dcgan": ["Config", …]}."""
    names = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = list(path.relative_to(root / package).with_suffix("").parts)
        if parts == ["__init__"] or any(p.startswith("_") and p != "__init__" for p in parts):
            continue
        if parts[-1] == "__init__":
            parts.pop()
        listed = _all_of(ast.parse(path.read_text(encoding="utf-8"), str(path)), path)
        # a package may list its own modules, which are verified name by name
        listed = [name for name in listed if not (path.parent / f"{name}.py").exists()]
        if listed:
            names[".".join(parts)] = listed
    return names


def _all_of(tree, path):
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            try:
                return list(ast.literal_eval(node.value))
            except ValueError:
                raise ValueError(f"{path}: __all__ must be a plain list of strings") from None
    return []


def collect(root, tests="tests"):
    """Return (claims, problems): the markers of all tests, and one line for each unusable one."""
    claims, problems = [], []
    for path in sorted((root / tests).rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        file = path.relative_to(root / tests).as_posix()
        in_file = _module_marks(tree)
        for function, inherited in _test_functions(tree, in_file):
            marks = inherited + function.decorator_list
            counts = not any(_never_runs(mark) for mark in marks)
            for mark in marks:
                if _mark_name(mark) == "verifies":
                    new, wrong = _read_mark(mark, f"{file}::{function.name}", counts)
                    claims += new
                    problems += wrong
    return claims, problems


def _module_marks(tree):
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in targets):
            value = node.value
            return list(value.elts) if isinstance(value, ast.List | ast.Tuple) else [value]
    return []


def _test_functions(node, inherited):
    """Yield (function, marks of the enclosing module and classes) for each test."""
    for child in node.body:
        if isinstance(child, ast.ClassDef) and child.name.startswith("Test"):
            yield from _test_functions(child, inherited + child.decorator_list)
        elif isinstance(child, ast.FunctionDef) and child.name.startswith("test"):
            yield child, inherited


def _mark_name(node):
    """Return "verifies" for `pytest.mark.verifies(...)` or `mark.verifies(...)`, else None."""
    function = node.func if isinstance(node, ast.Call) else node
    if isinstance(function, ast.Attribute):
        owner = function.value
        if getattr(owner, "attr", getattr(owner, "id", None)) == "mark":
            return function.attr
    return None


def _never_runs(mark):
    """A test that is skipped or expected to fail whatever happens verifies nothing."""
    name = _mark_name(mark)
    if name == "skip":
        return True
    conditional = isinstance(mark, ast.Call) and bool(mark.args)
    if name == "xfail":
        return not conditional
    if name == "skipif" and conditional:
        return isinstance(mark.args[0], ast.Constant) and bool(mark.args[0].value)
    return False


def _read_mark(mark, test, counts):
    arguments = mark.args if isinstance(mark, ast.Call) else []
    keywords = {k.arg: k.value for k in mark.keywords} if isinstance(mark, ast.Call) else {}
    try:
        names = [ast.literal_eval(argument) for argument in arguments]
        against = ast.literal_eval(keywords["against"]) if "against" in keywords else ""
    except ValueError:
        return [], [f"{test}: verifies() must be written with plain strings, to be read unimported"]
    problems = []
    if not names or not all(isinstance(name, str) for name in names):
        problems.append(f'{test}: verifies() must name what it verifies, such as "losses.get"')
    if not isinstance(against, str) or not against.strip():
        problems.append(f'{test}: verifies() lacks against="…", what it was verified against')
    if problems:
        return [], problems
    return [Claim(name, against.strip(), test, counts) for name in names], []


def problems(root, package=PACKAGE):
    """Return one line for each unverified name, unknown name and unusable marker."""
    claims, lines = collect(root)
    public = {
        f"{module}.{name}"
        for module, names in public_names(root, package).items()
        for name in names
    }
    verified = {claim.name for claim in claims if claim.counts}
    for claim in claims:
        if claim.name not in public:
            lines.append(
                f"{claim.test}: verifies {claim.name!r}, which is in no __all__ of {package}; "
                "correct the marker or make the name public"
            )
        if not claim.counts:
            lines.append(
                f"{claim.test}: always skipped or expected to fail, so it verifies nothing"
            )
    for name in sorted(public - verified):
        lines.append(
            f"{name}: public, but no test verifies it; mark one with "
            f'@pytest.mark.verifies("{name}", against="…")'
        )
    return lines


def page(root, package=PACKAGE):
    """Return the Verification page in MyST."""
    claims, _ = collect(root)
    parts = [INTRODUCTION]
    for module, names in public_names(root, package).items():
        parts.append(f"## `{module}`\n")
        parts.append("| public name | verified against | test |\n|---|---|---|")
        for name in names:
            rows = [c for c in claims if c.name == f"{module}.{name}" and c.counts]
            for index, claim in enumerate(rows):
                shown = f"`{name}`" if index == 0 else ""
                parts.append(f"| {shown} | {_cell(claim.against)} | `{claim.test}` |")
            if not rows:
                parts.append(f"| `{name}` | **nothing yet** | |")
        parts.append("")
    return "\n".join(parts).rstrip("\n") + "\n"


def _cell(text):
    return " ".join(text.split()).replace("|", "\\|")


def main():
    (ROOT / "book/verification.md").write_text(page(ROOT), encoding="utf-8")
    lines = problems(ROOT)
    print("\n".join(lines) or "every public name is verified")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
