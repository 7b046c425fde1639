"""`python -m ganvae_lessons`, the report that the issue forms ask for."""

import importlib.metadata
import os
import platform
import subprocess
import sys

import ganvae_lessons


def report(**changes):
    """The lines that the command prints, as a dictionary."""
    environment = {**os.environ, "GANVAE_BUDGET": "", **changes}
    command = [sys.executable, "-m", "ganvae_lessons"]
    printed = subprocess.check_output(command, env=environment, text=True)
    return dict(line.split(": ", 1) for line in printed.splitlines())


def test_report():
    facts = report()
    assert facts["ganvae_lessons"] == ganvae_lessons.__version__
    assert facts["Python"] == platform.python_version()
    for name in ("tensorflow", "keras", "numpy", "matplotlib", "pillow"):
        assert facts[name] == importlib.metadata.version(name), name
    assert facts["Keras backend"] == os.environ["KERAS_BACKEND"]
    assert facts["budget"] == ("laptop" if facts["GPU"] == "none" else "gpu")


def test_report_where_tensorflow_is_broken(tmp_path):
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('no such symbol\\nsecond line')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    facts = report(PYTHONPATH=path, GANVAE_BUDGET="tiny")
    for question in ("Keras backend", "GPU"):
        assert facts[question] == "ImportError: no such symbol", question
    assert facts["budget"].startswith("ValueError: GANVAE_BUDGET must be one of")
    assert facts["tensorflow"] == importlib.metadata.version("tensorflow")
