"""What is said of GPUs before the lessons run on one, and that no GPU means stop."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import show_gpu
import tensorflow as tf

ROOT = Path(__file__).resolve().parent.parent


def test_without_a_gpu_it_stops_and_says_what_is_there():
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools/show_gpu.py")],
        env=dict(os.environ, CUDA_VISIBLE_DEVICES="-1"),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("TensorFlow sees no GPU, it sees /physical_device:CPU:0. ")
    assert tf.__version__ in message
    assert "the driver says: " in message
    assert "make setup-gpu" in message


def test_each_gpu_has_a_line():
    details = {
        "a": {"device_name": "Some Card", "compute_capability": (9, 0)},
        "b": {},
    }
    experimental = SimpleNamespace(get_device_details=lambda gpu: details[gpu.name])
    library = SimpleNamespace(config=SimpleNamespace(experimental=experimental))
    gpus = [SimpleNamespace(name=name) for name in details]
    assert show_gpu.describe(library, gpus) == [
        "a: Some Card, compute capability 9.0",
        "b: a GPU without a name, compute capability unknown",
    ]


def test_a_device_that_computes_wrongly_is_found(monkeypatch):
    show_gpu.compute(tf, "/CPU:0")
    product = tf.matmul
    monkeypatch.setattr(tf, "matmul", lambda a, b: product(a, b) + 1)
    with pytest.raises(RuntimeError, match=r"product of ones on /CPU:0 gave \[65.*expected 64"):
        show_gpu.compute(tf, "/CPU:0")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'Some Card, 81559 MiB, 560.1'", ["Some Card, 81559 MiB, 560.1"]),
        ("echo 'no devices were found' >&2; exit 6", ["no devices were found"]),
        (None, ["there is no nvidia-smi here, so probably no NVIDIA driver"]),
    ],
)
def test_what_the_driver_says(tmp_path, monkeypatch, script, expected):
    if script:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert show_gpu.driver_lines() == expected
