"""`budget`: the environment decides, then the hardware, and nothing else is taken."""

import sys
import types

import pytest

from ganvae_lessons import budget


@pytest.mark.verifies("budget.pick", against="each of the three settings")
@pytest.mark.verifies("budget.name", against="each of the three settings")
@pytest.mark.parametrize("name", ["smoke", "laptop", "gpu"])
def test_the_environment_chooses(name, monkeypatch):
    monkeypatch.setenv("GANVAE_BUDGET", name)
    assert budget.name() == name
    assert budget.pick(smoke="smoke", laptop="laptop", gpu="gpu") == name


@pytest.mark.verifies("budget.name", against="a TensorFlow with and without a GPU")
@pytest.mark.parametrize(("devices", "expected"), [([], "laptop"), (["GPU:0"], "gpu")])
def test_the_hardware_chooses_otherwise(devices, expected, monkeypatch):
    monkeypatch.delenv("GANVAE_BUDGET", raising=False)
    config = types.SimpleNamespace(list_physical_devices=lambda kind: devices)
    monkeypatch.setitem(sys.modules, "tensorflow", types.SimpleNamespace(config=config))
    assert budget.name() == expected


def test_another_name_is_refused(monkeypatch):
    monkeypatch.setenv("GANVAE_BUDGET", "huge")
    with pytest.raises(ValueError, match="smoke, laptop, gpu, got 'huge'"):
        budget.pick(smoke=1, laptop=2, gpu=3)
