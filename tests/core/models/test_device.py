from __future__ import annotations

import pytest
import torch

from napari_samstar.core.errors import UserError
from napari_samstar.core.models.device import choose_device

HAS_CUDA = torch.cuda.is_available()


def test_auto_says_what_and_why():
    chosen = choose_device()
    assert chosen.reason.startswith(chosen.device.type.upper() + ": ")
    assert chosen.reason.endswith(".")
    torch.zeros(2, device=chosen.device)


def test_the_cpu_can_be_chosen():
    assert choose_device("cpu").device == torch.device("cpu")


@pytest.mark.skipif(HAS_CUDA, reason="has CUDA")
def test_cuda_that_is_not_there():
    with pytest.raises(UserError, match=r"Device 'cuda' cannot be used \(.+\): choose 'auto'"):
        choose_device("cuda")


@pytest.mark.skipif(not HAS_CUDA, reason="this machine has no NVIDIA GPU")
def test_cuda_that_is_there():
    chosen = choose_device("cuda")
    assert chosen.device == torch.device("cuda", 0)
    assert "GiB" in chosen.reason
    with pytest.raises(UserError, match="the last of"):
        choose_device("cuda:99")


def test_a_build_without_cuda_is_the_reason(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: False)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert choose_device().reason == "CPU: this PyTorch build has no CUDA."


@pytest.mark.parametrize("name", ["tpu", "meta", "xla", ""])
def test_unknown_devices(name):
    with pytest.raises(UserError, match="choose auto, cuda, cuda:1, mps or cpu"):
        choose_device(name)
