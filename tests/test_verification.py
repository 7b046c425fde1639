"""Every public name is verified against something outside this project, and this check bites."""

from pathlib import Path

import make_verification

ROOT = Path(__file__).resolve().parent.parent

PACKAGE = {
    "ganvae_lessons/__init__.py": '__all__ = ["not_counted"]\n',
    "ganvae_lessons/losses.py": '__all__ = ["get", "penalty"]\n',
    "ganvae_lessons/models/__init__.py": "",
    "ganvae_lessons/models/gan.py": '__all__ = ["Config"]\n',
    "ganvae_lessons/_private.py": '__all__ = ["hidden"]\n',
}
GOOD = """\
import pytest

@pytest.mark.verifies("losses.get", "losses.penalty", against="a closed | form")
def test_get(): ...

class TestModel:
    @pytest.mark.parametrize("n", [1])
    @pytest.mark.verifies("models.gan.Config", against="table 1")
    def test_config(self, n): ...
"""


def project(tmp_path, tests):
    for name, text in {**PACKAGE, "tests/test_it.py": tests}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_public_name_is_verified():
    lines = make_verification.problems(ROOT)
    assert not lines, "\n" + "\n".join(lines)


def test_complete_markers_pass_and_make_a_page(tmp_path):
    root = project(tmp_path, GOOD)
    assert make_verification.problems(root) == []
    page = make_verification.page(root)
    assert "## `losses`" in page
    assert "| `get` | a closed \\| form | `test_it.py::test_get` |" in page
    assert "| `Config` | table 1 | `test_it.py::test_config` |" in page
    assert "not_counted" not in page
    assert "hidden" not in page


def test_an_unverified_name_is_reported(tmp_path):
    root = project(tmp_path, GOOD.replace('"losses.penalty", ', ""))
    (line,) = make_verification.problems(root)
    assert line.startswith("losses.penalty: public, but no test verifies it")
    assert "| `penalty` | **nothing yet** | |" in make_verification.page(root)


def test_a_name_that_is_not_public_is_reported(tmp_path):
    root = project(tmp_path, GOOD + GOOD[14:].replace("losses.penalty", "losses.penaltty"))
    (line,) = make_verification.problems(root)
    assert "'losses.penaltty', which is in no __all__" in line


def test_a_marker_without_against_is_reported(tmp_path):
    root = project(tmp_path, GOOD.replace(', against="table 1"', ""))
    lines = make_verification.problems(root)
    assert 'test_it.py::test_config: verifies() lacks against="…"' in lines[0]
    assert lines[1].startswith("models.gan.Config: public, but no test")


def test_a_test_that_never_runs_does_not_count(tmp_path):
    for mark in ('skip(reason="slow")', "xfail", "skipif(True, reason='no')"):
        root = project(tmp_path, GOOD.replace("class Test", f"@pytest.mark.{mark}\nclass Test"))
        lines = make_verification.problems(root)
        assert any("so it verifies nothing" in line for line in lines), mark
        assert any(line.startswith("models.gan.Config: public") for line in lines), mark
    for mark in ('skipif(not GPU, reason="no GPU")', 'xfail(OLD, reason="old")'):
        root = project(tmp_path, GOOD.replace("class Test", f"@pytest.mark.{mark}\nclass Test"))
        assert make_verification.problems(root) == [], mark


def test_a_marker_that_cannot_be_read_is_reported(tmp_path):
    root = project(tmp_path, GOOD.replace('"table 1"', "TABLE"))
    assert "must be written with plain strings" in make_verification.problems(root)[0]
